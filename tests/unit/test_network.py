"""Tests of name resolution, sockets, and the address of this host on the way to another host."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from controller.effects.network import Network, connect, listen, numeric
from tests.support.processes import free_ports


def test_loopback_is_faced_by_loopback() -> None:
    """On the way to a loopback address, this host's address is a loopback address. Finding that out sends nothing."""
    network = Network()
    [address] = [found for family, found in network.resolve("localhost", 2379) if family == socket.AF_INET]
    assert network.source_address(socket.AF_INET, address) == "127.0.0.1"


def test_an_address_without_a_route_is_an_error() -> None:
    """The test asks for the way to the broadcast address, to which no datagram socket may connect."""
    with pytest.raises(OSError, match=r"[Pp]ermission denied|unreachable"):
        Network().source_address(socket.AF_INET, ("255.255.255.255", 1))


@pytest.mark.parametrize(
    ("host", "family"),
    [("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6), ("fe80::1%lo", socket.AF_INET6)],
)
def test_an_address_is_taken_as_it_is(host: str, family: int) -> None:
    """An address is not looked up anywhere."""
    [(found, address)] = numeric(host, 7)
    assert (found, address[1]) == (family, 7)


@pytest.mark.parametrize("host", ["localhost", "etcd.example", "a" * 64, ""])
def test_a_name_is_no_address(host: str) -> None:
    """A name yields no address here, and it is not looked up either."""
    assert [*numeric(host, 7)] == []


def test_a_connection_that_fails_leaves_no_socket_open(tmp_path: Path) -> None:
    """A socket that stays open causes a warning, and warnings are errors in these tests."""
    with pytest.raises(OSError, match="No such file"):
        connect(socket.AF_UNIX, str(tmp_path / "nowhere"), 1.0)


def test_every_address_of_a_host_is_listened_at() -> None:
    """A client is accepted by the kernel at once, and waits for its answer."""
    [port] = free_ports(1)
    sockets = listen("localhost", port)
    addresses = {sock.getsockname()[0] for sock in sockets}
    assert addresses == {address[0] for _, address in Network().resolve("localhost", port)}
    for sock in sockets:
        with socket.create_connection(sock.getsockname()[:2], timeout=5):
            sock.close()


def test_listening_at_a_port_that_is_in_use_leaves_no_socket_open() -> None:
    """A socket that stays open causes a warning, and warnings are errors in these tests."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])
