"""The address of this host that faces the registry. It is registered where the operator gave none with ``-ip``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from controller.effects.names import Names
from controller.effects.network import Network
from model.host_port import HostPort

#: Seconds to wait for the address of an endpoint whose name was not looked up before. Usually it was, when the registry
#: was connected to; but not if another endpoint answered first.
LOOK_UP_TIMEOUT = 1.0


class LocalAddress:
    """Finds the address of the interface through which this host reaches the registry.

    While this host has no route to any endpoint, the address that was found last is still used.
    """

    def __init__(self, endpoints: Callable[[], Sequence[HostPort]], names: Names, network: Network) -> None:
        """``endpoints`` returns the endpoints as they are now, and raises OSError if none is known."""
        self._endpoints = endpoints
        self._names = names
        self._network = network
        self._last_found = ""

    def __call__(self) -> str:
        """Return the address; an empty string if none was ever found."""
        self._last_found = self._look_up() or self._last_found
        return self._last_found

    def _look_up(self) -> str:
        """Return the address that faces the first endpoint with a route to it; an empty string if there is none."""
        try:
            return next((found for endpoint in self._endpoints() for found in self._facing(endpoint)), "")
        except OSError:
            return ""

    def _facing(self, endpoint: HostPort) -> Iterator[str]:
        """Yield this host's address on the way to each address of an endpoint."""
        with suppress(OSError):
            for family, address in self._names.addresses(endpoint.host, endpoint.port, LOOK_UP_TIMEOUT):
                with suppress(OSError):
                    yield self._network.source_address(family, address)
