"""Tests of model.keys: names and ids that become parts of a key, and how messages quote them."""

from __future__ import annotations

import pytest

from model.keys import (
    MAX_PART_BYTES,
    ancestors,
    by_number,
    key_part_problem,
    quoted,
    strict_id_problem,
    strict_name_problem,
)


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


@pytest.mark.parametrize(
    "in_order",
    [
        ["app-2", "app-10"],
        ["a/core-01:web-9:80", "a/core-01:web-10:80", "a/core-01:web-10:443", "a/core-2:web:80"],
        ["", "1", "a", "a1", "a1b", "a1b2", "a2"],
        ["x01", "x1", "x002", "x" + "9" * 5000],
        ["x\u0661\u0660", "x\u0662"],
    ],
)
def test_numbers_in_text_are_sorted_by_their_size(in_order: list[str]) -> None:
    """Only ASCII digits are numbers. Different texts of the same numbers have an order, too."""
    backwards = in_order[::-1]
    assert sorted(backwards, key=by_number) == in_order


@pytest.mark.parametrize("text", ["web", "WEB-2", "0", "-", "a" * 1000])
def test_strict_names_allow_letters_digits_and_dashes(text: str) -> None:
    """Ids may have these characters, too."""
    assert strict_name_problem(text) is None
    assert strict_id_problem(text) is None


@pytest.mark.parametrize("text", ["core-01:web:80", "a_b", "db.1", "_.:"])
def test_strict_ids_may_also_have_underscores_dots_and_colons(text: str) -> None:
    """Names may not."""
    assert strict_id_problem(text) is None
    assert strict_name_problem(text) is not None


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("x {server {}} server {}", " "),
        ("*", "*"),
        ('a"b', '"'),
        ("a'b", "'"),
        ("a/b/c", "/"),
        ("a;b", ";"),
        ("$(id)", "$"),
        ("{{.}}", "{"),
        ("web\n", "\n"),
        ("caf\u00e9", "\u00e9"),
        ("\u0661", "\u0661"),
        ("\u212a", "\u212a"),
        ("web\u200b", "\u200b"),
    ],
)
def test_strict_names_and_ids_have_no_other_character(text: str, character: str) -> None:
    """The problem names the first such character. Letters and digits of other scripts are not allowed."""
    expected = f"has the character {character!r}, and --strict-names allows only ASCII letters, digits"
    assert (strict_name_problem(text) or "").startswith(expected)
    assert (strict_id_problem(text) or "").startswith(expected)
