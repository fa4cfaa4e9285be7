"""What every registry promises: the in-memory one, and etcd through both of its APIs. See controller.registry.base."""

from __future__ import annotations

import pytest
from attrs import evolve

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import PendingWriter, ReadWriteRegistry, Registry
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Result
from model.stored import Actual, Lifetime, Stored, StorePosition
from tests.contract.conftest import PREFIX, Store
from tests.support.builders import OWNER, change, create

pytestmark = pytest.mark.every_etcd

KEY = "/services/nginx/core-01:web:80"

#: Parts of keys that a careless client would cut off, decode, or take for a path.
AWKWARD = (
    "a b",
    "q?x=1",
    "h#t",
    "100%",
    "%2F",
    "a+b",
    "ünï",
    "日本",
    "a;b&c=d",
    "core-01:x:80:udp",
    "'\"<>",
    "~",
    "\\",
)


def soon() -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(10, Clock())


def read(registry: Registry) -> dict[str, Stored]:
    """What is stored, by key."""
    return dict(registry.read(OWNER, soon()).stored)


def renewal(before: Stored) -> Change:
    """The change that a plan has for a key whose lifetime is due."""
    return change(Action.RENEW if before.renewable else Action.UPDATE, before, before.value)


def test_an_empty_store_reads_as_no_keys(store: Store) -> None:
    """An etcd without the prefix gives an answer and no error."""
    assert read(store.registry()) == {}


def test_reading_shows_values_and_lifetimes(store: Store) -> None:
    """All keys below the prefix are read, whoever wrote them, and whether they expire. Keys outside it are not read."""
    store.put(KEY, "10.0.0.1:80")
    store.put("/services/team/db/other:db:5432", "10.0.0.2:5432", ttl=100)
    store.put("/elsewhere/x", "1")
    stored = read(store.registry())
    assert {key: each.value for key, each in stored.items()} == {
        KEY: "10.0.0.1:80",
        "/services/team/db/other:db:5432": "10.0.0.2:5432",
    }
    assert stored[KEY].ttl is None
    assert stored["/services/team/db/other:db:5432"].ttl is not None


def test_a_create_writes_a_key_that_is_absent(store: Store) -> None:
    """Its outcome is applied, and the key can be read."""
    registry = store.registry()
    assert registry.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
    assert read(registry)[KEY].value == "10.0.0.1:80"


def test_a_create_never_overwrites(store: Store) -> None:
    """Where the key exists, the outcome is a conflict, and the key keeps its value."""
    store.put(KEY, "theirs")
    outcome = store.registry().apply(OWNER, create(KEY), soon())
    assert outcome.result is Result.CONFLICT
    assert outcome.detail
    assert store.keys() == {KEY: "theirs"}


def test_a_create_that_is_already_done_counts_as_applied(store: Store) -> None:
    """The answer to an earlier try may have been lost."""
    store.put(KEY, "10.0.0.1:80")
    assert store.registry().apply(OWNER, create(KEY), soon()).result is Result.APPLIED


def test_an_outcome_has_the_version_that_the_key_has_then(store: Store) -> None:
    """This holds for a change that was made, for a change that turned out to be made already, and for a change that is
    in conflict with what somebody else wrote."""
    registry = store.registry()
    made = registry.apply(OWNER, create(KEY), soon())
    assert made.version == registry.apply(OWNER, create(KEY), soon()).version == read(registry)[KEY].version
    before = read(registry)[KEY]
    store.put(KEY, "theirs")
    conflict = registry.apply(OWNER, change(Action.UPDATE, before, "new"), soon())
    assert conflict.version == read(registry)[KEY].version != before.version
    updated = registry.apply(OWNER, change(Action.UPDATE, read(registry)[KEY], "new"), soon())
    assert updated.version == read(registry)[KEY].version
    assert registry.apply(OWNER, change(Action.UPDATE, Stored("/services/x", "old", 1), "new"), soon()).version == 0


def test_an_update_changes_a_key_that_is_as_it_was_read(store: Store) -> None:
    """Its outcome is applied."""
    store.put(KEY, "old")
    registry = store.registry()
    outcome = registry.apply(OWNER, change(Action.UPDATE, read(registry)[KEY], "new"), soon())
    assert outcome.result is Result.APPLIED
    assert store.keys() == {KEY: "new"}


@pytest.mark.parametrize("action", [Action.UPDATE, Action.DELETE, Action.RENEW])
def test_a_key_changed_since_it_was_read_is_left_alone(store: Store, action: Action) -> None:
    """Every change is guarded by what was read: if the key was written since, the outcome is a conflict."""
    store.put(KEY, "old")
    registry = store.registry(Lifetime(60, 20))
    before = read(registry)[KEY]
    store.put(KEY, "theirs")
    assert registry.apply(OWNER, change(action, before, "new"), soon()).result is Result.CONFLICT
    assert store.keys() == {KEY: "theirs"}


@pytest.mark.parametrize("action", [Action.UPDATE, Action.RENEW])
def test_a_key_deleted_since_it_was_read_is_not_written(store: Store, action: Action) -> None:
    """An update or a renewal never creates a key."""
    store.put(KEY, "old")
    registry = store.registry(Lifetime(60, 20))
    before = read(registry)[KEY]
    store.remove(KEY)
    assert registry.apply(OWNER, change(action, before, "new"), soon()).result is Result.CONFLICT
    assert store.keys() == {}


def test_a_delete_removes_what_was_read_and_can_be_repeated(store: Store) -> None:
    """Its outcome is applied, also where the key is already gone."""
    store.put(KEY, "old")
    registry = store.registry()
    delete = change(Action.DELETE, read(registry)[KEY])
    assert [registry.apply(OWNER, delete, soon()).result for _ in range(2)] == [Result.APPLIED, Result.APPLIED]
    assert store.keys() == {}


def test_a_lifetime_is_set_renewed_and_removed(store: Store) -> None:
    """With a ttl, keys are written with it and renewed to it. Without, an update makes a key permanent."""
    with_ttl = store.registry(Lifetime(100, 10))
    with_ttl.apply(OWNER, create(KEY), soon())
    assert read(with_ttl)[KEY].ttl in range(95, 101)
    store.put(KEY, "10.0.0.1:80", ttl=50)
    before = read(with_ttl)[KEY]
    assert with_ttl.apply(OWNER, renewal(before), soon()).result is Result.APPLIED
    assert read(with_ttl)[KEY].ttl in range(95, 101)
    assert with_ttl.apply(OWNER, renewal(read(with_ttl)[KEY]), soon()).result is Result.APPLIED
    without = store.registry()
    without.apply(OWNER, change(Action.UPDATE, read(without)[KEY], "10.0.0.1:80"), soon())
    assert (read(without)[KEY].value, read(without)[KEY].ttl) == ("10.0.0.1:80", None)


def test_a_change_that_conflicts_does_not_stop_the_others(store: Store) -> None:
    """Each of several changes has the outcome that it would have alone."""
    registry = store.registry()
    for name in ("a", "b", "c", "d"):
        store.put(f"/services/{name}", "old")
    before = read(registry)
    store.put("/services/b", "theirs")
    store.remove("/services/d")
    changes = [
        change(Action.UPDATE, before["/services/a"], "new"),
        change(Action.UPDATE, before["/services/b"], "new"),
        change(Action.DELETE, before["/services/c"]),
        change(Action.DELETE, before["/services/d"]),
        create("/services/a/e", "new")
        if not registry.read(OWNER, soon()).has_directories
        else create("/services/e", "new"),
        create("/services/b", "new"),
    ]
    outcomes = list(registry.apply_all(OWNER, changes[:5], soon())) + list(
        registry.apply_all(OWNER, changes[5:], soon())
    )
    assert [(each.change, each.result) for each in outcomes] == [
        (changes[0], Result.APPLIED),
        (changes[1], Result.CONFLICT),
        (changes[2], Result.APPLIED),
        (changes[3], Result.APPLIED),
        (changes[4], Result.APPLIED),
        (changes[5], Result.CONFLICT),
    ]
    assert store.keys() == {"/services/a": "new", "/services/b": "theirs", changes[4].key: "new"}


def test_any_number_of_changes_can_be_made_at_once(store: Store) -> None:
    """The registry's limits for one request do not show."""
    registry = store.registry(Lifetime(100, 10))
    keys = [f"/services/nginx/core-01:web{number}:80" for number in range(300)]
    outcomes = list(registry.apply_all(OWNER, map(create, keys), soon()))
    assert {each.result for each in outcomes} == {Result.APPLIED}
    assert set(store.keys()) == set(keys)
    outcomes = list(registry.apply_all(OWNER, map(renewal, read(registry).values()), soon()))
    assert ({each.result for each in outcomes}, len(outcomes)) == ({Result.APPLIED}, 300)


def test_changes_after_the_deadline_are_skipped(store: Store) -> None:
    """They are not made."""
    registry = store.registry(Lifetime(100, 10))
    registry.apply(OWNER, create(KEY), soon())
    over = Deadline.after(0, Clock())
    changes = [renewal(read(registry)[KEY]), create("/services/a", "1"), create("/services/b", "1")]
    assert [each.result for each in registry.apply_all(OWNER, changes, over)] == [Result.SKIPPED] * 3
    assert set(store.keys()) == {KEY}


def test_no_changes_give_no_outcomes(store: Store) -> None:
    """Then it does not matter that the store is down."""
    registry = store.registry()
    store.break_down()
    assert list(registry.apply_all(OWNER, [], soon())) == []


@pytest.mark.parametrize("part", AWKWARD)
def test_every_character_survives_the_round_trip(store: Store, part: str) -> None:
    """A key is read as it was written, and can be deleted by that name."""
    key = f"/services/{part}/{part}"
    registry = store.registry()
    assert registry.apply(OWNER, create(key, part), soon()).result is Result.APPLIED
    assert {each.key: each.value for each in read(registry).values()} == {key: part}
    assert registry.apply(OWNER, change(Action.DELETE, read(registry)[key]), soon()).result is Result.APPLIED
    assert read(registry) == {}


def test_reading_a_store_that_is_down_raises(store: Store) -> None:
    """It must not look like an empty store. A change fails."""
    registry = store.registry()
    store.break_down()
    with pytest.raises(RegistryUnavailable):
        registry.read(OWNER, soon())
    assert registry.apply(OWNER, create(KEY), soon()).result is Result.FAILED


def test_a_dry_run_shows_what_is_there_and_writes_nothing(store: Store) -> None:
    """The registry of a dry run reads what is there and leaves each change pending."""
    store.put(KEY, "here")
    dry = ReadWriteRegistry(store.registry(), PendingWriter())
    assert read(dry)[KEY].value == "here"
    assert dry.apply(OWNER, change(Action.DELETE, read(dry)[KEY]), soon()).result is Result.PENDING
    assert store.keys() == {KEY: "here"}


# What is kept about an owner, outside the prefix.

RECORD_KEYS = RecordKeys(PREFIX)
RECORD, LIVENESS_QUERY = RECORD_KEYS.record(OWNER), RECORD_KEYS.liveness_query(OWNER)


def _kept(actual: Actual) -> tuple[Stored | None, ...]:
    """Return the keys beside the prefix in which something is written about the owner."""
    return actual.record, actual.liveness_query, actual.agent_note, actual.drain_order


def recording(value: str, before: Stored | None = None) -> Change:
    """A change of the owner record."""
    return Change(Action.RECORD, RECORD, value, before, Reason.CLAIMS)


@pytest.mark.parametrize("consistent", [False, True], ids=["any", "consistent"])
def test_what_is_kept_about_an_owner_is_read_beside_the_keys(store: Store, consistent: bool) -> None:
    """They are those of this owner and prefix alone, and they are not among the keys."""
    for owner in (OWNER, "core-011", "core-0"):
        store.put(RECORD_KEYS.record(owner), f"record of {owner}")
        store.put(RECORD_KEYS.liveness_query(owner), f"query to {owner}")
        store.put(RECORD_KEYS.agent_note(owner), f"note of {owner}")
        store.put(RECORD_KEYS.drain_order(owner), f"order for {owner}")
    store.put(RecordKeys("/elsewhere").record(OWNER), "of another prefix")
    store.put(KEY, "10.0.0.1:80")
    actual = store.registry().read(OWNER, soon(), consistent=consistent)
    assert actual.record is not None
    assert actual.liveness_query is not None
    assert actual.agent_note is not None
    assert (actual.record.value, actual.liveness_query.value) == (f"record of {OWNER}", f"query to {OWNER}")
    assert actual.agent_note.value == f"note of {OWNER}"
    assert actual.drain_order is not None
    assert actual.drain_order.value == f"order for {OWNER}"
    assert set(actual.stored) == {KEY}
    about_owner = store.registry().about_owner(OWNER, soon())
    assert _kept(about_owner) == _kept(actual)
    assert about_owner.stored == {}


def test_an_owner_without_a_record_has_none(store: Store) -> None:
    """That is an answer and no error."""
    store.put(KEY, "10.0.0.1:80")
    actual = store.registry().read(OWNER, soon())
    assert _kept(actual) == _kept(store.registry().about_owner(OWNER, soon())) == (None, None, None, None)
    assert store.registry().other_records(OWNER, soon()) == ()


def test_other_records_are_those_of_all_other_owners_of_this_prefix(store: Store) -> None:
    """The result has no liveness queries, agent notes or drain orders, and it does not have this owner's own record."""
    for owner in (OWNER, "core-02", "core-011", "record"):
        store.put(RECORD_KEYS.record(owner), f"record of {owner}")
    store.put(RECORD_KEYS.liveness_query("core-03"), "query")
    store.put(RECORD_KEYS.agent_note("core-03"), "note")
    store.put(RECORD_KEYS.drain_order("core-03"), "order")
    store.put(RecordKeys("/elsewhere").record("core-04"), "of another prefix")
    others = store.registry().other_records(OWNER, soon())
    assert {each.key: each.value for each in others} == {
        RECORD_KEYS.record(owner): f"record of {owner}" for owner in ("core-02", "core-011", "record")
    }


def test_inner_prefixes_are_those_within_this_one_that_have_owner_records(store: Store) -> None:
    """Each inner prefix is returned with the owners of its records. Liveness queries, records that were removed, and
    records of other prefixes make no inner prefix."""
    registry = store.registry()
    assert registry.inner_prefixes(soon()) == ()
    inner = {"/services/registrator": ("core-01", "core-02"), "/services/a b/ünï": ("core-01",)}
    for prefix, owners in inner.items():
        for owner in reversed(owners):
            store.put(RecordKeys(prefix).record(owner), f"record of {owner}")
    for prefix in ("", PREFIX, f"{PREFIX}-2", "/elsewhere", "/elsewhere/services/x", "/services/left"):
        store.put(RecordKeys(prefix).record("core-03"), "record")
    store.remove(RecordKeys("/services/left").record("core-03"))
    store.put(RecordKeys("/services/asked").liveness_query("core-03"), "query")
    assert {each.prefix: each.owners for each in registry.inner_prefixes(soon())} == inner
    everything = {each.prefix for each in store.registry(prefix="").inner_prefixes(soon())}
    assert everything == {*inner, PREFIX, f"{PREFIX}-2", "/elsewhere", "/elsewhere/services/x"}
    assert store.registry(prefix="/services/registrator").inner_prefixes(soon()) == ()


def test_the_record_of_an_empty_prefix_is_not_among_the_keys(store: Store) -> None:
    """An empty prefix is all of etcd, except for the owner records."""
    registry = store.registry(prefix="")
    change = Change(Action.RECORD, RecordKeys("").record(OWNER), "mine", None, Reason.CLAIMS)
    assert registry.apply(OWNER, change, soon()).result is Result.APPLIED
    store.put(KEY, "10.0.0.1:80")
    actual = registry.read(OWNER, soon())
    assert actual.record is not None
    assert KEY in actual.stored
    assert not [key for key in actual.stored if key.startswith("/_")]


def test_the_record_is_guarded_like_any_key(store: Store) -> None:
    """It is created where it is absent, and changed where it is as it was read. Otherwise the outcome is a conflict."""
    registry = store.registry()
    assert registry.apply(OWNER, recording("one"), soon()).result is Result.APPLIED
    assert registry.apply(OWNER, recording("two"), soon()).result is Result.CONFLICT
    assert registry.apply(OWNER, recording("one"), soon()).result is Result.APPLIED
    before = registry.read(OWNER, soon()).record
    assert registry.apply(OWNER, recording("two", before), soon()).result is Result.APPLIED
    assert registry.apply(OWNER, recording("three", before), soon()).result is Result.CONFLICT
    after = registry.read(OWNER, soon()).record
    assert after is not None
    assert after.value == "two"
    assert store.keys() == {}


def test_the_version_of_a_written_record_lets_it_be_written_again_without_a_read(store: Store) -> None:
    """A pass needs this if it has to take back a claim that it has just written into the record."""
    registry = store.registry()
    first = registry.apply(OWNER, recording("one"), soon())
    again = registry.apply(OWNER, recording("two", Stored(RECORD, "one", first.version)), soon())
    assert again.result is Result.APPLIED
    repeated = registry.apply(OWNER, recording("two", Stored(RECORD, "one", first.version)), soon())
    assert (repeated.result, repeated.version) == (Result.APPLIED, again.version)


@pytest.mark.parametrize("value", ["10.0.0.1:80", "theirs"])
def test_a_key_under_a_custom_id_that_is_older_than_the_record_is_not_taken_for_an_earlier_try(
    store: Store, value: str
) -> None:
    """The key existed before the record claimed it, so somebody else created it, whatever its value is."""
    registry = store.registry()
    registry.read(OWNER, soon())
    store.put(KEY, value)
    registry.apply(OWNER, recording("claiming it"), soon())
    outcome = registry.apply(OWNER, evolve(create(KEY), claimed=True), soon())
    assert (outcome.result, outcome.version) == (Result.CONFLICT, read(registry)[KEY].version)
    assert outcome.detail
    assert store.keys() == {KEY: value}


@pytest.mark.parametrize("restarted", [False, True], ids=["record written", "record read"])
def test_a_key_under_a_custom_id_that_is_newer_than_the_record_may_be_an_earlier_try(
    store: Store, restarted: bool
) -> None:
    """The key may come from an earlier create of this host whose answer was lost. With another value it is a
    conflict."""
    registry = store.registry()
    registry.apply(OWNER, recording("claiming it"), soon())
    if restarted:
        registry = store.registry()
        registry.read(OWNER, soon())
    store.put(KEY, "10.0.0.1:80")
    assert registry.apply(OWNER, evolve(create(KEY), claimed=True), soon()).result is Result.APPLIED
    assert registry.apply(OWNER, evolve(create(KEY, "other"), claimed=True), soon()).result is Result.CONFLICT


def test_the_record_never_expires(store: Store) -> None:
    """The owner record outlives the entries, because it says which owner they belong to. The agent note does not expire
    either. A liveness query that has a lifetime does expire."""
    registry = store.registry(Lifetime(100, 10))
    note = Change(Action.NOTE, RECORD_KEYS.agent_note(OWNER), "note", None, Reason.STARTED)
    assert registry.apply(OWNER, note, soon()).result is Result.APPLIED
    assert registry.apply(OWNER, note, soon()).result is Result.APPLIED
    registry.apply(OWNER, recording("one"), soon())
    registry.apply(OWNER, recording("two", registry.read(OWNER, soon()).record), soon())
    registry.apply(OWNER, create(LIVENESS_QUERY, "?"), soon())
    actual = registry.read(OWNER, soon())
    assert actual.record is not None
    assert actual.liveness_query is not None
    assert actual.agent_note is not None
    assert (actual.record.value, actual.record.ttl) == ("two", None)
    assert (actual.agent_note.value, actual.agent_note.ttl) == ("note", None)
    assert actual.liveness_query.ttl in range(95, 101)


def test_a_drain_order_is_written_and_removed_only_as_it_was_read(store: Store) -> None:
    """Of two programs that read the same order, the second one to write gets a conflict."""
    registry, key = store.registry(), RECORD_KEYS.drain_order(OWNER)
    assert registry.apply(OWNER, create(key, "one"), soon()).result is Result.APPLIED
    assert registry.apply(OWNER, create(key, "two"), soon()).result is Result.CONFLICT
    first = registry.about_owner(OWNER, soon()).drain_order
    assert first is not None
    assert registry.apply(OWNER, change(Action.UPDATE, first, "two"), soon()).result is Result.APPLIED
    assert registry.apply(OWNER, change(Action.UPDATE, first, "three"), soon()).result is Result.CONFLICT
    assert registry.apply(OWNER, change(Action.DELETE, first), soon()).result is Result.CONFLICT
    second = registry.about_owner(OWNER, soon()).drain_order
    assert second is not None
    assert (second.value, second.ttl) == ("two", None)
    assert registry.apply(OWNER, change(Action.DELETE, second), soon()).result is Result.APPLIED
    assert registry.about_owner(OWNER, soon()).drain_order is None


def test_what_is_kept_about_an_owner_cannot_be_read_from_a_store_that_is_down(store: Store) -> None:
    """It must not look like an owner about whom nothing is kept."""
    registry = store.registry()
    store.break_down()
    with pytest.raises(RegistryUnavailable):
        registry.about_owner(OWNER, soon())


def test_a_liveness_query_can_be_created_and_answered(store: Store) -> None:
    """Deleting it answers it. The record stays."""
    registry = store.registry()
    registry.apply(OWNER, recording("one"), soon())
    registry.apply(OWNER, create(LIVENESS_QUERY, "?"), soon())
    query = registry.read(OWNER, soon()).liveness_query
    assert query is not None
    assert registry.apply(OWNER, change(Action.DELETE, query), soon()).result is Result.APPLIED
    actual = registry.read(OWNER, soon())
    assert (actual.liveness_query, actual.record is not None) == (None, True)


def test_the_store_position_moves_with_every_write(store: Store) -> None:
    """It moves wherever in the store somebody writes, and only then. It shows that the store is still the same one."""
    registry = store.registry()

    def store_position() -> StorePosition:
        found = registry.read(OWNER, soon(), consistent=True).store_position
        assert found is not None
        return found

    first = store_position()
    assert store_position() == first
    store.put("/elsewhere/x", "1")
    second = store_position()
    assert second != first
    assert second.succeeds(first)
    assert not first.succeeds(second)
    assert first.cluster


def test_a_consistent_read_shows_what_was_written_before(store: Store) -> None:
    """That is true of the keys and of the records of other owners."""
    registry = store.registry()
    for number in range(5):
        store.put(KEY, f"10.0.0.1:{number}")
        store.put(RECORD_KEYS.record("core-02"), f"{number}")
        assert registry.read(OWNER, soon(), consistent=True).stored[KEY].value == f"10.0.0.1:{number}"
        assert [each.value for each in registry.other_records(OWNER, soon())] == [f"{number}"]


def test_reading_the_records_of_a_store_that_is_down_raises(store: Store) -> None:
    """It must not look as if there were none. Writing the record fails."""
    registry = store.registry()
    store.break_down()
    with pytest.raises(RegistryUnavailable):
        registry.other_records(OWNER, soon())
    with pytest.raises(RegistryUnavailable):
        registry.inner_prefixes(soon())
    assert registry.apply(OWNER, recording("one"), soon()).result is Result.FAILED


def test_a_dry_run_reads_records_and_writes_none(store: Store) -> None:
    """Records are treated like keys."""
    store.put(RECORD_KEYS.record("core-02"), "theirs")
    dry = ReadWriteRegistry(store.registry(), PendingWriter())
    assert [each.value for each in dry.other_records(OWNER, soon())] == ["theirs"]
    assert dry.apply(OWNER, recording("one"), soon()).result is Result.PENDING
    assert dry.read(OWNER, soon(), consistent=True).record is None
