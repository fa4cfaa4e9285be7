"""The last reports of a loop, for those who ask what the agent decided: the pages under /api/v1/.

The observer only keeps references. What is shown is built from them when somebody asks.
"""

from __future__ import annotations

from itertools import islice

from attrs import evolve, frozen

from model.plan import Action
from model.report import Outcome, PassReport, Result

#: How many changes are kept.
MAX_CHANGES = 50

#: How a change ends that was tried.
_TRIED = frozenset({Result.APPLIED, Result.CONFLICT, Result.FAILED, Result.REJECTED})


@frozen
class EndedPass:
    """The report of a pass, and when the pass ended."""

    report: PassReport
    #: Seconds since the epoch.
    at: float


@frozen
class TriedChange:
    """A change that was tried, how it ended, and when the pass ended that tried it."""

    outcome: Outcome
    #: Seconds since the epoch.
    at: float

    @property
    def failure(self) -> tuple[Action, str, str, Result] | None:
        """What was tried, and how it failed; None if the change was made."""
        change, result = self.outcome.change, self.outcome.result
        return None if result is Result.APPLIED else (change.action, change.key, change.value, result)


@frozen
class Seen:
    """What is known of the passes of one loop."""

    #: The pass that ended last; None while none has ended.
    last: EndedPass | None = None
    #: The last pass that made a plan; None while none has.
    planned: EndedPass | None = None
    #: The last changes that were tried and that a reader of the prefix can see, the newest first. A change that is
    #: tried again and again with the same result is there once, as of its last try.
    changes: tuple[TriedChange, ...] = ()
    #: When the pass began that has not ended, in seconds since the epoch; None between passes.
    running_since: float | None = None


class LastReports:
    """Observes one loop, and keeps what is known of its passes."""

    def __init__(self) -> None:
        self._seen = Seen()

    @property
    def seen(self) -> Seen:
        """What is known now, as one value that does not change: the loop replaces it while others read."""
        return self._seen

    def begun(self, now: float) -> None:
        """Note that a pass has begun."""
        self._seen = evolve(self._seen, running_since=now)

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Keep the report, and the changes that the pass tried."""
        ended, before = EndedPass(report, now), self._seen
        self._seen = Seen(
            last=ended,
            planned=ended if report.planned else before.planned,
            changes=_followed_by(before.changes, _tried_in(ended)),
        )


def _tried_in(ended: EndedPass) -> tuple[TriedChange, ...]:
    """Return the last changes that a pass tried, the last one first, and no more of them than are kept."""
    shown = (each for each in reversed(ended.report.outcomes) if each.result in _TRIED and each.change.visible)
    return tuple(TriedChange(each, ended.at) for each in islice(shown, MAX_CHANGES))


def _followed_by(before: tuple[TriedChange, ...], tried: tuple[TriedChange, ...]) -> tuple[TriedChange, ...]:
    """Return the last changes after those in ``tried``."""
    if not tried:
        return before
    failures = {each.failure for each in tried} - {None}
    return (*tried, *(each for each in before if each.failure not in failures))[:MAX_CHANGES]
