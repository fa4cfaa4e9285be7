"""Which address of this host faces the registry."""

from __future__ import annotations

import socket
from collections.abc import Sequence


class Route:
    """The way to the registry. A look-up that fails, as when no name server answers, says nothing new about this host:
    what the last good one said goes on to hold."""

    def __init__(self, endpoints: Sequence[tuple[str, int]]) -> None:
        """``endpoints`` are hosts and ports."""
        self._endpoints = endpoints
        self._address = ""

    def local_address(self) -> str:
        """See ``local_address_towards``; an empty string if there never was one."""
        self._address = local_address_towards(self._endpoints) or self._address
        return self._address


def local_address_towards(endpoints: Sequence[tuple[str, int]]) -> str:
    """The address of the interface through which this host would reach the first endpoint that there is a route to;
    an empty string if there is none. Nothing is sent: connecting a datagram socket only looks up the route."""
    for host, port in endpoints:
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
                with socket.socket(family, kind, protocol) as probe:
                    probe.connect(address)
                    return str(probe.getsockname()[0])
        except (OSError, UnicodeError):  # A name that is none raises the latter.
            continue
    return ""
