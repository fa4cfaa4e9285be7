"""Failover among the members of one etcd cluster, and the time limits of one request.

The failover of the client libraries is not used: it stays with dead members and multiplies timeouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable

#: Seconds that a connection may take to be established.
CONNECT_TIMEOUT = 1.0

#: Seconds that a member may take to answer.
READ_TIMEOUT = 2.0

#: Seconds that a request gets at least, however little of the pass is left: with less it could not succeed at all.
MIN_TIMEOUT = 0.05


class NoUsableAnswer(Exception):
    """The member did not answer, or not in a way that says anything about the store. Another member may."""


class Member(Protocol):
    """The client of one member of the cluster."""

    @property
    def url(self) -> str:
        """The member's URL, for error messages."""


M = TypeVar("M", bound=Member)
T = TypeVar("T")


class EndpointFailover(Generic[M]):
    """The members of one etcd cluster. Each request goes to the member that answered last, and from there to the others
    in turn until one gives a usable answer."""

    def __init__(self, members: Sequence[M], on_error: Callable[[], None]) -> None:
        """``on_error`` is called for each request to a member that got no usable answer."""
        self._members = list(members)
        self._on_error = on_error
        self._current = 0

    def ask(self, request: Callable[[M], T], deadline: Deadline) -> T:
        """Return the first usable answer.

        ``request`` sends the request to one member; it raises NoUsableAnswer to have the next member asked. Anything
        else that it raises is an answer, too, and is passed on. Raises RegistryUnavailable when no member gave a usable
        answer before the deadline; its message says what each member did.
        """
        problems = []
        start = self._current
        for member in self._members[start:] + self._members[:start]:
            if deadline.passed:
                problems.append("the pass ran out of time")
                break
            try:
                return request(member)
            except NoUsableAnswer as problem:
                self._on_error()
                self._current = (self._current + 1) % len(self._members)
                problems.append(f"{member.url}: {problem}")
        raise RegistryUnavailable("; ".join(problems))


def timeouts(deadline: Deadline) -> tuple[float, float]:
    """Return the seconds that a request may take to connect and to be answered, so that the pass ends by the
    deadline."""
    left = max(deadline.left, MIN_TIMEOUT)
    return min(CONNECT_TIMEOUT, left), min(READ_TIMEOUT, left)
