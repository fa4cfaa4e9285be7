"""Time as an argument."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from attrs import frozen


@frozen
class Clock:
    """``wall`` gives seconds since the epoch; ``monotonic`` seconds that only ever grow."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@frozen
class Deadline:
    """The moment by which a pass has to end."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Self:
        return cls(clock, clock.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when it has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0
