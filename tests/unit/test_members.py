"""The members of a cluster, where the DNS says which they are. With a real name server: contract/test_srv.py."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import define, field

from controller.effects.clock import Deadline
from controller.effects.discovery import Discovery
from controller.errors import RegistryUnavailable
from controller.registry.members import FoundMembers, NamedMembers, SrvEndpoints, members_of
from model.host_port import HostPort
from tests.support.captured_logs import capture_logs
from tests.support.fakes import FakeTime

RECORD = "_etcd-client._tcp.example.test"

A, B, C = (HostPort(name, 2379) for name in "abc")


@define
class Member:
    """A member that notes whether it was closed."""

    endpoint: HostPort
    closed: bool = False
    cluster: str = ""

    @property
    def url(self) -> str:
        """See ``Member`` in ``registry/members.py``."""
        return f"http://{self.endpoint}"

    def identify(self, deadline: Deadline) -> None:
        """See ``Member`` in ``registry/members.py``."""

    def close(self) -> None:
        """See ``Member`` in ``registry/members.py``."""
        self.closed = True


@define
class Found(Discovery):
    """A discovery that knows these endpoints. ``given`` are the seconds that it might have taken."""

    now: Sequence[HostPort] = ()
    wrong: str = ""
    doubts: int = 0
    given: list[float] = field(factory=list)
    gone: list[HostPort] = field(factory=list)

    def endpoints(self, record: str, seconds: float) -> Sequence[HostPort]:
        """See Discovery."""
        self.given.append(seconds)
        if not self.now:
            raise OSError(f"{record} is unknown")
        return self.now

    def problem(self, record: str) -> str:
        """See Discovery."""
        return self.wrong

    def doubt(self, record: str) -> None:
        """See Discovery."""
        self.doubts += 1

    def let_go(self, endpoint: HostPort) -> None:
        """See Discovery."""
        self.gone.append(endpoint)


def soon(seconds: float = 10.0) -> Deadline:
    """Return a deadline of a clock that stands still."""
    return Deadline.after(seconds, FakeTime().clock)


def found(*endpoints: HostPort) -> tuple[Found, FoundMembers[Member]]:
    """Return a discovery that knows these endpoints, and the members there."""
    discovery = Found(endpoints)
    return discovery, FoundMembers(SrvEndpoints(discovery, RECORD), Member)


def test_the_members_stay_the_same_objects_while_the_endpoints_do() -> None:
    """They keep their connections."""
    _, members = found(A, B)
    assert [each.endpoint for each in members.now(soon())] == [A, B]
    assert members.now(soon()) is members.now(soon())


def test_a_member_that_is_gone_is_closed_and_one_that_stays_is_kept() -> None:
    """The name of the host that is gone is looked up no longer. One line of the log has the new endpoints."""
    discovery, members = found(A, B)
    before = [*members.now(soon())]
    discovery.now = (C, B)
    with capture_logs() as lines:
        after = [*members.now(soon())]
        members.now(soon())
    assert [each.endpoint for each in after] == [C, B]
    assert after[1] is before[1]
    assert ([each.closed for each in before], after[0].closed) == ([True, False], False)
    assert discovery.gone == [A]
    assert [(line["event"], line["endpoints"]) for line in lines] == [("endpoints have changed", ["c:2379", "b:2379"])]


def test_another_order_of_the_same_endpoints_is_no_news() -> None:
    """It is followed, and not logged."""
    discovery, members = found(A, B)
    before = [*members.now(soon())]
    discovery.now = (B, A)
    with capture_logs() as lines:
        assert [*members.now(soon())] == before[::-1]
    assert lines == []


def test_look_ups_that_fail_are_logged_once_until_they_succeed_again() -> None:
    """The members stay."""
    discovery, members = found(A)
    with capture_logs() as lines:
        before = members.now(soon())
        for discovery.wrong in ("no answer", "no such record", "", "no answer"):
            assert members.now(soon()) is before
    assert [(line["event"], line.get("problem"), line["record"]) for line in lines] == [
        ("endpoints cannot be looked up, the known ones stay", "no answer", RECORD),
        ("endpoints can be looked up again", None, RECORD),
        ("endpoints cannot be looked up, the known ones stay", "no answer", RECORD),
    ]


def test_as_long_as_no_endpoint_is_known_the_registry_is_unavailable() -> None:
    """The look-up gets half of the time, so that some is left for the first request."""
    discovery, members = found()
    with pytest.raises(RegistryUnavailable, match=f"{RECORD} is unknown"):
        members.now(soon(8.0))
    assert discovery.given == [4.0]


def test_a_member_without_an_answer_makes_the_records_doubtful() -> None:
    """Members that a URI names stay what they are."""
    discovery, members = found(A)
    members.doubt()
    assert discovery.doubts == 1
    named = members_of([A, A], Member)
    assert isinstance(named, NamedMembers)
    named.doubt()
    assert named.now(soon()) == [Member(A), Member(A)]
