"""Time, as a value that is handed down. No other module reads a clock or sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from attrs import frozen


@frozen
class Clock:
    """Tells the time, and sleeps: by the machine's clock by default, by other functions in tests and simulations."""

    #: Returns the seconds since 1970-01-01 UTC. They can jump when the machine's clock is set.
    wall: Callable[[], float] = time.time
    #: Returns seconds since an arbitrary moment. They never decrease, so they measure durations.
    monotonic: Callable[[], float] = time.monotonic
    #: Sleeps for this many seconds.
    sleep: Callable[[float], None] = time.sleep


@frozen
class Deadline:
    """A moment by which something has to end."""

    clock: Clock
    #: The moment, in seconds of the monotonic clock.
    at: float

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Self:
        """Return the deadline this many seconds from now."""
        return cls(clock, clock.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until the deadline; 0 when it has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left == 0
