"""Which texts can be names of the DNS."""

from __future__ import annotations

import pytest

from model.dns import domain_problem, is_label, label_problem


@pytest.mark.parametrize("text", ["a", "0", "redis-1", "my_app", "Web", "a--b", "a" * 63, "1.2"[:1]])
def test_labels(text: str) -> None:
    """Letters in both cases, digits, dashes and underscores inside."""
    assert is_label(text)
    assert label_problem(text) is None


@pytest.mark.parametrize(
    "text", ["", "-a", "a-", "_a", "a_", "a.b", "a b", "a:b", "a/b", "ü", "\u212aube", "a\n", "a" * 64, "٣"]
)
def test_what_is_no_label(text: str) -> None:
    """With what would be one; an etcd key with ``_`` at its beginning is hidden."""
    assert not is_label(text)
    assert (label_problem(text) or "").startswith("is no DNS label: up to 63 letters")


@pytest.mark.parametrize("text", ["any", "ANY", "*"])
def test_a_wildcard_is_no_name(text: str) -> None:
    """A question for it would be answered with everybody's records."""
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
def test_domains(text: str, problem: str | None) -> None:
    """Labels between dots, and not too many."""
    found = domain_problem(text)
    assert found is None if problem is None else (found or "").startswith(problem)
