"""Tests of model.record: where owner records are kept, how they are written, and which texts are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.record import (
    ROOT,
    Claim,
    InnerPrefix,
    OwnerRecord,
    RecordKeys,
    claim_size,
    claimed_keys,
    inner_prefixes,
)

# Arbitrary records.

TEXTS = st.text(max_size=12)
CLAIMS = st.dictionaries(TEXTS, st.builds(Claim.of, TEXTS, st.lists(TEXTS, max_size=3)), max_size=4)
RECORDS = st.builds(OwnerRecord, TEXTS, CLAIMS)

#: The document of a record.
GOOD = {"engine": "ID:1", "claims": {"/k": {"container": "id", "values": ["v"]}}}

# Where records are kept.


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
def test_the_records_of_each_prefix_have_a_hidden_directory(prefix: str, path: str) -> None:
    """The whole prefix is one part of the key, so no such directory lies in another one."""
    record_keys = RecordKeys(prefix)
    assert record_keys.path == path
    assert record_keys.folder("core-01") == f"{path}/core-01"
    assert record_keys.record("core-01") == f"{path}/core-01/record"
    assert record_keys.liveness_query("core-01") == f"{path}/core-01/question"
    assert record_keys.agent_note("core-01") == f"{path}/core-01/agent"
    assert record_keys.drain_order("core-01") == f"{path}/core-01/drain"


@given(TEXTS, TEXTS)
def test_two_prefixes_never_share_a_directory_of_records(one: str, other: str) -> None:
    """Each directory lies in the hidden root, and none lies in another one."""
    first, second = RecordKeys(f"/{one}").path, RecordKeys(f"/{other}").path
    assert (first == second) is (one == other)
    assert first.removeprefix(f"{ROOT}/").count("/") == 0
    assert ROOT.startswith("/_")


INNER = RecordKeys("/services/registrator")


@pytest.mark.parametrize(
    ("outer", "found"),
    [
        ("/services", {"/services/a b/c": ("core-03",), "/services/registrator": ("core-01", "core-02")}),
        ("/services/registrator", {}),
        ("/service", {}),
        (
            "",
            {
                "/elsewhere": ("core-01",),
                "/services": ("core-01",),
                "/services/a b/c": ("core-03",),
                "/services/registrator": ("core-01", "core-02"),
            },
        ),
    ],
)
def test_an_inner_prefix_is_one_within_another_that_has_owner_records(
    outer: str, found: dict[str, tuple[str, ...]]
) -> None:
    """There is no inner prefix without records. The outer prefix itself is none, nor is a prefix whose name only begins
    alike."""
    keys = [INNER.record("core-02"), INNER.record("core-01"), RecordKeys("/services/a b/c").record("core-03")]
    keys += [RecordKeys(prefix).record("core-01") for prefix in ("", "/services", "/elsewhere")]
    keys += [RecordKeys("/services/asked").liveness_query("core-01"), "/services/registrator/record", f"{ROOT}/record"]
    assert {each.prefix: each.owners for each in inner_prefixes(outer, keys)} == found
    assert all(RecordKeys(inner).path.startswith(RecordKeys(outer).inner_paths) for inner in found)


def test_an_inner_prefix_contains_the_keys_below_it() -> None:
    """A key beside the inner prefix whose name begins alike is not below it."""
    inner = InnerPrefix("/services/registrator", ("core-01",))
    assert inner.contains("/services/registrator/web/core-01:web:80")
    assert not inner.contains("/services/registrator-2/core-01:web:80")
    assert not inner.contains("/services/registrator")


# How records are written and read.


@given(RECORDS)
def test_decoding_is_the_inverse_of_encoding(record: OwnerRecord) -> None:
    """Every record is read back as it was."""
    assert OwnerRecord.decode(record.encode()) == record


@given(RECORDS)
def test_equal_records_have_equal_text(record: OwnerRecord) -> None:
    """The text of a record does not depend on the order in which it was made, so that an idle pass writes nothing. The
    text is ASCII."""
    backwards = {
        key: Claim.of(each.container_id, reversed(each.values * 2))
        for key, each in reversed(list(record.claims.items()))
    }
    assert OwnerRecord(record.engine, backwards).encode() == record.encode()
    assert record.encode().isascii()


def test_the_text_of_a_record_is_canonical_json() -> None:
    """People who read it with etcdctl, and later versions, rely on this form."""
    record = OwnerRecord("ID:1", {"/services/redis/redis-1": Claim.of("id-redis", ["10.0.0.1:6379"])})
    assert record.encode() == (
        '{"claims":{"/services/redis/redis-1":{"container":"id-redis","values":["10.0.0.1:6379"]}},"engine":"ID:1"}'
    )
    assert OwnerRecord().encode() == '{"claims":{},"engine":""}'


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
def test_a_text_of_another_form_is_no_record(text: str) -> None:
    """Decoding a text that is no record returns None and raises no exception."""
    assert OwnerRecord.decode(text) is None


@given(TEXTS | st.recursive(st.none() | st.integers() | TEXTS, st.lists).map(json.dumps))
def test_no_text_raises_an_exception_when_it_is_decoded(text: str) -> None:
    """Decoding any text returns a record or None."""
    assert isinstance(OwnerRecord.decode(text), OwnerRecord | None)


def test_an_unknown_field_is_ignored() -> None:
    """Later versions may add fields."""
    assert OwnerRecord.decode(json.dumps({**GOOD, "version": 2})) == OwnerRecord("ID:1", {"/k": Claim("id", ("v",))})


# What records say.


@pytest.mark.parametrize(
    ("written", "engine", "ours"),
    [("a", "a", True), ("a", "b", False), ("", "b", True), ("a", "", True), ("", "", True)],
)
def test_a_record_belongs_to_the_engine_whose_id_it_has(written: str, engine: str, ours: bool) -> None:
    """Where one of the two ids is unknown, the record may be that engine's, so it counts as its own."""
    assert OwnerRecord(written).belongs_to(engine) is ours


def test_the_claimed_keys_of_several_records_are_all_their_keys() -> None:
    """The values do not matter."""
    records = [OwnerRecord("a", {"/k": Claim("1", ())}), OwnerRecord("b"), OwnerRecord("c", {"/l": Claim("2", ("v",))})]
    assert claimed_keys(records) == {"/k", "/l"}
    assert claimed_keys([]) == frozenset()


def test_a_long_value_is_recorded_as_its_digest() -> None:
    """A record with long values stays small and still tells two values apart. A claim that was read back is the same
    claim."""
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
def test_no_claim_is_larger_than_its_claim_size(key: str, values: list[str]) -> None:
    """A claim of any key and values takes at most as many bytes as claim_size says."""
    whole = OwnerRecord("", {key: Claim.of("0" * 64, values)}).encode()
    assert len(whole.encode()) - len(OwnerRecord("").encode()) <= claim_size(key)
