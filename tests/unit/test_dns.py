"""Tests of model.dns: which texts can be names in DNS."""

from __future__ import annotations

import pytest

from model.dns import domain_problem, is_label, label_problem


@pytest.mark.parametrize("text", ["a", "0", "redis-1", "my_app", "Web", "a--b", "a" * 63, "1.2"[:1]])
def test_letters_and_digits_with_dashes_and_underscores_inside_are_a_label(text: str) -> None:
    """Small and capital letters are allowed."""
    assert is_label(text)
    assert label_problem(text) is None


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "_a", "a_", "a.b", "a b", "a:b", "a/b", "ü", "\u212aube", "a\n", "a" * 64, "٣"]
)
def test_a_text_that_is_no_label_has_a_problem_that_describes_a_label(text: str) -> None:
    """A leading ``_`` is not allowed, because etcd hides a key that begins with it."""
    assert not is_label(text)
    assert (label_problem(text) or "").startswith("is no DNS label: up to 63 letters")


@pytest.mark.parametrize("text", ["any", "ANY", "*"])
def test_a_wildcard_cannot_be_a_label(text: str) -> None:
    """A query for it would be answered with the records of every name."""
    assert label_problem(text) == "is what a DNS server takes for any name"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("local", None),
        ("cluster.local", None),
        ("a." * 126 + "b", None),
        ("a." * 126 + "bc", "is longer than 253 characters"),
        ("", "has the part '', which is no DNS label"),
        ("a..b", "has the part '', which is no DNS label"),
        ("cluster.local.", "has the part '', which is no DNS label"),
        ("any.local", "has the part 'any', which is what a DNS server takes for any name"),
        ("a/b", "has the part 'a/b', which is no DNS label"),
    ],
)
def test_a_domain_is_made_of_labels_with_dots_between_them(text: str, problem: str | None) -> None:
    """A domain has labels with dots between them, at most 253 characters, and no dot at its end."""
    found = domain_problem(text)
    assert found is None if problem is None else (found or "").startswith(problem)
