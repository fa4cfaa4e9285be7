"""The guard: holds back a suspicious mass delete until it has been seen several passes in a row."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from model.plan import Action, Change, Plan, Reason
from model.stored import FOREVER, Lifetime


@frozen
class GuardRule:
    """``percent``: a pass is suspicious that would delete more than this part of the host's keys; 0 is no guard.
    ``spared``: as many deletes are never suspicious. ``passes``: how often in a row a delete must be seen then."""

    percent: int = 50
    spared: int = 3
    passes: int = 3


#: No guard.
OFF = GuardRule(percent=0)


def guard(
    planned: Plan, held_delete_counts: Mapping[str, int], rule: GuardRule, lifetime: Lifetime = FOREVER
) -> tuple[Plan, Mapping[str, int]]:
    """The plan without the deletes that have to wait, and the suspects for the next pass. What waits is renewed where
    its lifetime is due: it must not go by itself.

    ``suspects`` says of each key in how many passes in a row its delete was held back so far. Keys are counted one by
    one, so that a host with much coming and going gets there, too. Creates, updates and renewals go on meanwhile.

    ==============================  ====================================================
    the deletes of the plan         result
    ==============================  ====================================================
    few, or the guard is off        all of them, and nobody is suspected any more
    many, seen often enough         those, at once
    many, not seen often enough     held back, and counted
    ==============================  ====================================================
    """
    deletes = [change for change in planned.changes if change.action is Action.DELETE]
    if not _is_mass_delete(len(deletes), planned.own, rule):
        return planned, {}
    seen = {change.key: held_delete_counts.get(change.key, 0) + 1 for change in deletes}
    waiting = tuple(change for change in deletes if seen[change.key] < rule.passes)
    held = {change.key for change in waiting}
    going = []
    for change in planned.changes:
        if change.key not in held:
            going.append(change)
        elif _is_due(change, lifetime):
            going.append(_renewal(change))
    return evolve(planned, changes=tuple(going), held_back=waiting), {key: seen[key] for key in held}


def _is_due(delete: Change, lifetime: Lifetime) -> bool:
    return delete.before is not None and delete.before.renewable and lifetime.due(delete.before.ttl)


def _renewal(delete: Change) -> Change:
    value = delete.before.value if delete.before else ""
    return evolve(delete, action=Action.RENEW, value=value, reason=Reason.TTL_DUE)


def _is_mass_delete(deletes: int, own: int, rule: GuardRule) -> bool:
    return rule.percent > 0 and deletes > rule.spared and deletes * 100 > own * rule.percent
