"""Tests of model.stored: what a registry holds, as it was read."""

from __future__ import annotations

import pytest

from model.stored import Lifetime, StorePosition

STORE_POSITION = StorePosition("c1", 7)


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
def test_a_store_position_succeeds_an_earlier_one_of_the_same_cluster(now: StorePosition, same: bool) -> None:
    """The index of a store never goes back unless the store was wiped or restored."""
    assert now.succeeds(STORE_POSITION) is same


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
        (Lifetime(15, 10, 12.0), 13, False, False),
        (Lifetime(15, 10, 12.0), 12, True, False),
        (Lifetime(15, 10, 20.0), 15, True, False),
        (Lifetime(15, 10, 1.0), 6, False, False),
        (Lifetime(15, 10, 1.0), 5, True, False),
    ],
    ids=str,
)
def test_a_lifetime_is_due_with_too_little_or_too_much_left_and_unwanted_without_ttl(
    lifetime: Lifetime, left: int | None, due: bool, unwanted: bool
) -> None:
    """A key that does not expire is due if it should. Where keys do not expire, any lifetime is unwanted."""
    assert (lifetime.due(left), lifetime.unwanted(left)) == (due, unwanted)
