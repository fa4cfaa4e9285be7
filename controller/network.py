"""Names and routes. No other module resolves a name itself; the client libraries still do when they connect."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import frozen

#: What ``resolve`` says of one address: its family, and the address as the socket module takes it.
Resolved = tuple[int, tuple[Any, ...]]


def resolve(host: str, port: int) -> Sequence[Resolved]:
    """The addresses of a host, in the order in which they should be tried. Raises OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return [(family, address) for family, _, _, _, address in found]


def source_address(family: int, address: tuple[Any, ...]) -> str:
    """The address of the interface through which this host reaches another address. Nothing is sent: connecting a
    datagram socket only looks up the route. Raises OSError where there is no route."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


@frozen
class Network:
    """How names are resolved and routes looked up. A test or a simulation passes functions of its own."""

    resolve: Callable[[str, int], Sequence[Resolved]] = resolve
    source_address: Callable[[int, tuple[Any, ...]], str] = source_address

    def source_addresses(self, host: str, port: int) -> Iterator[str]:
        """The address of this host that faces each address of ``host``. Raises OSError or UnicodeError."""
        for family, address in self.resolve(host, port):
            yield self.source_address(family, address)
