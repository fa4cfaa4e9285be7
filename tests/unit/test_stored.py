"""What a registry holds, as it was read."""

from __future__ import annotations

import pytest

from model.stored import Lifetime, StorePosition

MARK = StorePosition("c1", 7)


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (StorePosition("c1", 7), True),
        (StorePosition("c1", 8), True),
        (StorePosition("c1", 6), False),
        (StorePosition("c1", 0), False),
        (StorePosition("c2", 7), False),
        (StorePosition("c2", 8), False),
    ],
    ids=str,
)
def test_whether_it_can_be_the_same_store_later(now: StorePosition, same: bool) -> None:
    """The same cluster, whose index never goes back."""
    assert now.succeeds(MARK) is same


@pytest.mark.parametrize(
    ("lifetime", "left", "due", "unwanted"),
    [
        (Lifetime(), None, False, False),
        (Lifetime(), 5, False, True),
        (Lifetime(30, 10), None, True, False),
        (Lifetime(30, 10), 31, True, False),
        (Lifetime(30, 10), 30, False, False),
        (Lifetime(30, 10), 21, False, False),
        (Lifetime(30, 10), 20, True, False),
    ],
    ids=str,
)
def test_whether_a_lifetime_is_as_it_should_be(lifetime: Lifetime, left: int | None, due: bool, unwanted: bool) -> None:
    """Due from the refresh on, or when there is too much left; without a lifetime any is unwanted."""
    assert (lifetime.due(left), lifetime.unwanted(left)) == (due, unwanted)
