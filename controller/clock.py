"""Time as an argument. No other module reads a clock or sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from attrs import frozen


@frozen
class Clock:
    """What tells the time, and waits. A test or a simulation passes functions of its own."""

    #: Seconds since the epoch.
    wall: Callable[[], float] = time.time
    #: Seconds that only ever grow.
    monotonic: Callable[[], float] = time.monotonic
    #: Waits for this many seconds.
    sleep: Callable[[float], None] = time.sleep


@frozen
class Deadline:
    """The moment by which something has to end."""

    clock: Clock
    #: The moment, in seconds of the monotonic clock.
    at: float

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Self:
        """The deadline this many seconds from now."""
        return cls(clock, clock.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until the deadline; 0 when it has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left == 0
