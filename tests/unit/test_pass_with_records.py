"""The pass and the owner record: custom ids, crashes, other hosts, other engines, and questions."""

from __future__ import annotations

from itertools import permutations

import pytest
from attrs import evolve

from controller.clock import Deadline
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import PendingWriter, ReadWriteRegistry
from model.container import Container, ContainerRef
from model.layout import PlainLayout
from model.memory import Memory, memory_after
from model.plan import Action
from model.record import Claim, OwnerRecord, RecordKeys
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result
from model.rules import AddressRules, Rules
from model.snapshot import UnknownContainer
from model.stored import Actual
from tests.support.builders import container
from tests.support.fakes import ENGINE, FakeSource, FakeTime
from tests.support.memory_registry import Killed, MemoryRegistry, RecordingRegistry

WEB = "/services/nginx/core-01:web:80"
REDIS, MYSQL = "/services/nginx/redis-1", "/services/nginx/mysql-1"
SHELF = RecordKeys("/services")
RECORD, OTHER_RECORD = SHELF.record("core-01"), SHELF.record("core-02")
IP = {"core-01": "10.0.0.1", "core-02": "10.0.0.2"}
OTHER_ENGINE = "9XYZ:ENGINE:TWO"


def custom(entry_id: str, number: int = 8000) -> Container:
    """A container that asks for this id."""
    env = (f"SERVICE_ID={entry_id}",)
    return container(f"of-{entry_id}", publish={"80/tcp": f"0.0.0.0:{number}"}, env=env)


WEB_CONTAINER = container("web", publish={"80/tcp": "0.0.0.0:8000"})


def task(owner: str = "core-01", *, take_over: bool = False) -> PassSettings:
    """What the operator of this host wants."""
    rules = Rules(owner, AddressRules(ip=IP[owner]))
    return PassSettings(rules, PlainLayout("/services"), take_over=take_over, clock=FakeTime().clock)


def run(registry: MemoryRegistry, *containers: Container, owner: str = "core-01", engine: str = ENGINE) -> PassReport:
    """A pass of an agent that has just started, of a host that runs these containers."""
    engine = engine if owner == "core-01" else f"{engine} of {owner}"
    return reconcile(task(owner), FakeSource(*containers, engine=engine), registry, Memory())


def record_in(registry: MemoryRegistry, key: str = RECORD) -> OwnerRecord:
    """An owner's record."""
    record = OwnerRecord.decode(registry.stored[key].value)
    assert record is not None
    return record


def idle(registry: MemoryRegistry, *containers: Container, owner: str = "core-01") -> PassReport:
    """A pass that must write nothing."""
    version = registry.version
    report = run(registry, *containers, owner=owner)
    assert (report.outcomes, registry.version) == ((), version)
    return report


# Written ahead.


def test_the_record_is_written_before_the_entries_that_need_it() -> None:
    """And it is all that a custom id costs: the pass after it writes nothing."""
    registry = RecordingRegistry()
    assert run(registry, WEB_CONTAINER, custom("redis-1")).succeeded
    assert registry.writes == [f"record {RECORD}", f"create {WEB}", f"create {REDIS}"]
    assert record_in(registry) == OwnerRecord(ENGINE, {REDIS: Claim("id-of-redis-1", ("10.0.0.1:8000",))})
    idle(registry, WEB_CONTAINER, custom("redis-1"))


def test_a_host_without_custom_ids_writes_its_record_once() -> None:
    """Containers come and go without it."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER)
    assert record_in(registry) == OwnerRecord(ENGINE)
    run(registry)
    run(registry, WEB_CONTAINER)
    assert [each for each in registry.writes if each.startswith("record")] == [f"record {RECORD}"]


def test_a_record_that_cannot_be_written_holds_up_custom_ids_alone() -> None:
    """The others go on; the pass failed, and the next one makes up for it."""
    registry = RecordingRegistry()
    registry.failing = lambda change: change.action is Action.RECORD
    report = run(registry, WEB_CONTAINER, custom("redis-1"))
    assert {each.change.key: each.result for each in report.outcomes} == {
        RECORD: Result.FAILED,
        WEB: Result.APPLIED,
        REDIS: Result.FAILED,
    }
    details = {each.change.key: each.detail for each in report.outcomes}
    assert details[REDIS] == "the owner record could not be written: no"
    assert (report.result, registry.keys()) == (PassResult.OPERATION_ERROR, {WEB: "10.0.0.1:8000"})
    registry.failing = lambda change: False
    assert run(registry, WEB_CONTAINER, custom("redis-1")).succeeded
    assert registry.keys().keys() == {WEB, REDIS}


def test_a_record_that_somebody_else_has_just_written_holds_up_everything() -> None:
    """It may be another engine's of the same name: the next pass looks again, and this one writes nothing."""
    registry = RecordingRegistry()
    theirs = OwnerRecord(OTHER_ENGINE).encode()

    def overtake(change: object) -> bool:
        if RECORD not in registry.stored:
            registry.put(RECORD, theirs)
        return False

    registry.failing = overtake
    report = run(registry, WEB_CONTAINER, custom("redis-1"))
    assert {each.result for each in report.outcomes} == {Result.CONFLICT}
    assert (registry.keys(), registry.stored[RECORD].value) == ({}, theirs)
    assert run(registry, WEB_CONTAINER).result is PassResult.OWNER_CONFLICT


# Killed.

BEFORE = [custom("redis-1"), custom("mysql-1")]
AFTER = {
    "the same containers": BEFORE,
    "none": [],
    "one of them": BEFORE[:1],
    "both elsewhere": [custom("redis-1", 9000), custom("mysql-1", 9001)],
}


@pytest.mark.parametrize("then", AFTER.values(), ids=AFTER.keys())
@pytest.mark.parametrize("die_at", range(3))
def test_killed_at_any_write_the_next_agent_completes_it(die_at: int, then: list[Container]) -> None:
    """Between the record and its entries, too, and whatever runs by then: nothing is lost, nothing is left over."""
    registry = RecordingRegistry()
    registry.die_at = die_at
    with pytest.raises(Killed):
        run(registry, *BEFORE)
    run(registry, *then)
    expected = {f"/services/nginx/{each.env[0][11:]}": f"10.0.0.1:{_port(each)}" for each in then}
    assert registry.keys() == expected
    run(registry, *then)
    assert {key: each.values for key, each in record_in(registry).claims.items()} == {
        key: (value,) for key, value in expected.items()
    }
    idle(registry, *then)


@pytest.mark.parametrize("die_at", range(3))
def test_killed_while_an_entry_moves_the_next_agent_completes_it(die_at: int) -> None:
    """The record has the old value and the new one, so the entry is ours at any moment; then the old one is pruned."""
    registry = RecordingRegistry()
    run(registry, custom("redis-1"))
    registry.writes, registry.die_at = [], die_at
    moved = custom("redis-1", 9000)
    for _ in range(2):
        try:
            run(registry, moved)
        except Killed:
            continue
    run(registry, moved)
    assert registry.keys() == {REDIS: "10.0.0.1:9000"}
    assert record_in(registry).claims[REDIS].values == ("10.0.0.1:9000",)
    idle(registry, moved)


def test_killed_after_a_delete_the_record_is_pruned_by_the_next_agent() -> None:
    """The claim outlives the entry by a pass, never the other way round."""
    registry = RecordingRegistry()
    run(registry, custom("redis-1"))
    run(registry)
    assert (registry.keys(), list(record_in(registry).claims)) == ({}, [REDIS])
    assert run(registry).succeeded
    assert record_in(registry).claims == {}
    idle(registry)


def _port(of: Container) -> int:
    ((binding,),) = of.published.values()
    assert binding is not None
    return binding.port


# Overwritten, or another host's.


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "gone"])
def test_a_custom_id_that_was_overwritten_by_hand_is_repaired(runs: bool) -> None:
    """Our record claims it, and nobody else's does: with its container it is written again, without it goes."""
    registry = RecordingRegistry()
    containers = [custom("redis-1")] if runs else []
    run(registry, custom("redis-1"))
    registry.put(REDIS, "6.6.6.6:6")
    assert run(registry, *containers).succeeded
    assert registry.keys() == ({REDIS: "10.0.0.1:8000"} if runs else {})
    assert "others" in registry.reads


def test_a_custom_id_that_nobody_claims_is_adopted_if_it_is_right_and_refused_if_not() -> None:
    """What registrator left behind, say."""
    registry = RecordingRegistry()
    registry.put(REDIS, "10.0.0.1:8000")
    registry.put(MYSQL, "10.9.9.9:1")
    report = run(registry, custom("redis-1"), custom("mysql-1"))
    assert [(each.reason, MYSQL in each.detail) for each in report.plan.refusals] == [(RefusalReason.CONFLICT, True)]
    assert list(record_in(registry).claims) == [REDIS]
    run(registry)
    assert registry.keys() == {MYSQL: "10.9.9.9:1"}


def test_a_right_value_that_another_host_claims_is_refused() -> None:
    """Two hosts that give one address, -ip of a balancer say: the entry is the first one's all the same."""
    registry = RecordingRegistry()
    claims = {REDIS: Claim.of("id-x", ["10.0.0.1:8000"])}
    registry.put(OTHER_RECORD, OwnerRecord("other", claims).encode())
    registry.put(REDIS, "10.0.0.1:8000")
    run(registry, custom("redis-1"))
    report = idle(registry, custom("redis-1"))
    assert [each.reason for each in report.plan.refusals] == [RefusalReason.CONFLICT]
    assert record_in(registry).claims == {}
    run(registry)
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}


def test_the_first_of_two_hosts_keeps_the_id_and_the_second_gets_it_after_it() -> None:
    """The second is refused with a reason in every pass, and writes nothing meanwhile."""
    registry = RecordingRegistry()
    run(registry, custom("redis-1"))
    run(registry, custom("redis-1"), owner="core-02")
    for _ in range(3):
        refused = idle(registry, custom("redis-1"), owner="core-02")
        assert [each.reason for each in refused.plan.refusals] == [RefusalReason.CONFLICT]
        assert (refused.succeeded, refused.plan.foreign, refused.plan.own) == (True, 1, 0)
        assert idle(registry, custom("redis-1")).plan.in_sync == 1
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}
    run(registry)
    run(registry, custom("redis-1"), owner="core-02")
    assert registry.keys() == {REDIS: "10.0.0.2:8000"}
    run(registry)
    assert registry.keys() == {REDIS: "10.0.0.2:8000"}
    assert (record_in(registry).claims, list(record_in(registry, OTHER_RECORD).claims)) == ({}, [REDIS])


def test_a_rubbish_record_of_another_host_is_no_claim() -> None:
    """And harms nobody."""
    registry = RecordingRegistry()
    registry.put(OTHER_RECORD, "[" * 100_000)
    registry.put(REDIS, "10.0.0.1:8000")
    assert run(registry, custom("redis-1")).succeeded
    assert list(record_in(registry).claims) == [REDIS]
    assert registry.stored[OTHER_RECORD].value == "[" * 100_000


def test_our_own_record_turned_to_rubbish_is_written_anew() -> None:
    """Entries that are in order are adopted again."""
    registry = RecordingRegistry()
    run(registry, custom("redis-1"))
    registry.put(RECORD, "rubbish")
    assert run(registry, custom("redis-1")).succeeded
    assert list(record_in(registry).claims) == [REDIS]
    run(registry)
    assert registry.keys() == {}


def test_a_container_that_cannot_be_read_keeps_its_custom_ids() -> None:
    """The record says which they are, to an agent that has just started, too."""
    registry = RecordingRegistry()
    run(registry, custom("redis-1"))
    unknown = UnknownContainer(ContainerRef("id-of-redis-1", "of-redis-1"), "no answer in time")
    version = registry.version
    report = reconcile(task(), FakeSource(unknown=(unknown,)), registry, Memory())
    assert (report.succeeded, registry.version) == (True, version)
    assert registry.keys() == {REDIS: "10.0.0.1:8000"}


# Other engines.


def test_the_second_engine_of_one_name_writes_nothing() -> None:
    """Cloned machines: it says whose the name is, and what cures it; the first goes on."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER, custom("redis-1"))
    version = registry.version
    report = run(registry, custom("mysql-1"), engine=OTHER_ENGINE)
    assert (report.result, report.outcomes, report.planned, report.owner) == (
        PassResult.OWNER_CONFLICT,
        (),
        False,
        "core-01",
    )
    assert registry.version == version
    for word in ("'core-01'", ENGINE, OTHER_ENGINE, "--hostname", "--take-over"):
        assert word in report.problem
    idle(registry, WEB_CONTAINER, custom("redis-1"))


def test_an_engine_without_an_id_is_not_told_apart() -> None:
    """It neither loses its name to one with an id, nor rubs out whose it was."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER)
    assert run(registry, engine="").succeeded
    assert record_in(registry).engine == ENGINE


def test_a_take_over_works_once_a_run() -> None:
    """The name goes to the new engine with all that the old one held; should the old one live, neither takes it back
    for ever."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER, custom("redis-1"))
    taking, new = task(take_over=True), FakeSource(WEB_CONTAINER, engine=OTHER_ENGINE)
    first = reconcile(taking, new, registry, Memory())
    assert (first.result, record_in(registry).engine) == (PassResult.SUCCESS, OTHER_ENGINE)
    assert registry.keys() == {WEB: "10.0.0.1:8000"}
    assert run(registry, WEB_CONTAINER).result is PassResult.OWNER_CONFLICT
    memory = memory_after(first, Memory())
    old = reconcile(taking, FakeSource(WEB_CONTAINER), registry, Memory())
    assert (old.result, record_in(registry).engine) == (PassResult.SUCCESS, ENGINE)
    again = reconcile(taking, new, registry, memory)
    assert (again.result, record_in(registry).engine) == (PassResult.OWNER_CONFLICT, ENGINE)


def test_a_take_over_that_could_not_be_written_down_is_tried_again() -> None:
    """The word counts until it has had its effect."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER)
    registry.failing = lambda change: change.action is Action.RECORD
    taking, new = task(take_over=True), FakeSource(WEB_CONTAINER, engine=OTHER_ENGINE)
    first = reconcile(taking, new, registry, Memory())
    assert first.result is PassResult.OPERATION_ERROR
    registry.failing = lambda change: False
    assert reconcile(taking, new, registry, memory_after(first, Memory())).succeeded
    assert record_in(registry).engine == OTHER_ENGINE


# Questions.

QUESTION = SHELF.liveness_query("core-01")


@pytest.mark.parametrize(
    ("source", "result"),
    [
        (FakeSource(), PassResult.SUCCESS),
        (FakeSource(engine=OTHER_ENGINE), PassResult.OWNER_CONFLICT),
    ],
    ids=["good", "owner conflict"],
)
def test_a_pass_answers_the_question_whether_its_agent_is_alive(source: FakeSource, result: PassResult) -> None:
    """By removing it; also where the pass itself may write nothing else."""
    registry = RecordingRegistry()
    run(registry)
    registry.put(QUESTION, "?")
    registry.put(SHELF.liveness_query("core-02"), "?")
    assert reconcile(task(), source, registry, Memory()).result is result
    assert QUESTION not in registry.stored
    assert SHELF.liveness_query("core-02") in registry.stored


def test_a_question_is_answered_even_when_the_containers_cannot_be_read() -> None:
    """The agent is alive, and will register them again as soon as it can."""

    class Silent(FakeSource):
        """An engine that says who it is, and nothing else."""

        def _ask(self, question: str) -> None:
            self.problem = "no answer in time" if question == "read" else ""
            super()._ask(question)

    registry = RecordingRegistry()
    registry.put(QUESTION, "?")
    assert reconcile(task(), Silent(), registry, Memory()).result is PassResult.ENGINE_ERROR
    assert registry.stored == {}


def test_a_question_that_cannot_be_answered_stops_nothing() -> None:
    """It is no change of the plan, and no failure of the pass."""
    registry = RecordingRegistry()
    registry.put(QUESTION, "?")
    registry.failing = lambda change: change.key == QUESTION
    report = run(registry, WEB_CONTAINER)
    assert (report.succeeded, set(registry.keys())) == (True, {WEB})
    assert QUESTION not in {each.change.key for each in report.outcomes}


def test_a_dry_run_answers_no_question_and_writes_no_record() -> None:
    """Nothing can tell that it was there."""
    registry = RecordingRegistry()
    registry.put(QUESTION, "?")
    report = reconcile(task(), FakeSource(custom("redis-1")), ReadWriteRegistry(registry, PendingWriter()), Memory())
    assert {each.result for each in report.outcomes} == {Result.PENDING}
    assert [(each.action, each.key) for each in report.plan.visible] == [(Action.CREATE, REDIS)]
    assert (report.pending, registry.version, set(registry.stored)) == (1, 1, {QUESTION})


# Reads.


def test_an_idle_pass_reads_once() -> None:
    """What may lag behind is good enough to see that nothing is to be deleted."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER, custom("redis-1"))
    registry.reads.clear()
    idle(registry, WEB_CONTAINER, custom("redis-1"))
    assert registry.reads == ["any"]


def test_before_a_delete_everything_is_read_again_consistently() -> None:
    """The containers, too; creates and updates need no second look, their guards do."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER)
    registry.reads.clear()
    source = FakeSource()
    reconcile(task(), source, registry, Memory())
    assert (registry.reads, source.asked["read"]) == (["any", "consistent"], 2)
    registry.reads.clear()
    run(registry, WEB_CONTAINER)
    assert registry.reads == ["any"]


def test_a_lagging_answer_deletes_nothing() -> None:
    """What looked like an orphan has its container by the second look."""
    registry = RecordingRegistry()
    run(registry, WEB_CONTAINER)
    source = FakeSource()

    class Late(RecordingRegistry):
        """A registry at whose second look the container has started."""

        def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
            if consistent:
                source.containers = [WEB_CONTAINER]
            return super().read(owner, deadline, consistent=consistent)

    late = Late()
    late.stored, late.version = registry.stored, registry.version
    report = reconcile(task(), source, late, Memory())
    assert (report.outcomes, report.plan.in_sync) == ((), 1)


@pytest.mark.parametrize("order", list(permutations(["core-01", "core-02", "core-03"])), ids=" ".join)
def test_of_several_hosts_the_first_has_the_id(order: tuple[str, ...]) -> None:
    """An id each and one for all: whoever comes first gets that, and keeps it."""
    registry = RecordingRegistry()
    for owner in (*order, *reversed(order)):
        wanted = evolve(task(), rules=Rules(owner, AddressRules(ip=f"10.0.0.{owner[-1]}")))
        source = FakeSource(custom("redis-1"), custom(f"own-{owner}"), engine=owner)
        reconcile(wanted, source, registry, Memory())
    assert registry.keys()[REDIS] == f"10.0.0.{order[0][-1]}:8000"
    assert len(registry.keys()) == 4
