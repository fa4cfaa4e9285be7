"""Entries to keys and values, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.layout import Decoded, PlainLayout, Unreadable
from tests.support.builders import entry

LAYOUT = PlainLayout.under("/services")


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("/services", "/services"), ("/services/", "/services"), ("/a/b//", "/a/b"), ("/", ""), ("", "")],
)
def test_a_slash_at_the_end_of_a_prefix_counts_for_nothing(path: str, prefix: str) -> None:
    """As with registrator's URIs."""
    assert PlainLayout.under(path).prefix == prefix


def test_keys_and_values() -> None:
    """registrator's form; IPv6 in brackets."""
    assert LAYOUT.key(entry("team/db")) == "/services/team/db/core-01:web:80"
    assert LAYOUT.value(entry()) == "172.17.8.101:8000"
    assert LAYOUT.value(entry(address="2001:db8::10")) == "[2001:db8::10]:8000"
    assert PlainLayout.under("").key(entry()) == "/nginx/core-01:web:80"


WORDS = st.text(st.characters(exclude_characters="/:[]", codec="utf-8"), min_size=1)


@given(
    name=st.lists(WORDS, min_size=1, max_size=3).map("/".join),
    entry_id=WORDS,
    address=WORDS | st.ip_addresses().map(str),
    port=st.integers(1, 65535),
    prefix=st.sampled_from(["", "/services", "/a/b"]),
)
def test_decoding_is_the_inverse(name: str, entry_id: str, address: str, port: int, prefix: str) -> None:
    """Every entry comes back."""
    layout, written = PlainLayout.under(prefix), entry(name, entry_id, address, port)
    assert layout.decode(layout.key(written), layout.value(written)) == Decoded(name, entry_id, address, port)
    assert layout.id_of(layout.key(written)) == entry_id


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
        ("/services/nginx/x", "1:" + "9" * 5000),
    ],
)
def test_rubbish_is_a_value(key: str, value: str) -> None:
    """What somebody else wrote is never an exception."""
    assert isinstance(LAYOUT.decode(key, value), Unreadable)
