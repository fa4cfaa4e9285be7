"""Tests of model.ownership: which keys are this host's, row by row of its table, and what its owner record claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from model.desired import Desired
from model.entry import Entry
from model.ownership import Holding, Known, Ownership
from model.plan import Action, plan
from model.record import Claim, InnerPrefix, OwnerRecord
from model.stored import Actual, Stored
from tests.support.builders import HOST_IP, OWNER, PLAIN, entry

#: A key under a default id of this host, one of another host, and one under a custom id.
OURS, THEIRS = "/services/nginx/core-01:web:80", "/services/nginx/core-02:web:80"
CUSTOM = "/services/nginx/custom"

#: The value of the entry under the custom id, and our claim of it.
VALUE = f"{HOST_IP}:8000"
CLAIM = Claim("id-web", (VALUE,))
ENTRY = entry(entry_id="custom")

#: A value that this host did not write.
OTHER_VALUE = "192.0.2.2:80"


def our_claim(*values: str) -> Mapping[str, Claim]:
    """Return our record's claims: the custom key, with these values."""
    return {CUSTOM: Claim.of("id-web", values)}


def ownership_with(claims: Mapping[str, Claim] | None = None, *contested: str, **more: Any) -> Ownership:
    """Return the ownership of host core-01 with these claims in its record. ``contested`` are the keys that other
    hosts' records claim."""
    return Ownership(OWNER, PLAIN, claims or {}, contested=frozenset(contested), **more)


def registry_with(value: str | None = None, key: str = CUSTOM) -> Actual:
    """Return a registry that holds this value at the key, or nothing if the value is None."""
    return Actual({} if value is None else {key: Stored(key, value, 7)})


def other_records(value: str) -> list[OwnerRecord]:
    """Return the record of another host that claims the custom key with this value, and one that claims nothing."""
    return [OwnerRecord("B", {CUSTOM: Claim("id-other", (value,))}), OwnerRecord("C")]


# The table, and what else tells the owner of a key.


@pytest.mark.parametrize(
    ("key", "claims", "value", "contested", "ours"),
    [
        pytest.param(OURS, {}, "anything", (), True, id="our id"),
        pytest.param(OURS, {}, "anything", (OURS,), True, id="our id, claimed by another"),
        pytest.param(THEIRS, {}, VALUE, (), False, id="another's id"),
        pytest.param(CUSTOM, {}, VALUE, (), False, id="custom, not claimed"),
        pytest.param(CUSTOM, our_claim(VALUE), VALUE, (), True, id="custom, claimed with its value"),
        pytest.param(CUSTOM, our_claim("x:1", VALUE), VALUE, (), True, id="custom, claimed with its value and another"),
        pytest.param(CUSTOM, our_claim(VALUE), VALUE, (CUSTOM,), True, id="custom, claimed by both, with our value"),
        pytest.param(CUSTOM, our_claim(VALUE), "x:1", (), True, id="custom, overwritten by no known host"),
        pytest.param(
            CUSTOM, our_claim(VALUE), "x:1", (CUSTOM,), False, id="custom, claimed by another host with another value"
        ),
        pytest.param(CUSTOM, our_claim(VALUE), "x:1", (OURS,), True, id="custom, another key is claimed"),
    ],
)
def test_the_table_decides_whether_a_key_is_ours(
    key: str, claims: Mapping[str, Claim], value: str, contested: tuple[str, ...], ours: bool
) -> None:
    """Each row of the table in Ownership's docstring."""
    assert ownership_with(claims, *contested).owns(Stored(key, value, 7)) is ours


@pytest.mark.parametrize(
    ("key", "id_is_ours"),
    [
        (OURS, True),
        (f"{OURS}:udp", True),
        (f"{OURS}:sctp", True),
        (f"{OURS}:dccp", False),
        ("/services/a/b/core-01:web:80", True),
        (THEIRS, False),
        (CUSTOM, False),
        ("/services/nginx/core-01:odd", False),
        ("/services/nginx/core-01:a:b:80", False),
        ("/services/nginx/core-011:web:80", False),
        ("/services/core-01:web:80/custom", False),
    ],
)
def test_only_a_default_id_names_this_host_as_the_owner(key: str, id_is_ours: bool) -> None:
    """The last part of the key names the owner if it has the whole form of a default id; no other part counts."""
    assert ownership_with().id_is_ours(key) is id_is_ours


@pytest.mark.parametrize(
    ("claims", "contested", "adopted"),
    [({}, (), True), ({}, (CUSTOM,), False), (our_claim(VALUE), (CUSTOM,), True), (our_claim("x:1"), (CUSTOM,), False)],
    ids=["unclaimed", "another's", "ours and another's", "another's, that we claimed with another value"],
)
def test_a_key_with_the_right_value_is_adopted_unless_only_another_host_claims_it(
    claims: Mapping[str, Claim], contested: tuple[str, ...], adopted: bool
) -> None:
    """In a pass that may adopt, a key that already holds the right value counts as this host's. registrator, for
    example, may have left such a key."""
    assert ownership_with(claims, *contested, may_adopt=True).adopts(Stored(CUSTOM, VALUE, 7)) is adopted


@pytest.mark.parametrize("contested", [(), (CUSTOM,)], ids=["nobody's", "another's"])
@pytest.mark.parametrize(("claims", "adopted"), [({}, False), (our_claim(VALUE), True)], ids=["unclaimed", "ours"])
def test_any_other_pass_adopts_no_key_that_the_record_does_not_claim(
    claims: Mapping[str, Claim], contested: tuple[str, ...], adopted: bool
) -> None:
    """Whoever wrote the key may rely on it, even if it has the right value."""
    assert ownership_with(claims, *contested).adopts(Stored(CUSTOM, VALUE, 7)) is adopted


@pytest.mark.parametrize(
    ("claims", "stored", "may_adopt", "expected"),
    [
        ({}, {CUSTOM: VALUE, OURS: VALUE}, False, {OURS: Holding("", VALUE, "web")}),
        ({}, {CUSTOM: VALUE, THEIRS: VALUE}, True, {CUSTOM: Holding("", VALUE)}),
        (our_claim(VALUE), {CUSTOM: VALUE, THEIRS: VALUE}, False, {CUSTOM: Holding("id-web", VALUE)}),
        (our_claim(VALUE), {CUSTOM: "x:1"}, True, {CUSTOM: Holding("id-web", "x:1")}),
        (our_claim(VALUE), {}, False, {CUSTOM: Holding("id-web", "")}),
    ],
    ids=["default id", "unclaimed, and may adopt", "claimed", "overwritten", "absent"],
)
def test_the_id_or_the_claim_and_the_value_tell_which_container_has_a_key(
    claims: Mapping[str, Claim], stored: Mapping[str, str], may_adopt: bool, expected: dict[str, Holding]
) -> None:
    """A default id names its container itself. Keys that are another host's have no holder here."""
    actual = Actual({key: Stored(key, value, 7) for key, value in stored.items()})
    assert ownership_with(claims, may_adopt=may_adopt).holdings(actual) == expected


@pytest.mark.parametrize(
    ("key", "claims", "known", "expected"),
    [
        (OURS, {}, {}, ("", "web")),
        (OURS, {}, {OURS: Known(VALUE, "id-1")}, ("id-1", "web")),
        (CUSTOM, our_claim(VALUE), {}, ("id-web", "")),
        (CUSTOM, our_claim(VALUE), {CUSTOM: Known(VALUE, "id-1")}, ("id-web", "")),
        (CUSTOM, {}, {CUSTOM: Known(VALUE, "id-1")}, ("id-1", "")),
        (CUSTOM, {}, {}, ("", "")),
    ],
)
def test_the_container_of_a_key_is_known_from_record_memory_or_id(
    key: str, claims: Mapping[str, Claim], known: Mapping[str, Known], expected: tuple[str, str]
) -> None:
    """The id of a key's container comes from the record, or else from memory; its name comes from a default id."""
    assert ownership_with(claims, known=known).container_of(key) == expected


# Inner prefixes: prefixes within this one that have owner records of their own.

INNER = InnerPrefix("/services/nginx", ("core-02",))


def test_a_key_below_an_inner_prefix_is_somebody_elses_whatever_shows_that_it_is_ours() -> None:
    """The key belongs to the agents of the inner prefix. Neither our id nor our claim counts, and the key is not
    adopted."""
    ownership = ownership_with(our_claim(VALUE), may_adopt=True, inner=(INNER,))
    for key in (OURS, CUSTOM):
        assert not ownership.owns(Stored(key, VALUE, 7))
        assert not ownership.adopts(Stored(key, VALUE, 7))
    beside = Stored("/services/nginx-2/core-01:web:80", VALUE, 7)
    assert ownership.owns(beside)
    assert (ownership.inner_prefix_of(CUSTOM), ownership.inner_prefix_of(beside.key)) == (INNER, None)


@pytest.mark.parametrize("stored_value", [None, VALUE, "x:1"])
def test_a_key_below_an_inner_prefix_is_not_claimed(stored_value: str | None) -> None:
    """The key will not be written, so it needs no claim. An earlier claim is dropped."""
    ownership = ownership_with(our_claim(VALUE), may_adopt=True, inner=(INNER,))
    assert ownership.next_claims({CUSTOM: ENTRY}, registry_with(stored_value)) == {}


# When other hosts' records are needed.


@pytest.mark.parametrize(
    ("claims", "wanted", "stored_value", "needed"),
    [
        pytest.param({}, True, None, False, id="free"),
        pytest.param({}, True, "x:1", False, id="there, with another value: a conflict in any case"),
        pytest.param({}, True, VALUE, False, id="there, with the value that we want: not ours in any case"),
        pytest.param({}, False, VALUE, False, id="not wanted"),
        pytest.param(our_claim(VALUE), True, VALUE, False, id="ours, in order"),
        pytest.param(our_claim(VALUE), False, VALUE, True, id="ours, and to be deleted unless another host claims it"),
        pytest.param(our_claim(VALUE), True, "x:1", True, id="claimed, wanted, overwritten"),
        pytest.param(our_claim(VALUE), False, "x:1", True, id="claimed, overwritten"),
        pytest.param(our_claim("x:1"), True, VALUE, True, id="claimed, with a value that we did not write"),
        pytest.param(our_claim(VALUE), True, None, False, id="claimed, and gone"),
    ],
)
def test_other_hosts_records_are_needed_only_for_keys_that_cannot_be_decided_without(
    claims: Mapping[str, Claim], wanted: bool, stored_value: str | None, needed: bool
) -> None:
    """An idle pass must not cost as much as reading the record of every host."""
    entries = {CUSTOM: ENTRY} if wanted else {}
    assert ownership_with(claims).keys_needing_other_records(entries, registry_with(stored_value)) == (
        frozenset({CUSTOM}) if needed else frozenset()
    )


@pytest.mark.parametrize(("stored_value", "needed"), [(None, set()), ("x:1", set()), (VALUE, {CUSTOM})])
def test_a_pass_that_may_adopt_needs_other_records_for_what_it_would_adopt(
    stored_value: str | None, needed: set[str]
) -> None:
    """Another host's record may claim the key."""
    ownership = ownership_with(may_adopt=True)
    assert ownership.keys_needing_other_records({CUSTOM: ENTRY}, registry_with(stored_value)) == needed


def test_a_key_under_a_default_id_never_needs_other_hosts_records() -> None:
    """A default id names the owner, so no record is needed to decide about its key."""
    actual = Actual({OURS: Stored(OURS, VALUE, 7)})
    assert ownership_with(may_adopt=True).keys_needing_other_records({OURS: entry()}, actual) == frozenset()


@pytest.mark.parametrize(("held", "needed"), [((), {CUSTOM}), (("id-web",), set()), (("id-other",), {CUSTOM})])
def test_the_key_of_a_held_container_needs_other_records_only_if_its_value_is_not_ours(
    held: tuple[str, ...], needed: set[str]
) -> None:
    """A failed container can be held for days, and its passes must not cost more than others."""
    ownership = Ownership(OWNER, PLAIN, {CUSTOM: CLAIM})
    assert ownership.keys_needing_other_records({}, registry_with(VALUE), held) == needed
    assert ownership.keys_needing_other_records({}, registry_with(OTHER_VALUE), held) == {CUSTOM}


# Other hosts' records.


@pytest.mark.parametrize(("theirs", "deletes"), [(VALUE, 0), (OTHER_VALUE, 1)])
def test_an_unwanted_key_belongs_to_another_host_that_claims_its_present_value(theirs: str, deletes: int) -> None:
    """We no longer remove a key whose value another host claims. If that host claims another value, its claim came too
    late, and we remove the key."""
    actual = registry_with(VALUE)
    ownership = Ownership(OWNER, PLAIN, {CUSTOM: CLAIM}).with_other_records(other_records(theirs), {}, actual)
    result = plan(Desired(), actual, ownership)
    assert (result.count(Action.DELETE), result.foreign) == (deletes, 1 - deletes)
    assert len(ownership.next_claims({}, actual)) == deletes


def test_a_wanted_key_that_we_hold_stays_ours_if_another_host_claims_it_too() -> None:
    """The key counts as contested all the same."""
    wanted = {CUSTOM: ENTRY}
    ownership = Ownership(OWNER, PLAIN, {CUSTOM: CLAIM}).with_other_records(
        other_records(VALUE), wanted, registry_with(VALUE)
    )
    assert ownership.claims == {CUSTOM: CLAIM}
    assert ownership.contested == {CUSTOM}


# Claims that another agent of this host has taken out of the record.


@pytest.mark.parametrize(("value", "claimed"), [(VALUE, True), (OTHER_VALUE, False)])
def test_a_remembered_key_that_still_has_its_value_is_claimed_again(value: str, claimed: bool) -> None:
    """A key that holds another value by now is not what this agent wrote."""
    ownership = Ownership(OWNER, PLAIN, known={CUSTOM: Known(VALUE, "id-web")}).with_remembered_claims(
        registry_with(value)
    )
    assert ownership.claims == ({CUSTOM: CLAIM} if claimed else {})
    assert plan(Desired(), registry_with(value), ownership).count(Action.DELETE) == claimed


def test_memory_changes_no_claim_that_is_in_the_record() -> None:
    """A remembered value is not added to a recorded claim, and a key under a default id is not claimed at all."""
    claim = Claim("id-new", (VALUE, OTHER_VALUE))
    known = {CUSTOM: Known(VALUE, "id-web"), OURS: Known(VALUE, "id-web")}
    before = Ownership(OWNER, PLAIN, {CUSTOM: claim}, known)
    assert before.with_remembered_claims(registry_with(VALUE)).claims == {CUSTOM: claim}
    assert before.with_remembered_claims(registry_with(VALUE, OURS)).claims == {CUSTOM: claim}


# What the record has to claim next.


@pytest.mark.parametrize(
    ("claims", "wanted", "stored_value", "contested", "values"),
    [
        pytest.param({}, ENTRY, None, (), (VALUE,), id="to be created"),
        pytest.param({}, ENTRY, None, (CUSTOM,), (VALUE,), id="free, though another host claims it, too"),
        pytest.param({}, ENTRY, "x:1", (), None, id="another's, which is a conflict"),
        pytest.param({}, ENTRY, VALUE, (), None, id="somebody's, of the same value"),
        pytest.param({}, ENTRY, VALUE, (CUSTOM,), None, id="another's, of the same value"),
        pytest.param(our_claim(VALUE), ENTRY, VALUE, (), (VALUE,), id="in order"),
        pytest.param(our_claim("x:1"), ENTRY, "x:1", (), (VALUE, "x:1"), id="to be updated: old and new"),
        pytest.param(
            our_claim("x:1", VALUE), ENTRY, VALUE, (), (VALUE,), id="updated: the old value is no longer claimed"
        ),
        pytest.param(our_claim(VALUE), ENTRY, "x:1", (), (VALUE,), id="overwritten: another's value is never ours"),
        pytest.param(our_claim(VALUE), ENTRY, "x:1", (CUSTOM,), None, id="lost to another host"),
        pytest.param(our_claim(VALUE), ENTRY, None, (), (VALUE,), id="removed by somebody: to be created again"),
        pytest.param(our_claim(VALUE), None, VALUE, (), (VALUE,), id="to be deleted: claimed until it is gone"),
        pytest.param(our_claim(VALUE), None, "x:1", (), (VALUE,), id="overwritten, to be deleted"),
        pytest.param(our_claim(VALUE), None, "x:1", (CUSTOM,), None, id="lost, and not wanted"),
        pytest.param(our_claim(VALUE), None, None, (), None, id="gone"),
    ],
)
def test_the_next_record_claims_each_custom_key_that_will_be_written_or_is_still_held(
    claims: Mapping[str, Claim],
    wanted: Entry | None,
    stored_value: str | None,
    contested: tuple[str, ...],
    values: tuple[str, ...] | None,
) -> None:
    """The record is written before the other changes, so that a crash after any of them leaves no key without an
    owner."""
    entries = {CUSTOM: wanted} if wanted else {}
    after = ownership_with(claims, *contested).next_claims(entries, registry_with(stored_value))
    assert {key: each.values for key, each in after.items()} == ({} if values is None else {CUSTOM: values})
    assert {each.container_id for each in after.values()} <= {"id-web"}


@pytest.mark.parametrize(
    ("contested", "claimed"), [((), {CUSTOM: CLAIM}), ((CUSTOM,), {})], ids=["nobody's", "another's"]
)
def test_the_next_record_claims_what_a_pass_adopts(contested: tuple[str, ...], claimed: Mapping[str, Claim]) -> None:
    """From then on an adopted key counts as written by this host."""
    ownership = ownership_with({}, *contested, may_adopt=True)
    assert ownership.next_claims({CUSTOM: ENTRY}, registry_with(VALUE)) == claimed


def test_a_claim_names_the_container_that_has_the_id_now() -> None:
    """An id can go from one container of this host to another."""
    before = {CUSTOM: Claim.of("id-old", [VALUE])}
    assert ownership_with(before).next_claims({CUSTOM: ENTRY}, registry_with(VALUE))[CUSTOM].container_id == "id-web"


def test_a_key_under_a_default_id_is_not_claimed() -> None:
    """The record of a host without custom ids never changes."""
    actual = Actual({OURS: Stored(OURS, VALUE, 7)})
    assert ownership_with().next_claims({OURS: entry()}, actual) == {}


# The keys that were written for containers.


@pytest.mark.parametrize(
    ("containers", "keys"),
    [
        (None, (OURS, CUSTOM)),
        ({"web"}, (OURS,)),
        ({"id-web"}, (CUSTOM,)),
        ({"id-db", "db"}, ()),
        ({""}, ()),
    ],
    ids=["all", "name in an id", "claimed for an id", "another", "nothing is said"],
)
def test_the_keys_that_were_written_for_containers_are_found(
    containers: set[str] | None, keys: tuple[str, ...]
) -> None:
    """A default id names its container, and the record the one of a custom id. Foreign keys are not among them."""
    actual = Actual({key: Stored(key, VALUE, 7) for key in (OURS, THEIRS, CUSTOM, "/services/nginx/by-hand")})
    assert ownership_with(our_claim(VALUE)).keys_written_for(containers, actual) == keys


def test_a_key_that_somebody_has_overwritten_was_not_written_for_a_container() -> None:
    """Under a custom id, the value shows who wrote it."""
    ownership = ownership_with(our_claim(VALUE))
    assert ownership.keys_written_for(None, registry_with(OTHER_VALUE)) == ()
    assert ownership.keys_written_for(None, registry_with(OTHER_VALUE, OURS)) == (OURS,)
