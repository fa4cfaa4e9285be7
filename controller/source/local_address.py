"""The address of this host that faces the registry. It is registered where the operator gave none with ``-ip``."""

from __future__ import annotations

from collections.abc import Sequence

from controller.effects.network import Network
from controller.host_port import HostPort


class LocalAddress:
    """Finds the address of the interface through which this host reaches the registry.

    A look-up that fails, as when no name server answers, says nothing new about this host. The address that the last
    good look-up found goes on to hold.
    """

    def __init__(self, endpoints: Sequence[HostPort], network: Network) -> None:
        self._endpoints = endpoints
        self._network = network
        self._last_found = ""

    def __call__(self) -> str:
        """The address; an empty string if no look-up ever found one."""
        self._last_found = self._look_up() or self._last_found
        return self._last_found

    def _look_up(self) -> str:
        """The address towards the first endpoint that there is a route to."""
        for endpoint in self._endpoints:
            try:
                for address in self._network.source_addresses(endpoint.host, endpoint.port):
                    return address
            except (OSError, UnicodeError):  # A name that is no host name raises UnicodeError.
                continue
        return ""
