"""Keys that exclude each other: a key cannot be where another one needs a directory."""

from __future__ import annotations

import pytest

from model.container import Container
from model.desired import desired
from model.keys import ancestors, key_part_problem, quoted
from model.layout import PlainLayout
from model.ownership import Ownership
from model.plan import Action, plan
from model.refusal import RefusalReason
from model.snapshot import Snapshot
from model.stored import Actual, Stored
from tests.support.builders import PLAIN, container, rules

LAYOUT = PlainLayout.under("/services")
OURS = Ownership("core-01", LAYOUT)

#: Name and id of two entries that exclude each other.
CLASHES = [
    (("team", "app"), ("team/app", "x")),
    (("team/app", "x"), ("team", "app")),
    (("team/app", "x"), ("team", "app/x")),
    (("a", "b"), ("a/b/c/d", "e")),
    (("a/b/c/d", "e"), ("a", "b")),
]


def asking(name: str, created: int, service: str, entry_id: str) -> Container:
    """A container that asks for this name and id."""
    return container(
        name,
        publish={"80/tcp": "0.0.0.0:8000"},
        env=(f"SERVICE_NAME={service}", f"SERVICE_ID={entry_id}"),
        created=f"2026-01-01T00:00:0{created}.000000000Z",
    )


def actual(**values: str) -> Actual:
    """Keys below the prefix, as they are read."""
    return Actual({f"/services/{key}": Stored(f"/services/{key}", value, 7) for key, value in values.items()})


def there(*keys: str) -> Actual:
    """The same, with a stranger's value."""
    return actual(**dict.fromkeys(keys, "192.0.2.9:80"))


@pytest.mark.parametrize(("first", "second"), CLASHES)
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_containers_the_elder_has_it(first: tuple[str, str], second: tuple[str, str], turned: bool) -> None:
    """Whatever the order in which they are read."""
    both = asking("elder", 1, *first), asking("younger", 2, *second)
    result = desired(Snapshot(both[::-1] if turned else both), rules(), PLAIN)
    assert [entry.identity for entry in result.entries] == [first]
    (refusal,) = result.refusals
    assert (refusal.container.name, refusal.reason) == ("younger", RefusalReason.DUPLICATE)
    assert "/".join(first) in refusal.detail
    assert "/".join(second) in refusal.detail


def test_neighbours_exclude_nobody() -> None:
    """A name that begins like another is no directory of it."""
    both = asking("one", 1, "team", "app"), asking("two", 2, "team/apple", "x")
    assert len(desired(Snapshot(both), rules(), PLAIN).entries) == 2


@pytest.mark.parametrize("key", ["team", "team/app/x", "team/app/x/y"])
def test_what_a_strangers_key_excludes_is_refused(key: str) -> None:
    """It is not tried either: it would fail in every pass."""
    wanted = desired(Snapshot((asking("web", 1, "team", "app"),)), rules(), PLAIN)
    result = plan(wanted, there(key, "tea", "team/apple/x"), OURS)
    (refusal,) = result.refusals
    assert (refusal.reason, result.changes) == (RefusalReason.CONFLICT, ())
    assert f"/services/{key}" in refusal.detail


def test_a_key_that_is_about_to_go_excludes_nobody() -> None:
    """The write may still come too early: it then is overtaken, and the next pass makes it."""
    wanted = desired(Snapshot((asking("web", 1, "worker/core-01:gone:80", "app"),)), rules(), PLAIN)
    result = plan(wanted, there("worker/core-01:gone:80"), OURS)
    assert {change.action for change in result.changes} == {Action.CREATE, Action.DELETE}
    assert result.refusals == ()


def test_directories() -> None:
    """From the inside out."""
    assert list(ancestors("/services/a/b")) == ["/services/a", "/services"]
    assert list(ancestors("a")) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/".join("a" * 32), None),
        ("/".join("a" * 33), "has more than 32 parts"),
        ("/".join(["a" * 255] * 4), None),
        ("/".join(["a" * 255] * 4) + "/b", "is longer than 1024 bytes"),
    ],
)
def test_names_and_ids_are_bounded(text: str, problem: str | None) -> None:
    """In length and in depth: every reader of the store has to follow them down."""
    assert key_part_problem(text) == problem


def test_long_texts_are_cut_short_in_messages() -> None:
    """A label can be as long as its writer likes."""
    assert quoted("a\nb") == r"'a\nb'"
    assert quoted("x" * 101) == f"'{'x' * 100}'…"
