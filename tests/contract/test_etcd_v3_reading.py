"""How a prefix of etcd's v3 store is read: a small one as a whole, and of a large one only the keys that matter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Reading, Registry, Sweeping
from controller.registry.etcd_v3 import prefix_requests
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.interest import Interest
from model.layout import PlainLayout
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Result
from model.skydns import SkyDnsLayout
from model.stored import Lifetime
from model.sweep import MANY_HOSTS, MOST_REST, SECONDS_OF_A_PASS, SPREAD, SweepRule
from tests.contract.clients import PREFIX, RecordingClient, recording_client, soon
from tests.support.builders import OWNER, change, create
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.fakes import FakeTime
from tests.support.waiting import wait_until

pytestmark = pytest.mark.every_etcd

KEY = "/services/nginx/core-01:web:80"
FOREIGN = "/services/nginx/core-02:web:80"
CUSTOM = "/services/redis/redis-1"
ORPHAN = "/services/nginx/core-01:gone:80"
KEYS = RecordKeys(PREFIX)
RECORD = KEYS.record(OWNER)
INTEREST = Interest(OWNER, PlainLayout(PREFIX), frozenset({KEY}), frozenset({KEY, CUSTOM}))


@pytest.fixture
def v3(good: EtcdServer) -> EtcdV3:
    """The etcd of the test, to be read and written without the program."""
    return EtcdV3(good.endpoint)


def many_hosts(v3: EtcdV3) -> None:
    """Write what as many hosts have written as make a prefix large."""
    for number in range(MANY_HOSTS):
        for key in (KEYS.record(f"host-{number}"), KEYS.agent_note(f"host-{number}")):
            v3.put(key, "{}")


class Host:
    """A host whose passes read a registry. ``now`` is its clock."""

    def __init__(
        self, client: EtcdV3Client, interest: Interest = INTEREST, rule: SweepRule = SweepRule(), random: float = 0.5
    ) -> None:
        self.now, self.interest = FakeTime(), interest
        sweeping = Sweeping(rule, lambda: random)
        self.registry: Registry = etcd_v3_registry(client, interest.layout.prefix, Lifetime(), sweeping=sweeping)

    def soon(self) -> Deadline:
        return Deadline.after(10, self.now.clock)

    def reads(self) -> Reading:
        """Read as a pass does."""
        self.registry.observe(self.interest, self.soon())
        return self.registry.look_up(self.interest, self.soon())

    def values(self) -> dict[str, str]:
        """Read as a pass does, and return the values by their keys."""
        return {key: each.value for key, each in self.reads().actual.stored.items()}

    def sweeps(self) -> None:
        """Let the time of the next sweep come."""
        self.now.advance(SweepRule().period + SPREAD)
        self.reads()


# A small prefix.


def test_while_nobody_writes_a_pass_asks_for_the_owners_keys_alone(good: EtcdServer, v3: EtcdV3) -> None:
    """That is one small request. The first pass also counts the hosts and reads the prefix."""
    v3.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)
    first = host.reads()
    assert client.calls() == ["kv/range"] * 3
    assert host.reads().actual is first.actual
    assert client.calls() == ["kv/range"]


@pytest.mark.parametrize("somewhere", ["/elsewhere/x", FOREIGN, RECORD])
def test_after_a_write_a_pass_asks_for_newer_keys_alone(good: EtcdServer, v3: EtcdV3, somewhere: str) -> None:
    """It does so wherever in etcd the write was."""
    v3.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)
    before = host.reads().store_position
    assert before
    client.calls()
    v3.put(somewhere, "y:1")
    after = host.reads().actual
    assert client.asked[1][1]["min_mod_revision"] == str(before.index + 1)
    assert client.calls() == ["kv/range"] * 2
    assert {key: each.value for key, each in after.stored.items()} == v3.keys(PREFIX)
    assert (after.record.value if after.record else None) == v3.get(RECORD)


def test_while_somebody_writes_a_pass_over_a_small_prefix_makes_one_request(good: EtcdServer, v3: EtcdV3) -> None:
    """It asks for the owner's keys and for newer ones at once, and notices deleted keys all the same."""
    v3.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)
    host.reads()
    v3.put(FOREIGN, "y:0")
    host.reads()
    client.calls()
    for number in range(1, 3):
        v3.put(FOREIGN, f"y:{number}")
        v3.put(RECORD, f"{number}")
        reading = host.reads().actual
        assert client.calls() == ["kv/txn"]
        assert {key: each.value for key, each in reading.stored.items()} == v3.keys(PREFIX)
        assert reading.record
        assert reading.record.value == f"{number}"
    v3.delete(FOREIGN)
    assert host.values() == {KEY: "x:1"}


def test_deleted_keys_are_noticed_by_the_number_of_keys(good: EtcdServer, v3: EtcdV3) -> None:
    """A delete leaves no newer key that could be read. Everything is read then."""
    for key in (KEY, FOREIGN):
        v3.put(key, "x:1")
    host = Host(recording_client(good))
    host.reads()
    v3.delete(FOREIGN)
    assert host.values() == {KEY: "x:1"}
    v3.delete(KEY)
    v3.put(FOREIGN, "x:2")
    assert host.values() == {FOREIGN: "x:2"}


def test_everything_in_etcd_may_be_the_prefix(good: EtcdServer, v3: EtcdV3) -> None:
    """The records are not among its keys, before and after a write."""
    everything = Interest(OWNER, PlainLayout(""))
    v3.put("/nginx/core-01:web:80", "x:1")
    v3.put(RecordKeys("").record("core-02"), "{}")
    host = Host(recording_client(good), everything)
    assert host.values() == {"/nginx/core-01:web:80": "x:1"}
    v3.put(RecordKeys("").record("core-03"), "{}")
    v3.put("/nginx/core-01:web:81", "x:1")
    assert host.values() == {"/nginx/core-01:web:80": "x:1", "/nginx/core-01:web:81": "x:1"}
    for key in ("/nginx/core-01:web:80", "/nginx/core-01:web:81"):
        v3.delete(key)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_compaction_between_two_requests_does_not_matter(good: EtcdServer, v3: EtcdV3, large: bool) -> None:
    """No request asks for a revision of the past, be it within one pass or between two."""
    if large:
        many_hosts(v3)
    v3.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)

    def compact(number: int) -> None:
        v3.put(FOREIGN, f"y:{number}")
        v3.compact()

    client.before = compact
    assert host.values()[KEY] == "x:1"
    v3.put(KEY, "x:2")
    assert host.values()[KEY] == "x:2"


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("noticed", ["the revision", "a request that failed", "the owner record"])
def test_a_store_that_was_wiped_is_read_again(noticed: str, large: bool) -> None:
    """Unless the revision went back, it shows neither in the revision nor in the number of keys, which may be the same
    as before."""
    server = EtcdServer().start()
    try:
        v3, host = EtcdV3(server.endpoint), Host(recording_client(server))
        if large:
            many_hosts(v3)
        for number in range(9):
            v3.put("/elsewhere", f"{number}")
        host.reads()
        record = Change(Action.RECORD, RECORD, "mine", None, Reason.CLAIMS)
        assert {each.result for each in host.registry.apply_all(OWNER, [record, create(KEY)], soon())} == {
            Result.APPLIED
        }
        before = host.reads()
        assert set(before.actual.stored) == {KEY}
        if noticed == "a request that failed":
            server.stop()
            with pytest.raises(RegistryUnavailable):
                host.reads()
        server.lose_data()
        for number in range(0 if noticed == "the revision" else 99):
            v3.put(RECORD if noticed == "a request that failed" else FOREIGN, f"{number}")
        v3.put(CUSTOM, "x:1")
        after = host.reads()
        assert CUSTOM in after.actual.stored
        assert KEY not in after.actual.stored
        assert before.store_position
        assert after.store_position
        assert after.store_position.succeeds(before.store_position) is (noticed != "the revision")
    finally:
        server.close()


# A large prefix.


@pytest.fixture
def large(v3: EtcdV3) -> EtcdV3:
    """An etcd in which many hosts share the prefix."""
    many_hosts(v3)
    v3.put(FOREIGN, "y:1")
    return v3


def test_the_first_pass_over_a_large_prefix_reads_only_what_it_wants(good: EtcdServer, large: EtcdV3) -> None:
    """So the entries of this host do not wait. What others have is not read, and own keys that nothing leads to are
    found by the first sweep."""
    for key in (KEY, ORPHAN):
        large.put(key, "x:1")
    client = recording_client(good)
    host = Host(client)
    assert host.values() == {KEY: "x:1"}
    assert client.calls() == ["kv/range", "kv/range", "kv/txn"]
    host.now.advance(SPREAD)
    reading = host.reads().actual
    assert set(reading.stored) == {KEY, ORPHAN}
    assert (reading.others, reading.others_unreadable) == (1, 0)


def test_the_first_pass_sweeps_if_unknown_keys_may_have_to_be_renewed(good: EtcdServer, large: EtcdV3) -> None:
    """As after a start while an inspect hangs: nothing but a sweep leads to the keys of that container. Later passes
    know them."""
    large.put(ORPHAN, "x:1")
    client = recording_client(good)
    host = Host(client, evolve(INTEREST, renews_unknown_keys=True))
    assert host.values() == {ORPHAN: "x:1"}
    client.calls()
    assert host.values() == {ORPHAN: "x:1"}
    assert client.calls() == ["kv/range"]


def test_a_single_pass_over_a_large_prefix_reads_everything(good: EtcdServer, large: EtcdV3) -> None:
    """As there is no later pass, nothing is left to one."""
    large.put(ORPHAN, "x:1")
    host = Host(recording_client(good), rule=SweepRule(at_once=True))
    assert host.values() == {ORPHAN: "x:1"}


def test_a_pass_over_a_large_prefix_compares_what_matters_alone(good: EtcdServer, large: EtcdV3) -> None:
    """While nobody writes, that is a range, and while somebody writes, a transaction. Nothing of others is read."""
    large.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)
    first = host.reads()
    client.calls()
    assert host.reads().actual is first.actual
    assert client.calls() == ["kv/range"]
    for calls in (["kv/range", "kv/txn"], ["kv/txn"], ["kv/txn"]):
        large.put(FOREIGN, "y:2")
        assert host.reads().actual is first.actual
        assert client.calls() == calls
    host.reads()
    client.calls()
    host.reads()
    assert client.calls() == ["kv/range"]


DELETED, OVERWRITTEN, SAME_VALUE, TAKEN = "deleted", "overwritten", "written again", "taken by another"


@pytest.mark.parametrize("twice", [False, True], ids=["quiet before", "others write before"])
@pytest.mark.parametrize("what", [DELETED, OVERWRITTEN, SAME_VALUE, TAKEN])
def test_a_change_of_a_key_that_matters_is_seen(good: EtcdServer, large: EtcdV3, what: str, twice: bool) -> None:
    """One request notices it, and another reads what is there now."""
    large.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)
    before = host.reads().actual.stored[KEY]
    if twice:
        large.put(FOREIGN, "y:2")
        host.reads()
    if what in {DELETED, SAME_VALUE}:
        large.delete(KEY)
    if what in {OVERWRITTEN, SAME_VALUE}:
        large.put(KEY, "x:1" if what == SAME_VALUE else "z:1")
    if what == TAKEN:
        large.put(CUSTOM, "z:1")
    client.calls()
    stored = host.reads().actual.stored
    assert client.calls() == (["kv/txn"] * 2 if twice else ["kv/range", "kv/txn", "kv/txn"])
    assert {key: each.value for key, each in stored.items()} == {
        key: value for key, value in large.keys(PREFIX).items() if key != FOREIGN
    }
    assert (stored.get(KEY) == before) is (what == TAKEN)


@pytest.mark.parametrize("place", ["above", "below"])
def test_a_key_that_hides_another_is_seen_when_it_comes_and_when_it_goes(
    good: EtcdServer, large: EtcdV3, place: str
) -> None:
    """Where records hide each other, a wanted key that is absent depends on what lies above and below it."""
    wanted = "/services/local/web/web-1"
    obstacle = f"{wanted}/deep" if place == "below" else "/services/local/web"
    host = Host(recording_client(good), Interest(OWNER, SkyDnsLayout(PREFIX), wanted=frozenset({wanted})))
    assert host.values() == {}
    large.put(obstacle, "{}")
    assert host.values() == {obstacle: "{}"}
    large.put(obstacle, "{ }")
    assert host.values() == {obstacle: "{ }"}
    large.delete(obstacle)
    assert host.values() == {}
    large.put(wanted, "mine")
    large.put(f"{wanted}/deep", "{}")
    assert wanted in host.values()
    assert host.values() == {wanted: "mine"}, "what lies around a key that is there does not matter"


def test_more_keys_than_one_transaction_takes_are_compared_in_several(good: EtcdServer, large: EtcdV3) -> None:
    """Each of the transactions notices a change."""
    mine = [f"/services/nginx/core-01:web{number:03}:80" for number in range(300)]
    for key in mine:
        large.put(key, "x:1")
    client = recording_client(good)
    host = Host(client, Interest(OWNER, PlainLayout(PREFIX), frozenset(mine)))
    assert len(host.values()) == 300
    client.calls()
    for key in (mine[0], mine[150], mine[299]):
        large.put(key, "x:2")
    stored = host.values()
    assert client.calls() == ["kv/range", *["kv/txn"] * 6]
    assert [key for key, value in stored.items() if value == "x:2"] == [mine[0], mine[150], mine[299]]


def test_a_key_that_is_newly_wanted_is_looked_up_once(good: EtcdServer, large: EtcdV3) -> None:
    """Then it is compared with the others. Once nobody wants it any more, it is forgotten."""
    large.put(CUSTOM, "y:1")
    client = recording_client(good)
    host = Host(client, Interest(OWNER, PlainLayout(PREFIX)))
    host.reads()
    client.calls()
    host.interest = INTEREST
    host.registry.observe(INTEREST, soon(), hurried=True)
    assert host.registry.look_up(INTEREST, soon()).actual.stored.keys() == {CUSTOM}
    assert client.calls() == ["kv/txn"]
    host.registry.look_up(INTEREST, soon())
    host.reads()
    assert client.calls() == ["kv/range"]
    host.interest = Interest(OWNER, PlainLayout(PREFIX))
    assert host.reads().actual.observed == frozenset()


def test_an_own_key_that_was_deleted_counts_as_observed(good: EtcdServer, large: EtcdV3) -> None:
    """So a hurried pass that wants it again, as after a restart of its container, need not look it up."""
    large.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)
    before = host.reads().actual.stored[KEY]
    assert host.registry.apply(OWNER, change(Action.DELETE, before), soon()).result is Result.APPLIED
    client.calls()
    host.registry.observe(INTEREST, soon(), hurried=True)
    assert KEY not in host.registry.look_up(INTEREST, soon()).actual.stored
    assert client.calls() == []


def test_a_sweep_reads_page_by_page_and_keeps_what_matters(
    good: EtcdServer, large: EtcdV3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds own keys that nothing leads to, and counts the others. Between sweeps such keys stay unseen."""
    monkeypatch.setattr(prefix_requests, "PAGE", 2)
    client = recording_client(good)
    host = Host(client)
    host.sweeps()
    for number in range(5):
        large.put(f"/services/nginx/core-02:web:{number}", "y:1")
    large.put("/services/unreadable", "?")
    large.put(ORPHAN, "x:1")
    assert host.values() == {}
    client.calls()
    host.sweeps()
    reading = host.reads().actual
    assert set(reading.stored) == {ORPHAN}
    assert (reading.others, reading.others_unreadable) == (7, 1)
    assert [document for path, document in client.asked if "limit" in document]
    large.delete(ORPHAN)
    assert host.values() == {}, "what a sweep found is compared from then on"


#: Own keys that nothing leads to, on the first, third and last page of a sweep.
FIRST, THIRD, LAST = (f"/services/{name}/core-01:gone:80" for name in ("a0", "a4", "z"))


class Pages:
    """The requests of a host for pages of a prefix, which can take long or fail. Its other requests are answered."""

    def __init__(self, client: RecordingClient, host: Host) -> None:
        self.client, self.host = client, host
        #: How long a page takes, in seconds.
        self.seconds = 0.0
        #: How many more pages are answered.
        self.answered = 10**6
        client.before_page = self._page

    def _page(self) -> None:
        self.host.now.advance(self.seconds)
        if not self.answered:
            self.client.failures += 1
            raise RegistryUnavailable("no answer in time")
        self.answered -= 1


@pytest.fixture
def pages(good: EtcdServer, large: EtcdV3, monkeypatch: pytest.MonkeyPatch) -> Pages:
    """The requests of a host whose first sweep is due, and reads seven pages."""
    monkeypatch.setattr(prefix_requests, "PAGE", 2)
    large.delete(FOREIGN)
    for number in range(10):
        large.put(f"/services/a{number}/core-02:web:80", "y:1" if number else "?")
    for key in (KEY, THIRD, LAST):
        large.put(key, "x:1")
    client = recording_client(good)
    host = Host(client, random=1.0)
    host.reads()
    host.now.advance(SPREAD)
    return Pages(client, host)


def test_a_sweep_goes_on_from_pass_to_pass(pages: Pages) -> None:
    """Each pass reads a page, and no further one once that took long. An own key counts as soon as it is found, and
    the others as soon as the sweep has ended."""
    pages.seconds, host = SECONDS_OF_A_PASS, pages.host
    found, counted = [], []
    for _ in range(7):
        actual = host.reads().actual
        found.append(actual.stored.keys() - {KEY})
        counted.append((actual.others, actual.others_unreadable))
        host.now.advance(2.0)
    assert found == [set(), set(), {THIRD}, {THIRD}, {THIRD}, {THIRD}, {THIRD, LAST}]
    assert counted == [(0, 0)] * 6 + [(10, 1)]


def test_quick_pages_are_read_in_one_pass(pages: Pages) -> None:
    """Nothing is gained by waiting for the next one."""
    assert pages.host.values().keys() == {KEY, THIRD, LAST}


def test_after_pages_that_took_long_a_sweep_rests(pages: Pages) -> None:
    """So the sweeps of many hosts do not keep a slow etcd busy. Passes go on meanwhile."""
    pages.seconds, host = 1.0, pages.host
    read = []
    for _ in range(22):
        before = pages.answered
        host.reads()
        read.append(before - pages.answered)
        host.now.advance(1.0)
    assert read == [1, *[0] * 19, 1, 0]


def test_a_page_that_fails_fails_no_pass_and_no_sweep(pages: Pages, large: EtcdV3) -> None:
    """It is tried again later. Until then the passes follow every key that matters."""
    pages.seconds, pages.answered, host = 1.0, 0, pages.host
    for number in range(5):
        large.put(KEY, f"x:{number}")
        assert host.values() == {KEY: f"x:{number}"}
        host.now.advance(MOST_REST)
    pages.seconds, pages.answered = 0.0, 4
    assert host.values().keys() == {KEY, THIRD}
    pages.answered = 3
    assert host.values().keys() == {KEY, THIRD, LAST}


def test_what_was_found_is_compared_while_the_sweep_is_under_way(pages: Pages, large: EtcdV3) -> None:
    """It can be changed or deleted before the sweep ends."""
    pages.answered, host = 4, pages.host
    assert host.values() == {KEY: "x:1", THIRD: "x:1"}
    large.put(THIRD, "x:2")
    assert host.values() == {KEY: "x:1", THIRD: "x:2"}
    large.delete(THIRD)
    assert host.values() == {KEY: "x:1"}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["a page", "another request"])
def test_a_request_that_failed_during_a_sweep_leads_to_another_one(
    pages: Pages, large: EtcdV3, elsewhere: bool
) -> None:
    """The sweep goes on first. The failure of its own pages does not lead to another one, as that would keep an etcd
    busy that is slow."""
    pages.answered, host = 4, pages.host
    host.reads()
    large.put(FIRST, "x:1")
    pages.client.failures += elsewhere
    pages.answered = 3
    assert host.values().keys() == {KEY, THIRD, LAST}
    pages.answered = 10**6
    host.now.advance(SPREAD)
    assert (FIRST in host.values()) is elsewhere
    host.sweeps()
    assert FIRST in host.values()


def test_a_sweep_begins_anew_once_the_store_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages that were read say nothing of the new store."""
    monkeypatch.setattr(prefix_requests, "PAGE", 2)
    server = EtcdServer().start()
    try:
        v3, client = EtcdV3(server.endpoint), recording_client(server)
        host = Host(client)
        pages = Pages(client, host)
        for key in (FOREIGN, CUSTOM, LAST):
            v3.put(key, "y:1")
        many_hosts(v3)
        host.reads()
        host.now.advance(SPREAD)
        pages.answered = 1
        assert LAST not in host.values()
        server.lose_data()
        many_hosts(v3)
        v3.put(FIRST, "x:1")
        pages.answered = 1
        host.reads()
        host.now.advance(SPREAD)
        assert host.values() == {FIRST: "x:1"}
    finally:
        server.close()


def test_a_single_pass_fails_if_it_cannot_read_everything(pages: Pages) -> None:
    """No later pass would go on."""
    pages.answered = 5
    host = Host(pages.client, rule=SweepRule(at_once=True))
    with pytest.raises(RegistryUnavailable):
        host.reads()


def test_a_sweep_for_keys_that_have_to_be_renewed_goes_on_in_each_pass(pages: Pages) -> None:
    """Keys that nothing leads to expire unless they are found soon. No pass fails because of it."""
    host = Host(pages.client, evolve(INTEREST, renews_unknown_keys=True))
    pages.host, pages.seconds = host, 1.0
    found = []
    for answered in (10, 0, 10, 10):
        pages.answered = answered
        found.append(host.values().keys() - {KEY})
    assert found == [{THIRD}, {THIRD}, {THIRD}, {THIRD, LAST}]


@pytest.mark.parametrize("known", [False, True], ids=["at first", "later"])
def test_a_small_prefix_that_cannot_be_read_in_time_is_treated_as_a_large_one(
    good: EtcdServer, v3: EtcdV3, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """No pass fails, and every key that matters is followed. Once pages are answered, everything is kept again."""
    monkeypatch.setattr(prefix_requests, "PAGE", 2)
    for key in (KEY, ORPHAN, FIRST, LAST, FOREIGN):
        v3.put(key, "x:1")
    client = recording_client(good)
    host = Host(client)
    pages = Pages(client, host)
    if known:
        host.reads()
        v3.delete(FIRST)
    pages.answered = 1
    for number in range(3):
        v3.put(KEY, f"x:{number}")
        assert host.values()[KEY] == f"x:{number}"
        assert FOREIGN not in host.values()
    assert (ORPHAN in host.values()) is known
    pages.answered = 10**6
    host.now.advance(MOST_REST)
    host.sweeps()
    reading = host.reads().actual
    assert ({key: each.value for key, each in reading.stored.items()}, reading.observed) == (v3.keys(PREFIX), None)


def test_a_request_that_failed_leads_to_a_sweep_soon(good: EtcdServer, large: EtcdV3) -> None:
    """What is known is read again at once. The sweep comes at a random moment, as a member that fails meets all
    hosts."""
    large.put(KEY, "x:1")
    client = recording_client(good)
    host = Host(client)
    host.sweeps()
    large.put(ORPHAN, "x:1")
    large.put(KEY, "x:2")
    client.failures += 1
    client.calls()
    assert host.values() == {KEY: "x:2"}
    host.now.advance(SPREAD)
    assert set(host.values()) == {KEY, ORPHAN}


def test_a_change_that_was_overlooked_leads_to_a_sweep(good: EtcdServer, large: EtcdV3) -> None:
    """A write that loses its race to something older than the last read shows that the read was wrong."""
    revision = large.put(KEY, "x:1")
    large.put(ORPHAN, "x:1")
    host = Host(recording_client(good))
    host.sweeps()
    large.put("/services/nginx/core-01:unseen:80", "x:1")
    stored = host.reads().actual.stored[KEY]
    wrong = evolve(stored, version=revision - 1)
    assert host.registry.apply(OWNER, change(Action.UPDATE, wrong, "x:9"), soon()).result is Result.CONFLICT
    host.reads()
    host.now.advance(SPREAD)
    assert "/services/nginx/core-01:unseen:80" in host.values()


def test_a_prefix_that_becomes_large_is_no_longer_kept_as_a_whole(good: EtcdServer, v3: EtcdV3) -> None:
    """The next sweep counts the hosts anew. The same is true in the other direction."""
    v3.put(FOREIGN, "y:1")
    host = Host(recording_client(good))
    assert host.values() == {FOREIGN: "y:1"}
    many_hosts(v3)
    host.sweeps()
    assert (host.values(), host.reads().actual.others) == ({}, 1)
    for number in range(MANY_HOSTS):
        v3.delete(KEYS.record(f"host-{number}"))
    host.sweeps()
    assert (host.values(), host.reads().actual.others) == ({FOREIGN: "y:1"}, 0)


# Hurried passes.


def test_a_hurried_pass_writes_nothing_once_the_owner_record_has_changed(good: EtcdServer, v3: EtcdV3) -> None:
    """Another engine may have taken over the owner name since the record was read."""
    v3.put(RECORD, "mine")
    v3.put(KEY, "x:1")
    host = Host(recording_client(good))
    stored = host.reads().actual.stored[KEY]
    host.registry.observe(INTEREST, soon(), hurried=True)
    v3.put(RECORD, "another's")
    changes = [create(CUSTOM), change(Action.DELETE, stored)]
    assert [each.result for each in host.registry.apply_all(OWNER, changes, soon())] == [Result.CONFLICT] * 2
    assert v3.keys(PREFIX) == {KEY: "x:1"}
    host.reads()
    assert host.registry.apply(OWNER, create(CUSTOM), soon()).result is Result.APPLIED


# An etcd in trouble.


class Full(EtcdServer):
    """An etcd with little space."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, peer) | {"--quota-backend-bytes": "200000"}


def test_a_full_etcd_is_read() -> None:
    """It refuses transactions, even those that only read, and takes ranges."""
    server = Full().start()
    try:
        v3, client = EtcdV3(server.endpoint), recording_client(server)
        many_hosts(v3)
        v3.put(KEY, "x:1")
        host = Host(client)
        host.reads()
        fill(v3)
        large = evolve(INTEREST, wanted=frozenset({KEY, CUSTOM, ORPHAN}))
        host.interest = large
        assert host.values() == {KEY: "x:1"}
        v3.delete(KEY)
        client.calls()
        host.values()
        assert client.calls().count("kv/txn") <= 2
    finally:
        server.close()


def fill(v3: EtcdV3) -> None:
    """Write keys until etcd accepts no more."""
    for number in range(200):
        try:
            v3.put(f"/filler/{number}", "x" * 50_000)
        except RuntimeError:
            wait_until(lambda: "alarms" in v3.call("maintenance/alarm", {}), 10, "the alarm")
            return


@pytest.fixture
def cluster() -> Iterator[EtcdCluster]:
    """Three members."""
    cluster = EtcdCluster.on_loopback()
    try:
        yield cluster.start()
    finally:
        cluster.close()


def test_a_member_without_quorum_does_not_answer(cluster: EtcdCluster) -> None:
    """Comparisons alone it would answer, from what it knew. So there is a range in each transaction."""
    member = cluster.members[0]
    v3 = EtcdV3(member.endpoint)
    many_hosts(v3)
    v3.put(KEY, "x:1")
    host = Host(recording_client(member))
    host.reads()
    for _ in range(2):
        v3.put(FOREIGN, "y:1")
        host.reads()
    for other in cluster.members[1:]:
        other.kill()
    with pytest.raises(RegistryUnavailable):
        host.registry.observe(INTEREST, Deadline.after(2, Clock()))
