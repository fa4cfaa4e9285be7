"""The engine's events make the agent faster, and nothing else: with and without them, every key is right."""

from __future__ import annotations

import pytest

from tests.support.agent import Agent
from tests.support.engine_proxy import EngineProxy
from tests.support.host import Host, on_both
from tests.support.waiting import wait_until

#: An interval in seconds that is longer than any test: only hints make a pass after the first one.
NEVER = 3600.0

#: Seconds within which a change must be in etcd, on a busy machine, too.
SOON = 10.0

#: A health check that a test decides: the container is healthy while there is something in the file.
HEALTHCHECK = "--health-cmd 'test -s /healthy' --health-interval 0.2s --health-retries 1"


def agent_of(host: Host, *flags: str, hints: bool = True) -> Agent:
    """Start an agent whose passes are made by hints alone, or at a short interval without hints."""
    if hints:
        agent = host.agent(*flags, interval=NEVER).wait_ready()
        wait_until(lambda: agent.total("hints_flowing") == 1, SOON, "hints to flow")
        return agent
    return host.agent("--no-hints", *flags).wait_ready()


def see(host: Host, *change: str) -> None:
    """Make a change by the docker command, and wait until etcd has what should be registered then."""
    host.engine.docker(*change)
    host.wait_for(host.expected(), SOON)


@on_both("host")
@pytest.mark.parametrize("hints", [True, False], ids=["hints", "no hints"])
def test_every_change_of_a_container_is_seen(host: Host, hints: bool) -> None:
    """Containers start, are paused, renamed and restarted, are killed, end by themselves and remove themselves, and
    leave and join a network. With hints, no pass but the first is made at the interval."""
    agent = agent_of(host, hints=hints)
    host.start("web", "db")
    host.wait_for(host.expected(), SOON)
    before = host.keys()
    see(host, "pause", "db")
    assert host.keys() == before
    see(host, "unpause", "db")
    see(host, "rename", "db", "store")
    see(host, "restart", "web")
    see(host, "kill", "web")
    see(host, "start", "web")
    see(host, "rm", "--force", "store")
    host.engine.run("--rm --name brief -P worker:1 sleep 1")
    host.wait_for(host.expected(), SOON)
    wait_until(lambda: host.key("brief") not in {*host.keys()}, SOON, "the key of a container that ended to go")
    host.engine.docker("network", "disconnect", "bridge", "web")
    host.wait_for({}, SOON)
    host.engine.docker("network", "connect", "bridge", "web")
    host.wait_for(host.expected(), SOON)
    assert agent.passes("engine-error") == agent.passes("registry-error") == 0
    assert agent.total("hints_flowing") == hints
    assert (agent.total("hints_total", outcome="hurried-pass") > 0) == hints


@pytest.mark.parametrize("hints", [True, False], ids=["hints", "no hints"])
def test_a_change_of_the_health_is_seen(host: Host, hints: bool) -> None:
    """With ``--health healthy``, a container is registered when it becomes healthy, and only for as long."""
    agent_of(host, "--health", "healthy", hints=hints)
    host.start("web", flags=HEALTHCHECK)
    assert host.keys() == {}
    host.engine.docker("exec", "web", "sh", "-c", "echo yes > /healthy")
    host.wait_for(host.expected(), SOON)
    host.engine.docker("exec", "web", "sh", "-c", ": > /healthy")
    host.wait_for({}, SOON)


@pytest.mark.parametrize("hints", [True, False], ids=["hints", "no hints"])
def test_containers_that_failed_keep_their_entries_on_success(host: Host, hints: bool) -> None:
    """With ``-deregister on-success``, the exit code decides, which only an inspect tells."""
    agent_of(host, "-deregister", "on-success", hints=hints)
    for name, code in (("good", 0), ("bad", 3)):
        host.engine.run(f"--name {name} -P worker:1 sh -c 'sleep 1; exit {code}'")
    right = host.expected()
    host.wait_for(right, SOON)
    host.wait_for({host.key("bad"): right[host.key("bad")]}, SOON)


@on_both("host")
def test_where_a_proxy_blocks_events_the_list_is_enough(host: Host) -> None:
    """It answers 403 to each request for events."""
    with EngineProxy(host.engine.socket_url) as proxy:
        proxy.only = r"(/v[0-9.]+)?/(info|version|containers/.*|networks/.*)"
        agent = host.agent("--docker-host", proxy.url).wait_ready()
        host.start("web")
        host.wait_for(host.expected(), SOON)
        see(host, "kill", "web")
        assert agent.total("hints_flowing") == 0
        assert agent.log().count("no events of the engine arrive") == 1


def test_where_a_proxy_blocks_the_stream_the_history_is_asked_for(host: Host) -> None:
    """It lets only requests through whose answers end."""
    with EngineProxy(host.engine.socket_url) as proxy:
        proxy.refuses_streams = True
        agent = host.agent("--docker-host", proxy.url, interval=NEVER).wait_ready()
        wait_until(lambda: "events of the engine are polled" in agent.log(), 20, "the agent to poll events")
        host.start("web")
        host.wait_for(host.expected(), SOON)
        see(host, "kill", "web")


@on_both("breakable_host")
def test_events_are_followed_again_after_a_restart_of_the_engine(breakable_host: Host) -> None:
    """The log says that they are gone, and that they are back."""
    host = breakable_host
    host.start("web")
    agent = host.agent().wait_ready()
    wait_until(lambda: agent.total("hints_flowing") == 1, SOON, "hints to flow")
    host.engine.restart()  # type: ignore[attr-defined] # the engine of this host may be broken
    wait_until(lambda: agent.log().count("events of the engine arrive,") >= 2, 30, "hints to flow again")
    host.wait_for({}, SOON)
    see(host, "start", "web")
    see(host, "kill", "web")
    assert "no events of the engine arrive" in agent.log()
    assert agent.total("hints_total", outcome="reopened") >= 1
