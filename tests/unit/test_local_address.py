"""The address of this host that faces the registry."""

from __future__ import annotations

import pytest

from controller.effects.network import Network
from controller.host_port import HostPort
from controller.source.local_address import LocalAddress

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
    assert LocalAddress(endpoints, Network())() == address


def test_a_look_up_that_fails_leaves_the_last_good_answer() -> None:
    """A host does not move when no name server answers for a while."""
    endpoints = [NO_NAME]
    local_address = LocalAddress(endpoints, Network())
    assert local_address() == ""
    endpoints[0] = HostPort("127.0.0.1", 2379)
    assert local_address() == "127.0.0.1"
    endpoints[0] = NO_NAME
    assert local_address() == "127.0.0.1"
