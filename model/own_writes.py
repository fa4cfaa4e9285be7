"""What a registry holds after changes that this program made: what was read, with these changes taken in."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from model.plan import Action, Change
from model.record import RecordKeys
from model.report import Outcome, Result
from model.stored import Actual, Stored


@frozen
class OwnWrites:
    """Takes what was written under one prefix into what was read of it."""

    record_keys: RecordKeys
    #: Seconds that a key lives without being renewed; 0: keys do not expire.
    ttl: int = 0

    def taken_into(self, actual: Actual, owner: str, outcomes: Iterable[Outcome]) -> Actual:
        """Return what the registry holds after these outcomes, as far as they were ``applied``, if nobody else has
        written anything. ``owner`` is the one whose record was read."""
        before = {**actual.stored, **{each.key: each for each in _about_owner(actual)}}
        now: dict[str, Stored | None] = {}
        for outcome in outcomes:
            if outcome.result is Result.APPLIED:
                key = outcome.change.key
                now[key] = self._left_by(outcome, now.get(key, before.get(key)))
        keys = self.record_keys
        record, query, note = keys.record(owner), keys.liveness_query(owner), keys.agent_note(owner)
        order = keys.drain_order(owner)
        beside = {record, query, note, order, keys.heartbeat(owner)}
        under_prefix = {key: each for key, each in {**before, **now}.items() if each and key not in beside}
        return evolve(
            actual,
            stored=under_prefix,
            observed=None if actual.observed is None else actual.observed | (now.keys() - beside),
            record=now.get(record, actual.record),
            liveness_query=now.get(query, actual.liveness_query),
            agent_note=now.get(note, actual.agent_note),
            drain_order=now.get(order, actual.drain_order),
        )

    def _left_by(self, outcome: Outcome, before: Stored | None) -> Stored | None:
        """Return what a change left at its key; None if it removed the key."""
        change = outcome.change
        if change.action is Action.DELETE:
            return None
        if change.action is Action.RENEW:
            renewed = before or change.before
            return renewed and evolve(renewed, ttl=self.ttl, version=outcome.version or renewed.version)
        return Stored(change.key, change.value, outcome.version, self._ttl_of(change))

    def _ttl_of(self, change: Change) -> int | None:
        """Return the lifetime of the key that a change wrote. Owner record and agent note have none."""
        return (self.ttl or None) if change.action in {Action.CREATE, Action.UPDATE} else None


def _about_owner(actual: Actual) -> Iterable[Stored]:
    return filter(None, (actual.record, actual.liveness_query, actual.agent_note, actual.drain_order))
