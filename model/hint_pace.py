"""When hints make a pass.

The first hint after a quiet moment acts at once, so that a single container is registered as fast as possible. A burst
is coalesced, so that sixty containers cost a few passes instead of sixty. A container that crashes again and again
would make the registry's watchers reload again and again, so its changes are published less often.
"""

from __future__ import annotations

from attrs import evolve, frozen

from model.hint import Hint, HintKind

#: Seconds without a hurried pass after which the next change acts at once. A change in a burst acts at most so many
#: seconds after it was noticed.
QUIET = 0.05

#: A run of a container that ends by itself within this many seconds is a crash.
SHORT_RUN = 10.0

#: A container that crashed this many times in a row is in a crash loop.
CRASHES = 2

#: The least seconds between two changes of a container in a crash loop that act before the next ordinary pass.
CRASH_LOOP_INTERVAL = 1.0


@frozen
class Notice:
    """What hints have told since the last pass. Moments are in seconds of the monotonic clock."""

    #: When it was first noticed that something changed; None if nothing did.
    changed_at: float | None = None
    #: When to look again although nobody wakes the loop; None if that is not needed.
    look_at: float | None = None

    def pass_due(self, last: float) -> float | None:
        """Return when the next hurried pass is due; None if nothing changed. ``last`` is when the last hurried pass
        began."""
        return None if self.changed_at is None else max(self.changed_at, last + QUIET)


@frozen
class Run:
    """The present run of a container, as its hints tell, and how many runs before it crashed."""

    #: When the run began, in seconds of the engine's clock; None if the container does not run or that is not known.
    began: float | None = None
    #: Whether somebody sent a signal in this run that ends a process.
    signalled: bool = False
    #: How many runs in a row crashed.
    crashes: int = 0

    @property
    def in_crash_loop(self) -> bool:
        """Whether the container is in a crash loop."""
        return self.crashes >= CRASHES

    def after(self, hint: Hint) -> Run:
        """Return the run after one more hint of its container."""
        match hint.kind:
            case HintKind.START:
                return Run(hint.seconds, crashes=self.crashes)
            case HintKind.KILL:
                return evolve(self, signalled=True)
            case HintKind.DIE if self.began is not None:
                crashed = not self.signalled and 0 <= hint.seconds - self.began <= SHORT_RUN
                return Run(crashes=self.crashes + 1 if crashed else 0)
        return self
