"""Look up host names in the background, so that a dead name server holds up at most the first request to each name.

The machine's resolver has no time limit that a program could set, and the client libraries would ask it for each
connection.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.effects.background import Background, Threads
from controller.effects.clock import Clock
from controller.effects.network import Network, Resolved, numeric

#: Seconds after which a name is looked up again.
REFRESH = 30.0

#: The least seconds between two look-ups of a name. A look-up that failed is repeated after this time.
RETRY = 5.0


class Names:
    """Remembers the addresses of names, and looks each name up again in the background: every 30 seconds, and soon
    after all connections to its addresses failed. If a look-up fails, the addresses that are known stay."""

    def __init__(self, network: Network, background: Background, clock: Clock) -> None:
        """Nothing is looked up yet."""
        self._network, self._background, self._clock = network, background, clock
        self._names: dict[tuple[str, int], _Name] = {}

    def addresses(self, host: str, port: int, seconds: float) -> Sequence[Resolved]:
        """Return the addresses of a host, in the order in which they should be tried.

        The first call for a name waits for its look-up, for ``seconds`` at most. Later calls never wait. Raises OSError
        if no address is known.
        """
        return numeric(host, port) or self._name(host, port).addresses(seconds)

    def doubt(self, host: str, port: int) -> None:
        """Have a name looked up again soon, because no connection to its addresses succeeded."""
        if name := self._names.get((host, port)):
            name.doubt()

    def _name(self, host: str, port: int) -> _Name:
        found = self._names.get((host, port))
        if found is None:
            new = _Name(host, port, self._network, self._background, self._clock)
            found = self._names.setdefault((host, port), new)
            if found is new:
                self._background.start(new.keep_up, f"addresses of {host}")
        return found


class _Name:
    """One host name, and what is known of its addresses."""

    def __init__(self, host: str, port: int, network: Network, background: Background, clock: Clock) -> None:
        self._host, self._port = host, port
        self._network, self._clock = network, clock
        self._answered, self._doubted = background.waker(), background.waker()
        self._asked_before = False
        self._addresses: Sequence[Resolved] = ()
        self._problem = "the name servers have not answered yet"

    def addresses(self, seconds: float) -> Sequence[Resolved]:
        """See Names."""
        if not self._asked_before:
            self._answered.wait(seconds)
            self._asked_before = True
        if not self._addresses:
            raise OSError(f"the address of {self._host} is unknown: {self._problem}")
        return self._addresses

    def doubt(self) -> None:
        """See Names."""
        self._doubted.set()

    def keep_up(self) -> None:
        """Look the name up again and again. This runs in the background."""
        while True:
            wait = REFRESH - RETRY if self._look_up() else 0.0
            self._answered.set()
            self._clock.sleep(RETRY)
            self._doubted.wait(wait)
            self._doubted.clear()

    def _look_up(self) -> bool:
        """Ask the machine's resolver, however long it takes. Return whether it knew the name."""
        try:
            found = self._network.resolve(self._host, self._port)
        except (OSError, UnicodeError) as error:  # A name that is no host name raises UnicodeError.
            self._problem = str(error)
            return False
        self._addresses = found or self._addresses
        return bool(found)


#: The names that are shared by all callers that are given no ``Names`` of their own.
MACHINE = Names(Network(), Threads(), Clock())
