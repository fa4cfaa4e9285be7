"""The pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from attrs import evolve

from controller.clock import Deadline
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import OneByOne, PendingWriter, ReadWriteRegistry
from model.container import ContainerRef
from model.layout import PlainLayout
from model.memory import Memory, memory_after
from model.ownership import Known
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Outcome, PassReport, PassResult, Result, Stage
from model.rules import AddressRules, Rules
from model.snapshot import EngineIdentity, Snapshot, UnknownContainer
from model.stored import Actual, Stored
from tests.support.builders import HOST_IP, container
from tests.support.fakes import FakeSource, FakeTime
from tests.support.memory_registry import MemoryRegistry

WEB, DB = "/services/nginx/core-01:web:80", "/services/nginx/core-01:db:80"
ORPHAN = "/services/nginx/core-01:gone:80"
RECORD = RecordKeys("/services").record("core-01")
SECONDS = 10.0


class Diary:
    """A source and a registry that share one diary of what they were asked."""

    def __init__(self, source: FakeSource, registry: MemoryRegistry) -> None:
        self.source, self.registry = source, registry
        self.asked: list[str] = []

    def identity(self) -> EngineIdentity:
        """Who the engine is."""
        self.asked.append("engine")
        return self.source.identity()

    def read(self, deadline: Deadline) -> Snapshot:
        """The containers."""
        self.asked.append("containers")
        return self.source.read(deadline)


class WritingDown(OneByOne):
    """The registry's side of a diary."""

    def __init__(self, diary: Diary, before_apply: Callable[[], None] = lambda: None) -> None:
        self._diary = diary
        self._before_apply = before_apply

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """The keys."""
        self._diary.asked.append("keys, consistent" if consistent else "keys")
        return self._diary.registry.read(owner, deadline, consistent=consistent)

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """The other owners' records."""
        self._diary.asked.append("records")
        return self._diary.registry.other_records(owner, deadline)

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """Make a change."""
        self._diary.asked.append(f"{change.action.value} {change.key}")
        self._before_apply()
        return self._diary.registry.apply(owner, change, deadline)


class Refusing(MemoryRegistry):
    """A registry that fails at one key."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Registry."""
        return (
            Outcome(change, Result.FAILED, "no") if change.key == self._key else super().apply(owner, change, deadline)
        )


def host(*names: str) -> FakeSource:
    """A host that runs these containers."""
    return FakeSource(*(container(name, publish={"80/tcp": "0.0.0.0:8000"}) for name in names))


def task(time: FakeTime | None = None, **rules: object) -> PassSettings:
    """What the operator of core-01 wants."""
    address = AddressRules(ip=HOST_IP)
    wanted = Rules(**{"owner": "core-01", "address": address, **rules})  # type: ignore[arg-type] # any of the fields
    return PassSettings(wanted, PlainLayout("/services"), seconds=SECONDS, clock=(time or FakeTime()).clock)


def results(report: PassReport) -> dict[str, Result]:
    """How each change of an entry ended."""
    return {each.change.key: each.result for each in report.outcomes if each.change.action is not Action.RECORD}


def test_a_pass_brings_the_registry_in_step() -> None:
    """What runs is registered, what is gone is not, and a second pass has nothing to do."""
    registry = MemoryRegistry()
    registry.put(ORPHAN, f"{HOST_IP}:1")
    registry.put("/services/nginx/core-02:web:80", "10.0.0.2:80")
    report = reconcile(task(), host("web"), registry, Memory())
    assert registry.keys() == {WEB: f"{HOST_IP}:8000", "/services/nginx/core-02:web:80": "10.0.0.2:80"}
    assert (report.result, report.owner, report.problem, report.pending) == (PassResult.SUCCESS, "core-01", "", 0)
    version = registry.version
    second = reconcile(task(), host("web"), registry, Memory())
    assert (second.outcomes, second.plan.in_sync, registry.version) == ((), 1, version)


def test_an_engine_that_does_not_answer_changes_nothing() -> None:
    """Unknown is not absent."""
    registry, source = MemoryRegistry(), host()
    registry.put(WEB, f"{HOST_IP}:8000")
    source.problem = "nobody answers at the socket"
    report = reconcile(task(), source, registry, Memory())
    assert (report.result, report.problem) == (PassResult.ENGINE_ERROR, "nobody answers at the socket")
    assert (report.outcomes, report.planned, registry.version) == ((), False, 1)


def test_an_engine_that_runs_nothing_is_an_answer() -> None:
    """Empty is not unknown: what was registered goes."""
    registry = MemoryRegistry()
    registry.put(WEB, f"{HOST_IP}:8000")
    assert reconcile(task(), host(), registry, Memory()).succeeded
    assert registry.keys() == {}


def test_a_registry_that_does_not_answer_changes_nothing() -> None:
    """And the engine need not be asked for its containers."""
    registry, source = MemoryRegistry(), host("web")
    registry.down = True
    report = reconcile(task(), source, registry, Memory())
    assert (report.result, report.problem) == (PassResult.REGISTRY_ERROR, "it is down")
    assert (report.outcomes, report.planned, source.asked) == ((), False, {"identity": 1})


def test_the_registry_is_read_before_the_containers() -> None:
    """The other way round, an entry that a second agent has just written would look like an orphan."""
    diary = Diary(host("web"), MemoryRegistry())
    reconcile(task(owner=""), diary, WritingDown(diary), Memory())
    assert diary.asked == ["engine", "keys", "containers", f"record {RECORD}", f"create {WEB}"]


def test_deletes_come_last() -> None:
    """What moves from one key to another is never absent from both."""
    diary = Diary(host("web", "zoo"), MemoryRegistry())
    for key in ("/services/a/core-01:a:80", ORPHAN):
        diary.registry.put(key, f"{HOST_IP}:1")
    reconcile(task(), diary, WritingDown(diary), Memory())
    writes = [each.partition(" ")[0] for each in diary.asked if "/" in each]
    assert writes == ["record", "create", "create", "delete", "delete"]


def test_one_change_that_fails_stops_none_of_the_others() -> None:
    """The report says which, and how many more."""
    registry = Refusing(DB)
    report = reconcile(task(), host("db", "web"), registry, Memory())
    assert results(report) == {DB: Result.FAILED, WEB: Result.APPLIED}
    assert registry.keys() == {WEB: f"{HOST_IP}:8000"}
    assert report.result is PassResult.OPERATION_ERROR
    assert report.problem == f"cannot create {DB}: no"


def test_a_lost_race_is_no_failure() -> None:
    """Somebody wrote between our reading and our writing: the next pass looks again."""
    diary = Diary(host("web"), MemoryRegistry())
    overtaking = WritingDown(diary, before_apply=lambda: diary.registry.put(WEB, "10.9.9.9:1"))
    report = reconcile(task(), diary, overtaking, Memory())
    assert (report.result, results(report)) == (PassResult.SUCCESS, {WEB: Result.CONFLICT})
    assert diary.registry.keys() == {WEB: "10.9.9.9:1"}


def test_what_does_not_fit_into_the_time_is_skipped() -> None:
    """A pass has a deadline; the next one does the rest."""
    time = FakeTime()
    diary = Diary(host("a1", "b1", "c1", "d1"), MemoryRegistry())
    reconcile(task(), host(), diary.registry, Memory())
    slow = WritingDown(diary, before_apply=lambda: time.advance(6))
    report = reconcile(task(time), diary, slow, Memory())
    assert list(results(report).values()) == [Result.APPLIED, Result.APPLIED, Result.SKIPPED, Result.SKIPPED]
    assert report.result is PassResult.OPERATION_ERROR
    assert report.problem == "cannot create /services/nginx/core-01:c1:80: the pass ran out of time (and 1 more)"
    assert reconcile(task(), diary, WritingDown(diary), Memory()).pending == 0
    assert len(diary.registry.keys()) == 4


def test_a_dry_run_leaves_everything_pending() -> None:
    """It is given a registry that has no way to write."""
    registry = MemoryRegistry()
    registry.put(ORPHAN, f"{HOST_IP}:1")
    report = reconcile(task(), host("web"), ReadWriteRegistry(registry, PendingWriter()), Memory())
    assert results(report) == {ORPHAN: Result.PENDING, WEB: Result.PENDING}
    assert (report.result, report.pending, registry.keys()) == (PassResult.SUCCESS, 2, {ORPHAN: f"{HOST_IP}:1"})
    assert registry.version == 1


@pytest.mark.parametrize(
    ("owner", "used"), [("", "engine-1"), ("core-09", "core-09")], ids=["engine's name", "--hostname"]
)
def test_the_owner_is_the_given_one_or_the_engines_name(owner: str, used: str) -> None:
    """The engine is asked who it is in any case: the owner record has its id."""
    source = FakeSource(container(publish={"80/tcp": "0.0.0.0:8000"}), name="engine-1")
    registry = MemoryRegistry()
    report = reconcile(task(owner=owner), source, registry, Memory())
    assert (report.owner, list(registry.keys())) == (used, [f"/services/nginx/{used}:web:80"])
    assert source.asked["identity"] == 1


def test_an_engine_that_does_not_know_its_name_needs_to_be_given_one() -> None:
    """Entries under no owner would be nobody's; the operator is told what to do."""
    source, registry = FakeSource(container(publish={"80/tcp": "0.0.0.0:8000"}), name=""), MemoryRegistry()
    report = reconcile(task(owner=""), source, registry, Memory())
    assert (report.result, registry.version) == (PassResult.ENGINE_ERROR, 0)
    assert "give one with --hostname" in report.problem
    assert reconcile(task(), source, registry, Memory()).succeeded


@pytest.mark.parametrize(
    ("ip", "address", "looks"), [("", "10.7.7.7", 1), (HOST_IP, HOST_IP, 0)], ids=["guessed", "given"]
)
def test_the_hosts_address_is_looked_up_only_where_none_is_given(ip: str, address: str, looks: int) -> None:
    """Each pass anew: a host's address may change while the agent runs."""
    looked, registry = count(), MemoryRegistry()
    wanted = evolve(task(address=AddressRules(ip=ip)), local_address=lambda: f"10.7.7.{next(looked) + 7}")
    reconcile(wanted, host("web"), registry, Memory())
    assert registry.keys() == {WEB: f"{address}:8000"}
    reconcile(wanted, host("web"), registry, Memory())
    assert next(looked) == 2 * looks


def test_a_container_that_cannot_be_read_keeps_its_entries() -> None:
    """The others go on."""
    registry = MemoryRegistry()
    registry.put(DB, f"{HOST_IP}:5432")
    unknown = UnknownContainer(ContainerRef("id-db", "db"), "no answer in time")
    source = FakeSource(container(publish={"80/tcp": "0.0.0.0:8000"}), unknown=(unknown,))
    report = reconcile(task(), source, registry, Memory())
    assert registry.keys() == {DB: f"{HOST_IP}:5432", WEB: f"{HOST_IP}:8000"}
    assert (report.succeeded, report.unknown) == (True, (unknown,))


@pytest.mark.parametrize(
    ("known", "reason"), [({}, Reason.NEW), ({WEB: Known(f"{HOST_IP}:8000", "id-web")}, Reason.MISSING)]
)
def test_what_was_known_tells_drift_from_news(known: dict[str, Known], reason: Reason) -> None:
    """The change is the same."""
    report = reconcile(task(), host("web"), MemoryRegistry(), Memory(known))
    assert [(each.action, each.reason) for each in report.plan.visible] == [(Action.CREATE, reason)]


def test_each_stage_is_timed() -> None:
    """By the clock that was given; here only writing takes time."""
    time = FakeTime()
    diary = Diary(host("web"), MemoryRegistry())
    reconcile(task(), host(), diary.registry, Memory())
    report = reconcile(task(time), diary, WritingDown(diary, before_apply=lambda: time.advance(2)), Memory())
    assert report.seconds == {Stage.REGISTRY_READ: 0, Stage.DOCKER: 0, Stage.PLAN: 0, Stage.APPLY: 2}


def test_the_stage_that_failed_is_timed_too() -> None:
    """And those that were not reached are not."""
    registry, source = MemoryRegistry(), host()
    registry.down, source.problem = True, "no"
    assert reconcile(task(), source, registry, Memory()).seconds.keys() == {Stage.DOCKER}
    source.problem = ""
    assert reconcile(task(), source, registry, Memory()).seconds.keys() == {Stage.DOCKER, Stage.REGISTRY_READ}


def test_the_same_pass_whatever_order_the_engine_lists_in() -> None:
    """Outcomes are in a stable order."""
    reports = [reconcile(task(), host(*names), MemoryRegistry(), Memory()) for names in (("a1", "b1"), ("b1", "a1"))]
    assert reports[0].outcomes == reports[1].outcomes


def test_every_thirtieth_pass_is_sure_of_what_it_reads() -> None:
    """A member of the registry that was cut off from the others would show the same for ever."""
    memory, sure = Memory(), []
    registry = MemoryRegistry()
    for _ in range(61):
        report = reconcile(task(), host("web"), registry, memory)
        memory = memory_after(report, memory)
        sure.append(report.consistent)
    assert [number for number, each in enumerate(sure, start=1) if each] == [30, 60]


def test_a_pass_that_deletes_is_sure_and_the_counting_begins_anew() -> None:
    """It has read everything twice."""
    registry = MemoryRegistry()
    registry.put(ORPHAN, f"{HOST_IP}:1")
    report = reconcile(task(), host("web"), registry, Memory(passes_since_consistent_read=20))
    assert report.consistent
    assert memory_after(report, Memory(passes_since_consistent_read=20)).passes_since_consistent_read == 0
