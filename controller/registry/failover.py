"""Failover among the members of one etcd cluster, and the time limits of one request.

The failover of the client libraries is not used: it stays with dead members and multiplies timeouts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from controller.effects.clock import Deadline
from controller.effects.connections import TimeLimits
from controller.errors import RegistryUnavailable

#: Seconds that a connection may take to be established.
CONNECT_TIMEOUT = 1.0

#: Seconds that a member may be silent.
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

    def ask(self, request: Callable[[M, Deadline], T], deadline: Deadline) -> T:
        """Return the first usable answer.

        ``request`` sends the request to one member, which has to answer by the given deadline; it raises NoUsableAnswer
        to have the next member asked. Anything else that it raises is an answer, too, and is passed on. Raises
        RegistryUnavailable when no member gave a usable answer before the deadline; its message says what each member
        did.
        """
        problems = []
        start = self._current
        members = self._members[start:] + self._members[:start]
        for member in members:
            if deadline.passed:
                problems.append("the pass ran out of time")
                break
            try:
                return request(member, deadline if member is members[-1] else _half(deadline))
            except NoUsableAnswer as problem:
                self._on_error()
                self._current = (self._current + 1) % len(self._members)
                problems.append(f"{member.url}: {problem}")
        raise RegistryUnavailable("; ".join(problems))


def _half(deadline: Deadline) -> Deadline:
    """Return the deadline of a member after which others can be asked. The first one gets the most, so that a large
    answer arrives; and however slow each of them is, some time is left for the next."""
    return Deadline.after(deadline.left / 2, deadline.clock)


def time_limits(deadline: Deadline) -> TimeLimits:
    """Return the time limits of a request that has to be answered by the deadline."""
    left = max(deadline.left, MIN_TIMEOUT)
    return TimeLimits(total=left, connect=min(CONNECT_TIMEOUT, left), read=min(READ_TIMEOUT, left))
