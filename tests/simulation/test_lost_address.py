"""A host whose address comes and goes, in virtual time. The entries of containers that run are never removed."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator

import pytest
from attrs import evolve

from controller.commands.build import Effects
from controller.effects.names import Names
from controller.effects.network import Network
from model.report import PassReport, PassResult
from tests.simulation.fleet import PREFIX, Actor, Flags, Fleet, Host
from tests.simulation.scheduler import Process, Scheduler

APIS = [2, 3]

#: The lifetime of the keys, in seconds.
TTL = 15


class RoutedFleet(Fleet):
    """A fleet of one host. Without `-ip`, the host's address is the one that the route to etcd has."""

    def __init__(self, scheduler: Scheduler, api: int) -> None:
        #: Returns the host's address on the route to etcd. Raises OSError if there is no route, or if the name server
        #: does not answer.
        self.route: Callable[[], str] = lambda: "10.0.0.1"
        self.reports: list[PassReport] = []
        super().__init__(scheduler, random.Random(api), api, hosts=1)
        (self.host,) = self.hosts
        self.on_pass_ended = lambda host, report: self.reports.append(report)

    def _effects(self, host: Host, process: Process, actor: Actor | None = None) -> Effects:
        network = Network(
            resolve=lambda name, port: [(2, (name, port))], source_address=lambda family, address: self.route()
        )
        effects = super()._effects(host, process, actor)
        return evolve(effects, network=network, names=Names(network, effects.background, effects.clock))

    def keys(self) -> dict[str, str]:
        """Return what is registered, as keys and values."""
        return self.cluster.keys(self.api, PREFIX)

    def pass_by(self, seconds: float) -> None:
        """Let this much time pass."""
        self.scheduler.run_until(self.scheduler.now + seconds)


@pytest.fixture(params=APIS, ids=["v2", "v3"])
def fleet(request: pytest.FixtureRequest) -> Iterator[RoutedFleet]:
    """Yield a fleet of one host with three containers, one of them under a custom id. Its agent has registered them
    without `-ip`."""
    logging.disable(logging.CRITICAL)
    scheduler = Scheduler(random.Random(request.param))
    fleet = RoutedFleet(scheduler, request.param)
    fleet.host.address = ""
    fleet.host.flags = Flags(ttl=TTL, refresh=5)
    for name, env in (("c1", {}), ("c2", {}), ("c3", {"SERVICE_ID": "own"})):
        fleet.host.engine.run(name, "registry.example/web:1", ports={"80/tcp": None}, env=env)
    fleet.start_agent(fleet.host)
    fleet.pass_by(10)
    assert len(fleet.keys()) == 3
    assert all(value.startswith("10.0.0.1:") for value in fleet.keys().values())
    yield fleet
    scheduler.close()
    logging.disable(logging.NOTSET)


def no_route() -> str:
    """Raise the error that a machine gives while its network restarts."""
    raise OSError(101, "Network is unreachable")


@pytest.mark.parametrize("route", [no_route, lambda: "127.0.0.1", lambda: "172.17.0.2"], ids=["none", "lo", "bridge"])
def test_no_entry_goes_and_none_expires_while_the_route_is_away(fleet: RoutedFleet, route: Callable[[], str]) -> None:
    """All entries stay while there is no route to etcd, while the route goes over the loopback, or while it has the
    address of the bridge for containers."""
    before = fleet.keys()
    fleet.route = route
    for _ in range(60):
        fleet.pass_by(1)
        assert fleet.keys() == before
    fleet.route = lambda: "10.0.0.1"
    fleet.pass_by(3)
    assert fleet.reports[-1].result is PassResult.SUCCESS
    assert fleet.keys() == before


def test_an_agent_that_starts_without_a_route_holds_the_entries_and_does_not_back_off(fleet: RoutedFleet) -> None:
    """While there is no route, the entry of a container that ends is deleted within an interval or two. Once there is a
    route, all entries are written within an interval or two, with the address that the route has now."""
    fleet.stop_agent(fleet.host)
    fleet.route = no_route
    fleet.start_agent(fleet.host)
    before = fleet.keys()
    for _ in range(60):
        fleet.pass_by(1)
        assert fleet.keys() == before
    assert {each.result for each in fleet.reports[-50:]} == {PassResult.NO_ADDRESS}
    fleet.host.engine.stop("c1")
    fleet.pass_by(3)
    assert len(fleet.keys()) == 2
    fleet.host.engine.run("c4", "registry.example/web:1", ports={"80/tcp": None})
    fleet.pass_by(3)
    assert len(fleet.keys()) == 2
    fleet.route = lambda: "10.0.0.9"
    fleet.pass_by(3)
    assert len(fleet.keys()) == 3
    assert all(value.startswith("10.0.0.9:") for value in fleet.keys().values())


def test_held_entries_expire_with_their_host(fleet: RoutedFleet) -> None:
    """When the host's agent has ended, held entries expire, because nobody renews them any more."""
    fleet.route = lambda: "127.0.0.1"
    fleet.pass_by(2 * TTL)
    assert len(fleet.keys()) == 3
    fleet.stop_agent(fleet.host)
    fleet.pass_by(TTL + 5)
    assert fleet.keys() == {}
