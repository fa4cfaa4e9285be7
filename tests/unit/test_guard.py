"""The guard: its table, row by row, and its promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from model.guard import OFF, GuardRule, guard
from model.plan import Action, Change, Plan
from model.stored import Lifetime
from tests.support.reports import added, altered, removed, renewed

RULE = GuardRule(percent=50, spared=3, passes=3)


def keys(count: int, first: int = 0) -> list[str]:
    """So many keys."""
    return [f"/services/web/core-01:c{number}:80" for number in range(first, first + count)]


def deleting(*gone: str, own: int) -> Plan:
    """The plan of a host with so many entries, of which these go."""
    return Plan(changes=tuple(map(removed, gone)), own=own)


def deletes(plan: Plan) -> set[str]:
    """The keys that go."""
    return {change.key for change in plan.changes if change.action is Action.DELETE}


@pytest.mark.parametrize(
    ("gone", "own", "seen", "rule", "held"),
    [
        pytest.param(0, 10, 0, RULE, False, id="none"),
        pytest.param(3, 3, 0, RULE, False, id="all, but few"),
        pytest.param(4, 4, 0, RULE, True, id="all, and not few"),
        pytest.param(4, 8, 0, RULE, False, id="just half"),
        pytest.param(4, 7, 0, RULE, True, id="more than half"),
        pytest.param(5, 10, 0, RULE, False, id="just half of ten"),
        pytest.param(6, 10, 0, RULE, True, id="more than half of ten"),
        pytest.param(6, 10, 1, RULE, True, id="seen once before"),
        pytest.param(6, 10, 2, RULE, False, id="seen twice before"),
        pytest.param(100, 100, 0, OFF, False, id="off"),
        pytest.param(100, 100, 0, GuardRule(percent=100), False, id="100 % holds nothing"),
        pytest.param(4, 100, 0, GuardRule(percent=1), True, id="1 %"),
        pytest.param(1, 1, 0, GuardRule(spared=0), True, id="nothing is spared"),
        pytest.param(6, 10, 0, GuardRule(passes=1), False, id="once is enough"),
    ],
)
def test_the_table(gone: int, own: int, seen: int, rule: GuardRule, held: bool) -> None:
    """Each row of the table in guard's docstring, at its edges."""
    held_delete_counts = dict.fromkeys(keys(gone), seen) if seen else {}
    result, after = guard(deleting(*keys(gone), own=own), held_delete_counts, rule)
    assert deletes(result) == (set() if held else set(keys(gone)))
    assert {change.key for change in result.held_back} == (set(keys(gone)) if held else set())
    assert after == (dict.fromkeys(keys(gone), seen + 1) if held else {})


def test_each_key_is_counted_by_itself() -> None:
    """Those that were seen often enough go; those that have only joined them wait."""
    old, new = keys(5), keys(5, first=5)
    result, after = guard(deleting(*old, *new, own=10), dict.fromkeys(old, 2), RULE)
    assert (deletes(result), after) == (set(old), dict.fromkeys(new, 1))


def test_a_key_that_came_back_is_counted_anew() -> None:
    """In a row means in a row."""
    first, after = guard(deleting(*keys(6), own=10), {}, RULE)
    _, after = guard(deleting(*keys(5, first=1), own=9), after, RULE)
    assert deletes(first) == set()
    assert keys(1)[0] not in after
    third, after = guard(deleting(*keys(6), own=10), after, RULE)
    assert (deletes(third), after) == (set(keys(5, first=1)), {keys(1)[0]: 1})


def test_a_pass_without_suspicion_forgets_all() -> None:
    """The next mass delete is a new one."""
    _, after = guard(deleting(*keys(6), own=10), {}, RULE)
    assert guard(deleting(*keys(2), own=10), after, RULE) == (deleting(*keys(2), own=10), {})


KEYS = st.sampled_from(keys(12))
CHANGES = st.lists(
    KEYS.flatmap(
        lambda key: st.sampled_from([removed(key), removed(key), added(key), altered(key, "a:1", "b:2"), renewed(key)])
    ),
    max_size=12,
    unique_by=lambda change: change.key,
)
RULES = st.builds(GuardRule, st.integers(0, 100), st.integers(0, 5), st.integers(1, 4))
SUSPECTS = st.dictionaries(KEYS, st.integers(1, 4))
PLANS = st.builds(lambda changes, own: Plan(changes=tuple(changes), own=own), CHANGES, st.integers(0, 30))


def others(changes: tuple[Change, ...]) -> list[Change]:
    """All but the deletes."""
    return [change for change in changes if change.action is not Action.DELETE]


@given(PLANS, SUSPECTS, RULES)
def test_law_only_deletes_are_held_back_and_nothing_is_lost(
    plan: Plan, held_delete_counts: Mapping[str, int], rule: GuardRule
) -> None:
    """Creates, updates and renewals go on in their order; every delete goes or is held back, and is counted if so."""
    result, after = guard(plan, held_delete_counts, rule)
    assert others(result.changes) == others(plan.changes)
    assert sorted((*result.changes, *result.held_back), key=str) == sorted(plan.changes, key=str)
    assert after.keys() == {change.key for change in result.held_back}
    assert all(0 < count < rule.passes for count in after.values())
    assert evolve(result, changes=(), held_back=()) == evolve(plan, changes=())


@given(PLANS, SUSPECTS)
def test_law_without_a_guard_everything_goes(plan: Plan, held_delete_counts: Mapping[str, int]) -> None:
    """Off with 0."""
    assert guard(plan, held_delete_counts, OFF) == (plan, {})


@given(PLANS, RULES)
def test_law_a_delete_that_is_seen_often_enough_goes(plan: Plan, rule: GuardRule) -> None:
    """After as many passes in a row as the rule says, and in none before, if it is held back at all."""
    held_delete_counts: Mapping[str, int] = {}
    for number in range(1, rule.passes + 1):
        result, held_delete_counts = guard(plan, held_delete_counts, rule)
        if number == 1:
            held = bool(result.held_back)
        if held and number < rule.passes:
            assert deletes(result) == set()
    assert deletes(result) == deletes(plan)


@given(st.lists(PLANS, min_size=3, max_size=3), RULES)
def test_law_no_delete_is_held_back_for_ever(plans: list[Plan], rule: GuardRule) -> None:
    """Whatever comes and goes beside it, one that stands in every plan goes in time."""
    steady = removed("/services/web/core-01:steady:80")
    held_delete_counts: Mapping[str, int] = {}
    gone = False
    for number in range(rule.passes):
        plan = plans[number % 3]
        result, held_delete_counts = guard(evolve(plan, changes=(*plan.changes, steady)), held_delete_counts, rule)
        gone = gone or steady in result.changes
    assert gone


@pytest.mark.parametrize(
    ("left", "renewable", "renewed_too"), [(30, True, False), (20, True, True), (0, True, True), (0, False, False)]
)
def test_what_is_held_back_is_renewed_where_that_is_due(left: int, renewable: bool, renewed_too: bool) -> None:
    """It must not go by itself while the guard looks again. What can only be written anew is let be."""
    plan = Plan(changes=tuple(map(_with_lifetime(left, renewable), map(removed, keys(4)))), own=4)
    result, _ = guard(plan, {}, RULE, Lifetime(30, 10))
    assert {change.key for change in result.held_back} == set(keys(4))
    assert [(each.action, each.key) for each in result.changes] == (
        [(Action.RENEW, key) for key in keys(4)] if renewed_too else []
    )
    assert {each.value for each in result.changes} <= {each.before.value for each in plan.changes if each.before}


def _with_lifetime(left: int, renewable: bool) -> Callable[[Change], Change]:
    def change(delete: Change) -> Change:
        assert delete.before
        return evolve(delete, before=evolve(delete.before, ttl=left, renewable=renewable))

    return change
