"""Name resolution, and the address of this host on the way to another one."""

from __future__ import annotations

import socket

import pytest

from controller.effects.network import Network


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_faced_by_loopback(host: str) -> None:
    """A name is resolved, and an address is taken as it is."""
    assert "127.0.0.1" in Network().source_addresses(host, 2379)


def test_every_address_of_a_host_is_tried_in_order() -> None:
    """The caller decides how many it needs: an address is looked at only when it is asked for."""
    asked = list[str]()

    def source_address(family: int, address: tuple[str, int]) -> str:
        asked.append(address[0])
        return f"facing {address[0]}"

    found = [(socket.AF_INET, ("10.0.0.1", 1)), (socket.AF_INET, ("10.0.0.2", 1))]
    addresses = Network(lambda host, port: found, source_address).source_addresses("etcd.example", 1)
    assert next(addresses) == "facing 10.0.0.1"
    assert asked == ["10.0.0.1"]
    assert list(addresses) == ["facing 10.0.0.2"]


def test_an_address_without_a_route_is_an_error() -> None:
    """No datagram socket may connect to the broadcast address."""
    with pytest.raises(OSError, match=r"[Pp]ermission denied|unreachable"):
        list(Network().source_addresses("255.255.255.255", 1))
