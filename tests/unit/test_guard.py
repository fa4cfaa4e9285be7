"""Tests of model.guard: the table in guard's docstring, row by row, and its laws."""

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
    """Return so many keys of this host, for the containers c0, c1 and so on from number ``first``."""
    return [f"/services/web/core-01:c{number}:80" for number in range(first, first + count)]


def plan_with_deletes(*keys_to_delete: str, own: int) -> Plan:
    """Return the plan of a host with ``own`` keys that deletes these keys."""
    return Plan(changes=tuple(map(removed, keys_to_delete)), own=own)


def deleted_keys(plan: Plan) -> set[str]:
    """Return the keys that the plan deletes."""
    return {change.key for change in plan.changes if change.action is Action.DELETE}


# The table.


@pytest.mark.parametrize(
    ("deletes", "own", "count", "rule", "held"),
    [
        pytest.param(0, 10, 0, RULE, False, id="none"),
        pytest.param(3, 3, 0, RULE, False, id="all, but few"),
        pytest.param(4, 4, 0, RULE, True, id="all, and not few"),
        pytest.param(4, 8, 0, RULE, False, id="just half"),
        pytest.param(4, 7, 0, RULE, True, id="more than half"),
        pytest.param(5, 10, 0, RULE, False, id="just half of ten"),
        pytest.param(6, 10, 0, RULE, True, id="more than half of ten"),
        pytest.param(6, 10, 1, RULE, True, id="called for once before"),
        pytest.param(6, 10, 2, RULE, False, id="called for twice before"),
        pytest.param(100, 100, 0, OFF, False, id="guard is off"),
        pytest.param(100, 100, 0, GuardRule(percent=100), False, id="100 % holds nothing back"),
        pytest.param(4, 100, 0, GuardRule(percent=1), True, id="1 %"),
        pytest.param(1, 1, 0, GuardRule(spared=0), True, id="nothing is spared"),
        pytest.param(6, 10, 0, GuardRule(passes=1), False, id="one pass is enough"),
    ],
)
def test_a_mass_delete_is_held_back_until_enough_passes_called_for_it(
    deletes: int, own: int, count: int, rule: GuardRule, held: bool
) -> None:
    """Each row of the table in guard's docstring, at its edges. ``count`` passes have called for the deletes before."""
    held_delete_counts = dict.fromkeys(keys(deletes), count) if count else {}
    result, after = guard(plan_with_deletes(*keys(deletes), own=own), held_delete_counts, rule)
    assert deleted_keys(result) == (set() if held else set(keys(deletes)))
    assert {change.key for change in result.held_back} == (set(keys(deletes)) if held else set())
    assert after == (dict.fromkeys(keys(deletes), count + 1) if held else {})


def test_each_key_is_counted_by_itself() -> None:
    """Keys whose delete was called for often enough are deleted; keys that are new among them wait."""
    old, new = keys(5), keys(5, first=5)
    result, after = guard(plan_with_deletes(*old, *new, own=10), dict.fromkeys(old, 2), RULE)
    assert (deleted_keys(result), after) == (set(old), dict.fromkeys(new, 1))


def test_the_count_of_a_key_that_came_back_starts_again() -> None:
    """Only passes in a row count, so a key that was present in between starts again at one."""
    first, after = guard(plan_with_deletes(*keys(6), own=10), {}, RULE)
    _, after = guard(plan_with_deletes(*keys(5, first=1), own=9), after, RULE)
    assert deleted_keys(first) == set()
    assert keys(1)[0] not in after
    third, after = guard(plan_with_deletes(*keys(6), own=10), after, RULE)
    assert (deleted_keys(third), after) == (set(keys(5, first=1)), {keys(1)[0]: 1})


def test_a_pass_without_a_mass_delete_clears_all_counts() -> None:
    """The next mass delete is a new one."""
    _, after = guard(plan_with_deletes(*keys(6), own=10), {}, RULE)
    assert guard(plan_with_deletes(*keys(2), own=10), after, RULE) == (plan_with_deletes(*keys(2), own=10), {})


@pytest.mark.parametrize(
    ("left", "renewable", "is_renewed"), [(30, True, False), (20, True, True), (0, True, True), (0, False, False)]
)
def test_a_held_back_key_is_renewed_when_its_lifetime_is_due(left: int, renewable: bool, is_renewed: bool) -> None:
    """A key must not expire while its delete waits. A key that cannot be renewed without a write is left alone."""
    plan = Plan(changes=tuple(map(with_lifetime(left, renewable), map(removed, keys(4)))), own=4)
    result, _ = guard(plan, {}, RULE, Lifetime(30, 10))
    assert {change.key for change in result.held_back} == set(keys(4))
    assert [(each.action, each.key) for each in result.changes] == (
        [(Action.RENEW, key) for key in keys(4)] if is_renewed else []
    )
    assert {each.value for each in result.changes} <= {each.before.value for each in plan.changes if each.before}


def with_lifetime(left: int, renewable: bool) -> Callable[[Change], Change]:
    """Return a function that gives the key of a delete this rest of its lifetime."""

    def change(delete: Change) -> Change:
        assert delete.before
        return evolve(delete, before=evolve(delete.before, ttl=left, renewable=renewable))

    return change


# The laws, over arbitrary plans and counts.

KEYS = st.sampled_from(keys(12))

CHANGES = st.lists(
    KEYS.flatmap(
        lambda key: st.sampled_from([removed(key), removed(key), added(key), altered(key, "a:1", "b:2"), renewed(key)])
    ),
    max_size=12,
    unique_by=lambda change: change.key,
)

RULES = st.builds(GuardRule, st.integers(0, 100), st.integers(0, 5), st.integers(1, 4))
HELD_DELETE_COUNTS = st.dictionaries(KEYS, st.integers(1, 4))
PLANS = st.builds(lambda changes, own: Plan(changes=tuple(changes), own=own), CHANGES, st.integers(0, 30))


def changes_without_deletes(changes: tuple[Change, ...]) -> list[Change]:
    """Return all changes except the deletes, in order."""
    return [change for change in changes if change.action is not Action.DELETE]


@given(PLANS, HELD_DELETE_COUNTS, RULES)
def test_law_only_deletes_are_held_back_and_nothing_is_lost(
    plan: Plan, held_delete_counts: Mapping[str, int], rule: GuardRule
) -> None:
    """Creates, updates and renewals stay in their order. Every delete is made, or held back and counted."""
    result, after = guard(plan, held_delete_counts, rule)
    assert changes_without_deletes(result.changes) == changes_without_deletes(plan.changes)
    assert sorted((*result.changes, *result.held_back), key=str) == sorted(plan.changes, key=str)
    assert after.keys() == {change.key for change in result.held_back}
    assert all(0 < count < rule.passes for count in after.values())
    assert evolve(result, changes=(), held_back=()) == evolve(plan, changes=())


@given(PLANS, HELD_DELETE_COUNTS)
def test_law_a_guard_that_is_off_holds_nothing_back(plan: Plan, held_delete_counts: Mapping[str, int]) -> None:
    """The plan is unchanged, and no count is kept."""
    assert guard(plan, held_delete_counts, OFF) == (plan, {})


@given(PLANS, RULES)
def test_law_a_delete_that_is_called_for_often_enough_is_made(plan: Plan, rule: GuardRule) -> None:
    """A delete that is held back at all is made in the pass that the rule says, and in none before."""
    held_delete_counts: Mapping[str, int] = {}
    for number in range(1, rule.passes + 1):
        result, held_delete_counts = guard(plan, held_delete_counts, rule)
        if number == 1:
            held = bool(result.held_back)
        if held and number < rule.passes:
            assert deleted_keys(result) == set()
    assert deleted_keys(result) == deleted_keys(plan)


@given(st.lists(PLANS, min_size=3, max_size=3), RULES)
def test_law_no_delete_is_held_back_for_ever(plans: list[Plan], rule: GuardRule) -> None:
    """A delete that is in every plan is made in time, whatever other changes come and go."""
    steady = removed("/services/web/core-01:steady:80")
    held_delete_counts: Mapping[str, int] = {}
    made = False
    for number in range(rule.passes):
        plan = plans[number % 3]
        result, held_delete_counts = guard(evolve(plan, changes=(*plan.changes, steady)), held_delete_counts, rule)
        made = made or steady in result.changes
    assert made
