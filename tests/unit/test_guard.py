"""Tests of model.guard: the table of Guard.hold_back, row by row, and its laws."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from model.guard import OFF, Guard, GuardRule, HeldDelete
from model.plan import Action, Change, Plan, Reason
from model.snapshot import Presence
from model.stored import FOREVER, Lifetime
from tests.support.reports import added, altered, removed, renewed

LISTED, RUNNING, STOPPED, ABSENT, UNKNOWN = Presence

RULE = GuardRule(percent=50, spared=3, passes=3, seconds=2.0)


def keys(count: int, first: int = 0) -> list[str]:
    """Return so many keys of this host, for the containers c0, c1 and so on from number ``first``."""
    return [f"/services/web/core-01:c{number}:80" for number in range(first, first + count)]


def plan_with_deletes(*keys_to_delete: str, own: int) -> Plan:
    """Return the plan of a host with ``own`` keys that deletes these keys."""
    return Plan(changes=tuple(map(removed, keys_to_delete)), own=own)


def deleted_keys(plan: Plan) -> set[str]:
    """Return the keys that the plan deletes."""
    return {change.key for change in plan.deletes}


def hold_back(
    plan: Plan,
    presence: Presence | Mapping[str, Presence],
    before: Mapping[str, HeldDelete] | None = None,
    *,
    now: float = 100.0,
    rule: GuardRule = RULE,
    lifetime: Lifetime = FOREVER,
) -> tuple[Plan, Mapping[str, HeldDelete]]:
    """Return what the guard makes of a plan. ``presence`` is what the engine says of all containers, or of each one by
    its key."""
    by_key = dict.fromkeys(deleted_keys(plan), presence) if isinstance(presence, Presence) else presence
    presences = {change.container: by_key[change.key] for change in plan.deletes if change.key in by_key}
    return Guard(rule, presences, now, lifetime).hold_back(plan, before or {})


# The table.


@pytest.mark.parametrize(
    ("deletes", "own", "presence", "rule", "held"),
    [
        pytest.param(0, 10, ABSENT, RULE, False, id="none"),
        pytest.param(100, 100, STOPPED, RULE, False, id="all stopped"),
        pytest.param(3, 3, ABSENT, RULE, False, id="all absent, but few"),
        pytest.param(4, 4, ABSENT, RULE, True, id="all absent, and not few"),
        pytest.param(4, 8, ABSENT, RULE, False, id="just half absent"),
        pytest.param(4, 7, ABSENT, RULE, True, id="more than half absent"),
        pytest.param(6, 10, LISTED, RULE, True, id="more than half listed"),
        pytest.param(5, 10, LISTED, RULE, False, id="just half listed"),
        pytest.param(1, 1, RUNNING, RULE, True, id="the only one runs"),
        pytest.param(3, 3, RUNNING, RULE, True, id="three of three run"),
        pytest.param(1, 100, RUNNING, RULE, True, id="one of many runs"),
        pytest.param(1, 100, UNKNOWN, RULE, True, id="one of many is unknown"),
        pytest.param(100, 100, UNKNOWN, OFF, False, id="guard is off"),
        pytest.param(100, 100, ABSENT, GuardRule(percent=100), False, id="100 %: no number is too many"),
        pytest.param(1, 100, RUNNING, GuardRule(percent=100), True, id="100 %: what runs is guarded all the same"),
        pytest.param(4, 100, ABSENT, GuardRule(percent=1), True, id="1 %"),
        pytest.param(1, 1, ABSENT, GuardRule(spared=0), True, id="nothing is spared"),
        pytest.param(6, 10, ABSENT, GuardRule(passes=1, seconds=0.0), False, id="one pass is enough"),
    ],
)
def test_what_the_engine_says_of_a_container_decides_whether_its_delete_waits(
    deletes: int, own: int, presence: Presence, rule: GuardRule, held: bool
) -> None:
    """Each case is at the edge of a row of the table in the docstring of ``Guard.hold_back``."""
    result, after = hold_back(plan_with_deletes(*keys(deletes), own=own), presence, rule=rule)
    assert deleted_keys(result) == (set() if held else set(keys(deletes)))
    assert [change.key for change in result.held_back] == (keys(deletes) if held else [])
    assert after == (dict.fromkeys(keys(deletes), HeldDelete(presence, 1, 100.0)) if held else {})


@pytest.mark.parametrize("presence", [ABSENT, RUNNING, UNKNOWN])
@pytest.mark.parametrize(
    ("passes", "seconds", "held"),
    [(0, 60.0, True), (1, 60.0, True), (2, 1.9, True), (9, 1.9, True), (2, 2.0, False), (2, 60.0, False)],
)
def test_a_suspicious_delete_waits_for_three_passes_and_two_seconds(
    passes: int, seconds: float, held: bool, presence: Presence
) -> None:
    """``passes`` earlier passes have called for the deletes, the first of them ``seconds`` ago. Neither number alone is
    enough."""
    before = dict.fromkeys(keys(6), HeldDelete(UNKNOWN, passes, 100.0 - seconds))
    result, after = hold_back(plan_with_deletes(*keys(6), own=10), presence, before)
    assert deleted_keys(result) == (set() if held else set(keys(6)))
    assert after == (dict.fromkeys(keys(6), HeldDelete(presence, passes + 1, 100.0 - seconds)) if held else {})


def test_stopped_containers_do_not_make_the_other_deletes_suspicious() -> None:
    """Six of ten containers have stopped, and three more do not exist any more. Only those three count as many or
    few."""
    presence = dict.fromkeys(keys(6), STOPPED) | dict.fromkeys(keys(3, first=6), ABSENT)
    result, after = hold_back(plan_with_deletes(*keys(9), own=10), presence)
    assert (deleted_keys(result), after) == (set(keys(9)), {})


def test_a_delete_that_nothing_supports_counts_among_the_many() -> None:
    """Otherwise, if the engine stopped answering half-way, the deletes that it supported until then would be few enough
    to be made."""
    presence = dict.fromkeys(keys(4), ABSENT) | dict.fromkeys(keys(4, first=4), UNKNOWN)
    result, after = hold_back(plan_with_deletes(*keys(8), own=10), presence)
    assert (deleted_keys(result), set(after)) == (set(), set(keys(8)))


def test_each_container_is_judged_by_itself() -> None:
    """The delete for the stopped container is made, and the delete for the running container waits."""
    stopped, running = keys(2)
    result, after = hold_back(plan_with_deletes(stopped, running, own=2), {stopped: STOPPED, running: RUNNING})
    assert (deleted_keys(result), set(after)) == ({stopped}, {running})


def test_a_container_of_which_nothing_is_known_is_unknown() -> None:
    """The key tells neither the container's id nor its name, or the engine was not asked about the container."""
    result, after = hold_back(plan_with_deletes(*keys(1), own=1), {})
    assert (deleted_keys(result), after) == (set(), {keys(1)[0]: HeldDelete(UNKNOWN, 1, 100.0)})


def test_the_engines_word_ends_the_wait() -> None:
    """A delete waits because the engine said that the container runs. It is made once the engine says that the
    container has stopped or does not exist."""
    before = dict.fromkeys(keys(2), HeldDelete(RUNNING, 1, 99.9))
    presence = dict(zip(keys(2), (STOPPED, ABSENT), strict=True))
    result, after = hold_back(plan_with_deletes(*keys(2), own=2), presence, before)
    assert (deleted_keys(result), after) == (set(keys(2)), {})


def test_a_hurried_pass_does_not_count() -> None:
    """Many of them may come within a moment. The delete goes on waiting for ordinary passes."""
    presences = dict.fromkeys((f"id-{key}" for key in keys(1)), UNKNOWN)
    deletes = plan_with_deletes(*keys(1), own=10)
    for before, passes in (({}, 0), ({keys(1)[0]: HeldDelete(UNKNOWN, 2, 90.0)}, 2)):
        _, after = Guard(GuardRule(), presences, 100.0, counts=False).hold_back(deletes, before)
        assert after[keys(1)[0]].passes == passes


def test_each_key_is_counted_by_itself() -> None:
    """Keys whose delete was called for often enough are deleted; keys that are new among them wait."""
    old, new = keys(5), keys(5, first=5)
    before = dict.fromkeys(old, HeldDelete(ABSENT, 2, 98.0))
    result, after = hold_back(plan_with_deletes(*old, *new, own=10), ABSENT, before)
    assert (deleted_keys(result), after) == (set(old), dict.fromkeys(new, HeldDelete(ABSENT, 1, 100.0)))


def test_the_count_of_a_key_that_came_back_starts_again() -> None:
    """Only passes in a row count, so a key that was present in between starts again at one."""
    first, after = hold_back(plan_with_deletes(*keys(6), own=10), ABSENT, now=100.0)
    _, after = hold_back(plan_with_deletes(*keys(5, first=1), own=9), ABSENT, after, now=101.0)
    assert deleted_keys(first) == set()
    assert keys(1)[0] not in after
    third, after = hold_back(plan_with_deletes(*keys(6), own=10), ABSENT, after, now=102.0)
    assert deleted_keys(third) == set(keys(5, first=1))
    assert after == {keys(1)[0]: HeldDelete(ABSENT, 1, 102.0)}


def test_a_pass_without_a_mass_delete_clears_all_counts() -> None:
    """The next mass delete is a new one."""
    _, after = hold_back(plan_with_deletes(*keys(6), own=10), ABSENT)
    few = plan_with_deletes(*keys(2), own=10)
    assert hold_back(few, ABSENT, after) == (few, {})


@pytest.mark.parametrize(
    ("left", "renewable", "is_renewed"), [(30, True, False), (20, True, True), (0, True, True), (0, False, False)]
)
def test_a_held_back_key_is_renewed_when_its_lifetime_is_due(left: int, renewable: bool, is_renewed: bool) -> None:
    """A key must not expire while its delete waits. A key that cannot be renewed without a write is left alone."""
    plan = Plan(changes=tuple(map(with_lifetime(left, renewable), map(removed, keys(4)))), own=4)
    result, _ = hold_back(plan, RUNNING, lifetime=Lifetime(30, 10))
    assert {change.key for change in result.held_back} == set(keys(4))
    assert [(each.action, each.key) for each in result.changes] == (
        [(Action.RENEW, key) for key in keys(4)] if is_renewed else []
    )
    assert {each.value for each in result.changes} <= {each.before.value for each in plan.changes if each.before}


@pytest.mark.parametrize(("left", "renewable"), [(30, True), (0, False)])
def test_a_held_back_key_loses_a_lifetime_that_it_is_not_to_have(left: int, renewable: bool) -> None:
    """So ``wharfinger reconcile`` without ``-ttl`` keeps every key of a host from expiring while its agent is stopped.
    The delete waits all the same."""
    plan = Plan(changes=tuple(map(with_lifetime(left, renewable), map(removed, keys(4)))), own=4)
    planned, held = hold_back(plan, ABSENT)
    changed = [(each.action, each.key, each.value, each.reason) for each in planned.changes]
    assert changed == [(Action.UPDATE, key, "10.0.0.1:8000", Reason.TTL_UNWANTED) for key in keys(4)]
    assert held.keys() == {*keys(4)}
    assert planned.held_back == plan.changes


def with_lifetime(left: int, renewable: bool) -> Callable[[Change], Change]:
    """Return a function that gives the key of a delete this rest of its lifetime."""

    def change(delete: Change) -> Change:
        assert delete.before
        return evolve(delete, before=evolve(delete.before, ttl=left, renewable=renewable))

    return change


# The laws, over arbitrary plans, counts, and answers of the engine.

KEYS = st.sampled_from(keys(12))

CHANGES = st.lists(
    KEYS.flatmap(
        lambda key: st.sampled_from([removed(key), removed(key), added(key), altered(key, "a:1", "b:2"), renewed(key)])
    ),
    max_size=12,
    unique_by=lambda change: change.key,
)

RULES = st.builds(
    GuardRule, st.integers(1, 100), st.integers(0, 5), st.integers(1, 4), st.floats(0, 4, allow_nan=False)
)
PRESENCES = st.dictionaries(KEYS, st.sampled_from(Presence))
HELD = st.dictionaries(KEYS, st.builds(HeldDelete, st.sampled_from(Presence), st.integers(1, 4), st.floats(90, 100)))
PLANS = st.builds(lambda changes, own: Plan(changes=tuple(changes), own=own), CHANGES, st.integers(0, 30))


def changes_without_deletes(changes: tuple[Change, ...]) -> list[Change]:
    """Return all changes except the deletes, in order."""
    return [change for change in changes if change.action is not Action.DELETE]


@given(PLANS, PRESENCES, HELD, RULES)
def test_law_only_deletes_are_held_back_and_nothing_is_lost(
    plan: Plan, presences: Mapping[str, Presence], before: Mapping[str, HeldDelete], rule: GuardRule
) -> None:
    """Creates, updates and renewals stay in their order. Every delete is made, or held back and counted."""
    result, after = hold_back(plan, presences, before, rule=rule)
    assert changes_without_deletes(result.changes) == changes_without_deletes(plan.changes)
    assert sorted((*result.changes, *result.held_back), key=str) == sorted(plan.changes, key=str)
    assert after.keys() == {change.key for change in result.held_back}
    assert not any(each.called_for_enough(rule, 100.0) for each in after.values())
    assert evolve(result, changes=(), held_back=()) == evolve(plan, changes=())


@given(PLANS, PRESENCES, HELD)
def test_law_a_guard_that_is_off_holds_nothing_back(
    plan: Plan, presences: Mapping[str, Presence], before: Mapping[str, HeldDelete]
) -> None:
    """The plan is unchanged, and no count is kept."""
    assert hold_back(plan, presences, before, rule=OFF) == (plan, {})


@given(PLANS, PRESENCES, RULES)
def test_law_a_container_that_runs_keeps_its_key_in_the_first_pass(
    plan: Plan, presences: Mapping[str, Presence], rule: GuardRule
) -> None:
    """A running or unknown container keeps its key, however few the deletes are. The delete for a stopped container
    never waits."""
    result, _ = hold_back(plan, presences, rule=evolve(rule, passes=2))
    said = {change.key: presences.get(change.key, UNKNOWN) for change in result.deletes}
    assert not {RUNNING, UNKNOWN} & set(said.values())
    assert STOPPED not in {presences.get(change.key) for change in result.held_back}


@given(PLANS, PRESENCES, RULES)
def test_law_a_delete_that_is_called_for_often_enough_is_made(
    plan: Plan, presences: Mapping[str, Presence], rule: GuardRule
) -> None:
    """A delete is made in the last of the passes that the rule asks for, if those passes take the time that the rule
    asks for."""
    held: Mapping[str, HeldDelete] = {}
    for number in range(rule.passes):
        now = rule.seconds * number / max(1, rule.passes - 1) + (number > 0) * 0.001
        result, held = hold_back(plan, presences, held, now=now, rule=rule)
    if rule.passes > 1 or rule.seconds == 0:
        assert deleted_keys(result) == deleted_keys(plan)


@given(st.lists(PLANS, min_size=3, max_size=3), st.lists(PRESENCES, min_size=4, max_size=4), RULES)
def test_law_no_delete_is_held_back_for_ever(
    plans: list[Plan], presences: list[Mapping[str, Presence]], rule: GuardRule
) -> None:
    """A delete that is in every plan is made at last, whatever other changes come and go, and whatever the engine
    says."""
    steady = removed("/services/web/core-01:steady:80")
    held: Mapping[str, HeldDelete] = {}
    made = False
    for number in range(max(2, rule.passes)):
        plan = evolve(plans[number % 3], changes=(*plans[number % 3].changes, steady))
        result, held = hold_back(plan, presences[number], held, now=100.0 + 5.0 * number, rule=rule)
        made = made or steady in result.changes
    assert made
