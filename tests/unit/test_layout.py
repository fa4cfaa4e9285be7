"""Tests of model.layout: entries to keys and values, and back."""

from __future__ import annotations

import json
from itertools import product

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from model.layout import VALUE_LIMIT, Decoded, PlainLayout, Unreadable, ValueFormat
from model.refusal import RefusalReason, RefusedPort
from tests.support.builders import PLAIN, entry

JSON_LAYOUT = PlainLayout.under("/services", ValueFormat.JSON)


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("/services", "/services"), ("/services/", "/services"), ("/a/b//", "/a/b"), ("/", ""), ("", "")],
)
def test_a_slash_at_the_end_of_a_prefix_is_ignored(path: str, prefix: str) -> None:
    """registrator's URIs are read in the same way."""
    assert PlainLayout.under(path).prefix == prefix


def test_keys_and_values_have_registrators_form() -> None:
    """An IPv6 address is in brackets."""
    assert PLAIN.key(entry("team/db")) == "/services/team/db/core-01:web:80"
    assert PLAIN.value(entry()) == "172.17.8.101:8000"
    assert PLAIN.value(entry(address="2001:db8::10")) == "[2001:db8::10]:8000"
    assert PlainLayout.under("").key(entry()) == "/nginx/core-01:web:80"


#: No address has a brace, with which JSON begins.
WORDS = st.text(st.characters(exclude_characters="/:[]{", codec="utf-8"), min_size=1)


@given(
    name=st.lists(WORDS, min_size=1, max_size=3).map("/".join),
    entry_id=WORDS,
    address=WORDS | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    prefix=st.sampled_from(["", "/services", "/a/b"]),
)
def test_decoding_is_the_inverse_of_encoding(name: str, entry_id: str, address: str, port: int, prefix: str) -> None:
    """Each entry is read back, in whichever format it was written and whichever format this host writes."""
    layouts = [PlainLayout.under(prefix, form) for form in ValueFormat]
    written, expected = entry(name, entry_id, address, port), Decoded(name, entry_id, address, port)
    for reader, writer in product(layouts, repeat=2):
        assert reader.decode(writer.key(written), writer.value(written)) == expected
        assert reader.id_of(writer.key(written)) == entry_id


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("/other/nginx/x", "10.0.0.1:80"),
        ("/services/x", "10.0.0.1:80"),
        ("/servicesx/nginx/x", "10.0.0.1:80"),
        ("/services/nginx/x", ""),
        ("/services/nginx/x", "hello"),
        ("/services/nginx/x", ":80"),
        ("/services/nginx/x", "10.0.0.1:"),
        ("/services/nginx/x", "10.0.0.1:0"),
        ("/services/nginx/x", "10.0.0.1:65536"),
        ("/services/nginx/x", "10.0.0.1:8\u0660"),
        ("/services/nginx/x", "::1:80"),
        ("/services/nginx/x", "[10.0.0.1]:80"),
        ("/services/nginx/x", '{"host":"10.0.0.1","port":80}'),
        ("/services/nginx/x", "{"),
        ("/services/nginx/x", "{}"),
        ("/services/nginx/x", '{"a":' * 100_000),
        ("/services/nginx/x", '{"address":"10.0.0.1"}'),
        ("/services/nginx/x", '{"address":"","port":80}'),
        ("/services/nginx/x", '{"address":1,"port":80}'),
        ("/services/nginx/x", '{"address":"10.0.0.1","port":"80"}'),
        ("/services/nginx/x", '{"address":"10.0.0.1","port":true}'),
        ("/services/nginx/x", '{"address":"10.0.0.1","port":65536}'),
        ("/services/x", '{"address":"10.0.0.1","port":80}'),
        ("/services/nginx/x", "1:" + "9" * 5000),
    ],
)
def test_a_key_or_value_of_another_form_is_unreadable(key: str, value: str) -> None:
    """Text that somebody else wrote never raises an exception."""
    assert isinstance(PLAIN.decode(key, value), Unreadable)


def test_a_json_value_has_everything_that_is_known_of_the_entry() -> None:
    """A JSON value is sorted and compact, so that equal entries have equal values."""
    given = evolve(entry("team/db", "db-1"), tags=("b", "a"), attributes={"Ä": "\u2028", "region": "eu"}, image="db:1")
    assert JSON_LAYOUT.value(given) == (
        '{"address":"172.17.8.101","attributes":{"region":"eu","Ä":"\u2028"},'
        '"container":{"id":"id-web","image":"db:1","name":"web"},"id":"db-1","name":"team/db","port":8000,'
        '"protocol":"tcp","tags":["b","a"]}'
    )
    assert JSON_LAYOUT.key(given) == PLAIN.key(given)
    assert '"address":"2001:db8::10"' in JSON_LAYOUT.value(entry(address="2001:db8::10"))


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters())), st.lists(st.text(st.characters())))
def test_a_json_value_can_hold_any_text(attributes: dict[str, str], tags: list[str]) -> None:
    """A JSON value can be written as UTF-8, and is read back as the container wrote it."""
    value = JSON_LAYOUT.value(evolve(entry(), attributes=attributes, tags=tuple(tags)))
    document = json.loads(value.encode())
    assert (document["attributes"], document["tags"]) == (attributes, tags)


def test_a_json_value_over_the_limit_is_refused() -> None:
    """The labels of one container must not make a request that etcd refuses. An address with a port is always short
    enough."""
    given = evolve(entry(), attributes={"x": ""}, variables={"x": "label SERVICE_80_X"})
    room = VALUE_LIMIT - len(JSON_LAYOUT.value(given))
    longest, longer = (evolve(given, attributes={"x": "ü" * (room // 2) + each}) for each in ("", "xx"))
    JSON_LAYOUT.check(longest)
    PLAIN.check(longer)
    with pytest.raises(RefusedPort) as refused:
        JSON_LAYOUT.check(longer)
    assert refused.value.reason is RefusalReason.BAD_ATTRIBUTE
    assert "SERVICE_ attributes and tags make a value of 6553" in refused.value.detail
    assert refused.value.detail.endswith("; the longest is label SERVICE_80_X")


@pytest.mark.parametrize(
    ("variables", "named"), [({"tags": "label SERVICE_TAGS"}, "label SERVICE_TAGS"), ({}, "-tags")]
)
def test_the_refusal_of_a_long_json_value_names_what_sets_its_longest_part(
    variables: dict[str, str], named: str
) -> None:
    """Tags come from the container or from -tags."""
    given = evolve(entry(), attributes={"x": "short"}, tags=("t" * VALUE_LIMIT,), variables=variables)
    with pytest.raises(RefusedPort) as refused:
        JSON_LAYOUT.check(given)
    assert refused.value.detail.endswith(f"; the longest is {named}")
