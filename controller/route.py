"""Which address of this host faces the registry."""

from __future__ import annotations

import socket
from collections.abc import Sequence


def local_address_towards(endpoints: Sequence[tuple[str, int]]) -> str:
    """The address of the interface through which this host would reach the first endpoint that there is a route to;
    an empty string if there is none. Nothing is sent: connecting a datagram socket only looks up the route."""
    for host, port in endpoints:
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
                with socket.socket(family, kind, protocol) as probe:
                    probe.connect(address)
                    return str(probe.getsockname()[0])
        except OSError:
            continue
    return ""
