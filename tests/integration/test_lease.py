"""With `-ttl` on v3 all entries of a host hang on one lease: what that costs, and what comes of it when it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.engine import DockerEngine
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.host import Host
from tests.support.waiting import wait_until

#: Seconds: a lease lives so long, and is renewed when this much of it is used up.
TTL, REFRESH = 3, 1
FLAGS = ("-ttl", str(TTL), "-ttl-refresh", str(REFRESH))

#: etcd looks twice a second for leases that have expired, and revokes them by way of its log; and the machine is busy.
SLACK = 3.0


@pytest.fixture
def host(engine: DockerEngine, etcd: EtcdServer, tmp_path: Path) -> Iterator[Host]:
    """A clean engine with two containers, and an unused prefix of the v3 store."""
    engine.remove_all()
    found = Host(engine, etcd, tmp_path, api=3)
    try:
        found.start("one", "two")
        yield found
    finally:
        found.close()


def store(host: Host) -> EtcdV3:
    """The v3 store."""
    return EtcdV3(host.etcd.endpoint)


def events(host: Host, since: int) -> list[tuple[str, str]]:
    """What a watcher of the prefix was told: how each key changed, in order."""
    seen = store(host).changes(host.prefix, since)
    return sorted((event.kind, event.key.removeprefix(f"{host.prefix}/")) for event in seen)


def test_no_watcher_sees_any_of_a_hundred_renewals(host: Host) -> None:
    """The lease lives on, all keys hang on it, and none is written: the store's revision does not move."""
    agent = host.agent("-ttl", "2", "-ttl-refresh", "1", interval=0.05).wait_ready()
    host.wait_for(host.expected())
    before, begin = store(host).pairs(host.prefix), store(host).index()
    assert len({pair.lease for pair in before.values()} - {0}) == 1

    def renewals() -> float:
        return agent.total("operations_total", action="renew", result="applied") / len(before)

    wait_until(lambda: renewals() >= 100, 60, "a hundred renewals")
    assert store(host).pairs(host.prefix) == before
    assert store(host).index() == begin
    assert events(host, begin + 1) == []


def test_of_a_host_that_died_nothing_is_left_after_the_lease_and_not_before(host: Host) -> None:
    """Nobody is there to remove its entries: they all go at once, and others' stay."""
    store(host).put(f"{host.prefix}/redis/core-99:redis:6379", "192.0.2.3:6379")
    agent = host.agent(*FLAGS).wait_ready()
    right = host.expected()
    host.wait_for(right | {"redis/core-99:redis:6379": "192.0.2.3:6379"})
    begin = store(host).index() + 1
    agent.kill9()
    died = time.monotonic()
    wait_until(lambda: host.keys() == {"redis/core-99:redis:6379": "192.0.2.3:6379"}, TTL + SLACK, "the keys to go")
    # The last renewal was at most so long ago, and a pass and its interval more.
    assert time.monotonic() - died >= TTL - REFRESH - 1
    assert events(host, begin) == [("DELETE", key) for key in sorted(right)]


def test_an_agent_that_stood_still_for_longer_than_its_lease_puts_everything_back(host: Host) -> None:
    """Frozen, as with the machine it runs on: its entries go by themselves; it notices within two passes."""
    agent = host.agent(*FLAGS, interval=0.5).wait_ready()
    right = host.expected()
    host.wait_for(right)
    passes = agent.passes()
    agent.signal(signal.SIGSTOP)
    wait_until(lambda: host.keys() == {}, TTL + SLACK, "the keys to go")
    agent.signal(signal.SIGCONT)
    host.wait_for(right)
    # One that was going on when it was frozen, one that finds the keys gone, and one that began while this asks.
    assert agent.passes() - passes <= 3
    begin = store(host).index() + 1
    agent.wait_for_passes(2)
    assert host.keys() == right
    assert events(host, begin) == []


def test_keys_get_and_lose_the_lease_as_the_flags_say(host: Host) -> None:
    """An agent that is started anew with `-ttl` hangs on the lease what was there without, and the other way round."""

    def leases(hang: bool) -> bool:
        return {pair.lease != 0 for pair in store(host).pairs(host.prefix).values()} == {hang}

    right = host.expected()
    for flags, hang in (((), False), (FLAGS, True), ((), False)):
        agent = host.agent(*flags)
        wait_until(partial(leases, hang), 10, f"the keys with {flags}")
        assert host.keys() == right
        assert agent.terminate() == 0
