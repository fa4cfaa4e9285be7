"""The address that faces the registry."""

from __future__ import annotations

import pytest

from controller.source.local_address import Route, local_address_towards

#: A name that no resolver is even asked for, and an address that no datagram socket may connect to.
NO_NAME, NO_ROUTE = ("a" * 64, 2379), ("255.255.255.255", 2379)


@pytest.mark.parametrize(
    ("endpoints", "address"),
    [
        ([("127.0.0.1", 2379)], "127.0.0.1"),
        ([("127.0.0.9", 1)], "127.0.0.1"),
        ([NO_ROUTE, ("127.0.0.1", 2379)], "127.0.0.1"),
        ([NO_NAME, ("127.0.0.1", 2379)], "127.0.0.1"),
        ([NO_ROUTE, NO_NAME], ""),
        ([], ""),
    ],
    ids=["loopback", "our end, not theirs", "no route to the first", "no such name", "nowhere", "no endpoint"],
)
def test_the_first_endpoint_with_a_route_decides(endpoints: list[tuple[str, int]], address: str) -> None:
    """It is this host's own address on the way there; endpoints that there is no way to are passed over."""
    assert local_address_towards(endpoints) == address


def test_a_look_up_that_fails_leaves_the_last_good_answer() -> None:
    """When no name server answers for a while, this host has not moved."""
    endpoints = [NO_NAME]
    route = Route(endpoints)
    assert route.local_address() == ""
    endpoints[0] = ("127.0.0.1", 2379)
    assert route.local_address() == "127.0.0.1"
    endpoints[0] = NO_NAME
    assert route.local_address() == "127.0.0.1"
