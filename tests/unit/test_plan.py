"""The plan's table, row by row, and its laws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from controller.effects.clock import Clock, Deadline
from model.container import ContainerRef
from model.desired import Desired, ExclusionReason
from model.entry import Entry
from model.layout import PlainLayout
from model.memory import Memory, memory_after
from model.ownership import Known, Ownership
from model.plan import DRIFT, Action, Change, Plan, Reason, in_apply_order, plan, with_record
from model.record import Claim, OwnerRecord, RecordKeys, claimed_keys
from model.refusal import RefusalReason
from model.report import Outcome, PassReport, PassResult, Result
from model.stored import Actual, Lifetime, Stored
from tests.support.builders import HOST_IP, OWNER, entry, wanting
from tests.support.memory_registry import MemoryRegistry

LAYOUT = PlainLayout.under("/services")
SHELF = RecordKeys("/services")
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


def claimed(*keys: str, value: str = VALUE) -> dict[str, Claim]:
    """What our record says that we hold, for container ``web``."""
    return {key: Claim.of("id-web", [value]) for key in keys}


def decide(
    wanted: Desired,
    held: Actual,
    before: Mapping[str, Known] | None = None,
    lifetime: Lifetime = Lifetime(),
    **more: Any,
) -> Plan:
    """The plan of host core-01; ``more`` are the claims of its record and the keys that others claim."""
    return plan(wanted, held, Ownership(OWNER, LAYOUT, known=before or {}, **more), lifetime)


WANT = wanting(entry())
WANT_CUSTOM = wanting(entry(entry_id="custom"))
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
        pytest.param(NOTHING, {OURS: VALUE}, {}, [("delete", OURS, "orphan")], id="orphan"),
        pytest.param(NOTHING, {OURS: VALUE}, known(OURS), [("delete", OURS, "gone")], id="gone"),
        pytest.param(NOTHING, {CUSTOM: VALUE}, known(CUSTOM), [], id="custom-known-but-not-claimed"),
        pytest.param(NOTHING, {CUSTOM: VALUE}, {}, [], id="custom-not-claimed"),
        pytest.param(NOTHING, {THEIRS: VALUE}, {}, [], id="foreign"),
        pytest.param(NOTHING, {"/services/nginx/core-01:web": VALUE}, {}, [], id="almost-our-form"),
        pytest.param(Desired(held=HELD), {OURS: VALUE}, {}, [], id="held-by-name"),
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


@pytest.mark.parametrize(
    ("wanted", "value", "before", "expected"),
    [
        pytest.param(WANT_CUSTOM, "x:1", known(CUSTOM, value="x:1"), ["update changed"], id="changed"),
        pytest.param(WANT_CUSTOM, "x:1", known(CUSTOM), ["update overwritten"], id="overwritten"),
        pytest.param(WANT_CUSTOM, "x:1", {}, ["update changed"], id="differs"),
        pytest.param(WANT_CUSTOM, VALUE, {}, [], id="in-sync"),
        pytest.param(NOTHING, VALUE, known(CUSTOM), ["delete gone"], id="gone"),
        pytest.param(NOTHING, VALUE, {}, ["delete orphan"], id="orphan"),
        pytest.param(NOTHING, "x:1", known(CUSTOM), ["delete gone"], id="overwritten-and-gone"),
        pytest.param(Desired(held=HELD), VALUE, {}, [], id="held-by-the-claims-container"),
    ],
)
def test_the_table_for_a_custom_id_that_is_ours(
    wanted: Desired, value: str, before: dict[str, Known], expected: list[str]
) -> None:
    """The owner record shows it, with memory or without: the memory only chooses the reason."""
    result = decide(wanted, actual({CUSTOM: value}), before, claims=claimed(CUSTOM))
    assert [f"{each.action.value} {each.reason.value}" for each in result.changes] == expected
    assert (result.own, result.foreign, result.refusals) == (1, 0, ())
    assert all(each.claimed for each in result.changes if each.action is Action.UPDATE)


@pytest.mark.parametrize(("wanted", "refused"), [(WANT_CUSTOM, 1), (NOTHING, 0)], ids=["wanted", "not wanted"])
@pytest.mark.parametrize(
    ("value", "claims"),
    [("x:1", {}), ("x:1", claimed(CUSTOM)), (VALUE, {})],
    ids=["never ours", "ours no more", "of the same value"],
)
def test_the_table_for_a_custom_id_that_another_host_claims(
    wanted: Desired, refused: int, value: str, claims: dict[str, Claim]
) -> None:
    """It is left alone, whatever it holds, and refused where it is wanted."""
    result = decide(wanted, actual({CUSTOM: value}), known(CUSTOM), claims=claims, contested=frozenset({CUSTOM}))
    assert (result.changes, result.own, result.foreign, result.in_sync) == ((), 0, 1, 0)
    assert [each.reason for each in result.refusals] == [RefusalReason.CONFLICT] * refused


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
    result = decide(wanting(entry(), entry("new")), actual({OURS: "x:1", "/services/old/core-01:web:80": VALUE}))
    guards = {change.action: change.before for change in result.changes}
    assert guards == {
        Action.CREATE: None,
        Action.UPDATE: Stored(OURS, "x:1", 7),
        Action.DELETE: Stored("/services/old/core-01:web:80", VALUE, 7),
    }


def test_the_counts() -> None:
    """Wanted, in sync, own, foreign, and what nobody can read."""
    wanted = wanting(entry(), entry("b"), entry(entry_id="custom"))
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


@pytest.mark.parametrize(
    ("lifetime", "left", "expected"),
    [
        (Lifetime(), None, []),
        (Lifetime(), 0, ["update ttl-unwanted"]),
        (Lifetime(30, 10), None, ["update ttl-due"]),
        (Lifetime(30, 10), 0, ["update ttl-due"]),
    ],
)
@pytest.mark.parametrize("wanted", [WANT, Desired(held=HELD)], ids=["wanted", "held"])
def test_a_key_that_hangs_on_no_lease_of_ours_is_written_to_be_renewed(
    wanted: Desired, lifetime: Lifetime, left: int | None, expected: list[str]
) -> None:
    """Where lifetimes belong to leases, only a write hangs a key on another one; its value stays."""
    read = Actual({OURS: Stored(OURS, VALUE, 7, left, renewable=False)}, has_directories=False)
    result = decide(wanted, read, lifetime=lifetime)
    assert [f"{each.action.value} {each.reason.value}" for each in result.changes] == expected
    assert {each.value for each in result.changes} <= {VALUE}
    assert result.visible == result.changes


def test_held_keys_are_renewed() -> None:
    """The container is there, so its keys must not expire."""
    result = decide(Desired(held=HELD), actual({OURS: VALUE}, 1), lifetime=Lifetime(30, 10))
    assert [each.action for each in result.changes] == [Action.RENEW]


@pytest.mark.parametrize("there", [f"{OURS}/below", "/services/nginx"])
def test_a_flat_registry_has_room_above_and_below_a_key(there: str) -> None:
    """etcd v3 has no directories that a key could stand in the way of."""
    below = Actual({there: Stored(there, "theirs", 7)}, has_directories=False)
    assert [each.action for each in decide(WANT, below).changes] == [Action.CREATE]
    assert decide(WANT, actual({there: "theirs"})).changes == ()


@pytest.mark.parametrize("why", ExclusionReason)
@pytest.mark.parametrize("before", [{}, known(OURS)], ids=["at the start", "known"])
def test_the_reason_of_a_container_that_was_excluded_is_its_own(why: ExclusionReason, before: dict[str, Known]) -> None:
    """It runs, so its entry is neither gone nor an orphan: nobody has done anything to the registry."""
    wanted = Desired(excluded={ContainerRef("id-web", "web"): why})
    (delete,) = decide(wanted, actual({OURS: VALUE}), before).changes
    assert (delete.action, delete.reason.value) == (Action.DELETE, why.value)
    assert delete.reason not in DRIFT
    custom = decide(wanted, actual({CUSTOM: VALUE}), claims=claimed(CUSTOM)).changes
    assert [each.reason.value for each in custom] == [why.value]
    other = Desired(excluded={ContainerRef("id-db", "db"): why})
    assert [each.reason for each in decide(other, actual({OURS: VALUE})).changes] == [Reason.ORPHAN]


def test_deletes_come_last() -> None:
    """What moves to another key is never absent from both."""
    result = decide(wanting(entry("z")), actual({"/services/a/core-01:web:80": VALUE}))
    assert [each.action for each in result.changes] == [Action.DELETE, Action.CREATE]
    assert [each.action for each in in_apply_order(result.changes)] == [Action.CREATE, Action.DELETE]


def test_what_is_remembered() -> None:
    """What is in order or was put in order; and what was known and could not be."""
    before = known(OURS, "/services/gone/core-01:web:80", "/services/stuck/core-01:web:80")
    stored = {OURS: VALUE, "/services/gone/core-01:web:80": VALUE, "/services/stuck/core-01:web:80": VALUE}
    result = decide(wanting(entry(), entry("new")), actual(stored), before)
    changes = {change.key.split("/")[2]: change for change in result.changes}
    outcomes = (
        Outcome(changes["new"], Result.APPLIED),
        Outcome(changes["gone"], Result.APPLIED),
        Outcome(changes["stuck"], Result.FAILED),
    )
    after = memory_after(PassReport(PassResult.SUCCESS, plan=result, outcomes=outcomes), Memory(before)).known
    assert set(after) == {OURS, "/services/new/core-01:web:80", "/services/stuck/core-01:web:80"}


# The laws, over arbitrary states of host and registry: entries of everybody, our owner record, and another host's.

NAMES = st.sampled_from(["nginx", "db", "team/db"])
IDS = st.sampled_from([f"core-01:{name}:{port}" for name in ("a", "b") for port in (80, "53:udp")])
CUSTOM_IDS = st.sampled_from(["redis-1", "core-01:odd"])
FOREIGN_IDS = st.sampled_from(["core-02:a:80", "core-011:a:80", "manual", "x"])
VALUES = st.sampled_from([f"{HOST_IP}:1", f"{HOST_IP}:2", "10.0.0.1:80", "", "rubbish"])
ENTRIES = st.builds(entry, NAMES, IDS | CUSTOM_IDS, number=st.integers(1, 4))
WANTED = st.lists(ENTRIES, max_size=8, unique_by=lambda each: each.identity).map(lambda all_of: wanting(*all_of))
CUSTOM_KEYS = st.builds("/services/{}/{}".format, NAMES, CUSTOM_IDS)
KEYS = st.builds("/services/{}/{}".format, NAMES, IDS | FOREIGN_IDS) | CUSTOM_KEYS
CLAIMS = st.dictionaries(CUSTOM_KEYS, st.builds(Claim.of, st.just("id-web"), st.lists(VALUES, min_size=1, max_size=2)))
LIFETIMES = st.sampled_from([Lifetime(), Lifetime(30, 10)])


@frozen
class Store:
    """What a registry holds when a pass begins: values by key, our claims, and another host's."""

    values: Mapping[str, str]
    ours: Mapping[str, Claim]
    theirs: Mapping[str, Claim]

    def registry(self, lifetime: Lifetime) -> MemoryRegistry:
        """A registry that holds it, some keys with a lifetime."""
        registry = MemoryRegistry(lifetime=lifetime)
        for number, (key, value) in enumerate(sorted(self.values.items())):
            registry.put(key, value, [None, 5, 25][number % 3])
        for owner, claims in ((OWNER, self.ours), ("core-02", self.theirs)):
            if claims:
                registry.put(SHELF.record(owner), OwnerRecord(owner, claims).encode())
        return registry

    def is_ours(self, key: str) -> bool:
        """As the ownership's table has it, worked out in another way."""
        parts = key.rpartition("/")[2].split(":")
        if len(parts) > 2:
            return parts[0] == OWNER
        claim, value = self.ours.get(key), self.values[key]
        return claim is not None and (value in claim.values or key not in self.theirs)


STORES = st.builds(Store, st.dictionaries(KEYS, VALUES, max_size=12), CLAIMS, CLAIMS)


def plan_for(wanted: Desired, registry: MemoryRegistry, lifetime: Lifetime) -> Plan:
    """The plan of an agent that has just started, its owner record included."""
    deadline = Deadline.after(10, Clock())
    held = registry.read(OWNER, deadline)
    record = (OwnerRecord.decode(held.record.value) if held.record else None) or OwnerRecord()
    theirs = filter(None, (OwnerRecord.decode(each.value) for each in registry.other_records(OWNER, deadline)))
    ownership = Ownership(OWNER, LAYOUT, record.claims, contested=claimed_keys(theirs))
    after = OwnerRecord("", ownership.next_claims(wanted.by_key, held))
    return with_record(plan(wanted, held, ownership, lifetime), after, held, ownership)


def carry_out(changes: Iterable[Change], registry: MemoryRegistry) -> None:
    """Apply them all, in the order in which a pass does."""
    for change in in_apply_order(changes):
        registry.apply(OWNER, change, Deadline.after(10, Clock()))


def settle(wanted: Desired, registry: MemoryRegistry, lifetime: Lifetime, passes: int = 2) -> None:
    """So many passes of an agent that remembers nothing."""
    for _ in range(passes):
        carry_out(plan_for(wanted, registry, lifetime).changes, registry)


@given(WANTED, STORES, LIFETIMES)
def test_law_it_converges(wanted: Desired, store: Store, lifetime: Lifetime) -> None:
    """After one plan a second one has nothing to do but to forget claims, and a third one nothing; each wanted entry is
    there or refused, and no own key is left over."""
    registry = store.registry(lifetime)
    carry_out(plan_for(wanted, registry, lifetime).changes, registry)
    again = plan_for(wanted, registry, lifetime)
    assert [change.action for change in again.changes if change.action is not Action.RECORD] == []
    assert again.in_sync + len(again.refusals) == again.wanted == len(wanted.entries)
    own = {key for key in registry.stored if key.rpartition("/")[2].startswith("core-01:") and not key.endswith("odd")}
    own |= {key for key in store.ours if key in registry.stored and key in store.values and store.is_ours(key)}
    assert own <= {LAYOUT.key(each) for each in wanted.entries}
    carry_out(again.changes, registry)
    assert plan_for(wanted, registry, lifetime).changes == ()


@given(WANTED, STORES, LIFETIMES)
def test_law_what_is_claimed_is_what_is_held(wanted: Desired, store: Store, lifetime: Lifetime) -> None:
    """When all is quiet, the record names the custom keys of the entries that are there, with the value of each."""
    registry = store.registry(lifetime)
    settle(wanted, registry, lifetime)
    record = OwnerRecord.decode(registry.stored[SHELF.record(OWNER)].value)
    refused = {each.detail.split()[2] for each in plan_for(wanted, registry, lifetime).refusals}
    custom = {LAYOUT.key(each): LAYOUT.value(each) for each in wanted.entries if each.id in {"redis-1", "core-01:odd"}}
    assert record is not None
    assert {key: claim.values for key, claim in record.claims.items()} == {
        key: (value,) for key, value in custom.items() if key not in refused
    }


@given(WANTED, STORES, LIFETIMES, st.data())
def test_law_any_interruption_is_completed(
    wanted: Desired, store: Store, lifetime: Lifetime, data: st.DataObject
) -> None:
    """Killed after any number of changes, the owner record's among them, and started again with no memory, it ends
    where it would have ended: entries and record alike."""
    whole, cut = store.registry(lifetime), store.registry(lifetime)
    changes = list(in_apply_order(plan_for(wanted, whole, lifetime).changes))
    settle(wanted, whole, lifetime)
    carry_out(changes[: data.draw(st.integers(0, len(changes)))], cut)
    settle(wanted, cut, lifetime)
    assert everything(cut) == everything(whole)


@given(WANTED, WANTED, STORES, LIFETIMES, st.data())
def test_law_an_interruption_leaves_no_orphan(
    before: Desired, after: Desired, store: Store, lifetime: Lifetime, data: st.DataObject
) -> None:
    """Killed at any point, and the containers are others when it starts again: nothing of what it had begun is left."""
    registry = store.registry(lifetime)
    changes = list(in_apply_order(plan_for(before, registry, lifetime).changes))
    carry_out(changes[: data.draw(st.integers(0, len(changes)))], registry)
    settle(after, registry, lifetime)
    left = set(registry.keys()) - {LAYOUT.key(each) for each in after.entries}
    assert left <= {key for key in store.values if not store.is_ours(key)}


def everything(registry: MemoryRegistry) -> dict[str, str]:
    """Keys and records, with their values."""
    return {key: each.value for key, each in registry.stored.items()}


@given(WANTED, STORES, LIFETIMES)
def test_law_foreign_keys_are_untouched(wanted: Desired, store: Store, lifetime: Lifetime) -> None:
    """No change names a key that another host, or nobody known, wrote; not even one that is wanted, unless it holds
    what it should and nobody claims it."""
    changed = {change.key for change in plan_for(wanted, store.registry(lifetime), lifetime).changes}
    foreign = {key for key in store.values if not store.is_ours(key)}
    values = {LAYOUT.key(each): LAYOUT.value(each) for each in wanted.entries}
    adopted = {key for key in foreign - store.theirs.keys() if values.get(key) == store.values[key]}
    assert not (foreign - adopted) & changed
    assert not {SHELF.record("core-02")} & changed


@given(WANTED, STORES, st.integers())
def test_law_order_does_not_matter(wanted: Desired, store: Store, seed: int) -> None:
    """The same plan for every order of the same inputs."""
    entries, items, claims = list(wanted.entries), list(store.values.items()), list(store.ours.items())
    theirs = frozenset(store.theirs)
    expected = decide(wanting(*entries), actual(dict(items)), claims=dict(claims), contested=theirs)
    for each in (entries, items, claims):
        Random(seed).shuffle(each)
    shuffled = decide(wanting(*entries), actual(dict(items)), claims=dict(claims), contested=theirs)
    assert shuffled.changes == expected.changes
    assert sorted(map(str, shuffled.refusals)) == sorted(map(str, expected.refusals))


@given(WANTED, STORES, st.dictionaries(KEYS, st.builds(Known, VALUES, st.just("id-web"))))
def test_law_memory_decides_no_change(wanted: Desired, store: Store, before: dict[str, Known]) -> None:
    """A plan without it is the same but for its reasons."""
    more = {"claims": store.ours, "contested": frozenset(store.theirs)}
    with_memory, without = (
        decide(wanted, actual(store.values), memory, Lifetime(), **more) for memory in (before, dict[str, Known]())
    )
    assert [evolve(each, reason=Reason.NEW, container_id="") for each in with_memory.changes] == [
        evolve(each, reason=Reason.NEW, container_id="") for each in without.changes
    ]
    assert with_memory.refusals == without.refusals


@given(STORES, st.lists(CUSTOM_IDS, unique=True))
def test_law_custom_ids_are_kept_by_agents_that_remember_nothing(store: Store, ids: list[str]) -> None:
    """An entry under a custom id is created, moved and deleted again, each time by an agent that has just started."""
    registry = store.registry(Lifetime())
    for wanted in (_customs(ids, 1), _customs(ids, 2), Desired()):
        settle(wanted, registry, Lifetime(), passes=1)
        here = {key: value for key, value in registry.keys().items() if key.startswith("/services/custom/")}
        assert here == {LAYOUT.key(each): LAYOUT.value(each) for each in wanted.entries}


def _customs(ids: list[str], number: int) -> Desired:
    return wanting(*[_custom(each, number) for each in ids])


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
        "unhealthy",
        "filtered",
        "ttl-due",
        "ttl-unwanted",
        "claims",
        "asked",
    ]
