"""The guard: holds back a suspicious mass delete until several passes in a row have called for it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from model.plan import Action, Change, Plan, Reason
from model.stored import FOREVER, Lifetime


@frozen
class GuardRule:
    """When deletes are suspicious, and for how long they are held back then (``--delete-guard``)."""

    #: A pass that would delete more than this percentage of the host's keys is suspicious; 0 turns the guard off.
    percent: int = 50
    #: The number of deletes that are never suspicious.
    spared: int = 3
    #: In how many passes in a row a suspicious delete must be called for before it is made.
    passes: int = 3


#: No guard.
OFF = GuardRule(percent=0)


def guard(
    planned: Plan, held_delete_counts: Mapping[str, int], rule: GuardRule, lifetime: Lifetime = FOREVER
) -> tuple[Plan, Mapping[str, int]]:
    """Return the plan without the deletes that have to wait, and the counts for the next pass.

    ``held_delete_counts`` has for each key the number of passes in a row in which its delete was held back so far. Keys
    are counted one by one, so that deletes get through on a host where containers come and go all the time. A key that
    waits is renewed where its lifetime is due, as it must not expire meanwhile. Creates, updates and renewals go on.

    ==============================  ====================================================
    the deletes of the plan         result
    ==============================  ====================================================
    few, or the guard is off        all are made, and no count is kept
    many, called for often enough   those are made
    many, not often enough          held back, and counted
    ==============================  ====================================================
    """
    deletes = [change for change in planned.changes if change.action is Action.DELETE]
    if not _is_mass_delete(len(deletes), planned.own, rule):
        return planned, {}
    counts = {change.key: held_delete_counts.get(change.key, 0) + 1 for change in deletes}
    waiting = {change.key: change for change in deletes if counts[change.key] < rule.passes}
    going = []
    for change in planned.changes:
        if change.key not in waiting:
            going.append(change)
        elif change.before and change.before.renewable and lifetime.due(change.before.ttl):
            going.append(_renewal_of(change, change.before.value))
    held_back = tuple(waiting.values())
    return evolve(planned, changes=tuple(going), held_back=held_back), {key: counts[key] for key in waiting}


def _renewal_of(delete: Change, value: str) -> Change:
    return evolve(delete, action=Action.RENEW, value=value, reason=Reason.TTL_DUE)


def _is_mass_delete(deletes: int, own: int, rule: GuardRule) -> bool:
    return rule.percent > 0 and deletes > rule.spared and deletes * 100 > own * rule.percent
