"""Whether a loop has ended its first pass. What would delay this pass waits for that."""

from __future__ import annotations

from attrs import frozen

from controller.effects.background import Waker
from model.report import PassReport


@frozen
class FirstPass:
    """Observes one loop, and ends a wait when the first pass has ended, whatever its result."""

    waker: Waker

    def begun(self, now: float) -> None:
        """Do nothing: a pass that begins has not ended."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """End the wait."""
        self.waker.set()

    def wait_for_end(self, seconds: float) -> None:
        """Wait until a pass has ended, but not longer than these seconds."""
        self.waker.wait(seconds)
