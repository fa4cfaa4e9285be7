"""With `-ttl` on v3, all entries of a host are attached to one lease: what renewals cost, and what happens when it
ends."""

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

#: Seconds that a lease lives, and seconds after which it is renewed.
TTL, REFRESH = 3, 1
FLAGS = ("-ttl", str(TTL), "-ttl-refresh", str(REFRESH))

#: Seconds that the end of a lease may be late: etcd looks for expired leases twice a second and revokes them through
#: its log, and the machine is busy.
SLACK = 3.0


@pytest.fixture
def host(engine: DockerEngine, etcd: EtcdServer, tmp_path: Path) -> Iterator[Host]:
    """A clean engine with two containers, and an unused prefix in the v3 store."""
    engine.remove_all()
    found = Host(engine, etcd, tmp_path, api=3)
    try:
        found.start("one", "two")
        yield found
    finally:
        found.close()


def store(host: Host) -> EtcdV3:
    """Return a client of the v3 store."""
    return EtcdV3(host.etcd.endpoint)


def events(host: Host, since: int) -> list[tuple[str, str]]:
    """Return what a watcher of the prefix was told: the kind of each change and its key, sorted."""
    seen = store(host).changes(host.prefix, since)
    return sorted((event.kind, event.key.removeprefix(f"{host.prefix}/")) for event in seen)


def test_a_hundred_renewals_wake_no_watcher(host: Host) -> None:
    """A hundred renewals of the lease write no key and do not move the store's revision, so no watcher sees them."""
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


def test_the_entries_of_a_host_that_died_go_when_its_lease_ends_and_not_before(host: Host) -> None:
    """When a host dies, its entries all go at once when its lease ends, and not before. Keys of others stay."""
    store(host).put(f"{host.prefix}/redis/core-99:redis:6379", "192.0.2.3:6379")
    agent = host.agent(*FLAGS).wait_ready()
    right = host.expected()
    host.wait_for(right | {"redis/core-99:redis:6379": "192.0.2.3:6379"})
    begin = store(host).index() + 1
    agent.kill9()
    died = time.monotonic()
    wait_until(lambda: host.keys() == {"redis/core-99:redis:6379": "192.0.2.3:6379"}, TTL + SLACK, "the keys to go")
    # At its death, the last renewal was at most REFRESH old, plus a pass and its interval.
    assert time.monotonic() - died >= TTL - REFRESH - 1
    assert events(host, begin) == [("DELETE", key) for key in sorted(right)]


def test_an_agent_that_was_frozen_for_longer_than_its_lease_puts_its_entries_back(host: Host) -> None:
    """If the agent is frozen for longer than its lease, as with its machine, its entries expire. Within two passes, it
    has put them back."""
    agent = host.agent(*FLAGS, interval=0.5).wait_ready()
    right = host.expected()
    host.wait_for(right)
    passes = agent.passes()
    agent.signal(signal.SIGSTOP)
    wait_until(lambda: host.keys() == {}, TTL + SLACK, "the keys to go")
    agent.signal(signal.SIGCONT)
    host.wait_for(right)
    # At most three: the pass that was frozen, the pass that finds the keys gone, and a pass that began since.
    assert agent.passes() - passes <= 3
    begin = store(host).index() + 1
    agent.wait_for_passes(2)
    assert host.keys() == right
    assert events(host, begin) == []


def test_the_ttl_flag_attaches_existing_keys_to_the_lease_and_detaches_them(host: Host) -> None:
    """An agent that is started with `-ttl` attaches existing keys to its lease. One that is started without it detaches
    them."""

    def leases(hang: bool) -> bool:
        return {pair.lease != 0 for pair in store(host).pairs(host.prefix).values()} == {hang}

    right = host.expected()
    for flags, hang in (((), False), (FLAGS, True), ((), False)):
        agent = host.agent(*flags)
        wait_until(partial(leases, hang), 10, f"the keys with {flags}")
        assert host.keys() == right
        assert agent.terminate() == 0
