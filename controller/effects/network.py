"""Name resolution, routes and sockets. Only ``names`` resolves names, so that nobody waits for a name server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

#: One address of a host: its family, and the address as the socket module takes it.
Resolved = tuple[int, tuple[Any, ...]]


def resolve(host: str, port: int) -> Sequence[Resolved]:
    """Return the addresses of a host, in the order in which they should be tried. It takes as long as the name servers
    take. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


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
