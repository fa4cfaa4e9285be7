"""Find the endpoints of etcd in SRV records of the DNS, beside those who use them, as ``names`` finds addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from controller.effects.background import Background, Threads
from controller.effects.clock import Clock
from controller.effects.names import MACHINE, Names
from controller.effects.network import Network
from controller.effects.remembered import Remembered
from model.host_port import HostPort

if TYPE_CHECKING:
    from model.srv import SrvRecord


class Discovery:
    """Remembers the endpoints that SRV records name, and looks each name up again in the background: every 30 seconds,
    and soon after an endpoint gave no usable answer. If a look-up fails, or finds no endpoint, those that are known
    stay."""

    def __init__(
        self, network: Network, names: Names, background: Background, clock: Clock, draw: Callable[[], float]
    ) -> None:
        """``names`` has the addresses of the endpoints' hosts. ``draw`` returns a random number from 0 to 1. Nothing is
        looked up yet."""
        self._network, self._names, self._draw = network, names, draw
        self._background, self._clock = background, clock
        self._records: dict[str, Remembered[HostPort]] = {}

    def endpoints(self, record: str, seconds: float) -> Sequence[HostPort]:
        """Return the endpoints that the SRV records with this name have, in the order in which they should be tried.
        The order, and the object, stay the same while the records do.

        The first call for a name waits for its look-up, for ``seconds`` at most. Later calls never wait. Raises OSError
        if no endpoint is known.
        """
        return self._record(record).answer(seconds)

    def problem(self, record: str) -> str:
        """Return why the last look-up of a name found no endpoint; an empty string if it found some."""
        return self._record(record).problem

    def doubt(self, record: str) -> None:
        """Have a name looked up again soon, because an endpoint gave no usable answer."""
        self._record(record).doubt()

    def let_go(self, endpoint: HostPort) -> None:
        """Look up the address of an endpoint no longer, because no record names it any more."""
        self._names.forget(endpoint.host, endpoint.port)

    def _record(self, record: str) -> Remembered[HostPort]:
        found = self._records.get(record)
        if found is None:
            look_up = _LookUp(record, self._network, self._draw)
            new = Remembered(
                look_up, f"the SRV record {record}, which has the endpoints,", self._background, self._clock
            )
            found = self._records.setdefault(record, new)
            if found is new:
                self._background.start(new.keep_up, f"endpoints in {record}")
        return found


class _LookUp:
    """Looks up the endpoints in SRV records of one name."""

    def __init__(self, record: str, network: Network, draw: Callable[[], float]) -> None:
        self._record, self._network, self._draw = record, network, draw
        self._known: frozenset[SrvRecord] = frozenset()
        self._endpoints: Sequence[HostPort] = ()

    def __call__(self) -> Sequence[HostPort]:
        """Return the endpoints. Their order is drawn when the records have changed. Raises OSError, also if the records
        name no endpoint."""
        from model.srv import endpoints_in_order  # noqa: PLC0415 - few agents need it

        records = self._network.srv_records(self._record)
        if frozenset(records) != self._known or not self._endpoints:
            endpoints = endpoints_in_order(records, self._draw)
            if not endpoints:
                raise OSError("it names no host and port")
            self._known, self._endpoints = frozenset(records), endpoints
        return self._endpoints


#: The discovery that is shared by all callers that are given none of their own. It draws nothing.
BY_MACHINE = Discovery(Network(), MACHINE, Threads(), Clock(), lambda: 0.0)
