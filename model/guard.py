"""The guard: holds a suspicious delete back until enough passes in a row, and enough time, have called for it.

A delete is not suspicious if the engine says that its container has stopped, or if it is supported: the engine itself
told what the container does, or the container drains. The guard is there against an engine that shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve, frozen

from model.plan import Action, Change, Plan, Reason
from model.snapshot import Presence
from model.stored import FOREVER, Lifetime


@frozen
class GuardRule:
    """When deletes are suspicious, and for how long they are held back then (``--delete-guard``)."""

    #: Deletes of more than this percentage of the host's keys are suspicious; 0 turns the guard off.
    percent: int = 50
    #: Up to this number, deletes are never suspicious because there are many of them.
    spared: int = 3
    #: In how many passes in a row a suspicious delete must be called for before it is made.
    passes: int = 3
    #: How many seconds must have passed since the first of these passes. An engine was seen to show an empty list for
    #: one second, and three passes can take much less time than that.
    seconds: float = 2.0

    @property
    def on(self) -> bool:
        """Whether the guard is on."""
        return self.percent > 0


#: No guard.
OFF = GuardRule(percent=0)

#: What the engine says of a container if a delete of its key is suspicious, even if it is the only delete.
_UNSUPPORTED = (Presence.RUNNING, Presence.UNKNOWN)


@frozen
class HeldDelete:
    """How long a delete has been held back, and what the engine said last of its container."""

    presence: Presence
    #: In how many passes in a row it was held back.
    passes: int
    #: When the first of these passes held it back, in seconds of the monotonic clock.
    since: float

    def called_for_enough(self, rule: GuardRule, now: float) -> bool:
        """Return whether the delete need not wait any longer."""
        return self.passes >= rule.passes and now - self.since >= rule.seconds


@frozen
class Guard:
    """Decides which deletes of one pass have to wait."""

    rule: GuardRule
    #: What the engine says of each container, by the ``Change.container`` of its delete. A container that is missing
    #: here counts as UNKNOWN.
    presences: Mapping[str, Presence]
    #: The moment of the decision, in seconds of the monotonic clock.
    now: float
    lifetime: Lifetime = FOREVER
    #: The ids of the containers whose deletes are supported; see ``Snapshot.confirmed``.
    confirmed: frozenset[str] = frozenset()
    #: Whether the pass counts as one of those in a row. A hurried one does not.
    counts: bool = True

    def hold_back(self, planned: Plan, held_before: Mapping[str, HeldDelete]) -> tuple[Plan, Mapping[str, HeldDelete]]:
        """Return the plan without the deletes that have to wait, and, by key, for how long each of these has waited.

        ``held_before`` is the second value that the last pass returned. The passes are counted for each key by itself,
        so that deletes are made in the end on a host where containers come and go all the time. A key whose delete
        waits is renewed when its lifetime is due, and loses a lifetime that keys are not to have, because it must not
        expire meanwhile. Creates, updates and renewals are not held back.

        ====================  ===========================  =====================================================
        the container is      deletes that are not for     the delete
                              stopped, confirmed or
                              draining containers
        ====================  ===========================  =====================================================
        any                   any, and the guard is off    is made
        stopped, confirmed,   any                          is made
        draining
        listed, absent        few                          is made
        listed, absent        many                         waits until three passes in a row have called for it,
                                                           and two seconds are over since the first of them
        running, unknown      any                          waits for the same passes and seconds
        ====================  ===========================  =====================================================
        """
        held = self._held(planned, held_before) if self.rule.on else {}
        waiting = {key: each for key, each in held.items() if not each.called_for_enough(self.rule, self.now)}
        going: list[Change] = []
        for change in planned.changes:
            going += self._changes_of_lifetime(change) if change.key in waiting else [change]
        held_back = tuple(change for change in planned.changes if change.key in waiting)
        return evolve(planned, changes=tuple(going), held_back=held_back), waiting

    def _changes_of_lifetime(self, delete: Change) -> Iterator[Change]:
        """Yield the change that keeps the key of a delete that waits from expiring, if there has to be one."""
        stored = delete.before
        if stored and self.lifetime.unwanted(stored.ttl):
            yield evolve(delete, action=Action.UPDATE, value=stored.value, reason=Reason.TTL_UNWANTED)
        elif stored and stored.renewable and self.lifetime.due(stored.ttl):
            yield evolve(delete, action=Action.RENEW, value=stored.value, reason=Reason.TTL_DUE)

    def _held(self, planned: Plan, before: Mapping[str, HeldDelete]) -> dict[str, HeldDelete]:
        """Return the deletes that are suspicious, each with this pass counted."""
        unsupported = (each for each in planned.deletes if not each.is_supported(self.confirmed))
        presences = {each.key: self.presences.get(each.container, Presence.UNKNOWN) for each in unsupported}
        suspects = {key: each for key, each in presences.items() if each is not Presence.STOPPED}
        many = _is_mass_delete(len(suspects), planned.own, self.rule)
        return {
            key: self._counted(presence, before.get(key))
            for key, presence in suspects.items()
            if many or presence in _UNSUPPORTED
        }

    def _counted(self, presence: Presence, before: HeldDelete | None) -> HeldDelete:
        if before is None:
            return HeldDelete(presence, int(self.counts), self.now)
        return HeldDelete(presence, before.passes + self.counts, before.since)


def _is_mass_delete(deletes: int, own: int, rule: GuardRule) -> bool:
    return deletes > rule.spared and deletes * 100 > own * rule.percent
