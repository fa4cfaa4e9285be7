"""What a pass hands to the next one.

A pass needs no memory except what etcd holds: one that starts with an empty memory ends in the same place. The memory
tells drift from an ordinary change, counts the passes in which the guard held a delete back, makes a change that the
registry does not make wait longer after each try, and shows when the store was replaced.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, field, frozen

from model.engine_kind import UNKNOWN_KIND
from model.frozen import frozen_dict
from model.guard import HeldDelete
from model.ownership import Known
from model.plan import Action
from model.record import InnerPrefix
from model.report import PassReport, Result, Setback
from model.setbacks import due_at_once
from model.stored import StorePosition
from model.take_over import LivenessWait


@frozen
class Memory:
    """What an agent remembers between two passes."""

    #: The keys that were found in order or put in order.
    known: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)
    #: The deletes that the guard holds back, by their keys: for how long, and what the engine said of the container.
    held_deletes: Mapping[str, HeldDelete] = field(factory=dict, converter=frozen_dict)
    #: The store that was read last; None before the first pass that wrote or found its owner record there.
    store_position: StorePosition | None = None
    #: How many passes in a row read what may have lagged behind.
    passes_since_consistent_read: int = 0
    #: The owner of this run's entries, which does not change while it runs; empty while it is not known.
    owner: str = ""
    #: The id of the engine; empty while it is not known.
    engine_id: str = ""
    #: The kind of the engine; see engine_kind.py.
    engine_kind: str = UNKNOWN_KIND
    #: The version of the agent note that this run replaced by its own note; 0 if there was none. None while this run
    #: has not written its note.
    replaced_note: int | None = None
    #: The wait for a sign of life of the agent that has the owner name; None where --take-over does not wait.
    take_over: LivenessWait | None = None
    #: The changes that were not made when they were last tried, by their keys.
    setbacks: Mapping[str, Setback] = field(factory=dict, converter=frozen_dict)
    #: When this run last tried to renew its heartbeat, in seconds of the monotonic clock; None before that.
    heartbeat_at: float | None = None
    #: The inner prefixes as they were read last; None before that. Hurried passes use them.
    inner: tuple[InnerPrefix, ...] | None = None

    def trying_everything(self) -> Memory:
        """Return a copy in which no change waits for its next try, so that the next pass tries all of them."""
        return evolve(self, setbacks=due_at_once(self.setbacks))


def memory_after(report: PassReport, memory: Memory, *, hurried: bool = False) -> Memory:
    """Return what the next pass shall remember; ``memory`` is what the reported pass remembered, and ``hurried`` says
    whether that was a hurried one. A hurried pass does not count as one that read what may have lagged behind, because
    it may come within milliseconds of another one.

    After a pass that made no plan, only what it learned of the engine and of a take-over is new, and the deletes that
    the guard held back are forgotten, so that the guard counts anew: only passes in a row show that a container is
    gone, and an engine that failed may run other containers now. The store position is remembered only if the owner
    record is in the store, so that the next pass repeats a take-over whose record could not be written.
    """
    memory = evolve(
        memory,
        owner=report.owner or memory.owner,
        engine_id=report.engine_id or memory.engine_id,
        engine_kind=report.engine_kind or memory.engine_kind,
        take_over=report.take_over,
        heartbeat_at=memory.heartbeat_at if report.heartbeat_at is None else report.heartbeat_at,
    )
    if not report.planned:
        return evolve(memory, held_deletes={})
    unmade = [outcome.change for outcome in report.outcomes if outcome.result is not Result.APPLIED]
    recorded = all(change.action is not Action.RECORD for change in unmade)
    return evolve(
        memory,
        known=_known_after(report, {} if report.replaced else memory.known),
        held_deletes=report.held_deletes,
        store_position=report.store_position if recorded else memory.store_position,
        passes_since_consistent_read=0 if report.consistent else memory.passes_since_consistent_read + (not hurried),
        replaced_note=_replaced_note_after(report, memory.replaced_note),
        setbacks=report.setbacks,
        inner=memory.inner if report.inner is None else report.inner,
    )


def _replaced_note_after(report: PassReport, replaced: int | None) -> int | None:
    """Return the version of the note that this run replaced by its own note: ``replaced`` if the pass had no note to
    write, None if it could not write it."""
    for outcome in report.outcomes:
        if outcome.change.action is Action.NOTE:
            before = outcome.change.before
            return (before.version if before else 0) if outcome.result is Result.APPLIED else None
    return replaced


def _known_after(report: PassReport, known: Mapping[str, Known]) -> Mapping[str, Known]:
    """Return the keys that were found in order or put in order, and those that could not be put in order but were known
    before. A key that is no longer desired and no longer there is forgotten."""
    kept = {Action.CREATE, Action.UPDATE, Action.RENEW}
    written = {
        change.key: Known(change.value, change.container_id, change.container_name)
        for change in report.with_result(Result.APPLIED)
        if change.action in kept
    }
    unmade = [outcome.change for outcome in report.outcomes if outcome.result is not Result.APPLIED]
    still = {each.key: known[each.key] for each in (*unmade, *report.plan.held_back) if each.key in known}
    return {**still, **report.plan.settled, **written} if still or written else report.plan.settled
