"""Whose a key is: the table, row by row, and what the owner record has to say."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from model.entry import Entry
from model.layout import PlainLayout
from model.ownership import Known, Ownership
from model.record import Claim
from model.stored import Actual, Stored
from tests.support.builders import HOST_IP, OWNER, entry

LAYOUT = PlainLayout.under("/services")
OURS, THEIRS = "/services/nginx/core-01:web:80", "/services/nginx/core-02:web:80"
CUSTOM = "/services/nginx/custom"
VALUE = f"{HOST_IP}:8000"
ENTRY = entry(entry_id="custom")


def claim(*values: str) -> Mapping[str, Claim]:
    """Our record's claim to the custom key."""
    return {CUSTOM: Claim.of("id-web", values)}


def ownership(claims: Mapping[str, Claim] | None = None, *contested: str, **more: Mapping[str, Known]) -> Ownership:
    """The ownership of host core-01."""
    return Ownership(OWNER, LAYOUT, claims or {}, contested=frozenset(contested), **more)


def actual(value: str | None = None) -> Actual:
    """A registry with this value at the custom key, if any."""
    return Actual({} if value is None else {CUSTOM: Stored(CUSTOM, value, 7)})


@pytest.mark.parametrize(
    ("key", "claims", "value", "contested", "ours"),
    [
        pytest.param(OURS, {}, "anything", (), True, id="our id"),
        pytest.param(OURS, {}, "anything", (OURS,), True, id="our id, claimed by another"),
        pytest.param(THEIRS, {}, VALUE, (), False, id="another's id"),
        pytest.param(CUSTOM, {}, VALUE, (), False, id="custom, not claimed"),
        pytest.param(CUSTOM, claim(VALUE), VALUE, (), True, id="custom, claimed with its value"),
        pytest.param(CUSTOM, claim("x:1", VALUE), VALUE, (), True, id="custom, claimed with its value and another"),
        pytest.param(CUSTOM, claim(VALUE), VALUE, (CUSTOM,), True, id="custom, claimed by both, with our value"),
        pytest.param(CUSTOM, claim(VALUE), "x:1", (), True, id="custom, overwritten by nobody known"),
        pytest.param(CUSTOM, claim(VALUE), "x:1", (CUSTOM,), False, id="custom, another's now"),
        pytest.param(CUSTOM, claim(VALUE), "x:1", (OURS,), True, id="custom, another key is claimed"),
    ],
)
def test_whose_a_key_is(
    key: str, claims: Mapping[str, Claim], value: str, contested: tuple[str, ...], ours: bool
) -> None:
    """Each row of the table in Ownership's docstring."""
    assert ownership(claims, *contested).owns(Stored(key, value, 7)) is ours


@pytest.mark.parametrize(
    ("key", "id_is_ours"),
    [
        (OURS, True),
        (f"{OURS}:udp", True),
        ("/services/a/b/core-01:web:80", True),
        (THEIRS, False),
        (CUSTOM, False),
        ("/services/nginx/core-01:odd", False),
        ("/services/nginx/core-01:a:b:80", False),
        ("/services/nginx/core-011:web:80", False),
        ("/services/core-01:web:80/custom", False),
    ],
)
def test_ids_that_tell_their_owner(key: str, id_is_ours: bool) -> None:
    """Only the last part of the key counts, and only in registrator's form."""
    assert ownership().id_is_ours(key) is id_is_ours


@pytest.mark.parametrize(
    ("claims", "contested", "adopted"),
    [({}, (), True), ({}, (CUSTOM,), False), (claim(VALUE), (CUSTOM,), True), (claim("x:1"), (CUSTOM,), False)],
    ids=["unclaimed", "another's", "ours and another's", "another's, that we claimed with another value"],
)
def test_an_entry_that_is_there_already_is_adopted(
    claims: Mapping[str, Claim], contested: tuple[str, ...], adopted: bool
) -> None:
    """One that registrator left, say; but not one that another host holds with the same value."""
    assert ownership(claims, *contested).adopts(Stored(CUSTOM, VALUE, 7)) is adopted


@pytest.mark.parametrize(
    ("key", "claims", "known", "expected"),
    [
        (OURS, {}, {}, ("", "web")),
        (OURS, {}, {OURS: Known(VALUE, "id-1")}, ("id-1", "web")),
        (CUSTOM, claim(VALUE), {}, ("id-web", "")),
        (CUSTOM, claim(VALUE), {CUSTOM: Known(VALUE, "id-1")}, ("id-web", "")),
        (CUSTOM, {}, {CUSTOM: Known(VALUE, "id-1")}, ("id-1", "")),
        (CUSTOM, {}, {}, ("", "")),
    ],
)
def test_for_which_container_a_key_was_written(
    key: str, claims: Mapping[str, Claim], known: Mapping[str, Known], expected: tuple[str, str]
) -> None:
    """By the record, else by memory; and the name by the id."""
    assert ownership(claims, known=known).container_of(key) == expected


@pytest.mark.parametrize(
    ("claims", "wanted", "held", "doubtful"),
    [
        pytest.param({}, True, None, False, id="free"),
        pytest.param({}, True, "x:1", False, id="there, with another value: refused anyway"),
        pytest.param({}, True, VALUE, True, id="there, with the value that we want"),
        pytest.param({}, False, VALUE, False, id="not wanted"),
        pytest.param(claim(VALUE), True, VALUE, False, id="ours, in order"),
        pytest.param(claim(VALUE), False, VALUE, True, id="ours, and to go, if nobody waits for it"),
        pytest.param(claim(VALUE), True, "x:1", True, id="claimed, wanted, overwritten"),
        pytest.param(claim(VALUE), False, "x:1", True, id="claimed, overwritten"),
        pytest.param(claim("x:1"), True, VALUE, True, id="claimed, with a value that we did not write"),
        pytest.param(claim(VALUE), True, None, False, id="claimed, and gone"),
    ],
)
def test_when_other_hosts_records_must_be_read(
    claims: Mapping[str, Claim], wanted: bool, held: str | None, doubtful: bool
) -> None:
    """Only then: an idle pass must not cost what everybody's records cost."""
    entries = {CUSTOM: ENTRY} if wanted else {}
    assert ownership(claims).keys_needing_other_records(entries, actual(held)) == (
        frozenset({CUSTOM}) if doubtful else frozenset()
    )


def test_ids_that_tell_their_owner_are_never_in_doubt() -> None:
    """Whatever they hold."""
    held = Actual({OURS: Stored(OURS, VALUE, 7)})
    assert ownership().keys_needing_other_records({OURS: entry()}, held) == frozenset()


@pytest.mark.parametrize(
    ("claims", "wanted", "held", "contested", "values"),
    [
        pytest.param({}, ENTRY, None, (), (VALUE,), id="to be created"),
        pytest.param({}, ENTRY, None, (CUSTOM,), (VALUE,), id="free, though another host claims it, too"),
        pytest.param({}, ENTRY, "x:1", (), None, id="another's: refused"),
        pytest.param({}, ENTRY, VALUE, (), (VALUE,), id="adopted"),
        pytest.param({}, ENTRY, VALUE, (CUSTOM,), None, id="another's, of the same value"),
        pytest.param(claim(VALUE), ENTRY, VALUE, (), (VALUE,), id="in order"),
        pytest.param(claim("x:1"), ENTRY, "x:1", (), (VALUE, "x:1"), id="to be updated: old and new"),
        pytest.param(claim("x:1", VALUE), ENTRY, VALUE, (), (VALUE,), id="updated: the old value is forgotten"),
        pytest.param(claim(VALUE), ENTRY, "x:1", (), (VALUE,), id="overwritten: another's value is never ours"),
        pytest.param(claim(VALUE), ENTRY, "x:1", (CUSTOM,), None, id="lost to another host"),
        pytest.param(claim(VALUE), ENTRY, None, (), (VALUE,), id="removed by somebody: to be created again"),
        pytest.param(claim(VALUE), None, VALUE, (), (VALUE,), id="to be deleted: held until it is gone"),
        pytest.param(claim(VALUE), None, "x:1", (), (VALUE,), id="overwritten, to be deleted"),
        pytest.param(claim(VALUE), None, "x:1", (CUSTOM,), None, id="lost, and not wanted"),
        pytest.param(claim(VALUE), None, None, (), None, id="gone"),
    ],
)
def test_what_the_record_has_to_say(
    claims: Mapping[str, Claim],
    wanted: Entry | None,
    held: str | None,
    contested: tuple[str, ...],
    values: tuple[str, ...] | None,
) -> None:
    """Before the changes are made, so that a crash after any of them leaves nothing that nobody owns."""
    entries = {CUSTOM: wanted} if wanted else {}
    after = ownership(claims, *contested).next_claims(entries, actual(held))
    assert {key: each.values for key, each in after.items()} == ({} if values is None else {CUSTOM: values})
    assert {each.container_id for each in after.values()} <= {"id-web"}


def test_a_claim_follows_the_container() -> None:
    """The id goes from one container to another of this host."""
    before = {CUSTOM: Claim.of("id-old", [VALUE])}
    assert ownership(before).next_claims({CUSTOM: ENTRY}, actual(VALUE))[CUSTOM].container_id == "id-web"


def test_ids_that_tell_their_owner_are_not_claimed() -> None:
    """The id says it; the record of a host without custom ids never changes."""
    held = Actual({OURS: Stored(OURS, VALUE, 7)})
    assert ownership().next_claims({OURS: entry()}, held) == {}
