"""The owner record: where it is kept, how it is written, and what is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.record import ROOT, Claim, OwnerRecord, RecordKeys, claim_size, claimed_keys

TEXTS = st.text(max_size=12)
CLAIMS = st.dictionaries(TEXTS, st.builds(Claim.of, TEXTS, st.lists(TEXTS, max_size=3)), max_size=4)
RECORDS = st.builds(OwnerRecord, TEXTS, CLAIMS)


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/services", "/_wharfinger/%2Fservices"),
        ("/team/services", "/_wharfinger/%2Fteam%2Fservices"),
        ("", "/_wharfinger/%2F"),
        ("/a b", "/_wharfinger/%2Fa%20b"),
        ("/ünï", "/_wharfinger/%2F%C3%BCn%C3%AF"),
        ("/100%", "/_wharfinger/%2F100%25"),
    ],
)
def test_each_prefix_has_a_shelf_of_its_own(prefix: str, path: str) -> None:
    """One key part for the whole prefix, so that no shelf lies inside another; hidden from every listing."""
    shelf = RecordKeys(prefix)
    assert shelf.path == path
    assert shelf.folder("core-01") == f"{path}/core-01"
    assert shelf.record("core-01") == f"{path}/core-01/record"
    assert shelf.liveness_query("core-01") == f"{path}/core-01/question"


@given(TEXTS, TEXTS)
def test_shelves_of_different_prefixes_are_different(one: str, other: str) -> None:
    """And none is outside the hidden root, or below another one."""
    first, second = RecordKeys(f"/{one}").path, RecordKeys(f"/{other}").path
    assert (first == second) is (one == other)
    assert first.removeprefix(f"{ROOT}/").count("/") == 0
    assert ROOT.startswith("/_")


@given(RECORDS)
def test_what_is_written_is_read(record: OwnerRecord) -> None:
    """The codec and its inverse."""
    assert OwnerRecord.decode(record.encode()) == record


@given(RECORDS)
def test_equal_records_are_written_alike(record: OwnerRecord) -> None:
    """Whatever order they were made in, so that an idle pass writes nothing; and in ASCII."""
    backwards = {
        key: Claim.of(each.container_id, reversed(each.values * 2))
        for key, each in reversed(list(record.claims.items()))
    }
    assert OwnerRecord(record.engine, backwards).encode() == record.encode()
    assert record.encode().isascii()


def test_how_a_record_is_written() -> None:
    """A promise to those who read it with etcdctl, and to later versions."""
    record = OwnerRecord("ID:1", {"/services/redis/redis-1": Claim.of("id-redis", ["10.0.0.1:6379"])})
    assert record.encode() == (
        '{"claims":{"/services/redis/redis-1":{"container":"id-redis","values":["10.0.0.1:6379"]}},"engine":"ID:1"}'
    )
    assert OwnerRecord().encode() == '{"claims":{},"engine":""}'


GOOD = {"engine": "ID:1", "claims": {"/k": {"container": "id", "values": ["v"]}}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "null",
        "7",
        "[]",
        '"text"',
        "{}",
        '{"engine": "x"}',
        '{"claims": {}}',
        '{"engine": "x", "claims": null}',
        '{"engine": "x", "claims": []}',
        '{"engine": "x", "claims": {"/k": null}}',
        '{"engine": "x", "claims": {"/k": {}}}',
        '{"engine": "x", "claims": {"/k": {"container": "id"}}}',
        '{"engine": "x", "claims": {"/k": {"container": "id", "values": 7}}}',
        '{"engine": "x", "claims": {"/k": ["container", "values"]}}',
        json.dumps(GOOD)[:-1],
        f"{json.dumps(GOOD)} and more",
        "[" * 100_000,
        "9" * 10_000,
    ],
    ids=lambda text: text[:40],
)
def test_rubbish_is_no_record(text: str) -> None:
    """Never an exception."""
    assert OwnerRecord.decode(text) is None


@given(TEXTS | st.recursive(st.none() | st.integers() | TEXTS, st.lists).map(json.dumps))
def test_whatever_is_there_can_be_read_as_a_record_or_not(text: str) -> None:
    """Never an exception."""
    assert isinstance(OwnerRecord.decode(text), OwnerRecord | None)


def test_what_later_versions_may_add_is_no_harm() -> None:
    """Fields that are not known are not looked at."""
    assert OwnerRecord.decode(json.dumps({**GOOD, "version": 2})) == OwnerRecord("ID:1", {"/k": Claim("id", ("v",))})


@pytest.mark.parametrize(
    ("written", "engine", "ours"),
    [("a", "a", True), ("a", "b", False), ("", "b", True), ("a", "", True), ("", "", True)],
)
def test_whose_a_record_is(written: str, engine: str, ours: bool) -> None:
    """As far as the ids tell: an engine without one is given the benefit of the doubt."""
    assert OwnerRecord(written).belongs_to(engine) is ours


def test_what_others_claim_is_the_union() -> None:
    """Of all keys, whatever values."""
    records = [OwnerRecord("a", {"/k": Claim("1", ())}), OwnerRecord("b"), OwnerRecord("c", {"/l": Claim("2", ("v",))})]
    assert claimed_keys(records) == {"/k", "/l"}
    assert claimed_keys([]) == frozenset()


def test_a_long_value_is_told_by_its_digest() -> None:
    """The record stays small, and still tells the values apart; one that is read back is the same claim."""
    long, other = "x" * 100_000, "x" * 100_001
    claim = Claim.of("id-web", [long, "192.0.2.1:80"])
    assert (claim.covers(long), claim.covers(other), claim.covers("192.0.2.1:80"), claim.covers("")) == (
        True,
        False,
        True,
        False,
    )
    record = OwnerRecord("e", {"/services/redis/redis-1": claim})
    assert OwnerRecord.decode(record.encode()) == record
    assert Claim.of("id-web", claim.values) == claim


@given(st.text(max_size=300), st.lists(st.text(max_size=200), max_size=2))
def test_no_claim_is_larger_than_it_is_said_to_be(key: str, values: list[str]) -> None:
    """Whatever the key and the values are made of."""
    whole = OwnerRecord("", {key: Claim.of("0" * 64, values)}).encode()
    assert len(whole.encode()) - len(OwnerRecord("").encode()) <= claim_size(key)
