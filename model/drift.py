"""Which repairs show that somebody else changes the registry.

What happened while the agent could not do its work is repaired in the same way, and shows nothing of that kind: a
container that went while no agent ran leaves an orphan, and a key with a lifetime expires if nobody renews it.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from model.plan import DRIFT, Change, Reason
from model.report import PassReport, Result
from model.stored import FOREVER, Lifetime, StorePosition


@frozen
class Attendance:
    """For how long an agent has kept the keys of one registry in step. Moments are in seconds of one clock."""

    lifetime: Lifetime = FOREVER
    #: When the last pass that made a plan began; None before the first one.
    planned_at: float | None = None
    #: The store in the first of these passes; None where the registry cannot tell.
    first: StorePosition | None = None

    def after(self, report: PassReport, began: float) -> Attendance:
        """Return the attendance after a pass that began at this moment."""
        if not report.planned:
            return self
        is_first = self.planned_at is None or report.replaced
        return evolve(self, planned_at=began, first=report.store_position if is_first else self.first)

    def drift_repaired(self, report: PassReport, now: float) -> Iterator[Reason]:
        """Yield the reason of each repair of drift in a pass that ended at this moment. These do not count:

        - what the first pass over this store finds;
        - an orphan whose key is older than that pass, which a sweep may find later;
        - a missing key that may have expired, because the last pass that could renew it was too long ago.
        """
        if self.planned_at is None or report.replaced:
            return
        expired = self.lifetime.ttl > 0 and now - self.planned_at >= self.lifetime.kept
        for change in report.with_result(Result.APPLIED):
            absence = expired if change.reason is Reason.MISSING else self._is_older(change)
            if change.reason in DRIFT and not absence:
                yield change.reason

    def _is_older(self, change: Change) -> bool:
        """Return whether a change removes an orphan that was there before the first pass."""
        if change.reason is not Reason.ORPHAN or change.before is None or self.first is None:
            return False
        return change.before.version <= self.first.index
