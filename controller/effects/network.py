"""Name resolution and routes. Apart from this module only the client libraries resolve names, when they connect."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import frozen

#: One address of a host: its family, and the address as the socket module takes it.
Resolved = tuple[int, tuple[Any, ...]]


def resolve(host: str, port: int) -> Sequence[Resolved]:
    """Return the addresses of a host, in the order in which they should be tried. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return [(family, address) for family, _, _, _, address in found]


def connect_unix(path: str, seconds: float) -> socket.socket:
    """Return a socket that is connected to a Unix socket. Raises OSError, also when ``seconds`` have passed."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect(path)
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

    def source_addresses(self, host: str, port: int) -> Iterator[str]:
        """Yield this host's address that faces each address of ``host``, in order. Raises OSError or UnicodeError."""
        for family, address in self.resolve(host, port):
            yield self.source_address(family, address)
