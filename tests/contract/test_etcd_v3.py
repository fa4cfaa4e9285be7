"""What only etcd's v3 API has: leases, transactions, revisions, and a flat space of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from attrs import evolve

from controller.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.documents import Document
from controller.registry.etcd_v3.lease import lease_id
from controller.registry.etcd_v3.registry import etcd_v3_registry
from controller.registry.etcd_v3.writer import BATCH
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Result
from model.stored import Lifetime, Stored
from tests.contract.clients import PREFIX, address, soon
from tests.support.answering import fake
from tests.support.builders import OWNER, change, create
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3, coded
from tests.support.waiting import wait_until

KEY = "/services/nginx/core-01:web:80"
FOREIGN = "/services/nginx/core-02:web:80"
RECORD = RecordKeys(PREFIX).record(OWNER)
TTL = Lifetime(100, 10)

T = TypeVar("T")


class Tapped(EtcdV3Client):
    """A gateway that keeps what it is asked."""

    asked: list[tuple[str, Document]]

    def call(self, path: str, document: Document, read: Callable[[Any], T], deadline: Deadline) -> T:
        """See EtcdV3Client."""
        self.asked.append((path, document))
        return super().call(path, document, read, deadline)

    def calls(self) -> list[str]:
        """The calls since this was last asked."""
        asked, self.asked = self.asked, []
        return [path for path, _ in asked]


def tapped(server: EtcdServer) -> Tapped:
    """To this server."""
    gateway = Tapped([address(server)])
    gateway.asked = []
    return gateway


def registry_at(server: EtcdServer, lifetime: Lifetime = Lifetime()) -> Registry:
    """A registry over this server."""
    return etcd_v3_registry(EtcdV3Client([address(server)]), PREFIX, lifetime)


def read(registry: Registry, *, consistent: bool = False) -> dict[str, Stored]:
    """What is stored, by key."""
    return dict(registry.read(OWNER, soon(), consistent=consistent).stored)


def results(registry: Registry, *changes: Change) -> list[Result]:
    """How these changes end."""
    return [each.result for each in registry.apply_all(OWNER, changes, soon())]


@pytest.fixture
def v3(good: EtcdServer) -> EtcdV3:
    """The same store, as somebody else sees it."""
    return EtcdV3(good.endpoint)


# Transactions.


def test_a_batch_is_one_transaction(good: EtcdServer, v3: EtcdV3) -> None:
    """Creates, updates and deletes at once: watchers see one revision."""
    for name in ("a", "b"):
        v3.put(f"/services/{name}", "old")
    gateway = tapped(good)
    registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
    before = read(registry)
    gateway.calls()
    changes = [
        create("/services/c"),
        change(Action.UPDATE, before["/services/a"], "new"),
        change(Action.DELETE, before["/services/b"]),
    ]
    since = v3.index() + 1
    assert results(registry, *changes) == [Result.APPLIED] * 3
    assert gateway.calls() == ["kv/txn"]
    assert {(each.kind, each.key, each.revision - since) for each in v3.changes(PREFIX, since)} == {
        ("PUT", "/services/c", 0),
        ("PUT", "/services/a", 0),
        ("DELETE", "/services/b", 0),
    }


@pytest.mark.parametrize(("number", "transactions"), [(BATCH, 1), (BATCH + 1, 2)])
def test_a_batch_is_as_large_as_etcd_takes(good: EtcdServer, number: int, transactions: int) -> None:
    """One more would be refused, and is the next one's."""
    gateway = tapped(good)
    changes = [create(f"/services/nginx/core-01:web{each}:80") for each in range(number)]
    assert results(etcd_v3_registry(gateway, PREFIX, Lifetime()), *changes) == [Result.APPLIED] * number
    assert gateway.calls() == ["kv/txn"] * transactions


def test_a_create_that_comes_late_does_not_bring_back_what_went_since(good: EtcdServer, v3: EtcdV3) -> None:
    """A member that stood still can pass a transaction on after it was asked for again elsewhere. Under a custom id
    nothing but the owner record would tell whose the key is, and that has changed by then."""
    gateway, custom = tapped(good), "/services/redis/redis-1"
    registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
    read(registry)
    claim = Change(Action.RECORD, RECORD, "with a claim", None, Reason.CLAIMS)
    late = evolve(create(custom), claimed=True)
    assert results(registry, claim) == results(registry, late) == [Result.APPLIED]
    path, document = gateway.asked[-1]
    assert results(registry, change(Action.DELETE, read(registry)[custom])) == [Result.APPLIED]
    before = registry.read(OWNER, soon()).record
    assert results(registry, Change(Action.RECORD, RECORD, "without", before, Reason.CLAIMS)) == [Result.APPLIED]
    v3.call(path, dict(document))
    assert v3.keys(PREFIX) == {}
    assert results(registry, late) == [Result.APPLIED], "decided anew, on the record as it is"


def test_what_cannot_be_had_in_parts_is_asked_for_once() -> None:
    """A password that is wrong is wrong for each change alone, too."""
    refusal = {"code": 3, "message": "etcdserver: authentication failed, invalid user ID or password"}
    with fake(400, refusal) as etcd:
        registry = etcd_v3_registry(EtcdV3Client([etcd.address]), PREFIX, Lifetime())
        assert results(registry, *(create(f"/services/{each}") for each in range(9))) == [Result.FAILED] * 9
        assert len(etcd.asked) == 1


class Small(EtcdServer):
    """An etcd that takes few operations at once, short requests, and no short leases."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        limits = {"--max-txn-ops": "8", "--max-request-bytes": "20000"}
        # Milliseconds; a lease lasts one and a half elections, at least.
        return super()._flags(client, peer) | limits | {"--heartbeat-interval": "200", "--election-timeout": "2000"}


@pytest.fixture(scope="module")
def small() -> Iterator[EtcdServer]:
    """An etcd with limits of its own."""
    server = Small().start()
    yield server
    server.close()


def test_what_is_too_much_at_once_is_made_in_parts(small: EtcdServer) -> None:
    """An etcd whose limits are lower than usual gets what it takes; what is too large by itself fails by itself."""
    changes = [create(f"/services/{each}", "x" * 3000) for each in range(30)]
    changes[7] = create("/services/7", "x" * 30000)
    outcomes = list(registry_at(small).apply_all(OWNER, changes, soon()))
    assert [each.change.key for each in outcomes if each.result is not Result.APPLIED] == ["/services/7"]
    assert outcomes[7].detail == "etcdserver: request is too large"
    assert len(EtcdV3(small.endpoint).keys(PREFIX)) == 29


# Reading what is new alone.


def test_while_nobody_writes_a_read_asks_about_the_owner_alone(good: EtcdServer, v3: EtcdV3) -> None:
    """One small request; record and question are fresh, and what is kept of the keys is what is there."""
    v3.put(KEY, "x:1")
    gateway = tapped(good)
    registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
    first = registry.read(OWNER, soon())
    assert gateway.calls() == ["kv/range"] * 2
    assert registry.read(OWNER, soon()) == first
    assert gateway.calls() == ["kv/range"]


@pytest.mark.parametrize("somewhere", ["/elsewhere/x", FOREIGN, RECORD])
def test_once_somebody_wrote_a_read_asks_for_what_is_newer(good: EtcdServer, v3: EtcdV3, somewhere: str) -> None:
    """Wherever in etcd it was."""
    v3.put(KEY, "x:1")
    gateway = tapped(good)
    registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
    before = registry.read(OWNER, soon())
    assert before.store_position
    gateway.calls()
    v3.put(somewhere, "y:1")
    after = registry.read(OWNER, soon())
    assert gateway.asked[1][1]["min_mod_revision"] == str(before.store_position.index + 1)
    assert gateway.calls() == ["kv/range"] * 2
    assert {key: each.value for key, each in after.stored.items()} == v3.keys(PREFIX)
    assert (after.record.value if after.record else None) == v3.get(RECORD)


def test_keys_that_went_are_noticed_by_their_number(good: EtcdServer, v3: EtcdV3) -> None:
    """A delete leaves nothing that is newer: everything is read then."""
    for key in (KEY, FOREIGN):
        v3.put(key, "x:1")
    registry = registry_at(good)
    read(registry)
    v3.delete(FOREIGN)
    assert set(read(registry)) == {KEY}
    v3.delete(KEY)
    v3.put(FOREIGN, "x:2")
    assert {key: each.value for key, each in read(registry).items()} == {FOREIGN: "x:2"}


def test_a_key_that_went_and_came_back_is_the_new_one(good: EtcdServer, v3: EtcdV3) -> None:
    """Their number is the same; it is newer all the same."""
    v3.put(KEY, "x:1")
    registry = registry_at(good)
    read(registry)
    v3.delete(KEY)
    revision = v3.put(KEY, "x:2")
    assert read(registry) == {KEY: Stored(KEY, "x:2", revision, renewable=False)}


def test_who_wants_it_consistent_gets_everything_read_anew(good: EtcdServer, v3: EtcdV3) -> None:
    """Whatever was seen before counts for nothing then."""
    v3.put(KEY, "x:1")
    gateway = tapped(good)
    registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
    read(registry)
    gateway.calls()
    read(registry, consistent=True)
    assert "min_mod_revision" not in gateway.asked[1][1]
    assert gateway.calls() == ["kv/range"] * 2


def test_a_compaction_does_not_matter(good: EtcdServer, v3: EtcdV3) -> None:
    """What was seen before it still counts, as nothing is asked about the past."""
    v3.put(KEY, "x:1")
    gateway = tapped(good)
    registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
    before = read(registry)
    for number in range(5):
        v3.put(FOREIGN, f"y:{number}")
    v3.compact()
    gateway.calls()
    assert {key: each.value for key, each in read(registry).items()} == {KEY: "x:1", FOREIGN: "y:4"}
    assert gateway.calls() == ["kv/range"] * 2
    assert results(registry, change(Action.UPDATE, before[KEY], "x:2")) == [Result.APPLIED]


def test_a_moment_that_etcd_has_forgotten_is_no_answer(good: EtcdServer, v3: EtcdV3) -> None:
    """Compacted between two requests of one read: the pass fails with etcd's words, and the next one reads all anew."""
    v3.put(KEY, "x:1")

    class Compacting(Tapped):
        def call(self, path: str, document: Document, read: Callable[[Any], T], deadline: Deadline) -> T:
            answer = super().call(path, document, read, deadline)
            if len(self.asked) == 1:
                v3.put(FOREIGN, "y:1")
                v3.compact()
            return answer

    gateway = Compacting([address(good)])
    gateway.asked = []
    registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
    with pytest.raises(RegistryUnavailable, match="required revision has been compacted"):
        registry.read(OWNER, soon())
    assert set(read(registry)) == {KEY, FOREIGN}


def test_a_store_that_was_wiped_is_another_one() -> None:
    """Its revision went back: the mark says so, and nothing that was seen before is believed."""
    server = EtcdServer().start()
    try:
        v3, registry = EtcdV3(server.endpoint), registry_at(server)
        v3.put(KEY, "x:1")
        v3.put(FOREIGN, "x:1")
        before = registry.read(OWNER, soon()).store_position
        server.lose_data()
        after = registry.read(OWNER, soon())
        assert before
        assert after.store_position
        assert not after.store_position.succeeds(before)
        assert after.stored == {}
    finally:
        server.close()


@pytest.mark.parametrize("noticed", ["a request that failed", "the owner record"])
def test_a_store_that_was_wiped_and_has_come_further_is_read_anew(noticed: str) -> None:
    """Its revision tells nothing then, and as many keys may be there as before."""
    server = EtcdServer().start()
    try:
        v3, registry = EtcdV3(server.endpoint), registry_at(server)
        results(registry, Change(Action.RECORD, RECORD, "mine", None, Reason.CLAIMS), create(KEY))
        assert set(read(registry)) == {KEY}
        if noticed == "a request that failed":
            server.stop()
            with pytest.raises(RegistryUnavailable):
                read(registry)
        server.lose_data()
        for number in range(9):
            v3.put(RECORD if noticed == "a request that failed" else FOREIGN, f"{number}")
        v3.put(FOREIGN, "x:1")
        assert set(read(registry)) == {FOREIGN}
    finally:
        server.close()


# Leases.


def lease_of(v3: EtcdV3, key: str) -> int:
    """What a key hangs on."""
    pair = v3.node(key)
    assert pair
    return pair.lease


def test_all_of_a_hosts_keys_hang_on_one_lease(good: EtcdServer, v3: EtcdV3) -> None:
    """But for its record, which outlives them; an agent that was started anew goes on with the same one."""
    record = Change(Action.RECORD, RECORD, "mine", None, Reason.CLAIMS)
    assert results(registry_at(good, TTL), record, create(KEY)) == [Result.APPLIED] * 2
    assert results(registry_at(good, TTL), create(f"{KEY}1")) == [Result.APPLIED]
    lease = lease_id(PREFIX, OWNER, TTL.ttl)
    assert {lease_of(v3, KEY), lease_of(v3, f"{KEY}1")} == {lease}
    assert lease_of(v3, RECORD) == 0
    list(registry_at(good, TTL).apply_all("core-02", [create(FOREIGN)], soon()))
    assert lease_of(v3, FOREIGN) not in {0, lease}


def test_renewing_is_one_call_and_wakes_no_watcher(good: EtcdServer, v3: EtcdV3) -> None:
    """However many keys there are, and a hundred times over."""
    gateway = tapped(good)
    registry = etcd_v3_registry(gateway, PREFIX, TTL)
    assert set(results(registry, *(create(f"/services/{each}/core-01:web:80") for each in range(50)))) == {
        Result.APPLIED
    }
    keys = read(registry).values()
    since = v3.index() + 1
    gateway.calls()
    renewals = [change(Action.RENEW, each, each.value) for each in keys]
    for _ in range(100):
        assert results(registry, *renewals) == [Result.APPLIED] * 50
    assert gateway.calls() == ["lease/keepalive"] * 100
    assert list(v3.changes(PREFIX, since)) == []
    assert {each.ttl in range(95, 101) for each in read(registry).values()} == {True}


def test_what_is_left_is_asked_for_once_whatever_hangs_on_it(good: EtcdServer) -> None:
    """And not at all where nothing does."""
    gateway = tapped(good)
    registry = etcd_v3_registry(gateway, PREFIX, TTL)
    read(registry)
    assert "lease/timetolive" not in gateway.calls()
    results(registry, *(create(f"/services/{each}/core-01:web:80") for each in range(5)))
    gateway.calls()
    read(registry)
    read(registry)
    assert gateway.calls() == ["kv/range", "kv/range", "lease/timetolive", "kv/range", "lease/timetolive"]


def test_a_lease_that_ended_takes_the_keys_along_and_is_granted_again(good: EtcdServer, v3: EtcdV3) -> None:
    """A renewal finds it gone and is a lost race; the keys are absent then, and the next create has it again."""
    registry = registry_at(good, TTL)
    results(registry, create(KEY))
    before = read(registry)[KEY]
    v3.revoke(lease_id(PREFIX, OWNER, TTL.ttl))
    outcome = registry.apply(OWNER, change(Action.RENEW, before, before.value), soon())
    assert (outcome.result, outcome.detail) == (Result.CONFLICT, "the lease has expired, and its keys with it")
    assert read(registry) == {}
    assert results(registry, create(KEY)) == [Result.APPLIED]
    assert read(registry)[KEY].ttl in range(95, 101)


def test_keys_expire_when_nobody_renews_them(good: EtcdServer, v3: EtcdV3) -> None:
    """As after the death of the host; the record stays."""
    record = Change(Action.RECORD, RECORD, "mine", None, Reason.CLAIMS)
    results(registry_at(good, Lifetime(2, 1)), record, create(KEY))
    wait_until(lambda: v3.keys(PREFIX) == {}, 15, "the key to expire")
    assert v3.get(RECORD) == "mine"


def test_the_last_second_of_a_lease_can_be_read(good: EtcdServer, v3: EtcdV3) -> None:
    """etcd rounds down and leaves out a 0; the plan then renews what is there."""
    lifetime = Lifetime(2, 1)
    registry = registry_at(good, lifetime)
    results(registry, create(KEY))
    lease = {"ID": str(lease_id(PREFIX, OWNER, lifetime.ttl))}
    wait_until(lambda: "TTL" not in v3.call("lease/timetolive", lease), 10, "the last second")
    stored = read(registry)[KEY]
    assert (stored.ttl, lifetime.due(stored.ttl)) == (0, True)
    assert results(registry, change(Action.RENEW, stored, stored.value)) == [Result.APPLIED]
    assert read(registry)[KEY].ttl in {1, 2}


def test_a_new_key_has_the_whole_lifetime_whatever_is_left_of_an_old_lease(good: EtcdServer, v3: EtcdV3) -> None:
    """While nothing hangs on a lease nobody renews it, and it is still there."""
    registry = registry_at(good, TTL)
    results(registry, create(KEY))
    results(registry, change(Action.DELETE, read(registry)[KEY]))
    lease = {"ID": str(lease_id(PREFIX, OWNER, TTL.ttl))}
    wait_until(lambda: int(v3.call("lease/timetolive", lease)["TTL"]) < 99, 10, "the lease to grow old")
    assert results(registry, create(KEY)) == [Result.APPLIED]
    assert int(v3.call("lease/timetolive", lease)["TTL"]) >= 99


def test_a_key_on_no_lease_of_ours_is_told_from_one_that_is(good: EtcdServer, v3: EtcdV3) -> None:
    """What expires by somebody else's doing has nothing left that we could count on; only ours can be renewed."""
    v3.put(FOREIGN, "x:1", ttl=50)
    v3.put("/services/forever", "x:1")
    registry = registry_at(good, TTL)
    results(registry, create(KEY))
    assert {key: (each.ttl, each.renewable) for key, each in read(registry).items()} == {
        KEY: (read(registry)[KEY].ttl, True),
        FOREIGN: (0, False),
        "/services/forever": (None, False),
    }
    assert {each.renewable for each in read(registry_at(good)).values()} == {False}


@pytest.mark.parametrize(
    ("before", "after"), [(Lifetime(), TTL), (TTL, Lifetime()), (TTL, Lifetime(60, 10))], ids=["on", "off", "other"]
)
def test_another_lifetime_hangs_the_keys_elsewhere(
    good: EtcdServer, v3: EtcdV3, before: Lifetime, after: Lifetime
) -> None:
    """An update gives a key the lease that the flags ask for, or none."""
    results(registry_at(good, before), create(KEY))
    registry = registry_at(good, after)
    stored = read(registry)[KEY]
    assert results(registry, change(Action.UPDATE, stored, stored.value)) == [Result.APPLIED]
    assert lease_of(v3, KEY) == (lease_id(PREFIX, OWNER, after.ttl) if after.ttl else 0)


def test_a_lifetime_shorter_than_etcd_gives_is_no_reason_to_renew_at_once(small: EtcdServer) -> None:
    """etcd gives a lease at least as long as an election takes; the plan must not find too much left."""
    lifetime = Lifetime(2, 1)
    registry = registry_at(small, lifetime)
    results(registry, create(KEY))
    left = EtcdV3(small.endpoint).call("lease/timetolive", {"ID": str(lease_id(PREFIX, OWNER, lifetime.ttl))})
    assert int(left["grantedTTL"]) > lifetime.ttl
    assert read(registry)[KEY].ttl in {1, 2}


# A flat space of bytes.


def test_a_key_may_lie_above_or_below_another(good: EtcdServer) -> None:
    """There are no directories."""
    registry = registry_at(good)
    assert (
        results(registry, create("/services/a"), create("/services/a/b"), create("/services/a/b/c"))
        == [Result.APPLIED] * 3
    )
    assert not registry.read(OWNER, soon()).has_directories


def test_neighbours_of_the_prefix_are_not_below_it(good: EtcdServer, v3: EtcdV3) -> None:
    """Nor is the prefix itself a key below it."""
    for key in ("/services", "/services0", "/services-old/x", "/service/x", KEY):
        v3.put(key, "x:1")
    assert set(read(registry_at(good))) == {KEY}


def test_bytes_that_are_no_text_are_somebodys_keys(good: EtcdServer, v3: EtcdV3) -> None:
    """They are read, told apart, and can be deleted under the name that they came with."""
    keys = [b"/services/\xff\xfe/core-01:web:80", b"/services/\xff\xfd/core-01:web:80", b"/services/\x00"]
    for key in keys:
        v3.call("kv/put", {"key": coded(key), "value": coded(b"\xff\x00\xfe")})
    registry = registry_at(good)
    stored = read(registry)
    assert len(stored) == 3
    assert results(registry, *(change(Action.DELETE, each) for each in stored.values())) == [Result.APPLIED] * 3
    assert read(registry) == {}


# An etcd that takes no writes.


class Full(EtcdServer):
    """An etcd whose space is soon used up."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, peer) | {"--quota-backend-bytes": "200000"}


def test_an_etcd_that_is_full_says_what_to_do() -> None:
    """It can be read; every change fails with what etcd's operator has to do. Creates are asked for in one request."""
    server = Full().start()
    try:
        v3, gateway = EtcdV3(server.endpoint), tapped(server)
        registry = etcd_v3_registry(gateway, PREFIX, Lifetime())
        results(registry, create(KEY))
        assert fill(v3) > 0
        gateway.calls()
        outcomes = list(registry.apply_all(OWNER, [create(f"/services/{each}") for each in range(9)], soon()))
        assert gateway.calls() == ["kv/txn"]
        assert {each.result for each in outcomes} == {Result.FAILED}
        assert outcomes[0].detail == (
            "etcdserver: mvcc: database space exceeded "
            "(etcd is full; compact and defragment it, then disarm the alarm: etcdctl alarm disarm)"
        )
        stored = read(registry, consistent=True)
        assert set(stored) == {KEY}
        gateway.calls()
        ended = list(registry.apply_all(OWNER, [create("/services/9"), change(Action.DELETE, stored[KEY])], soon()))
        assert gateway.calls() == ["kv/txn"] * 3, "the deletes are tried by themselves, as other versions take those"
        assert {each.result for each in ended} == {Result.FAILED}
    finally:
        server.close()


def fill(v3: EtcdV3) -> int:
    """Write until etcd takes no more; returns how much."""
    for number in range(200):
        try:
            v3.put(f"/filler/{number}", "x" * 50_000)
        except RuntimeError:
            # It says no to what is too large first, and a moment later to everything.
            wait_until(lambda: "alarms" in v3.call("maintenance/alarm", {}), 10, "the alarm")
            return number
    return 0


def test_nobody_is_asked_without_time(good: EtcdServer) -> None:
    """A lease that is not there cannot be granted then either."""
    over = Deadline.after(0, Clock())
    with pytest.raises(RegistryUnavailable, match="ran out of time"):
        registry_at(good, TTL).read(OWNER, over)
    assert [each.result for each in registry_at(good, TTL).apply_all(OWNER, [create(KEY)], over)] == [Result.SKIPPED]
