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


def listening_at(host: str, port: int) -> set[str]:
    """Listen at this host for a moment, and return the addresses."""
    sockets = listen(host, port)
    addresses = {str(each.getsockname()[0]) for each in sockets}
    for each in sockets:
        each.close()
    return addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_program_listens_at_the_address_alone(host: str) -> None:
    """``::`` does not mean the IPv4 addresses, too: another program may listen there."""
    port = free_ports(1)[0]
    assert listening_at(host, port) == {host}
    if host == "::":
        with socket.create_server(("0.0.0.0", port)):
            assert listening_at(host, port) == {host}


def test_a_program_listens_at_all_addresses_of_a_name() -> None:
    """``localhost`` has an address of each family where IPv6 is switched on."""
    assert {"127.0.0.1"} <= listening_at("localhost", free_ports(1)[0]) <= {"127.0.0.1", "::1"}


def test_a_program_cannot_listen_at_an_address_of_another_machine() -> None:
    """No socket stays open."""
    with pytest.raises(OSError, match="assign"):
        listen("192.0.2.1", free_ports(1)[0])


def test_a_port_that_is_taken_at_one_of_the_addresses_is_an_error() -> None:
    """Health checks of this program would else be answered by another one."""
    port = free_ports(1)[0]
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        listen("localhost", port)
