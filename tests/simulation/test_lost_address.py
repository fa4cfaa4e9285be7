"""A host whose address comes and goes, in virtual time: what is registered for containers that run is never removed."""

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

#: The lifetime of keys, in seconds, where they have one.
TTL = 15


class RoutedFleet(Fleet):
    """A fleet of one host whose address, where `-ip` does not give it, is what the route to etcd says."""

    def __init__(self, scheduler: Scheduler, api: int) -> None:
        #: The address that the route says. Raises OSError where there is no route, or no answer of the name server.
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
        """Return what is registered: keys and values."""
        return self.cluster.keys(self.api, PREFIX)

    def pass_by(self, seconds: float) -> None:
        """Let this much time pass."""
        self.scheduler.run_until(self.scheduler.now + seconds)


@pytest.fixture(params=APIS, ids=["v2", "v3"])
def fleet(request: pytest.FixtureRequest) -> Iterator[RoutedFleet]:
    """A host with three containers, one of them under a custom id, that its agent has registered without `-ip`."""
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
    """Fail as a machine does whose network is being restarted."""
    raise OSError(101, "Network is unreachable")


@pytest.mark.parametrize("route", [no_route, lambda: "127.0.0.1", lambda: "172.17.0.2"], ids=["none", "lo", "bridge"])
def test_no_entry_goes_and_none_expires_while_the_route_is_away(fleet: RoutedFleet, route: Callable[[], str]) -> None:
    """Whether there is no route, one over the loopback, or one with a container's address."""
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
    """Entries of containers that end go within an interval or two meanwhile, and once there is a route, all is
    written within an interval or two, with the address that it says now."""
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
    """Nobody renews them then."""
    fleet.route = lambda: "127.0.0.1"
    fleet.pass_by(2 * TTL)
    assert len(fleet.keys()) == 3
    fleet.stop_agent(fleet.host)
    fleet.pass_by(TTL + 5)
    assert fleet.keys() == {}
