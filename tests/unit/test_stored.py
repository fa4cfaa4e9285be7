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
    ],
    ids=str,
)
def test_a_lifetime_is_due_with_too_little_or_too_much_left_and_unwanted_without_ttl(
    lifetime: Lifetime, left: int | None, due: bool, unwanted: bool
) -> None:
    """A key that does not expire is due if it should. Where keys do not expire, any lifetime is unwanted."""
    assert (lifetime.due(left), lifetime.unwanted(left)) == (due, unwanted)


def test_the_id_of_a_lease_can_be_worked_out_again() -> None:
    """Another prefix, owner or lifetime is another lease; etcd takes a positive number of 63 bits."""
    one = Lifetime(30, 10).lease_id("/services", "core-01")
    assert one == Lifetime(30, 20).lease_id("/services", "core-01")
    others = {
        Lifetime(31, 10).lease_id("/services", "core-01"),
        Lifetime(30, 10).lease_id("/services", "core-02"),
        Lifetime(30, 10).lease_id("/service", "score-01"),
    }
    assert len(others | {one}) == 4
    assert all(0 < each < 2**63 for each in others)


@pytest.mark.parametrize("ttl", [2, 30, 2**32 + 5])
def test_where_coredns_reads_the_lease_says_how_long_an_answer_is_good_for(ttl: int) -> None:
    """In its low 32 bits, which CoreDNS before 1.12.4 takes for seconds; hosts have their own leases all the same."""
    ids = {Lifetime(ttl, 1).lease_id("/skydns/local/cluster", f"core-{number}") for number in range(50)}
    assert {each & 0xFFFFFFFF for each in ids} == {min(ttl, 2**32 - 1)}
    assert len(ids) == 50
    assert all(0 < each < 2**63 for each in ids)
    assert Lifetime(ttl, 1).lease_id("/services", "core-1") & 0xFFFFFFFF != ttl
