"""Name resolution, routes and sockets. Only ``names`` resolves names, so that nobody waits for a name server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from model.srv import SrvRecord

#: One address of a host: its family, and the address as the socket module takes it.
Resolved = tuple[int, tuple[Any, ...]]


def resolve(host: str, port: int) -> Sequence[Resolved]:
    """Return the addresses of a host, in the order in which they should be tried. It takes as long as the name servers
    take. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def srv_records(name: str) -> Sequence[SrvRecord]:
    """Return the SRV records with this name. Raises OSError, after a few seconds at the latest."""
    from controller.effects.srv_lookup import look_up  # noqa: PLC0415 - it loads dnspython, which few need

    return look_up(name)


def numeric(host: str, port: int) -> Sequence[Resolved]:
    """Return a numeric address as sockets take it, without a look-up; an empty sequence if the host is a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return ()
    return [(family, address) for family, _, _, _, address in found]


def connect(family: int, address: Any, seconds: float) -> socket.socket:
    """Return a socket that is connected to an address, which is a path in the family of Unix sockets. Raises OSError,
    also if it is not connected after ``seconds``."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def listen(host: str, port: int, backlog: int = 1024) -> Sequence[socket.socket]:
    """Return a socket that listens for each address of a host. ``backlog`` is the number of clients that can wait to be
    accepted. Raises OSError, for example if the port is in use, or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(backlog)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def source_address(family: int, address: tuple[Any, ...]) -> str:
    """Return the address of the interface through which this host reaches another address.

    Nothing is sent: connecting a datagram socket only looks up the route. Raises OSError if there is no route.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


@frozen
class Network:
    """Resolves names and looks up routes: on the machine by default, with other functions in tests and simulations."""

    #: Returns the addresses of a host and port. Raises OSError or UnicodeError.
    resolve: Callable[[str, int], Sequence[Resolved]] = resolve
    #: Returns this host's address that faces an address of a family. Raises OSError if there is no route.
    source_address: Callable[[int, tuple[Any, ...]], str] = source_address
    #: Returns the SRV records with a name. Raises OSError if there are none, or no name server answers.
    srv_records: Callable[[str], Sequence[SrvRecord]] = srv_records
