"""What a pass hands to the next one.

A pass needs no memory except what etcd holds: one that starts with an empty memory ends in the same place. The memory
tells drift from an ordinary change, counts the deletes that the guard holds back, spaces out the tries of changes that
the registry does not make, and notices another store.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, field, frozen

from model.frozen import frozen_dict
from model.ownership import Known
from model.plan import Action
from model.report import PassReport, Result, Setback
from model.setbacks import due_at_once
from model.stored import StorePosition


@frozen
class Memory:
    """What an agent remembers between two passes."""

    #: The keys that were found in order or put in order.
    known: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)
    #: For each key whose delete is held back, in how many passes in a row it was.
    held_delete_counts: Mapping[str, int] = field(factory=dict, converter=frozen_dict)
    #: The store that was read last; None before the first pass that wrote or found its owner record there.
    store_position: StorePosition | None = None
    #: How many passes in a row read what may have lagged behind.
    passes_since_consistent_read: int = 0
    #: The changes that were not made when they were last tried, by their keys.
    setbacks: Mapping[str, Setback] = field(factory=dict, converter=frozen_dict)

    def trying_everything(self) -> Memory:
        """Return the same memory with no change waiting: the next pass tries each of them."""
        return evolve(self, setbacks=due_at_once(self.setbacks))


def memory_after(report: PassReport, memory: Memory) -> Memory:
    """Return what the next pass shall remember; ``memory`` is what the reported pass remembered.

    A pass that made no plan changes nothing. The store position is remembered only if the owner record is in the store,
    so that the next pass repeats a take-over whose record could not be written.
    """
    if not report.planned:
        return memory
    unmade = [outcome.change for outcome in report.outcomes if outcome.result is not Result.APPLIED]
    recorded = all(change.action is not Action.RECORD for change in unmade)
    return Memory(
        known=_known_after(report, {} if report.replaced else memory.known),
        held_delete_counts=report.held_delete_counts,
        store_position=report.store_position if recorded else memory.store_position,
        passes_since_consistent_read=0 if report.consistent else memory.passes_since_consistent_read + 1,
        setbacks=report.setbacks,
    )


def _known_after(report: PassReport, known: Mapping[str, Known]) -> Mapping[str, Known]:
    """Return the keys that were found in order or put in order, and those that could not be put in order but were known
    before. A key that is no longer desired and no longer there is forgotten."""
    kept = {Action.CREATE, Action.UPDATE, Action.RENEW}
    written = {
        change.key: Known(change.value, change.container_id)
        for change in report.with_result(Result.APPLIED)
        if change.action in kept
    }
    unmade = [outcome.change for outcome in report.outcomes if outcome.result is not Result.APPLIED]
    still = {each.key: known[each.key] for each in (*unmade, *report.plan.held_back) if each.key in known}
    return {**still, **report.plan.settled, **written}
