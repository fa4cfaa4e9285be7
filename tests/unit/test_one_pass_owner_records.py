"""The pass and the owner record: custom ids, agents that are killed, other hosts and other engines."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from attrs import evolve

from model.container import Container, ContainerRef
from model.memory import Memory
from model.plan import Action
from model.record import Claim, OwnerRecord, RecordKeys
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result
from model.snapshot import UnknownContainer
from tests.support.fakes import ENGINE
from tests.support.memory_registry import Killed, RecordingRegistry
from tests.support.pass_harness import IP, Host, first_pass, owner_record, published_number, serving

WEB = "/services/nginx/core-01:web:80"
REDIS, MYSQL = "/services/nginx/redis-1", "/services/nginx/mysql-1"
RECORD_KEYS = RecordKeys("/services")
RECORD, OTHER_RECORD = RECORD_KEYS.record("core-01"), RECORD_KEYS.record("core-02")
OTHER_ENGINE = "9XYZ:ENGINE:TWO"

#: The second host, as arguments of Host.
CORE_02: dict[str, Any] = {"owner": "core-02", "ip": "10.0.0.2"}


def custom(entry_id: str, number: int = 8000) -> Container:
    """Return a container with this SERVICE_ID."""
    return serving(f"of-{entry_id}", f"SERVICE_ID={entry_id}", number=number)


def idle_pass(registry: RecordingRegistry, *containers: Container, **host: Any) -> PassReport:
    """Make the first pass of a new agent, which must write nothing, and return its report."""
    version = registry.version
    report = first_pass(registry, *containers, **host)
    assert (report.outcomes, registry.version) == ((), version)
    return report


# Two containers of one host that want one key.


def sharing(name: str, number: int, created: str) -> Container:
    """Return a container with the SERVICE_ID redis-1."""
    return evolve(serving(name, "SERVICE_ID=redis-1", number=number), created=created)


@pytest.mark.parametrize("restarts", [False, True], ids=["one agent", "another agent for each pass"])
def test_a_newcomer_that_seems_to_be_older_takes_no_key_from_a_container_that_runs(restarts: bool) -> None:
    """The clock was set back when the newcomer was created. It gets the key when the other container ends, and then it
    keeps the key, too. A container that has its key keeps it also if its own host port has changed."""
    first, newcomer = sharing("first", 8000, "2026-02"), sharing("newcomer", 8001, "2026-01")
    moved = sharing("first", 8002, "2026-02")
    host = Host()
    for containers, place in (
        ([first], f"{IP}:8000"),
        ([first, newcomer], f"{IP}:8000"),
        ([moved, newcomer], f"{IP}:8002"),
        ([newcomer], f"{IP}:8001"),
        ([first, newcomer], f"{IP}:8001"),
    ):
        host.runs(*containers)
        report = host.has_a_pass()
        assert host.registry.keys() == {REDIS: place}
        assert len(report.plan.refusals) == len(containers) - 1
        assert host.has_a_pass().plan.visible == ()
        if restarts:
            host.restarts()


def test_the_first_pass_of_a_host_adopts_the_key_of_the_container_that_has_it() -> None:
    """registrator lets the last of two containers have the key. The other one is refused, though it is older."""
    registry = RecordingRegistry()
    registry.put(REDIS, f"{IP}:8000")
    report = first_pass(registry, sharing("last", 8000, "2026-02"), sharing("older", 8001, "2026-01"))
    assert registry.keys() == {REDIS: f"{IP}:8000"}
    assert owner_record(registry).claims[REDIS].container_id == "id-last"
    assert [each.container.name for each in report.plan.refusals] == ["older"]


def test_a_container_that_is_not_described_keeps_its_key() -> None:
    """Another container that wants the key is refused meanwhile."""
    first, newcomer = sharing("first", 8000, "2026-02"), sharing("newcomer", 8001, "2026-01")
    host = Host(first)
    host.has_a_pass()
    host.runs(newcomer)
    host.source.unknown = (UnknownContainer(first.ref, "no answer in time"),)
    host.restarts()
    report = host.has_a_pass()
    assert (report.outcomes, len(report.plan.held)) == ((), 1)
    assert [each.reason for each in report.plan.refusals] == [RefusalReason.DUPLICATE]


# When the record is written.


def test_the_record_is_written_before_the_entries_with_custom_ids() -> None:
    """The record claims the custom id, and the next pass writes nothing."""
    registry = RecordingRegistry()
    assert first_pass(registry, serving("web"), custom("redis-1")).succeeded
    assert registry.writes == [f"record {RECORD}", f"create {WEB}", f"create {REDIS}"]
    assert owner_record(registry) == OwnerRecord(ENGINE, {REDIS: Claim("id-of-redis-1", ("10.0.0.1:8000",))})
    idle_pass(registry, serving("web"), custom("redis-1"))


def test_a_host_without_custom_ids_writes_its_record_once() -> None:
    """The record does not change when containers with default ids come and go."""
    registry = RecordingRegistry()
    first_pass(registry, serving("web"))
    assert owner_record(registry) == OwnerRecord(ENGINE)
    first_pass(registry)
    first_pass(registry, serving("web"))
    assert [each for each in registry.writes if each.startswith("record")] == [f"record {RECORD}"]


def test_a_record_that_cannot_be_written_stops_only_entries_with_custom_ids() -> None:
    """The other entries are written, the pass fails, and the next pass writes the rest."""
    registry = RecordingRegistry()
    registry.failing = lambda change: change.action is Action.RECORD
    report = first_pass(registry, serving("web"), custom("redis-1"))
    assert {each.change.key: each.result for each in report.outcomes} == {
        RECORD: Result.FAILED,
        WEB: Result.APPLIED,
        REDIS: Result.WAITING,
    }
    details = {each.change.key: each.detail for each in report.outcomes}
    assert details[REDIS] == "the owner record could not be written: no"
    assert (report.result, registry.keys()) == (PassResult.OPERATION_ERROR, {WEB: "10.0.0.1:8000"})
    registry.failing = lambda change: False
    assert first_pass(registry, serving("web"), custom("redis-1")).succeeded
    assert registry.keys().keys() == {WEB, REDIS}


def test_a_record_that_somebody_else_has_just_written_stops_every_change() -> None:
    """It may be the record of another engine with the same owner name. Here the next pass finds that it is."""
    registry = RecordingRegistry()
    foreign = OwnerRecord(OTHER_ENGINE).encode()

    def overtake() -> None:
        if RECORD not in registry.stored:
            registry.put(RECORD, foreign)

    registry.before_write = overtake
    report = first_pass(registry, serving("web"), custom("redis-1"))
    assert [each.result for each in report.outcomes] == [Result.CONFLICT, Result.WAITING, Result.WAITING]
    assert (registry.keys(), registry.stored[RECORD].value) == ({}, foreign)
    assert first_pass(registry, serving("web")).result is PassResult.OWNER_CONFLICT


# Agents that are killed.

BEFORE = [custom("redis-1"), custom("mysql-1")]
AFTER = {
    "the same containers": BEFORE,
    "none": [],
    "one of them": BEFORE[:1],
    "both elsewhere": [custom("redis-1", 9000), custom("mysql-1", 9001)],
}


@pytest.mark.parametrize("then", AFTER.values(), ids=AFTER.keys())
@pytest.mark.parametrize("die_at", range(3))
def test_the_next_agent_completes_a_pass_that_was_killed_at_any_write(die_at: int, then: list[Container]) -> None:
    """Whatever runs by then, every container is registered and nothing else, even if the agent was killed between the
    record and its entries."""
    registry = RecordingRegistry()
    registry.die_at = die_at
    with pytest.raises(Killed):
        first_pass(registry, *BEFORE)
    first_pass(registry, *then)
    expected = {f"/services/nginx/{each.env[0][11:]}": f"10.0.0.1:{published_number(each)}" for each in then}
    assert registry.keys() == expected
    first_pass(registry, *then)
    assert {key: each.values for key, each in owner_record(registry).claims.items()} == {
        key: (value,) for key, value in expected.items()
    }
    idle_pass(registry, *then)


@pytest.mark.parametrize("die_at", range(3))
def test_the_next_agent_completes_an_update_of_a_custom_id_that_was_killed_at_any_write(die_at: int) -> None:
    """The record claims the old and the new value, so the entry is ours throughout. Then the old value is dropped."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"))
    registry.writes, registry.die_at = [], die_at
    moved = custom("redis-1", 9000)
    for _ in range(2):
        try:
            first_pass(registry, moved)
        except Killed:
            continue
    first_pass(registry, moved)
    assert registry.keys() == {REDIS: "10.0.0.1:9000"}
    assert owner_record(registry).claims[REDIS].values == ("10.0.0.1:9000",)
    idle_pass(registry, moved)


def test_the_claim_of_a_deleted_entry_is_dropped_right_after_it() -> None:
    """A claim is dropped after its entry is deleted, so that no entry is ever without its claim. It is dropped in the
    same pass, so that whoever creates the key next owns it."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"), custom("mysql-1"))
    registry.writes = []
    assert first_pass(registry, custom("mysql-1")).succeeded
    assert registry.writes == [f"delete {REDIS}", f"record {RECORD}"]
    assert list(owner_record(registry).claims) == [MYSQL]
    idle_pass(registry, custom("mysql-1"))


def test_a_key_that_somebody_creates_where_this_host_deleted_one_is_left_alone() -> None:
    """The delete also ended this host's claim to the key."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"))
    first_pass(registry)
    registry.put(REDIS, "10.0.0.1:8000")
    idle_pass(registry)
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}


@pytest.mark.parametrize("killed", [False, True])
def test_a_claim_stays_while_a_late_create_brings_its_key_back(killed: bool) -> None:
    """A create of this host that comes late brings the key back before the claim is dropped. The key is still this
    host's, and the next pass deletes it. This holds whether the claim is dropped right after the delete, or in the
    first pass after the agent was killed there."""
    registry = RecordingRegistry()
    host = Host(custom("redis-1"), registry=registry)
    host.has_a_pass()
    value = registry.stored[REDIS].value
    host.runs()
    if killed:
        registry.die_at = len(registry.writes) + 1
        with pytest.raises(Killed):
            host.tries_a_pass()
        host.memory, registry.die_at = Memory(), None

    def come_late() -> None:
        if REDIS not in registry.stored:
            registry.put(REDIS, value)
            registry.before_write = lambda: None

    registry.before_write = come_late
    host.tries_a_pass()
    assert owner_record(registry).claims.keys() == {REDIS}
    host.has_a_pass()
    assert REDIS not in registry.stored
    assert owner_record(registry).claims == {}


def test_an_agent_killed_between_a_delete_and_its_claim_drops_the_claim_when_it_starts_again() -> None:
    """The new agent drops the claim because the key is absent and not wanted."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"))
    registry.writes, registry.die_at = [], 1
    with pytest.raises(Killed):
        first_pass(registry)
    assert (registry.keys(), list(owner_record(registry).claims)) == ({}, [REDIS])
    first_pass(registry)
    assert owner_record(registry).claims == {}


# Keys that were overwritten or that another host claims.


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "gone"])
def test_a_custom_id_that_was_overwritten_by_hand_is_repaired(runs: bool) -> None:
    """Our record claims the key and no other record does. If its container runs it is written again, otherwise it is
    deleted."""
    registry = RecordingRegistry()
    containers = [custom("redis-1")] if runs else []
    first_pass(registry, custom("redis-1"))
    registry.put(REDIS, "6.6.6.6:6")
    assert first_pass(registry, *containers).succeeded
    assert registry.keys() == ({REDIS: "10.0.0.1:8000"} if runs else {})
    assert "others" in registry.reads


def test_the_first_record_adopts_an_unclaimed_custom_id_if_its_value_is_right_and_refuses_it_otherwise() -> None:
    """registrator, for example, may have left such keys behind."""
    registry = RecordingRegistry()
    registry.put(REDIS, "10.0.0.1:8000")
    registry.put(MYSQL, "10.9.9.9:1")
    report = first_pass(registry, custom("redis-1"), custom("mysql-1"))
    assert [(each.reason, MYSQL in each.detail) for each in report.plan.refusals] == [(RefusalReason.CONFLICT, True)]
    assert list(owner_record(registry).claims) == [REDIS]
    first_pass(registry)
    assert registry.keys() == {MYSQL: "10.9.9.9:1"}


@pytest.mark.parametrize("restarted", [False, True], ids=["same run", "restarted"])
def test_a_key_that_was_there_before_is_refused_and_outlives_the_container(restarted: bool) -> None:
    """This host has a record, which would have a claim if this host had written the key. The refusal names --adopt."""
    registry = RecordingRegistry()
    host = Host(registry=registry)
    host.has_a_pass()
    registry.put(REDIS, "10.0.0.1:8000")
    host.runs(custom("redis-1"))
    for _ in range(2):
        if restarted:
            host.restarts()
        report = host.has_a_pass()
        assert [(each.reason, "--adopt" in each.detail) for each in report.plan.refusals] == [
            (RefusalReason.CONFLICT, True)
        ]
        assert (report.outcomes, report.plan.own, report.plan.foreign) == ((), 0, 1)
    host.runs()
    assert host.has_a_pass().outcomes == ()
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}


def test_adopt_applies_until_the_first_pass_that_writes_the_record() -> None:
    """A key that appears later is refused. A key that was adopted counts as written by this host."""
    registry = RecordingRegistry()
    first_pass(registry)
    registry.put(REDIS, "10.0.0.1:8000")
    host = Host(custom("redis-1"), registry=registry, adopt=True)
    registry.failing = lambda change: change.action is Action.RECORD
    host.tries_a_pass()
    registry.failing = lambda change: False
    assert (host.has_a_pass().plan.refusals, list(owner_record(registry).claims)) == ((), [REDIS])
    registry.put(MYSQL, "10.0.0.1:9000")
    host.runs(custom("mysql-1", 9000))
    assert [each.reason for each in host.has_a_pass().plan.refusals] == [RefusalReason.CONFLICT]
    assert registry.keys() == {MYSQL: "10.0.0.1:9000"}


def test_adopt_takes_no_key_that_another_host_claims() -> None:
    """The other host's record shows that the key is that host's."""
    registry = RecordingRegistry()
    first_pass(registry)
    first_pass(registry, custom("redis-1"), owner="core-02")
    report = first_pass(registry, custom("redis-1"), adopt=True)
    assert [each.reason for each in report.plan.refusals] == [RefusalReason.CONFLICT]
    assert owner_record(registry).claims == {}


@pytest.mark.parametrize("value", ["10.0.0.1:8000", "6.6.6.6:6"], ids=["the wanted value", "another value"])
def test_the_claim_to_a_key_that_somebody_creates_just_before_this_host_is_withdrawn(value: str) -> None:
    """The key is absent when the pass reads it, and is there when the record claims it. The same pass takes the claim
    back, so that even an agent without memory leaves the key alone."""
    registry = RecordingRegistry()
    first_pass(registry)

    def overtake() -> None:
        if REDIS not in registry.stored:
            registry.put(REDIS, value)

    registry.before_write = overtake
    report = first_pass(registry, custom("redis-1"), custom("mysql-1"))
    assert report.succeeded
    assert list(owner_record(registry).claims) == [MYSQL]
    registry.before_write = lambda: None
    report = idle_pass(registry, custom("redis-1"), custom("mysql-1"))
    assert [each.reason for each in report.plan.refusals] == [RefusalReason.CONFLICT]
    first_pass(registry)
    assert registry.keys() == {REDIS: value}


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "gone"])
def test_a_create_whose_answer_was_lost_is_this_hosts(runs: bool) -> None:
    """The claim was in the record before the create, and it stays until the key is deleted."""
    registry = RecordingRegistry()
    registry.failing = lambda change: change.key == REDIS
    assert not first_pass(registry, custom("redis-1")).succeeded
    registry.failing = lambda change: False
    registry.put(REDIS, "10.0.0.1:8000")
    assert first_pass(registry, *[custom("redis-1")] * runs).succeeded
    assert registry.keys().keys() == ({REDIS} if runs else set())
    assert list(owner_record(registry).claims) == ([REDIS] if runs else [])


def test_a_key_of_an_earlier_claim_that_another_agent_of_this_host_creates_stays_claimed() -> None:
    """Both agents found the key absent. The slower agent's create ends in a conflict, because the record was written in
    between, but the claim is older than that and stays."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"))
    registry.remove(REDIS)

    def overtake() -> None:
        if REDIS not in registry.stored:
            registry.put(REDIS, "10.0.0.1:8000")

    registry.before_write = overtake
    first_pass(registry, custom("redis-1"), custom("mysql-1"))
    assert set(owner_record(registry).claims) == {REDIS, MYSQL}
    registry.before_write = lambda: None
    idle_pass(registry, custom("redis-1"), custom("mysql-1"))


def test_a_custom_id_with_the_right_value_is_refused_if_another_host_claims_it() -> None:
    """Two hosts may give the same address, such as that of a load balancer with -ip. The first one keeps the entry."""
    registry = RecordingRegistry()
    claims = {REDIS: Claim.of("id-x", ["10.0.0.1:8000"])}
    registry.put(OTHER_RECORD, OwnerRecord("other", claims).encode())
    registry.put(REDIS, "10.0.0.1:8000")
    first_pass(registry, custom("redis-1"))
    report = idle_pass(registry, custom("redis-1"))
    assert [each.reason for each in report.plan.refusals] == [RefusalReason.CONFLICT]
    assert owner_record(registry).claims == {}
    first_pass(registry)
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}


def test_the_first_of_two_hosts_keeps_a_custom_id_until_its_container_is_gone() -> None:
    """Every pass of the second host refuses the port and writes nothing. When the first host has deleted the entry, the
    second host gets the id."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"))
    first_pass(registry, custom("redis-1"), **CORE_02)
    for _ in range(3):
        refused = idle_pass(registry, custom("redis-1"), **CORE_02)
        assert [each.reason for each in refused.plan.refusals] == [RefusalReason.CONFLICT]
        assert (refused.succeeded, refused.plan.foreign, refused.plan.own) == (True, 1, 0)
        assert idle_pass(registry, custom("redis-1")).plan.in_sync == 1
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}
    first_pass(registry)
    first_pass(registry, custom("redis-1"), **CORE_02)
    assert registry.keys() == {REDIS: "10.0.0.2:8000"}
    first_pass(registry)
    assert registry.keys() == {REDIS: "10.0.0.2:8000"}
    assert (owner_record(registry).claims, list(owner_record(registry, "core-02").claims)) == ({}, [REDIS])


@pytest.mark.parametrize("order", list(permutations(["core-01", "core-02", "core-03"])), ids=" ".join)
def test_the_first_of_several_hosts_keeps_a_custom_id_that_all_of_them_want(order: tuple[str, ...]) -> None:
    """Each host also has a custom id of its own, and every one of those is registered."""
    registry = RecordingRegistry()
    for owner in (*order, *reversed(order)):
        containers = custom("redis-1"), custom(f"own-{owner}")
        first_pass(registry, *containers, owner=owner, ip=f"10.0.0.{owner[-1]}")
    assert registry.keys()[REDIS] == f"10.0.0.{order[0][-1]}:8000"
    assert len(registry.keys()) == 4


def test_a_damaged_record_of_another_host_claims_nothing_and_stays() -> None:
    """The custom id is adopted as if the damaged record were not there."""
    registry = RecordingRegistry()
    registry.put(OTHER_RECORD, "[" * 100_000)
    registry.put(REDIS, "10.0.0.1:8000")
    assert first_pass(registry, custom("redis-1")).succeeded
    assert list(owner_record(registry).claims) == [REDIS]
    assert registry.stored[OTHER_RECORD].value == "[" * 100_000


def test_a_damaged_record_of_this_host_is_written_again() -> None:
    """Entries with custom ids that have the right value are adopted again."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"))
    registry.put(RECORD, "rubbish")
    assert first_pass(registry, custom("redis-1")).succeeded
    assert list(owner_record(registry).claims) == [REDIS]
    first_pass(registry)
    assert registry.keys() == {}


def test_a_container_that_cannot_be_read_keeps_its_custom_ids() -> None:
    """An agent that has just started learns from the record which ids are the container's."""
    registry = RecordingRegistry()
    first_pass(registry, custom("redis-1"))
    unknown = UnknownContainer(ContainerRef("id-of-redis-1", "of-redis-1"), "no answer in time")
    version = registry.version
    report = first_pass(registry, unknown=(unknown,))
    assert (report.succeeded, registry.version) == (True, version)
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}


# Several engines with one owner name.


def test_a_second_engine_with_the_same_owner_name_writes_nothing() -> None:
    """This happens with cloned machines. The report names both engines and the flags that help, and the first host is
    not affected."""
    registry = RecordingRegistry()
    first_pass(registry, serving("web"), custom("redis-1"))
    version = registry.version
    report = first_pass(registry, custom("mysql-1"), engine=OTHER_ENGINE)
    assert (report.result, report.outcomes, report.planned, report.owner) == (
        PassResult.OWNER_CONFLICT,
        (),
        False,
        "core-01",
    )
    assert registry.version == version
    for word in ("'core-01'", ENGINE, OTHER_ENGINE, "--hostname", "--take-over"):
        assert word in report.problem
    idle_pass(registry, serving("web"), custom("redis-1"))


def test_an_engine_without_an_id_has_no_owner_conflict() -> None:
    """Its pass succeeds, and the record keeps the engine id that it has."""
    registry = RecordingRegistry()
    first_pass(registry, serving("web"))
    assert first_pass(registry, engine="").succeeded
    assert owner_record(registry).engine == ENGINE
