"""The members of one etcd cluster, asked in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from controller.clock import Deadline
from controller.errors import RegistryUnavailable

#: Seconds for a connection, and for an answer.
CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 2.0

#: However little of the pass is left, a request is given this long.
LEAST = 0.05


class Unusable(Exception):
    """This member gave no answer that counts; another one may."""


class Member(Protocol):
    """One member of the cluster."""

    @property
    def url(self) -> str:
        """Where it is, for messages."""


M = TypeVar("M", bound=Member)
T = TypeVar("T")


class EndpointFailover(Generic[M]):
    """A request goes to the members in turn, beginning with the one that answered last. The client libraries' own
    failover is not used: it sticks to dead nodes and multiplies timeouts."""

    def __init__(self, members: Sequence[M], on_error: Callable[[], None]) -> None:
        """``on_error`` is called for each request that got no usable answer."""
        self._members = list(members)
        self._on_error = on_error
        self._current = 0

    def ask(self, question: Callable[[M], T], deadline: Deadline) -> T:
        """The first usable answer. ``question`` raises Unusable where there is none; whatever else it raises is an
        answer, too. Raises RegistryUnavailable when no member gave one before the deadline."""
        problems = []
        start = self._current
        for member in self._members[start:] + self._members[:start]:
            if deadline.passed:
                problems.append("the pass ran out of time")
                break
            try:
                return question(member)
            except Unusable as problem:
                self._on_error()
                self._current = (self._current + 1) % len(self._members)
                problems.append(f"{member.url}: {problem}")
        raise RegistryUnavailable("; ".join(problems))


def timeouts(deadline: Deadline) -> tuple[float, float]:
    """Seconds that a request may take to connect, and to be answered, so that the pass ends in time."""
    left = max(deadline.left, LEAST)
    return min(CONNECT_TIMEOUT, left), min(READ_TIMEOUT, left)
