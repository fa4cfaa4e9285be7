"""The address of this host that faces the registry."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.effects.names import MACHINE, Names
from controller.effects.network import Network, Resolved
from controller.source.local_address import LOOK_UP_TIMEOUT, LocalAddress
from model.host_port import HostPort

#: A name that no resolver is even asked for, and an address that no datagram socket may connect to.
NO_NAME, NO_ROUTE = HostPort("a" * 64, 2379), HostPort("255.255.255.255", 2379)


@pytest.mark.parametrize(
    ("endpoints", "address"),
    [
        ([HostPort("127.0.0.1", 2379)], "127.0.0.1"),
        ([HostPort("127.0.0.9", 1)], "127.0.0.1"),
        ([NO_ROUTE, HostPort("127.0.0.1", 2379)], "127.0.0.1"),
        ([NO_NAME, HostPort("127.0.0.1", 2379)], "127.0.0.1"),
        ([NO_ROUTE, NO_NAME], ""),
        ([], ""),
    ],
    ids=["loopback", "our end, not theirs", "no route to the first", "no such name", "nowhere", "no endpoint"],
)
def test_the_first_endpoint_with_a_route_decides(endpoints: list[HostPort], address: str) -> None:
    """The address is this host's own on the way there. An endpoint without a route is skipped."""
    assert LocalAddress(lambda: endpoints, MACHINE, Network())() == address


def test_a_look_up_that_fails_leaves_the_last_good_answer() -> None:
    """A host does not move when no name server answers for a while."""
    endpoints = [NO_NAME]
    local_address = LocalAddress(lambda: endpoints, MACHINE, Network())
    assert local_address() == ""
    endpoints[0] = HostPort("127.0.0.1", 2379)
    assert local_address() == "127.0.0.1"
    endpoints[0] = NO_NAME
    assert local_address() == "127.0.0.1"


def test_every_address_of_an_endpoint_is_tried() -> None:
    """The first address may be of a family for which this host has no route."""

    def source_address(family: int, address: tuple[object, ...]) -> str:
        if family == socket.AF_INET6:
            raise OSError("no route to host")
        return f"facing {address[0]}"

    found = [(socket.AF_INET6, ("fd00::1", 1, 0, 0)), (socket.AF_INET, ("10.0.0.2", 1))]
    network = Network(lambda host, port: found, source_address)
    names = Names(network, Threads(), Clock())
    assert LocalAddress(lambda: [HostPort("etcd.example", 1)], names, network)() == "facing 10.0.0.2"


def test_a_name_server_that_is_dead_holds_up_the_first_call_alone() -> None:
    """The first call waits for a moment only, and then uses another endpoint, whose name is known. Later calls do not
    wait."""
    dead = threading.Event()

    def resolve(host: str, port: int) -> list[Resolved]:
        if host == "dead.example":
            dead.wait()
        return [(socket.AF_INET, ("10.0.0.2", port))]

    network = Network(resolve, lambda family, address: f"facing {address[0]}")
    endpoints = [HostPort("dead.example", 1), HostPort("etcd.example", 1)]
    local_address = LocalAddress(lambda: endpoints, Names(network, Threads(), Clock()), network)
    assert local_address() == "facing 10.0.0.2"
    begun = time.monotonic()
    assert [local_address() for _ in range(50)] == ["facing 10.0.0.2"] * 50
    assert time.monotonic() - begun < LOOK_UP_TIMEOUT
    dead.set()
