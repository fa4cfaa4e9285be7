"""Failover among the members of a cluster, without a network. Against real members: contract/test_failover."""

from __future__ import annotations

import pytest
from attrs import frozen

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.failover import (
    CONNECT_TIMEOUT,
    MIN_TIMEOUT,
    READ_TIMEOUT,
    EndpointFailover,
    NoUsableAnswer,
    time_limits,
)
from tests.support.fakes import FakeTime


@frozen
class Member:
    """A member of a cluster that does not exist."""

    url: str


class Cluster:
    """Three members. Those in ``ill`` give no usable answer; ``asked`` are those that got a request, and ``given`` the
    seconds that each had for its answer."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.ill: set[str] = set()
        self.asked: list[str] = []
        self.given: list[float] = []
        self.errors = 0
        self.failover = EndpointFailover([Member(url) for url in "abc"], self._count)

    def _count(self) -> None:
        self.errors += 1

    def ask(self, seconds: float = 10) -> str:
        """Make one request; return who answered it."""
        self.asked.clear()
        self.given.clear()
        return self.failover.ask(self._answer, Deadline.after(seconds, self.time.clock))

    def _answer(self, member: Member, until: Deadline) -> str:
        self.asked.append(member.url)
        self.given.append(until.left)
        if member.url in self.ill:
            raise NoUsableAnswer("ill")
        return member.url


def test_a_request_goes_to_the_member_that_answered_last() -> None:
    """A member that was ill is asked again only when the requests have gone round to it."""
    cluster = Cluster()
    cluster.ill = {"a"}
    assert (cluster.ask(), cluster.asked) == ("b", ["a", "b"])
    cluster.ill = set()
    assert (cluster.ask(), cluster.asked, cluster.errors) == ("b", ["b"], 1)
    cluster.ill = {"b", "c"}
    assert (cluster.ask(), cluster.asked, cluster.errors) == ("a", ["b", "c", "a"], 3)


def test_when_no_member_answers_the_error_says_what_each_did() -> None:
    """Each member is asked once."""
    cluster = Cluster()
    cluster.ill = set("abc")
    with pytest.raises(RegistryUnavailable, match=r"^a: ill; b: ill; c: ill$"):
        cluster.ask()
    assert cluster.errors == 3


def test_no_member_is_asked_after_the_deadline() -> None:
    """The error says so."""
    cluster = Cluster()
    with pytest.raises(RegistryUnavailable, match=r"^the pass ran out of time$"):
        cluster.ask(seconds=0)
    assert cluster.asked == []


def test_each_member_gets_half_of_what_is_left_and_the_last_one_all_of_it() -> None:
    """Time stands still here. Where members are slow, less and less is left."""
    cluster = Cluster()
    cluster.ill = set("ab")
    cluster.ask(seconds=8)
    assert cluster.given == [4, 4, 8]


def test_any_other_error_is_an_answer() -> None:
    """It is passed on, and no other member is asked."""
    cluster = Cluster()

    def refuse(member: Member, until: Deadline) -> str:
        cluster.asked.append(member.url)
        raise KeyError("no such key")

    with pytest.raises(KeyError):
        cluster.failover.ask(refuse, Deadline.after(10, cluster.time.clock))
    assert (cluster.asked, cluster.errors) == (["a"], 0)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (10, (CONNECT_TIMEOUT, READ_TIMEOUT, 10)),
        (1.5, (CONNECT_TIMEOUT, 1.5, 1.5)),
        (0.5, (0.5, 0.5, 0.5)),
        (0, (MIN_TIMEOUT, MIN_TIMEOUT, MIN_TIMEOUT)),
    ],
    ids=str,
)
def test_time_limits_keep_to_the_deadline(left: float, expected: tuple[float, float, float]) -> None:
    """But a request always gets a little time."""
    limits = time_limits(Deadline.after(left, FakeTime().clock))
    assert (limits.connect_timeout, limits.read_timeout, limits.total) == pytest.approx(expected)
