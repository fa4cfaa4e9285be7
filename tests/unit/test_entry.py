"""Ids, and what may become a part of a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.container import PortId
from model.entry import PART_LIMIT, DefaultId, key_part_problem


@pytest.mark.parametrize(
    ("protocol", "text"), [("tcp", "core-01:web:80"), ("udp", "core-01:web:80:udp"), ("sctp", "core-01:web:80")]
)
def test_ids_are_registrators(protocol: str, text: str) -> None:
    """Only udp leaves a mark."""
    assert str(DefaultId.of("core-01", "web", PortId(80, protocol))) == text


@given(st.from_regex(r"[^:]+:[^:]+:[0-9]+(:udp)?", fullmatch=True))
def test_an_id_reads_as_it_writes(text: str) -> None:
    """Parsing is the inverse of writing."""
    assert str(DefaultId.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["redis-1", "", "a:b", "a:b:c", "a:b:80:tcp", ":b:80", "a::80", "a:b:80\n", "a:b:c:80"]
)
def test_other_ids_are_not_in_registrators_form(text: str) -> None:
    """Nothing is taken for an id of some host that does not have the whole form."""
    assert DefaultId.parse(text) is None


@pytest.mark.parametrize(
    "text",
    ["web", "team/db", "a b", "%2F", "ü", "a.b", "...", "a_", "~", "core-01:web:80", "x" * PART_LIMIT, "-", "a\xa0b"],
)
def test_what_can_be_a_name(text: str) -> None:
    """A slash nests; every other character that can be seen is fine."""
    assert key_part_problem(text) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        (".", "'.'"),
        ("..", "'..'"),
        ("../evil", "'..'"),
        ("a/../../b", "'..'"),
        ("a//b", "''"),
        ("/a", "''"),
        ("a/", "''"),
        ("_hidden", "hides"),
        ("a/_hidden", "hides"),
        ("a\nb", "control"),
        ("a\x1b[31m", "control"),
        ("a\x7f", "control"),
        ("\ud800", "control"),
        ("a\u2028b", "control"),
        ("ü" * PART_LIMIT, "longer"),
    ],
)
def test_what_cannot_be_a_name(text: str, word: str) -> None:
    """What would land elsewhere, be hidden, or break a line."""
    assert word in (key_part_problem(text) or "")
