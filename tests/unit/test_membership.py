"""Tests of which endpoints are members of the cluster that is written to."""

from __future__ import annotations

import pytest

from model.membership import Membership

PATIENCE = 300.0

NONE = Membership()
THREE = Membership("old", frozenset("abc"))
ONE = Membership("old", frozenset("a"))


def test_the_first_answer_says_which_cluster_it_is() -> None:
    """Other endpoints with the same cluster id are members, too. An endpoint that does not tell its cluster id may be
    one."""
    assert NONE.admits("old")
    known = NONE.with_member("a", "old")
    assert known == ONE
    assert [known.admits(cluster) for cluster in ("old", "", "new")] == [True, True, False]
    assert known.with_member("b", "old") == Membership("old", frozenset("ab"))
    assert known.with_member("a", "old") is known


def test_an_answer_without_an_id_makes_no_member() -> None:
    """A proxy in front of etcd may leave the id out."""
    assert NONE.with_member("a", "") == NONE


def test_endpoints_that_are_gone_count_no_longer() -> None:
    """So they are not missed among those that answer. The cluster stays the same, even if all endpoints are new."""
    assert THREE.of({"a", "d"}) == ONE
    new = THREE.of({"d"})
    assert (new.admits("old"), new.admits("new")) == (True, False)
    assert new.replaced_by({"d": "new"}, PATIENCE - 1, PATIENCE) == ""
    assert new.replaced_by({"d": "new"}, PATIENCE, PATIENCE) == "new"


@pytest.mark.parametrize(
    ("membership", "answered", "missed_for", "replaced_by"),
    [
        (ONE, {"a": "new"}, 0, "new"),
        (ONE, {"a": "new", "b": "new"}, 0, "new"),
        (ONE, {"a": "new", "b": "third"}, 0, ""),
        (ONE, {"b": "new"}, 0, ""),
        (ONE, {"b": "new"}, PATIENCE - 1, ""),
        (ONE, {"b": "new"}, PATIENCE, "new"),
        (ONE, {"b": "new", "c": "third"}, PATIENCE, ""),
        (ONE, {}, PATIENCE, ""),
        (THREE, {"a": "new"}, 0, ""),
        (THREE, {"a": "new", "b": "new"}, 0, "new"),
        (THREE, {"a": "new", "d": "new"}, 0, ""),
        (THREE, {"a": "new"}, PATIENCE, "new"),
    ],
    ids=[
        "the very endpoint",
        "and another one",
        "they do not agree",
        "the member is away",
        "for some time",
        "for long",
        "for long, and the others do not agree",
        "nobody answers",
        "one of three was wiped",
        "two of three",
        "one of three, and a stranger",
        "for long, one of three",
    ],
)
def test_a_cluster_is_replaced_if_its_members_say_so_or_it_is_missed_for_long(
    membership: Membership, answered: dict[str, str], missed_for: float, replaced_by: str
) -> None:
    """A cluster that is only slow is not replaced because another one answers meanwhile."""
    assert membership.replaced_by(answered, missed_for, PATIENCE) == replaced_by
