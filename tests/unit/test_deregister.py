"""Deregistering a host: what is removed, in which order, and whether its agent is alive."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
from attrs import evolve

from controller.errors import RegistryUnavailable, Stop
from controller.reconcile.deregister import (
    QUERY_LIFETIME,
    Owner,
    is_alive,
    leaves_traces,
    other_owners,
    removal_plan,
    remove,
    wait_for_answer,
)
from model.agent_note import AgentNote
from model.drain_order import DrainOrder
from model.heartbeat import Heartbeat
from model.layout import PlainLayout
from model.plan import Action
from model.record import Claim, OwnerRecord, RecordKeys
from model.report import Result
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving

LAYOUT = PlainLayout("/services")
RECORD_KEYS = RecordKeys("/services")
WEB, REDIS = "/services/nginx/core-01:web:80", "/services/nginx/redis-1"
RECORD, LIVENESS_QUERY = RECORD_KEYS.record("core-01"), RECORD_KEYS.liveness_query("core-01")
NOTE_KEY = RECORD_KEYS.agent_note("core-01")

#: The foreign keys: of a host whose name begins alike, of another host, custom ids with and without a claim, and one
#: that is no entry.
FOREIGN = {
    "/services/nginx/core-011:web:80": "10.0.0.11:80",
    "/services/nginx/core-02:web:80": "10.0.0.2:80",
    "/services/nginx/mysql-1": "10.0.0.2:3306",
    "/services/nginx/by-hand": "10.0.0.9:1",
    "/services/rubbish": "?",
}


class LeavingHost(Host):
    """core-01, which is to be deregistered. It has registered two containers, and its registry has foreign keys."""

    def __init__(self) -> None:
        registry = RecordingRegistry(lifetime=QUERY_LIFETIME)
        super().__init__(serving("web"), serving("redis", "SERVICE_ID=redis-1"), registry=registry)
        self.interval = 0.0
        self.owner = Owner("core-01", LAYOUT, self.time.clock)
        self.has_a_pass()
        for key, value in FOREIGN.items():
            registry.put(key, value)
        record = OwnerRecord("other", {"/services/nginx/mysql-1": Claim.of("id", ["10.0.0.2:3306"])})
        registry.put(RECORD_KEYS.record("core-02"), record.encode())
        registry.writes.clear()

    def removable(self) -> list[str]:
        """Return the keys that the removal plan deletes."""
        return [each.key for each in removal_plan(self.owner, self.registry).changes]

    def removed(self) -> list[tuple[str, Result]]:
        """Carry out the removal plan, and return each key with the result of its delete."""
        planned = removal_plan(self.owner, self.registry)
        return [(each.change.key, each.result) for each in remove(self.owner, self.registry, planned)]

    def writes_note(self, interval: float) -> None:
        """Write the note of an agent that makes a pass every ``interval`` seconds."""
        self.registry.put(NOTE_KEY, AgentNote("0.2.0", interval, 10.0, 30.0, {}, "run-1").encode())


@pytest.fixture
def host() -> LeavingHost:
    """Return a host that is to be deregistered."""
    return LeavingHost()


# The removal plan.


def test_the_removal_plan_deletes_the_owners_keys_and_no_foreign_key(host: LeavingHost) -> None:
    """The keys are the owner's by their ids or by its record. Making the plan reads consistently and writes nothing."""
    version = host.registry.version
    host.registry.reads.clear()
    planned = removal_plan(host.owner, host.registry)
    assert [(each.action, each.key) for each in planned.changes] == [(Action.DELETE, WEB), (Action.DELETE, REDIS)]
    assert (planned.foreign, host.registry.version) == (len(FOREIGN), version)
    assert set(host.registry.reads) == {"consistent", "others", "inner prefixes"}


def test_the_removal_plan_leaves_the_keys_of_an_inner_prefix_alone(host: LeavingHost) -> None:
    """The owner's agent for the inner prefix keeps these keys, or a removal plan for the inner prefix deletes them."""
    key = "/services/registrator/nginx/core-01:web:80"
    host.registry.put(key, "10.0.0.1:8000")
    assert key in host.removable()
    host.registry.put(RecordKeys("/services/registrator").record("core-01"), OwnerRecord("ENGINE").encode())
    assert host.removable() == [WEB, REDIS]


def test_an_entry_that_was_overwritten_by_hand_is_removed_unless_another_host_claims_it(host: LeavingHost) -> None:
    """A pass decides the same."""
    host.registry.put(REDIS, "6.6.6.6:6")
    assert host.removable() == [WEB, REDIS]
    claims = {REDIS: Claim.of("id", ["6.6.6.6:6"])}
    host.registry.put(RECORD_KEYS.record("core-03"), OwnerRecord("third", claims).encode())
    assert host.removable() == [WEB]


def test_an_entry_whose_value_another_host_claims_as_well_stays(host: LeavingHost) -> None:
    """A standby host with the same address may have claimed the key with the same value. Then it keeps the entry."""
    claim = Claim.of("id", [host.registry.keys()[REDIS]])
    host.registry.put(RECORD_KEYS.record("core-03"), OwnerRecord("third", {REDIS: claim}).encode())
    assert host.removable() == [WEB]


def test_an_unknown_owner_has_no_entries_to_remove(host: LeavingHost) -> None:
    """Keys of owners whose names begin with the given name are not removed."""
    assert removal_plan(Owner("core-0", LAYOUT, host.time.clock), host.registry).changes == ()


def test_a_registry_that_does_not_answer_is_an_error(host: LeavingHost) -> None:
    """It is not taken for a registry without entries of the owner."""
    host.registry.down = True
    with pytest.raises(RegistryUnavailable):
        removal_plan(host.owner, host.registry)


# The removal.


def test_the_owner_record_is_removed_after_the_entries(host: LeavingHost) -> None:
    """All foreign keys and records stay, and then there is nothing left to remove."""
    assert host.removed() == [(WEB, Result.APPLIED), (REDIS, Result.APPLIED)]
    assert host.registry.writes == [f"delete {WEB}", f"delete {REDIS}", f"delete {RECORD}"]
    assert host.registry.keys() == FOREIGN
    assert RECORD_KEYS.record("core-02") in host.registry.stored
    assert removal_plan(host.owner, host.registry).changes == ()


def test_the_agent_note_is_removed_with_the_record(host: LeavingHost) -> None:
    """A removal that was cut off may leave the note without the record. Then the note is still something to remove."""
    host.writes_note(1)
    host.removed()
    assert host.registry.writes[-2:] == [f"delete {RECORD}", f"delete {NOTE_KEY}"]
    assert not leaves_traces(host.owner, host.registry)
    host.writes_note(1)
    assert leaves_traces(host.owner, host.registry)
    host.removed()
    assert host.registry.keys() == FOREIGN
    assert NOTE_KEY not in host.registry.stored


def test_the_drain_order_is_removed_with_the_record(host: LeavingHost) -> None:
    """A host of the same name that comes later must not be drained. The order alone is something to remove."""
    order_key = RECORD_KEYS.drain_order("core-01")
    host.registry.put(order_key, DrainOrder(all_until=inf).encode())
    host.removed()
    assert host.registry.writes[-2:] == [f"delete {RECORD}", f"delete {order_key}"]
    assert not leaves_traces(host.owner, host.registry)
    host.registry.put(order_key, "rubbish")
    assert leaves_traces(host.owner, host.registry)
    host.removed()
    assert order_key not in host.registry.stored


def test_the_heartbeat_is_removed_with_the_record(host: LeavingHost) -> None:
    """Else the host would seem to be alive until it expires."""
    host.registry.show_alive("core-01", Heartbeat(10), host.owner.deadline)
    host.removed()
    assert RECORD_KEYS.heartbeat("core-01") not in host.registry.stored


def test_the_other_owners_have_a_record_or_entries_that_name_them(host: LeavingHost) -> None:
    """Entries alone name an owner, too, because registrator left entries without a record. An owner with a record may
    have no entry."""
    host.registry.put(RECORD_KEYS.record("idle"), OwnerRecord("x").encode())
    assert other_owners(host.owner, host.registry) == ("core-011", "core-02", "idle")
    assert other_owners(Owner("x", LAYOUT, host.time.clock), host.registry) == (
        "core-01",
        "core-011",
        "core-02",
        "idle",
    )


@pytest.mark.parametrize("why", ["refused", "changed"])
def test_the_owner_record_stays_while_an_entry_could_not_be_removed(host: LeavingHost, why: str) -> None:
    """Only the record shows that an entry with a custom id is the owner's."""
    planned = removal_plan(host.owner, host.registry)
    if why == "refused":
        host.registry.failing = lambda change: change.key == REDIS
    else:
        host.registry.put(REDIS, "10.0.0.1:8001")
    results = [each.result for each in remove(host.owner, host.registry, planned)]
    assert results == [Result.APPLIED, Result.FAILED if why == "refused" else Result.CONFLICT]
    assert {RECORD, REDIS} <= host.registry.stored.keys()
    host.registry.failing = lambda change: False
    assert [key for key, _ in host.removed()] == [REDIS]
    assert RECORD not in host.registry.stored


@pytest.mark.parametrize("record", [None, "rubbish"], ids=["no record", "rubbish"])
def test_only_entries_with_default_ids_are_removed_without_a_readable_owner_record(
    host: LeavingHost, record: str | None
) -> None:
    """registrator, for example, left such entries under a random host name."""
    if record is None:
        host.registry.remove(RECORD)
    else:
        host.registry.put(RECORD, record)
    host.removed()
    assert host.registry.keys() == FOREIGN | {REDIS: "10.0.0.1:8000"}


# Whether the owner's agent is alive.


class PassDuringWait:
    """A ``sleep`` for the clock of ``is_alive``. At its call number ``at``, the owner's agent makes a pass."""

    def __init__(self, host: LeavingHost, *, at: int = 3) -> None:
        self._host, self._at = host, at
        self.calls = 0

    def __call__(self, seconds: float) -> None:
        """Let this many seconds pass."""
        self.calls += 1
        self._host.time.advance(seconds)
        if self.calls == self._at:
            self._host.has_a_pass()


def sleeping(owner: Owner, sleep: Callable[[float], None]) -> Owner:
    """Return the owner with a clock that sleeps in this way."""
    return evolve(owner, clock=evolve(owner.clock, sleep=sleep))


def test_an_agent_whose_next_pass_removes_the_liveness_query_is_alive(host: LeavingHost) -> None:
    """``is_alive`` returns right after that pass."""
    wait = PassDuringWait(host)
    assert is_alive(sleeping(host.owner, wait), host.registry, 10)
    assert wait.calls == 3
    assert LIVENESS_QUERY not in host.registry.stored


def test_an_agent_that_removes_the_liveness_query_just_before_the_end_of_the_wait_is_alive(host: LeavingHost) -> None:
    """After the wait the registry is read once more."""
    assert is_alive(sleeping(host.owner, PassDuringWait(host, at=1)), host.registry, 0.1)


def test_an_agent_that_does_not_remove_the_liveness_query_is_not_alive(host: LeavingHost) -> None:
    """After the given time ``is_alive`` removes the query itself. The query also has a lifetime, in case the program is
    killed meanwhile."""
    lifetimes = []

    def wait(seconds: float) -> None:
        lifetimes.append(host.registry.stored[LIVENESS_QUERY].ttl)
        host.time.advance(seconds)

    assert not is_alive(sleeping(host.owner, wait), host.registry, 10)
    assert set(lifetimes) == {660}
    assert 50 <= len(lifetimes) <= 51
    assert LIVENESS_QUERY not in host.registry.stored


def test_a_liveness_query_of_somebody_else_is_waited_for_as_well(host: LeavingHost) -> None:
    """If two operators ask at the same time, one pass of the agent answers both."""
    host.registry.put(LIVENESS_QUERY, "is your agent alive?", 30)
    assert is_alive(sleeping(host.owner, PassDuringWait(host)), host.registry, 10)


def test_the_agent_of_another_owner_does_not_remove_the_liveness_query(host: LeavingHost) -> None:
    """A pass of core-01's agent does not make the agent of core-02 alive."""
    dead = Owner("core-02", LAYOUT, host.time.clock)
    assert not is_alive(sleeping(dead, PassDuringWait(host)), host.registry, 10)


def test_no_agent_is_alive_if_the_wait_is_zero(host: LeavingHost) -> None:
    """With --wait 0 the query is written and removed again at once."""
    assert not is_alive(sleeping(host.owner, PassDuringWait(host)), host.registry, 0)
    assert LIVENESS_QUERY not in host.registry.stored


def test_a_liveness_query_that_cannot_be_written_is_an_error(host: LeavingHost) -> None:
    """It does not show whether the agent is alive."""
    host.registry.down = True
    with pytest.raises(RegistryUnavailable, match="cannot ask whether the agent is alive"):
        is_alive(sleeping(host.owner, host.time.advance), host.registry, 5)


# How long an agent may take to answer.


@pytest.mark.parametrize(("interval", "seconds"), [(1.0, 41), (100.0, 140), (None, 45)], ids=["1", "100", "no note"])
def test_the_answer_is_waited_for_as_long_as_the_note_says(
    host: LeavingHost, interval: float | None, seconds: float
) -> None:
    """The note leads to a wait of an interval, a pass and the longest back-off. An agent without a note may be one of
    version 0.1.0, and 45 seconds are waited for it."""
    if interval:
        host.writes_note(interval)
    assert wait_for_answer(host.owner, host.registry, None) == seconds
    assert not is_alive(sleeping(host.owner, host.time.advance), host.registry, None)
    assert host.time.passed == pytest.approx(seconds, abs=0.3)


def test_an_agent_that_answers_at_the_end_of_its_back_off_is_alive(host: LeavingHost) -> None:
    """The wait is 41 seconds, and the agent answers after 40.6. An agent that stood still for less than the wait is
    alive, too."""
    host.writes_note(1.0)
    wait = PassDuringWait(host, at=203)
    assert is_alive(sleeping(host.owner, wait), host.registry, None)
    assert host.time.passed == pytest.approx(40.6)


@pytest.mark.parametrize("given", [2.0, 100.0])
def test_a_given_wait_counts_and_not_the_note(host: LeavingHost, given: float) -> None:
    """The given wait may be shorter or longer than the one that follows from the note."""
    host.writes_note(3600.0)
    assert wait_for_answer(host.owner, host.registry, given) == given
    assert not is_alive(sleeping(host.owner, host.time.advance), host.registry, given)
    assert host.time.passed == pytest.approx(given, abs=0.3)


def test_an_agent_that_may_take_longer_than_anybody_waits_is_not_waited_for(host: LeavingHost) -> None:
    """deregister ends with an error, because the operator has to make sure that the agent has stopped."""
    host.writes_note(3600.0)
    with pytest.raises(Stop, match=r"may take 3640 seconds to show that it is alive.*--force"):
        wait_for_answer(host.owner, host.registry, None)


def test_an_agent_that_starts_meanwhile_with_a_longer_interval_is_waited_for_longer(host: LeavingHost) -> None:
    """The new agent may have read the registry before the query was written, and may have written its note
    afterwards."""
    host.writes_note(1.0)

    def wait(seconds: float) -> None:
        if host.time.passed == 0:
            host.writes_note(300.0)
        host.time.advance(seconds)

    assert not is_alive(sleeping(host.owner, wait), host.registry, None)
    assert host.time.passed == pytest.approx(340, abs=0.3)
