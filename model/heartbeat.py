"""The heartbeat: a key with a lifetime by which an agent shows that it is alive (``--heartbeat``).

The key has no meaning for a pass. It is for people and programs that look at a registry from elsewhere. Whether its
absence says anything is told by the agent note, which has the flag.
"""

from __future__ import annotations

from attrs import frozen

#: What the key holds.
TEXT = "the agent is alive"


@frozen
class Heartbeat:
    """How often the key is renewed, and how long it lives."""

    #: Seconds after which the key is renewed; 0: there is no key.
    seconds: int = 0

    @property
    def lifetime(self) -> int:
        """The seconds that the key lives without being renewed. One renewal may fail, and a pass may be late."""
        return 3 * self.seconds

    def is_due(self, last: float | None, now: float) -> bool:
        """Return whether the key has to be renewed. ``last`` is when that was tried last, None for never."""
        return self.seconds > 0 and (last is None or now - last >= self.seconds)


#: There is no key.
NO_HEARTBEAT = Heartbeat()
