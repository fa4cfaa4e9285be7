"""Failover among the members of a cluster, without a network. Against real members: contract/test_failover."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import define

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.failover import (
    CONNECT_TIMEOUT,
    MIN_TIMEOUT,
    PATIENCE,
    READ_TIMEOUT,
    EndpointFailover,
    NoUsableAnswer,
    not_counted,
    time_limits,
)
from controller.registry.members import NamedMembers
from tests.support.captured_logs import capture_logs
from tests.support.fakes import FakeTime


@define
class Member:
    """A member of the cluster of these tests. ``serves`` is the id of the cluster that answers at the member's
    address."""

    url: str
    serves: str = "old"
    cluster: str = ""
    ill: bool = False

    def identify(self, deadline: Deadline) -> None:
        """Take on the id of the cluster behind the address; see ``Member`` in ``registry/members.py``."""
        if self.ill:
            raise NoUsableAnswer("ill")
        self.cluster = self.serves

    def close(self) -> None:
        """See ``Member`` in ``registry/members.py``."""


@define
class Source:
    """The members that there are now. ``doubts`` counts how often one gave no usable answer."""

    members: Sequence[Member]
    doubts: int = 0

    def now(self, deadline: Deadline) -> Sequence[Member]:
        """See ``Members`` in ``registry/members.py``."""
        return self.members

    def doubt(self) -> None:
        """See ``Members`` in ``registry/members.py``."""
        self.doubts += 1


class Cluster:
    """A cluster of three members. Those in ``ill`` give no usable answer. ``asked`` are the members that got a request,
    and ``given`` the seconds that each of them had for its answer."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.ill: set[str] = set()
        self.asked: list[str] = []
        self.given: list[float] = []
        self.errors = 0
        self.requests: list[str] = []
        self.members = {url: Member(url) for url in "abc"}
        self.source = Source([*self.members.values()])
        self.failover = EndpointFailover(self.source, self._count)

    def _count(self, url: str, usable: bool) -> None:
        self.requests.append(f"{url} {'answered' if usable else 'failed'}")
        self.errors += not usable

    def ask(self, seconds: float = 10, *, writes: bool = False) -> str:
        """Make one request; return who answered it."""
        self.asked.clear()
        self.given.clear()
        for url, member in self.members.items():
            member.ill = url in self.ill
        return self.failover.ask(self._answer, Deadline.after(seconds, self.time.clock), writes=writes)

    def _answer(self, member: Member, until: Deadline) -> str:
        self.asked.append(member.url)
        self.given.append(until.left)
        member.identify(until)
        return member.url


def test_each_request_to_a_member_is_told_once_with_how_it_ended() -> None:
    """A refusal is an answer, too, and so is one for which the member had to tell first who it is."""
    cluster = Cluster()
    cluster.ill = {"a"}
    cluster.ask(writes=True)
    assert cluster.requests == ["a failed", "b answered"]

    def refuse(member: Member, until: Deadline) -> str:
        raise KeyError("no such key")

    with pytest.raises(KeyError):
        cluster.failover.ask(refuse, Deadline.after(1, cluster.time.clock), writes=False)
    assert cluster.requests == ["a failed", "b answered", "b answered"]


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
    """The clock stands still in this test. With slow members, less and less time is left."""
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
        cluster.failover.ask(refuse, Deadline.after(10, cluster.time.clock), writes=False)
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
    assert (limits.connect, limits.read, limits.total) == pytest.approx(expected)


def two_clusters() -> Cluster:
    """Return a cluster whose member ``a`` has answered. Its endpoints ``b`` and ``c`` belong to another cluster."""
    cluster = Cluster()
    assert cluster.ask() == "a"
    for url in "bc":
        cluster.members[url].serves = "new"
    return cluster


def test_nothing_is_written_to_another_cluster_while_the_known_one_is_away() -> None:
    """Nothing is read from it either. Each error names the endpoints and both ids, and the log names each endpoint
    once."""
    cluster = two_clusters()
    cluster.ill = {"a"}
    stranger = r"it belongs to another cluster than before \(new, not old\)"
    with capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(RegistryUnavailable, match=f"b: {stranger}; c: {stranger}"):
                cluster.ask(writes=True)
            assert set(cluster.asked) <= {"a"}
            with pytest.raises(RegistryUnavailable, match=stranger):
                cluster.ask()
    assert [(each["event"], each["endpoint"]) for each in logged] == [
        ("endpoint belongs to another cluster", "b"),
        ("endpoint belongs to another cluster", "c"),
    ]
    cluster.ill = set()
    assert cluster.ask(writes=True) == "a"


def test_a_refusal_of_another_cluster_is_no_answer() -> None:
    """If another store says that a key is not there, that says nothing about the known store."""
    cluster = two_clusters()
    cluster.members["a"].ill = True

    def refuse(member: Member, until: Deadline) -> str:
        member.identify(until)
        raise KeyError("no such key")

    with pytest.raises(RegistryUnavailable, match="another cluster"):
        cluster.failover.ask(refuse, Deadline.after(10, cluster.time.clock), writes=False)


def test_a_member_is_identified_before_a_write_and_again_after_a_failure() -> None:
    """Something else may answer at the member's address after a failure."""
    cluster = Cluster()
    assert cluster.ask(writes=True) == "a"
    cluster.members["a"].serves = "new"
    cluster.ill = {"a"}
    assert cluster.ask(writes=True) == "b"
    cluster.ill = {"b", "c"}
    with pytest.raises(RegistryUnavailable, match="a: it belongs to another cluster"):
        cluster.ask(writes=True)
    assert "a" not in cluster.asked


def test_a_store_that_was_replaced_is_used_at_once() -> None:
    """The very endpoints that had the old cluster id answer with the new one. The third endpoint gives no answer."""
    cluster = Cluster()
    cluster.ask()
    cluster.ill = {"a"}
    cluster.ask()
    cluster.ill = {"c"}
    for member in cluster.members.values():
        member.serves = "new"
    assert cluster.ask(writes=True) in {"a", "b"}


def test_a_store_that_is_replaced_twice_before_it_answers_is_used_at_once() -> None:
    """A store may, for example, be wiped and restored from a backup right afterwards."""
    cluster = Cluster()
    cluster.ask()

    def fail(member: Member, until: Deadline) -> str:
        raise NoUsableAnswer("it is busy")

    for member in cluster.members.values():
        member.serves = "wiped"
    for _ in range(2):
        with pytest.raises(RegistryUnavailable, match="a: it is busy"):
            cluster.failover.ask(fail, Deadline.after(10, cluster.time.clock), writes=True)
    for member in cluster.members.values():
        member.serves = "restored"
    assert cluster.ask(writes=True) == "a"


def test_a_cluster_that_is_missed_for_long_was_replaced() -> None:
    """After five minutes without an answer from the known cluster, the other one is used. Nobody has to tell the
    program."""
    cluster = two_clusters()
    cluster.ill = {"a"}
    for _ in range(2):
        with pytest.raises(RegistryUnavailable):
            cluster.ask()
        cluster.time.advance(PATIENCE / 2)
    assert cluster.ask(writes=True) == "b"


def test_a_cluster_that_answers_now_and_then_is_not_missed() -> None:
    """The known cluster is not replaced, however long the other one would be ready to answer."""
    cluster = two_clusters()
    for _ in range(4):
        cluster.ill = {"a"}
        with pytest.raises(RegistryUnavailable):
            cluster.ask()
        cluster.time.advance(PATIENCE / 2)
        cluster.ill = set()
        assert cluster.ask() == "a"


def test_a_member_that_is_new_is_asked_and_one_that_is_gone_is_not() -> None:
    """The member that answered last stays the first to be asked, wherever it stands now, unless it is gone."""
    cluster = Cluster()
    cluster.ill = {"a"}
    assert cluster.ask() == "b"
    members, cluster.ill = cluster.members, set[str]()
    members["d"] = Member("d")
    cluster.source.members = [members["d"], members["c"], members["b"]]
    assert (cluster.ask(), cluster.asked) == ("b", ["b"])
    cluster.source.members = [members["d"], members["c"]]
    assert (cluster.ask(writes=True), cluster.asked) == ("d", ["d"])


def test_a_new_member_has_to_belong_to_the_cluster() -> None:
    """Names may be pointed at another cluster by mistake. After five minutes without the known one, the other one is
    used, as with endpoints that stay the same."""
    cluster = Cluster()
    cluster.ask(writes=True)
    cluster.members["d"] = Member("d", "new")
    cluster.source.members = [cluster.members["d"]]
    for _ in range(2):
        with pytest.raises(RegistryUnavailable, match="d: it belongs to another cluster than before"):
            cluster.ask(writes=True)
        cluster.time.advance(PATIENCE / 2)
    assert cluster.ask(writes=True) == "d"


def test_a_store_that_was_replaced_is_told_by_the_members_that_are_left() -> None:
    """Members that were there once do not count among those that would have to answer with the new id."""
    cluster = Cluster()
    for gone in ("ab", "a", ""):
        cluster.ill = {*gone}
        cluster.ask()
    cluster.source.members = [cluster.members["c"]]
    cluster.members["c"].serves = "new"
    assert cluster.ask(writes=True) == "c"


def test_a_member_without_a_usable_answer_is_doubted() -> None:
    """Somebody may know of other members. An answer doubts nothing."""
    cluster = Cluster()
    cluster.ill = {"a"}
    cluster.ask()
    cluster.ask()
    assert cluster.source.doubts == 1


@pytest.mark.parametrize(
    ("url", "problem", "hint"),
    [
        ("http://a", "Remote end closed connection without response", "etcds://, etcd3s://"),
        ("http://a", "[Errno 104] Connection reset by peer", "etcds://, etcd3s://"),
        ("http://a", "Bad response : 400 Client sent an HTTP request to an HTTPS server.", "etcds://, etcd3s://"),
        ("http://a", r"BadStatusLine('\x15\x03\x01\x00\x02\x02')", "etcds://, etcd3s://"),
        ("https://a", "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", "etcd://, etcd3://"),
        ("https://a", "[SSL: WRONG_VERSION_NUMBER] wrong version number", "etcd://, etcd3://"),
        ("https://a", "[SSL] record layer failure (_ssl.c:1006)", "etcd://, etcd3://"),
        ("https://a", "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", ""),
        ("http://a", "no answer in time", ""),
        ("http://a", "[Errno 111] Connection refused", ""),
    ],
)
def test_a_problem_that_may_come_from_tls_at_one_end_names_the_schemes_for_the_other(
    url: str, problem: str, hint: str
) -> None:
    """Any other problem is reported as it is."""

    def fail(member: Member, until: Deadline) -> str:
        raise NoUsableAnswer(problem)

    failover = EndpointFailover(NamedMembers([Member(url)]), not_counted)
    with pytest.raises(RegistryUnavailable) as unavailable:
        failover.ask(fail, Deadline.after(1, FakeTime().clock), writes=False)
    before, found, after = str(unavailable.value).partition(f"{url}: {problem}")
    assert (before, found) == ("", f"{url}: {problem}")
    assert f"one of {hint}" in after if hint else not after


def test_an_endpoint_that_has_answered_is_not_suspected_of_using_tls() -> None:
    """It closes the connection for another reason, such as its end."""
    problems: list[str] = []

    def ask(member: Member, until: Deadline) -> str:
        if problems:
            raise NoUsableAnswer(problems[0])
        return member.url

    failover = EndpointFailover(NamedMembers([Member("http://a")]), not_counted)
    soon = Deadline.after(1, FakeTime().clock)
    assert failover.ask(ask, soon, writes=False) == "http://a"
    problems.append("Connection reset by peer")
    with pytest.raises(RegistryUnavailable, match=r"^http://a: Connection reset by peer$"):
        failover.ask(ask, soon, writes=False)
