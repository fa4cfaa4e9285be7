"""Tests of model.plan: the table in plan's docstring, row by row, and its laws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from controller.effects.clock import Clock, Deadline
from model.container import BadPort, ContainerRef, PortId
from model.desired import Desired, ExclusionReason
from model.draining import Draining
from model.ownership import Known, Ownership
from model.plan import DRIFT, Action, Change, Plan, Reason, in_apply_order, plan, with_record
from model.record import Claim, InnerPrefix, OwnerRecord, RecordKeys, claimed_keys
from model.refusal import Refusal, RefusalReason
from model.skydns import SkyDnsLayout
from model.stored import Actual, Lifetime, Stored
from tests.support.builders import HOST_IP, OWNER, PLAIN, entry, wanting
from tests.support.memory_registry import MemoryRegistry

RECORD_KEYS = RecordKeys("/services")

#: A key under a default id of this host, one under a custom id, and one under a default id of another host.
OURS = "/services/nginx/core-01:web:80"
CUSTOM = "/services/nginx/custom"
THEIRS = "/services/nginx/core-02:web:80"
VALUE = "172.17.8.101:8000"

DESIRED = wanting(entry())
DESIRED_CUSTOM = wanting(entry(entry_id="custom"))
NOTHING_DESIRED = Desired()
HELD_CONTAINERS = frozenset({ContainerRef("id-web", "web")})


def registry_with(stored: Mapping[str, str], ttl: int | None = None) -> Actual:
    """Return a registry that holds these values by key, with ``ttl`` seconds left for each; None: they do not
    expire."""
    return Actual({key: Stored(key, value, 7, ttl) for key, value in stored.items()})


def known_keys(*keys: str, value: str = VALUE) -> dict[str, Known]:
    """Return the keys that were found in order before, for container ``web``."""
    return {key: Known(value, "id-web") for key in keys}


def our_claims(*keys: str, value: str = VALUE) -> dict[str, Claim]:
    """Return claims of our record to these keys, for container ``web``."""
    return {key: Claim.of("id-web", [value]) for key in keys}


def plan_of(
    wanted: Desired,
    actual: Actual,
    known: Mapping[str, Known] | None = None,
    lifetime: Lifetime = Lifetime(),
    **ownership: Any,
) -> Plan:
    """Return the plan of host core-01. ``known`` are the keys that it remembers; ``ownership`` are other fields of
    Ownership, such as the claims of its record."""
    return plan(wanted, actual, Ownership(OWNER, PLAIN, known=known or {}, **ownership), lifetime)


def foreign_keys(*keys: str) -> Actual:
    """Return a registry with these keys below the prefix, each with another host's value."""
    return registry_with({f"/services/{key}": "192.0.2.9:80" for key in keys})


# The table.


@pytest.mark.parametrize(
    ("wanted", "stored", "known", "expected"),
    [
        pytest.param(DESIRED, {}, {}, [("create", OURS, "new")], id="absent"),
        pytest.param(DESIRED, {}, known_keys(OURS), [("create", OURS, "missing")], id="absent-known"),
        pytest.param(DESIRED, {OURS: VALUE}, {}, [], id="in-sync"),
        pytest.param(DESIRED_CUSTOM, {CUSTOM: VALUE}, {}, [], id="in-sync-custom"),
        pytest.param(DESIRED, {OURS: "x:1"}, {}, [("update", OURS, "changed")], id="differs"),
        pytest.param(DESIRED, {OURS: "x:1"}, known_keys(OURS), [("update", OURS, "overwritten")], id="overwritten"),
        pytest.param(
            DESIRED, {OURS: "x:1"}, known_keys(OURS, value="x:1"), [("update", OURS, "changed")], id="changed"
        ),
        pytest.param(NOTHING_DESIRED, {OURS: VALUE}, {}, [("delete", OURS, "orphan")], id="orphan"),
        pytest.param(NOTHING_DESIRED, {OURS: VALUE}, known_keys(OURS), [("delete", OURS, "gone")], id="gone"),
        pytest.param(NOTHING_DESIRED, {CUSTOM: VALUE}, known_keys(CUSTOM), [], id="custom-known-but-not-claimed"),
        pytest.param(NOTHING_DESIRED, {CUSTOM: VALUE}, {}, [], id="custom-not-claimed"),
        pytest.param(NOTHING_DESIRED, {THEIRS: VALUE}, {}, [], id="foreign"),
        pytest.param(NOTHING_DESIRED, {"/services/nginx/core-01:web": VALUE}, {}, [], id="almost-our-form"),
        pytest.param(Desired(held=HELD_CONTAINERS), {OURS: VALUE}, {}, [], id="held-by-name"),
        pytest.param(
            Desired(held=frozenset({ContainerRef("id-db", "db")})),
            {OURS: VALUE},
            {},
            [("delete", OURS, "orphan")],
            id="another-is-held",
        ),
    ],
)
def test_the_table_decides_the_changes(
    wanted: Desired, stored: dict[str, str], known: dict[str, Known], expected: list[tuple[str, str, str]]
) -> None:
    """Each row of the table in plan's docstring."""
    result = plan_of(wanted, registry_with(stored), known)
    assert [(each.action.value, each.key, each.reason.value) for each in result.changes] == expected


@pytest.mark.parametrize(
    ("wanted", "value", "known", "expected"),
    [
        pytest.param(DESIRED_CUSTOM, "x:1", known_keys(CUSTOM, value="x:1"), ["update changed"], id="changed"),
        pytest.param(DESIRED_CUSTOM, "x:1", known_keys(CUSTOM), ["update overwritten"], id="overwritten"),
        pytest.param(DESIRED_CUSTOM, "x:1", {}, ["update changed"], id="differs"),
        pytest.param(DESIRED_CUSTOM, VALUE, {}, [], id="in-sync"),
        pytest.param(NOTHING_DESIRED, VALUE, known_keys(CUSTOM), ["delete gone"], id="gone"),
        pytest.param(NOTHING_DESIRED, VALUE, {}, ["delete orphan"], id="orphan"),
        pytest.param(NOTHING_DESIRED, "x:1", known_keys(CUSTOM), ["delete gone"], id="overwritten-and-gone"),
        pytest.param(Desired(held=HELD_CONTAINERS), VALUE, {}, [], id="held-by-the-claims-container"),
    ],
)
def test_a_claimed_custom_key_is_changed_like_any_other_own_key(
    wanted: Desired, value: str, known: dict[str, Known], expected: list[str]
) -> None:
    """The owner record shows that it is ours, with or without memory. The memory only decides the reason."""
    result = plan_of(wanted, registry_with({CUSTOM: value}), known, claims=our_claims(CUSTOM))
    assert [f"{each.action.value} {each.reason.value}" for each in result.changes] == expected
    assert (result.own, result.foreign, result.refusals) == (1, 0, ())
    assert all(each.claimed for each in result.changes if each.action is Action.UPDATE)


@pytest.mark.parametrize(
    ("wanted", "refused"), [(DESIRED_CUSTOM, 1), (NOTHING_DESIRED, 0)], ids=["wanted", "not wanted"]
)
@pytest.mark.parametrize(
    ("value", "claims"),
    [("x:1", {}), ("x:1", our_claims(CUSTOM)), (VALUE, {})],
    ids=["never ours", "no longer ours", "of the same value"],
)
def test_a_custom_key_of_another_host_is_never_in_a_change(
    wanted: Desired, refused: int, value: str, claims: dict[str, Claim]
) -> None:
    """A custom key that another host claims is left alone, whatever its value, and an entry that wants it is
    refused."""
    result = plan_of(
        wanted, registry_with({CUSTOM: value}), known_keys(CUSTOM), claims=claims, contested=frozenset({CUSTOM})
    )
    assert (result.changes, result.own, result.foreign, result.in_sync) == ((), 0, 1, 0)
    assert [each.reason for each in result.refusals] == [RefusalReason.CONFLICT] * refused


def test_a_key_that_cannot_be_shown_to_be_ours_is_a_conflict() -> None:
    """The entry is refused with that reason, nothing is written, and the key counts as foreign."""
    result = plan_of(DESIRED_CUSTOM, registry_with({CUSTOM: "x:1"}))
    assert (result.changes, result.foreign, result.own) == ((), 1, 0)
    (refusal,) = result.refusals
    assert refusal.reason is RefusalReason.CONFLICT
    assert CUSTOM in refusal.detail
    assert "'x:1'" in refusal.detail
    assert "--adopt" not in refusal.detail


def test_a_key_with_the_wanted_value_that_nobody_claims_is_a_conflict_that_names_the_cure() -> None:
    """Somebody else wrote the key and may rely on it. The refusal names --adopt, which takes the key over."""
    result = plan_of(DESIRED_CUSTOM, registry_with({CUSTOM: VALUE}))
    assert (result.changes, result.foreign, result.settled) == ((), 1, {})
    (refusal,) = result.refusals
    assert refusal.reason is RefusalReason.CONFLICT
    assert CUSTOM in refusal.detail
    assert "--adopt" in refusal.detail
    adopting = plan_of(DESIRED_CUSTOM, registry_with({CUSTOM: VALUE}), may_adopt=True)
    assert (adopting.changes, adopting.own, adopting.in_sync, adopting.refusals) == ((), 1, 1, ())


@pytest.mark.parametrize("wanted", [DESIRED, DESIRED_CUSTOM], ids=["default id", "custom id"])
@pytest.mark.parametrize("value", [None, VALUE, "x:1"])
def test_an_entry_that_would_land_below_an_inner_prefix_is_refused(wanted: Desired, value: str | None) -> None:
    """Whatever is stored there belongs to the agents of the inner prefix, so it is neither changed nor deleted."""
    stored = {} if value is None else {OURS: value, CUSTOM: value}
    inner = (InnerPrefix("/services/nginx", ("core-01",)),)
    result = plan_of(wanted, registry_with(stored), inner=inner, claims=our_claims(CUSTOM), may_adopt=True)
    assert (result.changes, result.own, result.foreign, result.settled) == ((), 0, len(stored), {})
    (refusal,) = result.refusals
    assert refusal.reason is RefusalReason.CONFLICT
    assert "'/services/nginx'" in refusal.detail


@pytest.mark.parametrize("why", ExclusionReason)
@pytest.mark.parametrize("known", [{}, known_keys(OURS)], ids=["at the start", "known"])
def test_the_delete_for_an_excluded_container_has_the_reason_of_its_exclusion(
    why: ExclusionReason, known: dict[str, Known]
) -> None:
    """The container runs, so its key is neither gone nor an orphan, and the delete does not count as drift."""
    wanted = Desired(excluded={ContainerRef("id-web", "web"): why})
    (delete,) = plan_of(wanted, registry_with({OURS: VALUE}), known).changes
    assert (delete.action, delete.reason.value) == (Action.DELETE, why.value)
    assert delete.reason not in DRIFT
    custom = plan_of(wanted, registry_with({CUSTOM: VALUE}), claims=our_claims(CUSTOM)).changes
    assert [each.reason.value for each in custom] == [why.value]
    other = Desired(excluded={ContainerRef("id-db", "db"): why})
    assert [each.reason for each in plan_of(other, registry_with({OURS: VALUE})).changes] == [Reason.ORPHAN]


def test_the_delete_for_a_container_that_drains_says_why() -> None:
    """Log, plan and JSON show it. Nothing more has to be asked before such a delete."""
    web = ContainerRef("id-web", "web")
    wanted = Desired(excluded={web: ExclusionReason.DRAINING}, draining={web: Draining("TERM was sent")})
    (delete,) = plan_of(wanted, registry_with({OURS: VALUE})).changes
    assert (delete.reason, delete.detail) == (Reason.DRAINING, "TERM was sent")
    assert delete.is_supported(frozenset())


def test_any_other_delete_is_supported_by_what_the_engine_told_of_its_container() -> None:
    """Not by what it told of others."""
    (delete,) = plan_of(NOTHING_DESIRED, registry_with({OURS: VALUE}), known_keys(OURS)).changes
    assert delete.is_supported(frozenset({delete.container_id}))
    assert not delete.is_supported(frozenset({"id-db"}))


# Entries that lack this host's address.

UNADDRESSED = Desired(unaddressed={OURS: entry(address="")})
UNADDRESSED_CUSTOM = Desired(unaddressed={CUSTOM: entry(entry_id="custom", address="")})


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("192.0.2.1:8000", True),
        ("[2001:db8::1]:8000", True),
        ('{"address":"192.0.2.1","port":8000}', True),
        ("192.0.2.1:8001", False),
        ('{"address":"192.0.2.1","port":80}', False),
        ("rubbish", False),
        ("", False),
    ],
)
def test_a_key_whose_entry_lacks_this_hosts_address_is_held_while_its_port_is_the_wanted_one(
    value: str, held: bool
) -> None:
    """A key with another port, or with a value in which no port can be read, is wrong whatever the address is."""
    result = plan_of(UNADDRESSED, registry_with({OURS: value}))
    assert [each.key for each in result.held] == [OURS] * held
    assert [f"{each.action.value} {each.reason.value}" for each in result.changes] == ["delete orphan"] * (not held)
    assert (result.settled, result.own) == ({OURS: Known(value, "", "web")} if held else {}, 1)
    assert (result.wanted, result.in_sync) == (0, 0)


def test_a_key_that_is_not_there_is_not_created_without_an_address() -> None:
    """Without an address there is no value to write."""
    result = plan_of(UNADDRESSED, registry_with({THEIRS: VALUE}))
    assert (result.changes, result.held, result.foreign) == ((), (), 1)


@pytest.mark.parametrize(
    ("claims", "known", "held"),
    [(our_claims(CUSTOM), {}, True), ({}, {}, False), ({}, known_keys(CUSTOM), False)],
    ids=["claimed", "not claimed", "remembered"],
)
def test_a_custom_key_without_an_address_is_held_only_where_it_is_ours(
    claims: dict[str, Claim], known: dict[str, Known], held: bool
) -> None:
    """The key is never changed, whether or not it is this host's."""
    result = plan_of(UNADDRESSED_CUSTOM, registry_with({CUSTOM: VALUE}), known, claims=claims)
    assert (result.changes, [each.key for each in result.held]) == ((), [CUSTOM] * held)
    assert result.foreign == (not held)


def test_a_held_key_is_renewed_and_excludes_others_from_its_place() -> None:
    """A held key stays, so it must not expire, and no other key can lie below it."""
    below = evolve(wanting(entry("nginx/core-01:web:80", "x")), unaddressed=UNADDRESSED.unaddressed)
    result = plan_of(below, registry_with({OURS: VALUE}, 1), lifetime=Lifetime(30, 10))
    assert [(each.action, each.value) for each in result.changes] == [(Action.RENEW, VALUE)]
    assert [each.reason for each in result.refusals] == [RefusalReason.CONFLICT]


def test_the_keys_of_a_held_container_are_among_the_held_ones() -> None:
    """The plan lists them sorted by key, with 2 before 10."""
    keys = [f"/services/a-{number}/core-01:web:80" for number in (2, 10)]
    result = plan_of(Desired(held=HELD_CONTAINERS), registry_with(dict.fromkeys(reversed(keys), VALUE)))
    assert [each.key for each in result.held] == keys


NAMELESS = Desired(held=frozenset({ContainerRef("id-nameless", "")}))


@pytest.mark.parametrize(
    ("wanted", "known", "held"),
    [
        pytest.param(NAMELESS, {}, True, id="it-may-be-the-one"),
        pytest.param(NAMELESS, {OURS: Known(VALUE, "id-nameless")}, True, id="it-is"),
        pytest.param(NAMELESS, {OURS: Known(VALUE, "id-web")}, False, id="another-id"),
        pytest.param(
            evolve(NAMELESS, excluded={ContainerRef("id-web", "web"): ExclusionReason.ONE_OFF}),
            {},
            False,
            id="excluded",
        ),
        pytest.param(evolve(wanting(entry(entry_id="x")), held=NAMELESS.held), {}, False, id="another-port-of-it"),
    ],
)
def test_a_key_that_may_be_that_of_a_held_container_without_a_name_is_held(
    wanted: Desired, known: Mapping[str, Known], held: bool
) -> None:
    """After a crash, the engine may list containers without names, and a new agent knows them by their names alone."""
    result = plan_of(wanted, registry_with({OURS: VALUE}), known)
    assert [each.key for each in result.held] == [OURS] * held
    assert [each.key for each in result.changes if each.action is Action.DELETE] == [OURS] * (not held)


def test_the_changes_are_sorted_by_key_with_2_before_10() -> None:
    """They are applied in this order, too."""
    entries = [entry("app", f"core-01:app-{number}:80") for number in (10, 9, 2)]
    result = plan_of(wanting(*entries), registry_with({}))
    names = [change.key.split(":")[1] for change in in_apply_order(result.changes)]
    assert names == [change.key.split(":")[1] for change in result.changes] == ["app-2", "app-9", "app-10"]


def test_the_reasons_are_a_closed_list() -> None:
    """Log, metrics, dry run and docs share these words."""
    assert [reason.value for reason in Reason] == [
        "new",
        "missing",
        "changed",
        "overwritten",
        "gone",
        "orphan",
        "unhealthy",
        "filtered",
        "one-off",
        "draining",
        "refused",
        "ttl-due",
        "ttl-unwanted",
        "claims",
        "asked",
        "started",
    ]


# What a plan carries and counts.


def test_each_change_has_what_was_read_before_it() -> None:
    """A create expects no key; an update and a delete expect the key as it was read."""
    result = plan_of(
        wanting(entry(), entry("new")), registry_with({OURS: "x:1", "/services/old/core-01:web:80": VALUE})
    )
    guards = {change.action: change.before for change in result.changes}
    assert guards == {
        Action.CREATE: None,
        Action.UPDATE: Stored(OURS, "x:1", 7),
        Action.DELETE: Stored("/services/old/core-01:web:80", VALUE, 7),
    }


def test_a_plan_counts_wanted_in_sync_own_foreign_and_unreadable_keys() -> None:
    """Unreadable keys are foreign ones that the layout cannot read."""
    wanted = wanting(entry(), entry("b"), entry(entry_id="custom"))
    stored = {OURS: VALUE, CUSTOM: VALUE, THEIRS: VALUE, "/services/x/y": "?", "/services/old/core-01:web:80": VALUE}
    result = plan_of(wanted, registry_with(stored), may_adopt=True)
    assert (result.wanted, result.in_sync, result.own, result.foreign, result.unreadable) == (3, 2, 3, 2, 1)
    assert (result.count(Action.CREATE), result.count(Action.DELETE), result.count(Action.UPDATE)) == (1, 1, 0)


def test_deletes_are_applied_last() -> None:
    """An entry that moves to another key is never absent from both."""
    result = plan_of(wanting(entry("z")), registry_with({"/services/a/core-01:web:80": VALUE}))
    assert [each.action for each in result.changes] == [Action.DELETE, Action.CREATE]
    assert [each.action for each in in_apply_order(result.changes)] == [Action.CREATE, Action.DELETE]


# Ports that are refused now.

REFUSED = Refusal(
    ContainerRef("id-web", "web"), PortId(80, "tcp"), RefusalReason.BAD_NAME, "SERVICE_NAME '..' is no name"
)
OTHER_PORT = evolve(REFUSED, port=PortId(81, "tcp"))
OTHER_CONTAINER = evolve(REFUSED, container=ContainerRef("id-db", "db"))
REASON_AND_DETAIL = ("refused", REFUSED.detail)


@pytest.mark.parametrize("known", [known_keys(OURS), {}], ids=["known", "not known"])
@pytest.mark.parametrize(
    ("refusals", "expected"),
    [
        ([REFUSED], REASON_AND_DETAIL),
        ([OTHER_PORT, OTHER_CONTAINER, REFUSED], REASON_AND_DETAIL),
        ([evolve(REFUSED, container=ContainerRef("id-new", "web"))], REASON_AND_DETAIL),
        ([OTHER_PORT], None),
        ([OTHER_CONTAINER], None),
        ([evolve(REFUSED, port=PortId(80, "udp"))], None),
        ([evolve(REFUSED, port=PortId(80, "sctp"))], None),
        ([evolve(REFUSED, port=BadPort("80-9000/tcp", "is a range of 8921 ports"))], None),
    ],
    ids=[
        "the port",
        "among others",
        "a container of that name",
        "another port",
        "another container",
        "udp",
        "sctp",
        "bad",
    ],
)
def test_the_key_of_a_port_that_is_refused_is_deleted_for_that_reason(
    known: dict[str, Known], refusals: list[Refusal], expected: tuple[str, str] | None
) -> None:
    """The change has the text of the refusal. The refusal of another port says nothing about the key."""
    (change,) = plan_of(Desired(refusals=tuple(refusals)), registry_with({OURS: VALUE}), known).changes
    assert change.action is Action.DELETE
    assert (change.reason.value, change.detail) == (expected or ("gone" if known else "orphan", ""))


@pytest.mark.parametrize("serves", [False, True], ids=["no entries", "an entry"])
@pytest.mark.parametrize(
    ("key", "ours"), [("80:8081", True), ("80:10.0.0.2-8081", True), ("80:udp:8081", False), ("80:sctp", False)]
)
def test_each_key_of_a_port_with_several_bindings_is_deleted_for_that_reason(
    key: str, ours: bool, serves: bool
) -> None:
    """These ids tell the port, so it makes no difference whether the container has other entries."""
    wanted = evolve(wanting(entry("b")) if serves else Desired(), refusals=(REFUSED,))
    planned = plan_of(wanted, registry_with({f"/services/nginx/core-01:web:{key}": VALUE}))
    (change,) = (each for each in planned.changes if each.action is Action.DELETE)
    assert (change.reason is Reason.REFUSED) is ours


@pytest.mark.parametrize(
    ("refusal", "others", "reason"),
    [
        (REFUSED, NOTHING_DESIRED, Reason.REFUSED),
        (evolve(REFUSED, port=BadPort("http/tcp", "is none")), NOTHING_DESIRED, Reason.REFUSED),
        (OTHER_CONTAINER, NOTHING_DESIRED, Reason.ORPHAN),
        (REFUSED, wanting(entry()), Reason.ORPHAN),
    ],
    ids=["its container", "a bad port of its container", "another one", "its container has other entries"],
)
def test_a_custom_id_does_not_tell_the_port_so_its_container_must_have_no_entry(
    refusal: Refusal, others: Desired, reason: Reason
) -> None:
    """If the container has another entry, the refusal may be about another port than that of the key."""
    wanted = evolve(others, refusals=(refusal,))
    planned = plan_of(wanted, registry_with({CUSTOM: VALUE}), claims=our_claims(CUSTOM))
    assert [each.reason for each in planned.changes if each.action is Action.DELETE] == [reason]


# Keys that are not UTF-8.


@pytest.mark.parametrize("damage", ["\ufffd", b"\xff".decode(errors="surrogateescape")], ids=["as by v2", "as by v3"])
@pytest.mark.parametrize("key", ["nginx/core-01:w{}b:80", "ngi{}nx/core-01:web:80"], ids=["id", "name"])
def test_a_key_that_is_not_utf_8_is_foreign(key: str, damage: str) -> None:
    """By v2 the text that etcd gives for such a key does not name it. So the key could not be deleted, and each pass
    would try again."""
    stored = registry_with({f"/services/{key.format(damage)}": VALUE})
    result = plan_of(NOTHING_DESIRED, stored)
    assert (result.changes, result.foreign, result.own) == ((), 1, 0)


@pytest.mark.parametrize(
    "damage", ["\ufffd\ufffd", b"\xff\xfe".decode(errors="surrogateescape")], ids=["as by v2", "as by v3"]
)
@pytest.mark.parametrize(
    ("wanted", "action"), [(DESIRED, Action.UPDATE), (NOTHING_DESIRED, Action.DELETE)], ids=["wanted", "not wanted"]
)
def test_an_own_key_whose_value_is_not_utf_8_is_repaired_like_any_other(
    damage: str, wanted: Desired, action: Action
) -> None:
    """The key can be read, and it tells whose it is."""
    assert [each.action for each in plan_of(wanted, registry_with({OURS: damage})).changes] == [action]


# Lifetimes.


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
def test_a_key_is_renewed_when_due_and_written_again_when_it_should_not_expire(
    lifetime: Lifetime, left: int | None, expected: list[str]
) -> None:
    """A key is due if it has too little or too much of its lifetime left, or does not expire and should."""
    result = plan_of(DESIRED, registry_with({OURS: VALUE}, left), lifetime=lifetime)
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
@pytest.mark.parametrize("wanted", [DESIRED, Desired(held=HELD_CONTAINERS)], ids=["wanted", "held"])
def test_a_key_that_is_not_renewable_is_written_with_the_same_value(
    wanted: Desired, lifetime: Lifetime, left: int | None, expected: list[str]
) -> None:
    """Where lifetimes belong to leases, only a write can attach a key to our lease."""
    read = Actual({OURS: Stored(OURS, VALUE, 7, left, renewable=False)}, has_directories=False)
    result = plan_of(wanted, read, lifetime=lifetime)
    assert [f"{each.action.value} {each.reason.value}" for each in result.changes] == expected
    assert {each.value for each in result.changes} <= {VALUE}
    assert result.visible == result.changes


def test_the_key_of_a_held_container_is_renewed() -> None:
    """A held container still exists, so its key must not expire."""
    result = plan_of(Desired(held=HELD_CONTAINERS), registry_with({OURS: VALUE}, 1), lifetime=Lifetime(30, 10))
    assert [each.action for each in result.changes] == [Action.RENEW]


# Keys that exclude an entry.


@pytest.mark.parametrize("key", ["team", "team/app/x", "team/app/x/y"])
def test_an_entry_that_a_foreign_key_excludes_is_refused_and_not_tried(key: str) -> None:
    """A write of it would fail in every pass."""
    wanted = wanting(entry("team", "app"))
    result = plan_of(wanted, foreign_keys(key, "tea", "team/apple/x"))
    (refusal,) = result.refusals
    assert (refusal.reason, result.changes) == (RefusalReason.CONFLICT, ())
    assert f"/services/{key}" in refusal.detail


def test_a_key_that_this_plan_deletes_excludes_no_entry() -> None:
    """An entry may take the place of a key that goes. If its create is made too early, it ends as a conflict, and the
    next pass makes it."""
    wanted = wanting(entry("worker/core-01:gone:80", "app"))
    result = plan_of(wanted, foreign_keys("worker/core-01:gone:80"))
    assert {change.action for change in result.changes} == {Action.CREATE, Action.DELETE}
    assert result.refusals == ()


@pytest.mark.parametrize("key", [f"{OURS}/below", "/services/nginx"])
def test_keys_above_and_below_a_plain_entry_exclude_it_only_where_there_are_directories(key: str) -> None:
    """etcd v3 has no directories."""
    without_directories = Actual({key: Stored(key, "theirs", 7)}, has_directories=False)
    assert [each.action for each in plan_of(DESIRED, without_directories).changes] == [Action.CREATE]
    assert plan_of(DESIRED, registry_with({key: "theirs"})).changes == ()


DNS = SkyDnsLayout("/skydns/local")
DNS_KEY = "/skydns/local/team/app/core-01--web--80"


@pytest.mark.parametrize("directories", [True, False])
@pytest.mark.parametrize("key", [f"{DNS_KEY}/below", "/skydns/local/team/app", "/skydns/local/team"])
def test_a_record_neither_hides_a_foreign_record_nor_lies_hidden_by_one(key: str, directories: bool) -> None:
    """A DNS server does not see a record with another one below it, whatever the API. A record that this host deletes
    in the same plan is in nobody's way."""
    wanted = wanting(entry("team/app"), layout=DNS)
    foreign = Actual({key: Stored(key, "theirs", 7)}, has_directories=directories)
    result = plan(wanted, foreign, Ownership(OWNER, DNS))
    assert (result.changes, [each.reason for each in result.refusals]) == ((), [RefusalReason.CONFLICT])
    assert f"no room for the key {DNS_KEY} while there is '{key}'" in result.refusals[0].detail
    ours = plan(wanted, foreign, Ownership(OWNER, DNS, {key: Claim.of("id-old", ["theirs"])}))
    assert {each.action for each in ours.changes} == {Action.CREATE, Action.DELETE}


def test_each_change_of_an_entry_names_its_container() -> None:
    """A delete under a custom id has the name that the agent remembers. An agent that has just started knows the id
    alone, from the owner record."""
    lifetime, short = Lifetime(60, 20), {"ttl": 3}
    for stored in ({}, {OURS: "x:1"}, {OURS: VALUE}):
        (change,) = plan_of(DESIRED, registry_with(stored, **short), lifetime=lifetime).changes
        assert (change.container_id, change.container_name) == ("id-web", "web")
    known = {CUSTOM: Known(VALUE, "id-web", "web")}
    for remembered, name in ((known, "web"), ({}, "")):
        (gone,) = plan_of(
            NOTHING_DESIRED, registry_with({CUSTOM: VALUE}), remembered, claims=our_claims(CUSTOM)
        ).changes
        assert (gone.action, gone.container_id, gone.container_name) == (Action.DELETE, "id-web", name)
        assert gone.container == "id-web"


def test_a_record_is_created_only_while_there_is_none_that_it_would_hide() -> None:
    """Somebody else may create such a record after the registry was read. Plain keys hide nothing."""
    stored = Actual({"/skydns/local/team": Stored("/skydns/local/team", "ours", 7)}, has_directories=False)
    claims = {"/skydns/local/team": Claim.of("id-old", ["ours"])}
    changes = plan(wanting(entry("team/app"), layout=DNS), stored, Ownership(OWNER, DNS, claims)).changes
    assert [each.absent for each in changes if each.action is Action.CREATE] == [("/skydns/local/team/app",)]
    assert [each.absent for each in plan_of(wanting(entry("team/app")), Actual()).changes] == [()]


# The laws, over arbitrary states of host and registry: keys of every owner, our owner record, and another host's.

NAMES = st.sampled_from(["nginx", "db", "team/db"])
IDS = st.sampled_from([f"core-01:{name}:{port}" for name in ("a", "b") for port in (80, "53:udp", "80:sctp")])
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
    """What a registry holds when a pass begins."""

    #: Values by key.
    values: Mapping[str, str]
    #: The claims in our owner record.
    ours: Mapping[str, Claim]
    #: The claims in another host's record.
    theirs: Mapping[str, Claim]

    def registry(self, lifetime: Lifetime) -> MemoryRegistry:
        """Make a registry that holds this. Some of its keys expire."""
        registry = MemoryRegistry(lifetime=lifetime)
        for number, (key, value) in enumerate(sorted(self.values.items())):
            registry.put(key, value, [None, 5, 25][number % 3])
        for owner, claims in ((OWNER, self.ours), ("core-02", self.theirs)):
            if claims:
                registry.put(RECORD_KEYS.record(owner), OwnerRecord(owner, claims).encode())
        return registry

    def is_ours(self, key: str) -> bool:
        """Return whether the key is ours, as the table of Ownership says, worked out in another way."""
        parts = key.rpartition("/")[2].split(":")
        if len(parts) > 2:
            return parts[0] == OWNER
        claim, value = self.ours.get(key), self.values[key]
        return claim is not None and (value in claim.values or key not in self.theirs)


STORES = st.builds(Store, st.dictionaries(KEYS, VALUES, max_size=12), CLAIMS, CLAIMS)


def plan_for(wanted: Desired, registry: MemoryRegistry, lifetime: Lifetime) -> Plan:
    """Return the plan of an agent that has just started, with the change of its owner record."""
    deadline = Deadline.after(10, Clock())
    actual = registry.read(OWNER, deadline)
    record = (OwnerRecord.decode(actual.record.value) if actual.record else None) or OwnerRecord()
    theirs = filter(None, (OwnerRecord.decode(each.value) for each in registry.other_records(OWNER, deadline)))
    ownership = Ownership(OWNER, PLAIN, record.claims, contested=claimed_keys(theirs), may_adopt=actual.record is None)
    after = OwnerRecord("", ownership.next_claims(wanted.by_key, actual))
    return with_record(plan(wanted, actual, ownership, lifetime), after, actual, ownership)


def apply_all(changes: Iterable[Change], registry: MemoryRegistry) -> None:
    """Apply all changes, in the order in which a pass does."""
    for change in in_apply_order(changes):
        registry.apply(OWNER, change, Deadline.after(10, Clock()))


def run_passes(wanted: Desired, registry: MemoryRegistry, lifetime: Lifetime, passes: int = 2) -> None:
    """Run so many passes of an agent that remembers nothing."""
    for _ in range(passes):
        apply_all(plan_for(wanted, registry, lifetime).changes, registry)


def values_of(registry: MemoryRegistry) -> dict[str, str]:
    """Return the value of each key and record."""
    return {key: each.value for key, each in registry.stored.items()}


def custom_entries(ids: list[str], number: int) -> Desired:
    """Return a desired state with an entry under each of these custom ids."""
    return wanting(*[entry("custom", each, number=number) for each in ids])


@given(WANTED, STORES, LIFETIMES)
def test_law_after_one_pass_a_plan_changes_no_entry_and_after_two_it_is_empty(
    wanted: Desired, store: Store, lifetime: Lifetime
) -> None:
    """The second pass may only remove claims from the record. Each wanted entry is there or refused, and no other key
    is ours."""
    registry = store.registry(lifetime)
    apply_all(plan_for(wanted, registry, lifetime).changes, registry)
    again = plan_for(wanted, registry, lifetime)
    assert [change.action for change in again.changes if change.action is not Action.RECORD] == []
    assert again.in_sync + len(again.refusals) == again.wanted == len(wanted.entries)
    own = {key for key in registry.stored if key.rpartition("/")[2].startswith("core-01:") and not key.endswith("odd")}
    own |= {key for key in store.ours if key in registry.stored and key in store.values and store.is_ours(key)}
    assert own <= {PLAIN.key(each) for each in wanted.entries}
    apply_all(again.changes, registry)
    assert plan_for(wanted, registry, lifetime).changes == ()


@given(WANTED, STORES, LIFETIMES)
def test_law_the_record_claims_exactly_the_custom_keys_of_the_entries(
    wanted: Desired, store: Store, lifetime: Lifetime
) -> None:
    """After two passes it names the custom key of each entry that is not refused, with its value."""
    registry = store.registry(lifetime)
    run_passes(wanted, registry, lifetime)
    record = OwnerRecord.decode(registry.stored[RECORD_KEYS.record(OWNER)].value)
    refused = {each.detail.split()[2] for each in plan_for(wanted, registry, lifetime).refusals}
    custom = {PLAIN.key(each): PLAIN.value(each) for each in wanted.entries if each.id in {"redis-1", "core-01:odd"}}
    assert record is not None
    assert {key: claim.values for key, claim in record.claims.items()} == {
        key: (value,) for key, value in custom.items() if key not in refused
    }


@given(WANTED, STORES, LIFETIMES, st.data())
def test_law_an_interrupted_pass_is_completed_by_the_next_ones(
    wanted: Desired, store: Store, lifetime: Lifetime, data: st.DataObject
) -> None:
    """An agent that is killed after any number of changes, and starts again without memory, ends with the same entries
    and the same record."""
    whole, cut = store.registry(lifetime), store.registry(lifetime)
    changes = list(in_apply_order(plan_for(wanted, whole, lifetime).changes))
    run_passes(wanted, whole, lifetime)
    apply_all(changes[: data.draw(st.integers(0, len(changes)))], cut)
    run_passes(wanted, cut, lifetime)
    assert values_of(cut) == values_of(whole)


@given(WANTED, WANTED, STORES, LIFETIMES, st.data())
def test_law_an_interrupted_pass_leaves_no_orphan(
    before: Desired, after: Desired, store: Store, lifetime: Lifetime, data: st.DataObject
) -> None:
    """When an agent that was killed starts again, and its host runs other containers, nothing is left of what it had
    begun."""
    registry = store.registry(lifetime)
    changes = list(in_apply_order(plan_for(before, registry, lifetime).changes))
    apply_all(changes[: data.draw(st.integers(0, len(changes)))], registry)
    run_passes(after, registry, lifetime)
    left = set(registry.keys()) - {PLAIN.key(each) for each in after.entries}
    assert left <= {key for key in store.values if not store.is_ours(key)}


@given(WANTED, STORES, LIFETIMES)
def test_law_no_change_is_about_a_foreign_key(wanted: Desired, store: Store, lifetime: Lifetime) -> None:
    """There is one exception: a host without a record adopts a wanted key that already has the right value and that no
    other host claims."""
    changed = {change.key for change in plan_for(wanted, store.registry(lifetime), lifetime).changes}
    foreign = {key for key in store.values if not store.is_ours(key)}
    values = {PLAIN.key(each): PLAIN.value(each) for each in wanted.entries}
    right = {key for key in foreign - store.theirs.keys() if values.get(key) == store.values[key]}
    adopted = set() if store.ours else right
    assert not (foreign - adopted) & changed
    assert not {RECORD_KEYS.record("core-02")} & changed


@given(WANTED, STORES, st.integers())
def test_law_the_order_of_the_inputs_does_not_matter(wanted: Desired, store: Store, seed: int) -> None:
    """Entries, keys and claims in another order make the same plan."""
    entries, items, claims = list(wanted.entries), list(store.values.items()), list(store.ours.items())
    theirs = frozenset(store.theirs)
    expected = plan_of(wanting(*entries), registry_with(dict(items)), claims=dict(claims), contested=theirs)
    for each in (entries, items, claims):
        Random(seed).shuffle(each)
    shuffled = plan_of(wanting(*entries), registry_with(dict(items)), claims=dict(claims), contested=theirs)
    assert shuffled.changes == expected.changes
    assert sorted(map(str, shuffled.refusals)) == sorted(map(str, expected.refusals))


@given(WANTED, STORES, st.dictionaries(KEYS, st.builds(Known, VALUES, st.just("id-web"))))
def test_law_memory_decides_only_reasons(wanted: Desired, store: Store, known: dict[str, Known]) -> None:
    """A plan without memory has the same changes and refusals."""
    more = {"claims": store.ours, "contested": frozenset(store.theirs)}
    with_memory, without = (
        plan_of(wanted, registry_with(store.values), memory, Lifetime(), **more)
        for memory in (known, dict[str, Known]())
    )
    assert [evolve(each, reason=Reason.NEW, container_id="") for each in with_memory.changes] == [
        evolve(each, reason=Reason.NEW, container_id="") for each in without.changes
    ]
    assert with_memory.refusals == without.refusals


@given(STORES, st.lists(CUSTOM_IDS, unique=True))
def test_law_custom_ids_need_no_memory(store: Store, ids: list[str]) -> None:
    """An entry under a custom id is created, changed and deleted, each time by an agent that has just started."""
    registry = store.registry(Lifetime())
    for wanted in (custom_entries(ids, 1), custom_entries(ids, 2), Desired()):
        run_passes(wanted, registry, Lifetime(), passes=1)
        here = {key: value for key, value in registry.keys().items() if key.startswith("/services/custom/")}
        assert here == {PLAIN.key(each): PLAIN.value(each) for each in wanted.entries}
