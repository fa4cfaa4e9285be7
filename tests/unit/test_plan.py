"""The plan's table, row by row, and its laws."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clock import Clock, Deadline
from model.desired import Desired
from model.entry import ContainerRef, Entry, RefusalReason
from model.layout import PlainLayout
from model.plan import (
    Action,
    Actual,
    Change,
    Known,
    Lifetime,
    Ownership,
    Plan,
    Reason,
    Stored,
    in_apply_order,
    plan,
    remember,
)
from tests.support.builders import OWNER, entry
from tests.support.memory_registry import MemoryRegistry

LAYOUT = PlainLayout.under("/services")
OURS = "/services/nginx/core-01:web:80"
CUSTOM = "/services/nginx/custom"
THEIRS = "/services/nginx/core-02:web:80"
VALUE = "172.17.8.101:8000"
HELD = frozenset({ContainerRef("id-web", "web")})


def actual(stored: Mapping[str, str], ttl: int | None = None) -> Actual:
    """A registry that holds these values."""
    return Actual({key: Stored(key, value, 7, ttl) for key, value in stored.items()})


def known(*keys: str, value: str = VALUE) -> dict[str, Known]:
    """What was seen in order before, for container ``web``."""
    return {key: Known(value, "id-web") for key in keys}


def decide(
    wanted: Desired, held: Actual, before: Mapping[str, Known] | None = None, lifetime: Lifetime = Lifetime()
) -> Plan:
    """The plan of host core-01."""
    return plan(wanted, held, Ownership(OWNER, LAYOUT, before or {}), lifetime)


WANT = Desired((entry(),))
WANT_CUSTOM = Desired((entry(entry_id="custom"),))
NOTHING = Desired()


@pytest.mark.parametrize(
    ("wanted", "stored", "before", "expected"),
    [
        pytest.param(WANT, {}, {}, [("create", OURS, "new")], id="absent"),
        pytest.param(WANT, {}, known(OURS), [("create", OURS, "missing")], id="absent-known"),
        pytest.param(WANT, {OURS: VALUE}, {}, [], id="in-sync"),
        pytest.param(WANT_CUSTOM, {CUSTOM: VALUE}, {}, [], id="in-sync-custom"),
        pytest.param(WANT, {OURS: "x:1"}, {}, [("update", OURS, "changed")], id="differs"),
        pytest.param(WANT, {OURS: "x:1"}, known(OURS), [("update", OURS, "overwritten")], id="overwritten"),
        pytest.param(WANT, {OURS: "x:1"}, known(OURS, value="x:1"), [("update", OURS, "changed")], id="changed"),
        pytest.param(
            WANT_CUSTOM,
            {CUSTOM: "x:1"},
            known(CUSTOM, value="x:1"),
            [("update", CUSTOM, "changed")],
            id="changed-custom",
        ),
        pytest.param(NOTHING, {OURS: VALUE}, {}, [("delete", OURS, "orphan")], id="orphan"),
        pytest.param(NOTHING, {OURS: VALUE}, known(OURS), [("delete", OURS, "gone")], id="gone"),
        pytest.param(NOTHING, {CUSTOM: VALUE}, known(CUSTOM), [("delete", CUSTOM, "gone")], id="gone-custom"),
        pytest.param(NOTHING, {CUSTOM: "x:1"}, known(CUSTOM), [], id="custom-overwritten-is-not-ours"),
        pytest.param(NOTHING, {CUSTOM: VALUE}, {}, [], id="custom-not-known"),
        pytest.param(NOTHING, {THEIRS: VALUE}, {}, [], id="foreign"),
        pytest.param(NOTHING, {"/services/nginx/core-01:web": VALUE}, {}, [], id="almost-our-form"),
        pytest.param(Desired(held=HELD), {OURS: VALUE}, {}, [], id="held-by-name"),
        pytest.param(Desired(held=HELD), {CUSTOM: VALUE}, known(CUSTOM), [], id="held-by-id"),
        pytest.param(
            Desired(held=frozenset({ContainerRef("id-db", "db")})),
            {OURS: VALUE},
            {},
            [("delete", OURS, "orphan")],
            id="another-is-held",
        ),
    ],
)
def test_the_table(
    wanted: Desired, stored: dict[str, str], before: dict[str, Known], expected: list[tuple[str, str, str]]
) -> None:
    """Each row of the table in plan's docstring."""
    result = decide(wanted, actual(stored), before)
    assert [(each.action.value, each.key, each.reason.value) for each in result.changes] == expected


def test_a_key_that_cannot_be_shown_to_be_ours_is_a_conflict() -> None:
    """It is refused with the reason, without a write, and counts as foreign."""
    result = decide(WANT_CUSTOM, actual({CUSTOM: "x:1"}))
    assert (result.changes, result.foreign, result.own) == ((), 1, 0)
    (refusal,) = result.refusals
    assert refusal.reason is RefusalReason.CONFLICT
    assert CUSTOM in refusal.detail
    assert "'x:1'" in refusal.detail


def test_changes_carry_what_guards_them() -> None:
    """A create expects nothing; an update and a delete expect what was read."""
    result = decide(Desired((entry(), entry("new"))), actual({OURS: "x:1", "/services/old/core-01:web:80": VALUE}))
    guards = {change.action: change.before for change in result.changes}
    assert guards == {
        Action.CREATE: None,
        Action.UPDATE: Stored(OURS, "x:1", 7),
        Action.DELETE: Stored("/services/old/core-01:web:80", VALUE, 7),
    }


def test_the_counts() -> None:
    """Wanted, in sync, own, foreign, and what nobody can read."""
    wanted = Desired((entry(), entry("b"), entry(entry_id="custom")))
    stored = {OURS: VALUE, CUSTOM: VALUE, THEIRS: VALUE, "/services/x/y": "?", "/services/old/core-01:web:80": VALUE}
    result = decide(wanted, actual(stored))
    assert (result.wanted, result.in_sync, result.own, result.foreign, result.unreadable) == (3, 2, 3, 2, 1)
    assert (result.count(Action.CREATE), result.count(Action.DELETE), result.count(Action.UPDATE)) == (1, 1, 0)


@pytest.mark.parametrize(
    ("lifetime", "left", "expected"),
    [
        (Lifetime(), None, []),
        (Lifetime(), 10, ["update ttl-unwanted"]),
        (Lifetime(30, 10), None, ["renew ttl-due"]),
        (Lifetime(30, 10), 30, []),
        (Lifetime(30, 10), 21, []),
        (Lifetime(30, 10), 20, ["renew ttl-due"]),
        (Lifetime(30, 10), 300, ["renew ttl-due"]),
    ],
)
def test_lifetimes(lifetime: Lifetime, left: int | None, expected: list[str]) -> None:
    """A key is renewed when a refresh is due, or has too much left; one that should not expire is written anew."""
    result = decide(WANT, actual({OURS: VALUE}, left), lifetime=lifetime)
    assert [f"{each.action.value} {each.reason.value}" for each in result.changes] == expected
    assert len(result.visible) == sum(text.startswith("update") for text in expected)


def test_held_keys_are_renewed() -> None:
    """The container is there, so its keys must not expire."""
    result = decide(Desired(held=HELD), actual({OURS: VALUE}, 1), lifetime=Lifetime(30, 10))
    assert [each.action for each in result.changes] == [Action.RENEW]


def test_deletes_come_last() -> None:
    """What moves to another key is never absent from both."""
    result = decide(Desired((entry("z"),)), actual({"/services/a/core-01:web:80": VALUE}))
    assert [each.action for each in result.changes] == [Action.DELETE, Action.CREATE]
    assert [each.action for each in in_apply_order(result.changes)] == [Action.CREATE, Action.DELETE]


def test_what_is_remembered() -> None:
    """What is in order or was put in order; and what was known and could not be."""
    before = known(OURS, "/services/gone/core-01:web:80", "/services/stuck/core-01:web:80")
    stored = {OURS: VALUE, "/services/gone/core-01:web:80": VALUE, "/services/stuck/core-01:web:80": VALUE}
    result = decide(Desired((entry(), entry("new"))), actual(stored), before)
    changes = {change.key.split("/")[2]: change for change in result.changes}
    after = remember(before, result, [changes["new"], changes["gone"]], [changes["stuck"]])
    assert set(after) == {OURS, "/services/new/core-01:web:80", "/services/stuck/core-01:web:80"}


# The laws, over arbitrary states of host and registry.

NAMES = st.sampled_from(["nginx", "db", "team/db"])
IDS = st.sampled_from([f"core-01:{name}:{port}" for name in ("a", "b") for port in (80, "53:udp")])
CUSTOM_IDS = st.sampled_from(["redis-1", "core-01:odd"])
FOREIGN_IDS = st.sampled_from(["core-02:a:80", "core-011:a:80", "manual", "x"])
VALUES = st.sampled_from(["10.0.0.1:80", "10.0.0.2:80", "", "rubbish"])
ENTRIES = st.builds(entry, NAMES, IDS | CUSTOM_IDS, number=st.integers(1, 4))
WANTED = st.lists(ENTRIES, max_size=8, unique_by=lambda each: each.identity).map(lambda all_of: Desired(tuple(all_of)))
KEYS = st.builds("/services/{}/{}".format, NAMES, IDS | FOREIGN_IDS)
STORES = st.dictionaries(KEYS, VALUES, max_size=12)
LIFETIMES = st.sampled_from([Lifetime(), Lifetime(30, 10)])


def registry_with(stored: Mapping[str, str], lifetime: Lifetime) -> MemoryRegistry:
    """A registry that holds these values, some of them with a lifetime."""
    registry = MemoryRegistry(lifetime=lifetime)
    for number, (key, value) in enumerate(sorted(stored.items())):
        registry.put(key, value, [None, 5, 25][number % 3])
    return registry


def plan_for(wanted: Desired, registry: MemoryRegistry, lifetime: Lifetime) -> Plan:
    """The plan of an agent that has just started."""
    return decide(wanted, registry.read(Deadline.after(10, Clock())), lifetime=lifetime)


def carry_out(changes: list[Change], registry: MemoryRegistry) -> None:
    """Apply them all."""
    for change in changes:
        registry.apply(change, Deadline.after(10, Clock()))


@given(WANTED, STORES, LIFETIMES)
def test_law_it_converges(wanted: Desired, stored: dict[str, str], lifetime: Lifetime) -> None:
    """After one plan a second one is empty, each wanted entry is there or refused, and no own key is left over."""
    registry = registry_with(stored, lifetime)
    carry_out(list(in_apply_order(plan_for(wanted, registry, lifetime).changes)), registry)
    again = plan_for(wanted, registry, lifetime)
    assert again.changes == ()
    assert again.in_sync + len(again.refusals) == again.wanted == len(wanted.entries)
    own = {key for key in registry.stored if key.rpartition("/")[2].startswith("core-01:")}
    assert own <= {LAYOUT.key(each) for each in wanted.entries}


@given(WANTED, STORES, LIFETIMES, st.data())
def test_law_any_interruption_is_completed(
    wanted: Desired, stored: dict[str, str], lifetime: Lifetime, data: st.DataObject
) -> None:
    """Killed after any number of changes and started again with no memory, it ends where it would have ended."""
    whole, cut = registry_with(stored, lifetime), registry_with(stored, lifetime)
    changes = list(in_apply_order(plan_for(wanted, whole, lifetime).changes))
    carry_out(changes, whole)
    carry_out(changes[: data.draw(st.integers(0, len(changes)))], cut)
    carry_out(list(in_apply_order(plan_for(wanted, cut, lifetime).changes)), cut)
    assert cut.keys() == whole.keys()


@given(WANTED, STORES, LIFETIMES)
def test_law_foreign_keys_are_untouched(wanted: Desired, stored: dict[str, str], lifetime: Lifetime) -> None:
    """No change names a key that another host, or nobody known, wrote; not even one that is wanted."""
    registry = registry_with(stored, lifetime)
    foreign = {key for key in stored if not key.rpartition("/")[2].startswith("core-01:")}
    wanted_as_is = {LAYOUT.key(each) for each in wanted.entries if stored.get(LAYOUT.key(each)) == LAYOUT.value(each)}
    assert not (foreign - wanted_as_is) & {change.key for change in plan_for(wanted, registry, lifetime).changes}


@given(WANTED, STORES, st.integers())
def test_law_order_does_not_matter(wanted: Desired, stored: dict[str, str], seed: int) -> None:
    """The same plan for every order of the same inputs."""
    entries, items = list(wanted.entries), list(stored.items())
    expected = decide(Desired(tuple(entries)), actual(dict(items)))
    Random(seed).shuffle(entries)
    Random(seed).shuffle(items)
    shuffled = decide(Desired(tuple(entries)), actual(dict(items)))
    assert shuffled.changes == expected.changes
    assert sorted(map(str, shuffled.refusals)) == sorted(map(str, expected.refusals))


@given(STORES.flatmap(lambda stored: st.tuples(st.just(stored), st.lists(CUSTOM_IDS, unique=True))))
def test_law_custom_ids_are_kept_while_the_agent_lives(case: tuple[dict[str, str], list[str]]) -> None:
    """An entry under a custom id is created, moved and deleted again by the agent that made it."""
    stored, ids = case
    registry = registry_with(stored, Lifetime())
    memory: Mapping[str, Known] = {}
    for wanted in (_customs(ids, 1), _customs(ids, 2), Desired()):
        result = decide(wanted, registry.read(Deadline.after(10, Clock())), memory)
        carry_out(list(in_apply_order(result.changes)), registry)
        memory = remember(memory, result, result.changes, [])
        here = {key: value for key, value in registry.keys().items() if key.startswith("/services/custom/")}
        assert here == {LAYOUT.key(each): LAYOUT.value(each) for each in wanted.entries}


def _customs(ids: list[str], number: int) -> Desired:
    return Desired(tuple(_custom(each, number) for each in ids))


def _custom(entry_id: str, number: int) -> Entry:
    return entry("custom", entry_id, number=number)


def test_reasons_are_a_closed_list() -> None:
    """The words that log, metrics and docs share."""
    assert [reason.value for reason in Reason] == [
        "new",
        "missing",
        "changed",
        "overwritten",
        "gone",
        "orphan",
        "ttl-due",
        "ttl-unwanted",
    ]
