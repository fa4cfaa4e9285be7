"""Tests of model.keys: names and ids that become parts of a key, and how messages quote them."""

from __future__ import annotations

import pytest

from model.keys import MAX_PART_BYTES, ancestors, key_part_problem, quoted


@pytest.mark.parametrize(
    "text",
    [
        "web",
        "team/db",
        "a b",
        "%2F",
        "ü",
        "a.b",
        "...",
        "a_",
        "~",
        "core-01:web:80",
        "x" * MAX_PART_BYTES,
        "-",
        "a\xa0b",
    ],
)
def test_a_name_can_have_slashes_and_every_visible_character(text: str) -> None:
    """A slash makes a further part of the key."""
    assert key_part_problem(text) is None


@pytest.mark.parametrize(
    ("text", "part"),
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
        ("a\ufffdb", "U+FFFD"),
        ("ü" * MAX_PART_BYTES, "longer"),
    ],
)
def test_a_name_that_would_lie_elsewhere_be_hidden_or_break_a_line_has_a_problem(text: str, part: str) -> None:
    """The problem says what is wrong with it."""
    assert part in (key_part_problem(text) or "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/".join("a" * 32), None),
        ("/".join("a" * 33), "has more than 32 parts"),
        ("/".join(["a" * 255] * 4), None),
        ("/".join(["a" * 255] * 4) + "/b", "is longer than 1024 bytes"),
    ],
)
def test_a_name_has_at_most_1024_bytes_and_32_parts(text: str, problem: str | None) -> None:
    """Every reader of the store has to follow the parts down."""
    assert key_part_problem(text) == problem


def test_the_ancestors_of_a_path_come_innermost_first() -> None:
    """A path without a slash has no ancestors."""
    assert list(ancestors("/services/a/b")) == ["/services/a", "/services"]
    assert list(ancestors("a")) == []


def test_a_quoted_text_is_escaped_and_cut_short_after_100_characters() -> None:
    """A container's label can be of any length."""
    assert quoted("a\nb") == r"'a\nb'"
    assert quoted("x" * 101) == f"'{'x' * 100}'…"
