"""Failover among the members of one etcd cluster, and the time limits of one request. Before anything is written to an
endpoint, it has to show that it belongs to the cluster.

The failover of python-etcd is not used: it stays with dead members and multiplies timeouts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

from controller import logs
from controller.effects.clock import Deadline
from controller.effects.one_sided_tls import shows_no_tls, shows_tls, was_closed
from controller.effects.request_time import TimeLimits
from controller.errors import RegistryUnavailable
from controller.registry.members import M, Member, Members
from controller.registry.schemes import schemes_for
from model.membership import Membership

log = logs.logger("wharfinger.registry")

#: Seconds that a connection may take to be established.
CONNECT_TIMEOUT = 1.0

#: Seconds that a member may be silent.
READ_TIMEOUT = 2.0

#: The least seconds that a request gets, however little of the pass is left: with less it could not succeed at all.
MIN_TIMEOUT = 0.05

#: Seconds without an answer from a cluster, after which it counts as replaced by the cluster that answers instead.
PATIENCE = 300.0


class NoUsableAnswer(Exception):
    """The member did not answer, or its answer says nothing about the store. Another member may know more."""


class MemberInTrouble(NoUsableAnswer):
    """The member answered as etcd does, so both ends agree on TLS. It says that something is wrong with itself."""


#: Called after a request to a member, with the member's URL, and whether it gave a usable answer.
OnRequest = Callable[[str, bool], None]


def not_counted(url: str, usable: bool) -> None:
    """Count no request."""


T = TypeVar("T")


class EndpointFailover(Generic[M]):
    """The members of one etcd cluster. Each request goes to the member that answered last, and from there to the others
    in turn until one gives a usable answer."""

    def __init__(self, members: Members[M], on_request: OnRequest) -> None:
        """``on_request`` is called after each request to a member."""
        self._source = members
        self._members: Sequence[M] = ()
        self._on_request = on_request
        self._current = 0
        self._cluster = _Cluster()
        #: The endpoints that have ever given a usable answer.
        self._answered: set[str] = set()

    def ask(self, request: Callable[[M, Deadline], T], deadline: Deadline, *, writes: bool) -> T:
        """Return the first usable answer of a member.

        ``request`` sends the request to one member, which has to answer by the given deadline; it raises NoUsableAnswer
        to have the next member asked. Any other exception of ``request`` counts as an answer, and is passed on. A
        request that ``writes`` is sent only to endpoints that have shown that they belong to the cluster. Raises
        RegistryUnavailable when no member gave a usable answer before the deadline; its message says what each endpoint
        did.
        """
        self._follow(deadline)
        self._cluster.begin()
        try:
            return self._ask_in_turn(request, deadline, writes=writes)
        except RegistryUnavailable:
            if not self._cluster.was_replaced(deadline.clock.monotonic()):
                raise
        return self._ask_in_turn(request, deadline, writes=writes)

    def _follow(self, deadline: Deadline) -> None:
        """Take in which members there are now. The one that answered last stays the first to be asked, if it is still
        among them. Raises RegistryUnavailable."""
        members = self._source.now(deadline)
        if members is self._members:
            return
        current = self._members[self._current] if self._members else None
        self._current = next((number for number, each in enumerate(members) if each is current), 0)
        self._members = members
        urls = {each.url for each in members}
        self._answered &= urls
        self._cluster.keep(urls)

    def _ask_in_turn(self, request: Callable[[M, Deadline], T], deadline: Deadline, *, writes: bool) -> T:
        """Ask each member in turn, once; otherwise as ``ask``."""
        problems = []
        start = self._current
        members = [*self._members[start:], *self._members[:start]]
        for member in members:
            if deadline.passed:
                problems.append("the pass ran out of time")
                break
            usable = True
            try:
                return self._ask_one(member, request, deadline if member is members[-1] else _half(deadline), writes)
            except NoUsableAnswer as problem:
                usable = False
                self._cluster.failed(member)
                self._source.doubt()
                self._current = (self._current + 1) % len(self._members)
                agreed = member.url in self._answered or isinstance(problem, MemberInTrouble)
                hint = "" if agreed else _tls_hint(member.url, str(problem))
                problems.append(f"{member.url}: {problem}{hint}")
            finally:
                self._on_request(member.url, usable)
        raise RegistryUnavailable("; ".join(problems))

    def _ask_one(self, member: M, request: Callable[[M, Deadline], T], deadline: Deadline, writes: bool) -> T:
        """Return a member's answer. Raises NoUsableAnswer, also if the endpoint belongs to another cluster."""
        if writes and not self._cluster.has_identified(member):
            member.identify(deadline)
            self._cluster.check(member)
        try:
            answer = request(member, deadline)
        except NoUsableAnswer:
            raise
        except Exception:
            self._cluster.answered(member)
            raise
        self._answered.add(member.url)
        self._cluster.answered(member)
        return answer


class _Cluster:
    """Keeps watch over which endpoints belong to the cluster."""

    def __init__(self) -> None:
        self._membership = Membership()
        #: The endpoints that have answered with the cluster's id since their last failure.
        self._identified: set[str] = set()
        #: The endpoints that answered the present request as those of another cluster, each with that cluster's id.
        self._strangers: dict[str, str] = {}
        #: The endpoints that were logged as those of another cluster, each with that cluster's id.
        self._logged: dict[str, str] = {}
        #: Since when only endpoints of other clusters have answered, in seconds of the monotonic clock.
        self._missed_since: float | None = None

    def begin(self) -> None:
        """Note that a request begins."""
        self._strangers = {}

    def keep(self, urls: Collection[str]) -> None:
        """Forget all endpoints but those with these URLs."""
        self._membership = self._membership.of(urls)
        self._identified.intersection_update(urls)
        self._logged = {url: cluster for url, cluster in self._logged.items() if url in urls}

    def has_identified(self, member: Member) -> bool:
        """Return whether an endpoint has answered with the cluster's id, and has not failed since."""
        return member.url in self._identified

    def failed(self, member: Member) -> None:
        """Note that an endpoint gave no usable answer. Another cluster may answer there next."""
        self._identified.discard(member.url)

    def answered(self, member: Member) -> None:
        """Note that an endpoint has answered, and its cluster id. Raises NoUsableAnswer if it is of another cluster."""
        self.check(member)
        self._membership = self._membership.with_member(member.url, member.cluster)
        self._logged.pop(member.url, None)
        self._missed_since = None
        if member.cluster:
            self._identified.add(member.url)

    def check(self, member: Member) -> None:
        """Raise NoUsableAnswer if the cluster id that an endpoint gave is another cluster's. Otherwise note nothing: an
        endpoint counts as a member only once it has answered a request."""
        if self._membership.admits(member.cluster):
            return
        self._strangers[member.url] = member.cluster
        known = self._membership.cluster
        if self._logged.get(member.url) != member.cluster:
            self._logged[member.url] = member.cluster
            log.warning("endpoint belongs to another cluster", endpoint=member.url, cluster=member.cluster, known=known)
        raise NoUsableAnswer(f"it belongs to another cluster than before ({member.cluster}, not {known})")

    def was_replaced(self, now: float) -> bool:
        """Return whether the cluster of the endpoints that answered, where no member did, has replaced the known one.
        If so, note that these endpoints are the members now."""
        if not self._strangers:
            return False
        self._missed_since = now if self._missed_since is None else self._missed_since
        new = self._membership.replaced_by(self._strangers, now - self._missed_since, PATIENCE)
        if new:
            self._membership, self._missed_since = Membership(new, frozenset(self._strangers)), None
        return bool(new)


def _tls_hint(url: str, problem: str) -> str:
    """Return which schemes to use if an endpoint gave no usable answer because only one of both ends uses TLS, or may
    have done so for that reason; an empty string otherwise, and if the problem names them itself. ``url`` is the
    endpoint's."""
    encrypted = url.startswith("https:")
    schemes = schemes_for(tls=not encrypted)
    one_sided = was_closed(problem) or (shows_no_tls(problem) if encrypted else shows_tls(problem))
    if schemes in problem or not one_sided:
        return ""
    if encrypted:
        return f" (if it does not use TLS, give one of {schemes}, without --etcd-ca, --etcd-cert and --etcd-key)"
    return f" (if it uses TLS, give one of {schemes})"


def _half(deadline: Deadline) -> Deadline:
    """Return the deadline of a member that is not the last one to be asked: half of the time that is left. The first
    member gets the most, so that a large answer arrives; and however slow it is, time is left for the next one."""
    return Deadline.after(deadline.left / 2, deadline.clock)


def time_limits(deadline: Deadline) -> TimeLimits:
    """Return the time limits of a request that has to be answered by the deadline."""
    left = max(deadline.left, MIN_TIMEOUT)
    return TimeLimits(total=left, connect=min(CONNECT_TIMEOUT, left), read=min(READ_TIMEOUT, left))
