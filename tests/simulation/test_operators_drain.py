"""Containers that the operator drains, in virtual time: their keys go while they run, until the order ends."""

from __future__ import annotations

from math import inf

import pytest

from tests.simulation.drain_order import Order
from tests.simulation.fleet import MEMBERS
from tests.simulation.quiet_host import QuietHost, quiet_host
from tests.simulation.test_hints import INTERVAL

APIS = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

BOTH = pytest.mark.parametrize("hints", [True, False], ids=["hints", "no-hints"])

#: Seconds until an agent reads etcd again that was away for half a minute.
RECOVERY = 32.0


def drain(host: QuietHost, *names: str, until: float = inf) -> None:
    """Have the operator drain containers, and no others."""
    order = Order()
    for each in host.engine.running():
        if each.name in names:
            order = order.with_container(each, until)
    order.write(host.fleet.cluster, host.fleet.api, host.engine.name)


def drain_all(host: QuietHost, until: float = inf) -> None:
    """Have the operator drain the whole host."""
    Order(all_until=until).write(host.fleet.cluster, host.fleet.api, host.engine.name)


def registered(host: QuietHost) -> set[str]:
    """Return the names of the containers that have a key with the right value."""
    return {key.split(":")[1] for key, value in host.keys.items() if host.right.get(key) == value}


@APIS
@BOTH
def test_the_key_of_a_drained_container_goes_and_comes_back(api: int, hints: bool) -> None:
    """Within an interval each time. The other containers keep their keys."""
    with quiet_host(api, hints) as host:
        drain(host, "web")
        host.after(INTERVAL)
        assert registered(host) == {"api", "db"}
        host.after(60)
        drain(host)
        host.after(INTERVAL)
        assert (host.keys, dict(host.changes)) == (host.right, {"/services/web/core-1:web:80": 2} | noted(host))


def noted(host: QuietHost) -> dict[str, int]:
    """Return the changes of the drain order itself."""
    return {key: number for key, number in host.changes.items() if key.endswith("/drain")}


@APIS
@BOTH
def test_a_drain_ends_by_itself(api: int, hints: bool) -> None:
    """The key comes back at the end, and not before."""
    with quiet_host(api, hints) as host:
        end = round(host.scheduler.now) + 30
        drain(host, "web", until=end)
        host.after(end - 1 - host.scheduler.now)
        assert registered(host) == {"api", "db"}
        host.after(1 + INTERVAL)
        assert host.keys == host.right


@APIS
@BOTH
def test_a_drain_is_about_one_run_of_one_container(api: int, hints: bool) -> None:
    """One that was started again is not drained, and neither is a new one of the same name."""
    with quiet_host(api, hints) as host:
        drain(host, "web", "api")
        host.after(INTERVAL)
        host.engine.restart("web")
        host.engine.remove("api", force=True)
        host.run("api")
        host.after(INTERVAL)
        assert host.keys == host.right


@APIS
@BOTH
def test_the_drain_of_a_whole_host_takes_in_new_containers_and_the_guard_does_not_hold_it_back(
    api: int, hints: bool
) -> None:
    """All keys go in one pass. They come back in one."""
    with quiet_host(api, hints) as host:
        for number in range(5):
            host.run(f"c{number}")
        host.after(INTERVAL)
        drain_all(host)
        host.after(INTERVAL)
        assert host.keys == {}
        host.run("new")
        host.engine.restart("web")
        host.after(10)
        assert host.keys == {}
        drain(host)
        host.after(INTERVAL)
        assert host.keys == host.right


@APIS
@BOTH
def test_an_agent_that_is_started_again_goes_on_draining(api: int, hints: bool) -> None:
    """The order is in etcd, so that no pass of the new agent writes the key."""
    with quiet_host(api, hints) as host:
        drain(host, "web")
        host.after(INTERVAL)
        for _ in range(3):
            host.fleet.stop_agent(host.host)
            host.after(5)
            host.fleet.start_agent(host.host)
            host.after(20)
        assert registered(host) == {"api", "db"}
        assert host.changes["/services/web/core-1:web:80"] == 1


@APIS
@BOTH
def test_a_drain_goes_on_over_an_outage_of_etcd_and_over_an_agent_that_starts_in_it(api: int, hints: bool) -> None:
    """Nothing is written while etcd is away, nor when it is back."""
    with quiet_host(api, hints) as host:
        drain(host, "web")
        host.after(INTERVAL)
        for member in MEMBERS:
            host.fleet.cluster.stop(member)
        host.after(10)
        host.fleet.stop_agent(host.host)
        host.fleet.start_agent(host.host)
        host.after(20)
        for member in MEMBERS:
            host.fleet.cluster.start(member)
        host.after(RECOVERY)
        assert registered(host) == {"api", "db"}
        assert host.changes["/services/web/core-1:web:80"] == 1
        drain(host)
        host.after(INTERVAL)
        assert host.keys == host.right


@APIS
@BOTH
def test_a_drain_that_ends_during_an_outage_of_etcd_has_ended_after_it(api: int, hints: bool) -> None:
    """So does the drain of a container that is started again meanwhile."""
    with quiet_host(api, hints) as host:
        drain(host, "web", "api", until=round(host.scheduler.now) + 20)
        host.after(INTERVAL)
        assert registered(host) == {"db"}
        for member in MEMBERS:
            host.fleet.cluster.stop(member)
        host.engine.restart("api")
        host.after(30)
        for member in MEMBERS:
            host.fleet.cluster.start(member)
        host.after(RECOVERY)
        assert host.keys == host.right


@APIS
@BOTH
def test_an_order_that_has_ended_deletes_nothing_although_a_member_of_etcd_still_shows_it(
    api: int, hints: bool
) -> None:
    """A delete is decided by a consistent read, as every other."""
    with quiet_host(api, hints) as host:
        drain(host, "web")
        for member in MEMBERS:
            host.fleet.cluster.lag(member)
        drain(host)
        host.after(10)
        assert "/services/web/core-1:web:80" not in host.changes
