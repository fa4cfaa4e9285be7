"""Many containers start or end at once, and the registry still ends with exactly the right keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.support.agent import Agent
from tests.support.host import Host

CONTAINERS = [f"c{number}" for number in range(60)]
AT_ONCE = 16


def test_a_burst_of_starts_and_kills_ends_with_exactly_the_right_keys(host: Host) -> None:
    """After 60 starts, and then after 60 kills, 16 at a time, the registry is exactly right.

    This is hard because a killed container stays in the engine's list for a while and looks as if it were running.
    registrator loses up to 4 of the starts and up to 22 of the kills.
    """
    agent = host.agent().wait_ready()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(host.start, CONTAINERS))
        host.wait_for(host.expected())
        assert len(host.keys()) == len(CONTAINERS)
        list(pool.map(lambda name: host.engine.docker("kill", name), CONTAINERS))
        host.wait_for({})
    assert_in_sync(host, agent)


def test_starts_and_kills_at_the_same_time_end_with_exactly_the_right_keys(host: Host) -> None:
    """Ten containers are removed while ten others start and the agent makes passes; exactly the new ones are
    registered."""
    old, new = CONTAINERS[:10], CONTAINERS[10:20]
    agent = host.agent(interval=0.05).wait_ready()
    host.start(*old)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = pool.map(lambda name: host.engine.docker("rm", "--force", name), old)
        starts = pool.map(host.start, new)
        assert len([*ends, *starts]) == 20
    expected = host.expected()
    host.wait_for(expected)
    assert len(expected) == len(new)
    assert_in_sync(host, agent)


def assert_in_sync(host: Host, agent: Agent) -> None:
    """Assert that further passes change nothing."""
    before, index = host.keys(), host.etcd.index()
    agent.wait_for_passes(5)
    assert (host.keys(), host.etcd.index()) == (before, index)
