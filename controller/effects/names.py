"""Look up host names in the background, so that a dead name server holds up at most the first request to each name.

The machine's resolver has no time limit that a program could set, and the client libraries would ask it for each
connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from controller.effects.background import Background, Threads
from controller.effects.clock import Clock
from controller.effects.network import Network, Resolved, numeric
from controller.effects.remembered import Remembered


class Names:
    """Remembers the addresses of names, and looks each name up again in the background: every 30 seconds, and soon
    after all connections to its addresses failed. If a look-up fails, the addresses that are known stay."""

    def __init__(self, network: Network, background: Background, clock: Clock) -> None:
        """Nothing is looked up yet."""
        self._network, self._background, self._clock = network, background, clock
        self._names: dict[tuple[str, int], Remembered[Resolved]] = {}

    def addresses(self, host: str, port: int, seconds: float) -> Sequence[Resolved]:
        """Return the addresses of a host, in the order in which they should be tried.

        The first call for a name waits for its look-up, for ``seconds`` at most. Later calls never wait. Raises OSError
        if no address is known.
        """
        return numeric(host, port) or self._name(host, port).answer(seconds)

    def doubt(self, host: str, port: int) -> None:
        """Have a name looked up again soon, because no connection to its addresses succeeded."""
        if name := self._names.get((host, port)):
            name.doubt()

    def forget(self, host: str, port: int) -> None:
        """Look a name up no longer, because nobody needs it. Whoever asks for it again has it looked up anew."""
        if name := self._names.pop((host, port), None):
            name.end()

    def _name(self, host: str, port: int) -> Remembered[Resolved]:
        found = self._names.get((host, port))
        if found is None:
            look_up = partial(self._network.resolve, host, port)
            new = Remembered(look_up, f"the address of {host}", self._background, self._clock)
            found = self._names.setdefault((host, port), new)
            if found is new:
                self._background.start(new.keep_up, f"addresses of {host}")
        return found


#: The names that are shared by all callers that are given no ``Names`` of their own.
MACHINE = Names(Network(), Threads(), Clock())
