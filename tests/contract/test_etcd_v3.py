"""What only etcd's v3 API has: leases, transactions, revisions, and a flat space of bytes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.lease import lease_id
from controller.registry.etcd_v3.registry import etcd_v3_registry
from controller.registry.etcd_v3.writer import BATCH
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Result
from model.stored import Lifetime, Stored
from tests.contract.clients import PREFIX, address, recording_client, soon
from tests.support.answering import fake
from tests.support.builders import OWNER, change, create
from tests.support.etcd_server import EtcdServer, chosen_version
from tests.support.etcd_v3 import EtcdV3, encoded
from tests.support.pass_harness import RealHost, serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.every_etcd

KEY = "/services/nginx/core-01:web:80"
FOREIGN = "/services/nginx/core-02:web:80"
RECORD = RecordKeys(PREFIX).record(OWNER)
TTL = Lifetime(100, 10)


def registry_at(server: EtcdServer, lifetime: Lifetime = Lifetime()) -> Registry:
    """A registry over this server, by default without a lifetime."""
    return etcd_v3_registry(EtcdV3Client([address(server)]), PREFIX, lifetime)


def read(registry: Registry, *, consistent: bool = False) -> dict[str, Stored]:
    """What is stored, by key."""
    return dict(registry.read(OWNER, soon(), consistent=consistent).stored)


def results(registry: Registry, *changes: Change) -> list[Result]:
    """The results of these changes."""
    return [each.result for each in registry.apply_all(OWNER, changes, soon())]


@pytest.fixture
def v3(good: EtcdServer) -> EtcdV3:
    """The same etcd, to be read and written without the program."""
    return EtcdV3(good.endpoint)


# Transactions.


def test_a_batch_is_one_transaction(good: EtcdServer, v3: EtcdV3) -> None:
    """Creates, updates and deletes are made at one revision."""
    for name in ("a", "b"):
        v3.put(f"/services/{name}", "old")
    client = recording_client(good)
    registry = etcd_v3_registry(client, PREFIX, Lifetime())
    before = read(registry)
    client.calls()
    changes = [
        create("/services/c"),
        change(Action.UPDATE, before["/services/a"], "new"),
        change(Action.DELETE, before["/services/b"]),
    ]
    since = v3.index() + 1
    assert results(registry, *changes) == [Result.APPLIED] * 3
    assert client.calls() == ["kv/txn"]
    assert {(each.kind, each.key, each.revision - since) for each in v3.changes(PREFIX, since)} == {
        ("PUT", "/services/c", 0),
        ("PUT", "/services/a", 0),
        ("DELETE", "/services/b", 0),
    }


@pytest.mark.parametrize(("number", "transactions"), [(BATCH, 1), (BATCH + 1, 2)])
def test_a_transaction_has_as_many_changes_as_etcd_accepts(good: EtcdServer, number: int, transactions: int) -> None:
    """One more would be refused, so it goes into the next transaction."""
    client = recording_client(good)
    changes = [create(f"/services/nginx/core-01:web{each}:80") for each in range(number)]
    assert results(etcd_v3_registry(client, PREFIX, Lifetime()), *changes) == [Result.APPLIED] * number
    assert client.calls() == ["kv/txn"] * transactions


def test_a_create_that_comes_late_does_not_bring_back_what_went_since(good: EtcdServer, v3: EtcdV3) -> None:
    """A member that stood still can pass a create on after it was asked for again elsewhere and its key was deleted.
    Under a custom id, only the owner record tells which owner the key belongs to, and it has changed by then."""
    client, custom = recording_client(good), "/services/redis/redis-1"
    registry = etcd_v3_registry(client, PREFIX, Lifetime())
    read(registry)
    claim = Change(Action.RECORD, RECORD, "with a claim", None, Reason.CLAIMS)
    late = evolve(create(custom), claimed=True)
    assert results(registry, claim) == results(registry, late) == [Result.APPLIED]
    path, document = client.asked[-1]
    assert results(registry, change(Action.DELETE, read(registry)[custom])) == [Result.APPLIED]
    before = registry.read(OWNER, soon()).record
    assert results(registry, Change(Action.RECORD, RECORD, "without", before, Reason.CLAIMS)) == [Result.APPLIED]
    v3.call(path, dict(document))
    assert v3.keys(PREFIX) == {}
    assert results(registry, late) == [Result.APPLIED], "a create that was decided on with the present record is made"


def test_a_claim_does_not_end_while_a_late_create_has_brought_its_key_back(good: EtcdServer) -> None:
    """If the claim ended although the key is back, nothing would show that the key is this host's, and the key would
    stay for ever."""
    custom = "/services/redis/redis-1"
    registry = etcd_v3_registry(recording_client(good), PREFIX, Lifetime())
    read(registry)
    assert results(registry, Change(Action.RECORD, RECORD, "with a claim", None, Reason.CLAIMS)) == [Result.APPLIED]
    without = Change(Action.RECORD, RECORD, "without", registry.read(OWNER, soon()).record, Reason.CLAIMS)
    assert results(registry, evolve(create(custom), claimed=True)) == [Result.APPLIED]
    assert results(registry, evolve(without, absent=("/services/other", custom))) == [Result.CONFLICT]
    assert results(registry, change(Action.DELETE, read(registry)[custom])) == [Result.APPLIED]
    assert results(registry, evolve(without, absent=("/services/other", custom))) == [Result.APPLIED]


def test_any_number_of_keys_is_created_only_while_there_is_none_that_they_would_hide(good: EtcdServer) -> None:
    """Somebody created the key above one of them after the registry was read. All others are created."""
    registry = registry_at(good)
    above = [f"/services/web{number}" for number in range(300)]
    assert results(registry, create(above[7])) == [Result.APPLIED]
    creates = [evolve(create(f"{each}/x"), absent=(each, f"{each}-")) for each in above]
    expected = [Result.CONFLICT if number == 7 else Result.APPLIED for number in range(300)]
    assert results(registry, *creates) == expected
    assert f"{above[7]}/x" not in read(registry)


def test_many_claims_end_at_once_whatever_etcd_takes_in_one_transaction(good: EtcdServer, small: EtcdServer) -> None:
    """The record is written on the condition that the keys of the ended claims are absent. Where etcd takes too few
    operations in one transaction for that, the record is written without the condition."""
    for number, etcd in enumerate((good, small)):
        registry = etcd_v3_registry(recording_client(etcd), PREFIX, Lifetime())
        found = registry.read(OWNER, soon()).record
        record = Change(Action.RECORD, RECORD, f"without {number}", found, Reason.CLAIMS)
        many = tuple(f"/services/redis/redis-{each}" for each in range(300))
        assert results(registry, evolve(record, absent=many)) == [Result.APPLIED]


def test_a_batch_that_would_fail_in_parts_too_is_sent_once() -> None:
    """A wrong password is wrong for each change."""
    denied = {"code": 3, "message": "etcdserver: authentication failed, invalid user ID or password"}
    with fake(400, denied) as etcd:
        registry = etcd_v3_registry(EtcdV3Client([etcd.address]), PREFIX, Lifetime())
        assert results(registry, *(create(f"/services/{each}") for each in range(9))) == [Result.REJECTED] * 9
        assert [each for each in etcd.asked if each.endswith("/kv/txn")] == ["POST /v3/kv/txn"]


class Small(EtcdServer):
    """An etcd that accepts few operations at once and small requests alone, and grants no short leases."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        limits = {"--max-txn-ops": "8", "--max-request-bytes": "20000"}
        # Milliseconds; a lease lasts one and a half elections, at least.
        return super()._flags(client, peer) | limits | {"--heartbeat-interval": "200", "--election-timeout": "2000"}


@pytest.fixture(scope="module")
def small() -> Iterator[EtcdServer]:
    """An etcd with low limits."""
    server = Small().start()
    yield server
    server.close()


def test_a_batch_that_is_too_large_is_made_in_parts(small: EtcdServer) -> None:
    """With an etcd whose limits are lower than usual, only the change that is too large by itself fails."""
    changes = [create(f"/services/{each}", "x" * 3000) for each in range(30)]
    changes[7] = create("/services/7", "x" * 30000)
    outcomes = list(registry_at(small).apply_all(OWNER, changes, soon()))
    assert [each.change.key for each in outcomes if each.result is not Result.APPLIED] == ["/services/7"]
    assert outcomes[7].detail == "etcdserver: request is too large"
    assert len(EtcdV3(small.endpoint).keys(PREFIX)) == 29


# Leases.


def lease_of(v3: EtcdV3, key: str) -> int:
    """The id of the lease that a key hangs on, 0 for none."""
    pair = v3.node(key)
    assert pair
    return pair.lease


def test_all_of_a_hosts_keys_hang_on_one_lease(good: EtcdServer, v3: EtcdV3) -> None:
    """An agent that is started again goes on with the same lease. The owner record hangs on none and outlives them."""
    record = Change(Action.RECORD, RECORD, "mine", None, Reason.CLAIMS)
    assert results(registry_at(good, TTL), record, create(KEY)) == [Result.APPLIED] * 2
    assert results(registry_at(good, TTL), create(f"{KEY}1")) == [Result.APPLIED]
    lease = lease_id(PREFIX, OWNER, TTL.ttl)
    assert {lease_of(v3, KEY), lease_of(v3, f"{KEY}1")} == {lease}
    assert lease_of(v3, RECORD) == 0
    list(registry_at(good, TTL).apply_all("core-02", [create(FOREIGN)], soon()))
    assert lease_of(v3, FOREIGN) not in {0, lease}


def test_renewing_is_one_call_and_wakes_no_watcher(good: EtcdServer, v3: EtcdV3) -> None:
    """This is so however many keys there are, and each time."""
    client = recording_client(good)
    registry = etcd_v3_registry(client, PREFIX, TTL)
    assert set(results(registry, *(create(f"/services/{each}/core-01:web:80") for each in range(50)))) == {
        Result.APPLIED
    }
    keys = read(registry).values()
    since = v3.index() + 1
    client.calls()
    renewals = [change(Action.RENEW, each, each.value) for each in keys]
    for _ in range(100):
        assert results(registry, *renewals) == [Result.APPLIED] * 50
    assert client.calls() == ["lease/keepalive"] * 100
    assert list(v3.changes(PREFIX, since)) == []
    assert {each.ttl in range(95, 101) for each in read(registry).values()} == {True}


def test_what_is_left_of_the_lease_is_read_once(good: EtcdServer) -> None:
    """One request is made however many keys hang on the lease, and none where no key does."""
    client = recording_client(good)
    registry = etcd_v3_registry(client, PREFIX, TTL)
    read(registry)
    assert "lease/timetolive" not in client.calls()
    results(registry, *(create(f"/services/{each}/core-01:web:80") for each in range(5)))
    client.calls()
    read(registry)
    assert client.calls() == ["kv/range", "kv/range", "lease/timetolive"]


def test_a_lease_that_ended_is_granted_again(good: EtcdServer, v3: EtcdV3) -> None:
    """Its keys are gone with it. A renewal is a conflict, and the next create grants the lease again."""
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
    """That is the case when the host has died. The record stays."""
    record = Change(Action.RECORD, RECORD, "mine", None, Reason.CLAIMS)
    results(registry_at(good, Lifetime(2, 1)), record, create(KEY))
    wait_until(lambda: v3.keys(PREFIX) == {}, 15, "the key to expire")
    assert v3.get(RECORD) == "mine"


def test_the_last_second_of_a_lease_can_be_read(good: EtcdServer, v3: EtcdV3) -> None:
    """etcd rounds down and leaves out a 0. The plan renews the key then."""
    lifetime = Lifetime(2, 1)
    registry = registry_at(good, lifetime)
    results(registry, create(KEY))
    lease = {"ID": str(lease_id(PREFIX, OWNER, lifetime.ttl))}
    wait_until(lambda: "TTL" not in v3.call("lease/timetolive", lease), 10, "the last second")
    stored = read(registry)[KEY]
    assert (stored.ttl, lifetime.due(stored.ttl)) == (0, True)
    assert results(registry, change(Action.RENEW, stored, stored.value)) == [Result.APPLIED]
    assert read(registry)[KEY].ttl in {1, 2}


def test_a_new_key_has_the_full_lifetime_whatever_is_left_of_the_lease(good: EtcdServer, v3: EtcdV3) -> None:
    """While no key hangs on the lease, it is not renewed, but it is still there."""
    registry = registry_at(good, TTL)
    results(registry, create(KEY))
    results(registry, change(Action.DELETE, read(registry)[KEY]))
    lease = {"ID": str(lease_id(PREFIX, OWNER, TTL.ttl))}
    wait_until(lambda: int(v3.call("lease/timetolive", lease)["TTL"]) < 99, 10, "the lease to grow old")
    assert results(registry, create(KEY)) == [Result.APPLIED]
    assert int(v3.call("lease/timetolive", lease)["TTL"]) >= 99


def test_only_keys_on_the_hosts_own_lease_are_renewable(good: EtcdServer, v3: EtcdV3) -> None:
    """A key on another lease reads as one with no lifetime left, as this host cannot renew it."""
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
def test_another_lifetime_puts_the_keys_on_another_lease(
    good: EtcdServer, v3: EtcdV3, before: Lifetime, after: Lifetime
) -> None:
    """An update puts a key on the lease that the flags ask for, or on none."""
    results(registry_at(good, before), create(KEY))
    registry = registry_at(good, after)
    stored = read(registry)[KEY]
    assert results(registry, change(Action.UPDATE, stored, stored.value)) == [Result.APPLIED]
    assert lease_of(v3, KEY) == (lease_id(PREFIX, OWNER, after.ttl) if after.ttl else 0)


def test_a_lifetime_that_etcd_lengthens_is_not_renewed_at_once(small: EtcdServer) -> None:
    """etcd grants no lease that is shorter than an election. The plan must not find that too much is left."""
    lifetime = Lifetime(2, 1)
    registry = registry_at(small, lifetime)
    results(registry, create(KEY))
    left = EtcdV3(small.endpoint).call("lease/timetolive", {"ID": str(lease_id(PREFIX, OWNER, lifetime.ttl))})
    assert int(left["grantedTTL"]) > lifetime.ttl
    assert read(registry)[KEY].ttl in {1, 2}


# A flat space of bytes.


def test_a_key_may_lie_above_or_below_another(good: EtcdServer) -> None:
    """This API has no directories."""
    registry = registry_at(good)
    assert (
        results(registry, create("/services/a"), create("/services/a/b"), create("/services/a/b/c"))
        == [Result.APPLIED] * 3
    )
    assert not registry.read(OWNER, soon()).has_directories


def test_neighbours_of_the_prefix_are_not_below_it(good: EtcdServer, v3: EtcdV3) -> None:
    """The prefix itself is not a key below it either."""
    for key in ("/services", "/services0", "/services-old/x", "/service/x", KEY):
        v3.put(key, "x:1")
    assert set(read(registry_at(good))) == {KEY}


def test_keys_that_are_no_text_can_be_read_and_deleted(good: EtcdServer, v3: EtcdV3) -> None:
    """Different bytes are different keys, and a key is deleted by the name by which it was read."""
    keys = [b"/services/\xff\xfe/core-01:web:80", b"/services/\xff\xfd/core-01:web:80", b"/services/\x00"]
    for key in keys:
        v3.call("kv/put", {"key": encoded(key), "value": encoded(b"\xff\x00\xfe")})
    registry = registry_at(good)
    stored = read(registry)
    assert len(stored) == 3
    assert results(registry, *(change(Action.DELETE, each) for each in stored.values())) == [Result.APPLIED] * 3
    assert read(registry) == {}


# An etcd that accepts no writes.


class Full(EtcdServer):
    """An etcd with little space."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, peer) | {"--quota-backend-bytes": "200000"}


def test_the_error_of_a_full_etcd_says_what_to_do() -> None:
    """It can be read. Every change fails, and creates are not tried one by one."""
    server = Full().start()
    try:
        v3, client = EtcdV3(server.endpoint), recording_client(server)
        registry = etcd_v3_registry(client, PREFIX, Lifetime())
        results(registry, create(KEY))
        assert fill(v3) > 0
        client.calls()
        outcomes = list(registry.apply_all(OWNER, [create(f"/services/{each}") for each in range(9)], soon()))
        assert client.calls() == ["kv/txn"]
        assert {each.result for each in outcomes} == {Result.REJECTED}
        assert outcomes[0].detail == (
            "etcdserver: mvcc: database space exceeded "
            "(etcd is full; compact and defragment it, then disarm the alarm: etcdctl alarm disarm)"
        )
        stored = read(registry, consistent=True)
        assert set(stored) == {KEY}
        client.calls()
        ended = list(registry.apply_all(OWNER, [create("/services/9"), change(Action.DELETE, stored[KEY])], soon()))
        assert client.calls() == ["kv/txn"] * 3, "deletes are tried by themselves, as other versions accept those"
        found = {each.change.key: each.result for each in ended}
        assert found["/services/9"] is Result.REJECTED
        # A delete needs no space. Only early releases of 3.5 refuse it, once their file is larger than the quota.
        assert found[KEY] is Result.APPLIED or not chosen_version()
        assert (found[KEY] is Result.APPLIED) == (KEY not in read(registry, consistent=True))
    finally:
        server.close()


def fill(v3: EtcdV3) -> int:
    """Write keys until etcd accepts no more; return how many it accepted."""
    for number in range(200):
        try:
            v3.put(f"/filler/{number}", "x" * 50_000)
        except RuntimeError:
            # etcd refuses the large write first, and every write a moment later.
            wait_until(lambda: "alarms" in v3.call("maintenance/alarm", {}), 10, "the alarm")
            return number
    return 0


def test_no_request_is_made_after_the_deadline(good: EtcdServer) -> None:
    """This also holds for requests about the lease."""
    over = Deadline.after(0, Clock())
    with pytest.raises(RegistryUnavailable, match="ran out of time"):
        registry_at(good, TTL).read(OWNER, over)
    assert [each.result for each in registry_at(good, TTL).apply_all(OWNER, [create(KEY)], over)] == [Result.SKIPPED]


# Keys and values that are not UTF-8.


def test_a_key_that_is_not_utf_8_is_left_alone(good: EtcdServer) -> None:
    """Such a key looks like an orphan of this host, but two passes write nothing about it."""
    store = EtcdV3(good.endpoint)
    for key in (b"/services/nginx/core-01:w\xffb:80", b"/services/ngin\xc3\x28x/core-01:web:80"):
        store.call("kv/put", {"key": encoded(key), "value": encoded("x")})
    host = RealHost(registry_at(good))
    host.has_a_pass()
    revision = store.index()
    for _ in range(2):
        report = host.has_a_pass()
        assert (report.plan.changes, report.plan.foreign, store.index()) == ((), 2, revision)


@pytest.mark.parametrize("runs", [True, False], ids=["wanted", "not wanted"])
def test_a_value_that_is_not_utf_8_is_repaired_or_deleted_once(good: EtcdServer, runs: bool) -> None:
    """The key's id shows that the key is this host's. So one pass updates or deletes it, and the next pass has nothing
    to do."""
    store = EtcdV3(good.endpoint)
    store.call("kv/put", {"key": encoded(KEY), "value": encoded(b"\xff\xfe")})
    host = RealHost(registry_at(good), *([serving("web")] if runs else []))
    host.has_a_pass()
    assert store.get(KEY) == ("10.0.0.1:8000" if runs else None)
    assert host.has_a_pass().plan.changes == ()
