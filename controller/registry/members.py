"""The members of one etcd cluster: those at the endpoints that a URI names, or at those that the DNS has now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from attrs import frozen

from controller import logs
from controller.effects.clock import Deadline
from controller.effects.discovery import Discovery
from controller.errors import RegistryUnavailable
from model.host_port import HostPort

log = logs.logger("wharfinger.registry")


class Member(Protocol):
    """The client of one member of the cluster."""

    @property
    def url(self) -> str:
        """The member's URL, for error messages."""

    @property
    def cluster(self) -> str:
        """The cluster id in its last answer; empty if that had none."""

    def identify(self, deadline: Deadline) -> None:
        """Send a request, so that the member's cluster id is known from the answer. Raises NoUsableAnswer."""

    def close(self) -> None:
        """Close the connections to the member."""


M = TypeVar("M", bound=Member)
M_co = TypeVar("M_co", bound=Member, covariant=True)


class Members(Protocol[M_co]):
    """The members of one cluster, in the order in which they should be asked. There is always one."""

    def now(self, deadline: Deadline) -> Sequence[M_co]:
        """Return the members as they are now: the same object while they are the same. Raises RegistryUnavailable."""

    def doubt(self) -> None:
        """Note that a member gave no usable answer."""


class NamedMembers(Generic[M]):
    """Members that stay the same while the program runs."""

    def __init__(self, members: Sequence[M]) -> None:
        self._members = members

    def now(self, deadline: Deadline) -> Sequence[M]:
        """See Members."""
        return self._members

    def doubt(self) -> None:
        """See Members. Nobody else knows of other members."""


@frozen
class SrvEndpoints:
    """The endpoints that the SRV records with a name have."""

    discovery: Discovery
    record: str


class FoundMembers(Generic[M]):
    """The members at the endpoints that SRV records have. A member that no record names any more is closed."""

    def __init__(self, endpoints: SrvEndpoints, make: Callable[[HostPort], M]) -> None:
        """``make`` returns the client of a member. Nothing is looked up yet."""
        self._discovery, self._record, self._make = endpoints.discovery, endpoints.record, make
        self._endpoints: Sequence[HostPort] = ()
        self._at: Mapping[HostPort, M] = MappingProxyType({})
        self._members: Sequence[M] = ()
        self._failing = False

    def now(self, deadline: Deadline) -> Sequence[M]:
        """See Members. The first call waits for the look-up, for half of the time until the deadline at most."""
        try:
            endpoints = self._discovery.endpoints(self._record, deadline.left / 2)
        except OSError as error:
            raise RegistryUnavailable(str(error)) from error
        self._report(self._discovery.problem(self._record))
        if endpoints is not self._endpoints:
            self._follow(endpoints)
        return self._members

    def doubt(self) -> None:
        """See Members."""
        self._discovery.doubt(self._record)

    def _follow(self, endpoints: Sequence[HostPort]) -> None:
        """Make the clients of new members, and close those of members that are gone."""
        gone = {endpoint: member for endpoint, member in self._at.items() if endpoint not in endpoints}
        if self._endpoints and {*endpoints} != {*self._endpoints}:
            log.info("endpoints have changed", record=self._record, endpoints=[*map(str, endpoints)])
        self._endpoints = endpoints
        self._at = {endpoint: self._at.get(endpoint) or self._make(endpoint) for endpoint in endpoints}
        self._members = [*self._at.values()]
        for endpoint, member in gone.items():
            member.close()
            self._discovery.let_go(endpoint)

    def _report(self, problem: str) -> None:
        """Log that look-ups have begun to fail, or succeed again. ``problem`` is that of the last one, or empty."""
        if problem and not self._failing:
            log.warning("endpoints cannot be looked up, the known ones stay", record=self._record, problem=problem)
        elif self._failing and not problem:
            log.info("endpoints can be looked up again", record=self._record)
        self._failing = bool(problem)


def members_of(endpoints: Sequence[tuple[str, int]] | SrvEndpoints, make: Callable[[HostPort], M]) -> Members[M]:
    """Return the members at these endpoints, whose clients ``make`` returns."""
    if isinstance(endpoints, SrvEndpoints):
        return FoundMembers(endpoints, make)
    return NamedMembers([make(HostPort(*each)) for each in endpoints])
