"""The pass: ``reconcile`` in general. test_one_pass_*.py are about owner records, the guard and the layouts."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from attrs import evolve

from controller.effects.clock import Clock, Deadline
from controller.reconcile.one_pass import reconcile
from controller.reconcile.progress import Progress
from controller.registry.base import PendingWriter, ReadWriteRegistry
from controller.source.docker import IDENTITY_INTERVAL, Asking, Engine
from model.container import ContainerRef
from model.memory import Memory, memory_after
from model.ownership import Known
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import PassReport, PassResult, Result, Stage
from model.rules import HealthRule
from model.snapshot import Snapshot, UnknownContainer
from model.stored import Actual, Lifetime
from tests.support.builders import container
from tests.support.fakes import ENGINE, FakeDocker, FakeSource, FakeTime, Inline, inspected, refusal
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import IP, Host, first_pass, owner_record, pass_settings, serving

WEB, DB = "/services/nginx/core-01:web:80", "/services/nginx/core-01:db:80"
ORPHAN = "/services/nginx/core-01:gone:80"
REDIS = "/services/nginx/redis-1"
RECORD_KEYS = RecordKeys("/services")
RECORD, LIVENESS_QUERY = RECORD_KEYS.record("core-01"), RECORD_KEYS.liveness_query("core-01")

CUSTOM_ID = serving("redis", "SERVICE_ID=redis-1")


def results(report: PassReport) -> dict[str, Result]:
    """Return how each change of an entry ended, by its key."""
    return {each.change.key: each.result for each in report.outcomes if each.change.action is not Action.RECORD}


# What a pass does.


def test_a_pass_registers_what_runs_and_removes_what_is_gone() -> None:
    """Containers that run are registered, orphans are removed, foreign keys stay, and a second pass changes nothing."""
    registry = RecordingRegistry()
    registry.put(ORPHAN, f"{IP}:1")
    registry.put("/services/nginx/core-02:web:80", "10.0.0.2:80")
    report = first_pass(registry, serving("web"))
    assert registry.keys() == {WEB: f"{IP}:8000", "/services/nginx/core-02:web:80": "10.0.0.2:80"}
    assert (report.result, report.owner, report.problem, report.pending) == (PassResult.SUCCESS, "core-01", "", 0)
    version = registry.version
    second = first_pass(registry, serving("web"))
    assert (second.outcomes, second.plan.in_sync, registry.version) == ((), 1, version)


def test_a_pass_tells_what_it_does_at_each_moment() -> None:
    """While it writes, it tells how many changes it has tried, of how many that it planned."""
    host, told = Host(serving("web"), CUSTOM_ID), list[Progress]()
    host.settings = evolve(host.settings, on_progress=told.append)
    host.has_a_pass()
    assert told[0] == Progress(Stage.REGISTRY_READ)
    assert {Progress(Stage.DOCKER), Progress(Stage.PLAN)} <= {*told}
    writing = told[told.index(Progress(Stage.APPLY)) + 1 :]
    assert writing == [Progress(Stage.APPLY, tried, 3) for tried in (1, 2, 3)]


def test_nothing_is_written_if_the_engine_does_not_answer() -> None:
    """Containers that could not be listed are unknown, not gone, so their entries stay."""
    host = Host()
    host.registry.put(WEB, f"{IP}:8000")
    host.source.problem = "nobody answers at the socket"
    report = host.tries_a_pass()
    assert (report.result, report.problem) == (PassResult.ENGINE_ERROR, "nobody answers at the socket")
    assert (report.outcomes, report.planned, host.registry.version) == ((), False, 1)


def test_all_entries_are_removed_if_the_engine_runs_no_container() -> None:
    """An empty answer of the engine is an answer."""
    host = Host()
    host.registry.put(WEB, f"{IP}:8000")
    assert host.tries_a_pass().succeeded
    assert host.registry.keys() == {}


def test_nothing_is_written_if_the_registry_does_not_answer() -> None:
    """The pass fails with a registry error, and does not list the containers."""
    host = Host(serving("web"))
    host.registry.down = True
    report = host.tries_a_pass()
    assert (report.result, report.problem) == (PassResult.REGISTRY_ERROR, "it is down")
    assert (report.outcomes, report.planned, host.registry.requests) == ((), False, ["keys"])


def test_the_registry_is_read_before_the_containers() -> None:
    """In the other order, an entry that a second agent of this host has just written would look like an orphan."""
    host = Host(serving("web"), owner="")
    host.tries_a_pass()
    assert host.registry.requests == [
        "engine",
        "keys",
        "containers",
        "inner prefixes",
        f"record {RECORD}",
        f"create {WEB}",
    ]


def test_deletes_are_made_last() -> None:
    """An entry that moves from one key to another is never absent from both."""
    host = Host(serving("web"), serving("zoo"))
    for key in ("/services/a/core-01:a:80", ORPHAN):
        host.registry.put(key, f"{IP}:1")
    host.tries_a_pass()
    writes = [each.partition(" ")[0] for each in host.registry.writes]
    assert writes == ["record", "create", "create", "delete", "delete"]


def test_the_order_of_the_engines_list_does_not_matter() -> None:
    """The outcomes have the same order whatever order the engine lists the containers in."""
    reports = [
        first_pass(RecordingRegistry(), *(serving(name) for name in names)) for names in (("a1", "b1"), ("b1", "a1"))
    ]
    assert reports[0].outcomes == reports[1].outcomes


def test_a_container_that_cannot_be_read_keeps_its_entries() -> None:
    """The entries of the other containers are written, and the pass succeeds."""
    unknown = UnknownContainer(ContainerRef("id-db", "db"), "no answer in time")
    host = Host(serving("web"), unknown=(unknown,))
    host.registry.put(DB, f"{IP}:5432")
    report = host.tries_a_pass()
    assert host.registry.keys() == {DB: f"{IP}:5432", WEB: f"{IP}:8000"}
    assert (report.succeeded, report.unknown) == (True, (unknown,))


@pytest.mark.parametrize(
    ("known", "reason"), [({}, Reason.NEW), ({WEB: Known(f"{IP}:8000", "id-web")}, Reason.MISSING)]
)
def test_a_create_of_a_known_key_has_the_reason_missing(known: dict[str, Known], reason: Reason) -> None:
    """The memory changes the reason of a change, and not the change."""
    report = reconcile(pass_settings(), FakeSource(serving("web")), RecordingRegistry(), Memory(known))
    assert [(each.action, each.reason) for each in report.plan.visible] == [(Action.CREATE, reason)]


# Owner and address.


@pytest.mark.parametrize(
    ("owner", "used"), [("", "engine-1"), ("core-09", "core-09")], ids=["engine's name", "--hostname"]
)
def test_the_owner_is_the_given_one_or_the_engines_name(owner: str, used: str) -> None:
    """The engine is asked for its identity in both cases, because the owner record has its id."""
    source = FakeSource(container(publish={"80/tcp": "0.0.0.0:8000"}), name="engine-1")
    registry = RecordingRegistry()
    report = reconcile(pass_settings(owner), source, registry, Memory())
    assert (report.owner, list(registry.keys())) == (used, [f"/services/nginx/{used}:web:80"])
    assert source.requests.count("engine") == 1


def test_a_pass_fails_if_neither_the_engine_nor_the_operator_names_the_host() -> None:
    """Entries need an owner. The report says to use --hostname."""
    source, registry = FakeSource(container(publish={"80/tcp": "0.0.0.0:8000"}), name=""), RecordingRegistry()
    report = reconcile(pass_settings(owner=""), source, registry, Memory())
    assert (report.result, registry.version) == (PassResult.ENGINE_ERROR, 0)
    assert "give one with --hostname" in report.problem
    assert reconcile(pass_settings(), source, registry, Memory()).succeeded


@pytest.mark.parametrize(("ip", "address", "looks"), [("", "10.7.7.7", 1), (IP, IP, 0)], ids=["guessed", "given"])
def test_the_hosts_address_is_looked_up_in_each_pass_if_none_is_given(ip: str, address: str, looks: int) -> None:
    """The address of a host may change while the agent runs. With -ip it is never looked up."""
    looked, registry, source = count(), RecordingRegistry(), FakeSource(serving("web"))
    settings = evolve(pass_settings(ip=ip), local_address=lambda: f"10.7.7.{next(looked) + 7}")
    reconcile(settings, source, registry, Memory())
    assert registry.keys() == {WEB: f"{address}:8000"}
    reconcile(settings, source, registry, Memory())
    assert next(looked) == 2 * looks


# Writes that fail, and time.


def test_a_change_that_fails_stops_no_other_change() -> None:
    """The other changes are made, and the report names the failed one."""
    registry = RecordingRegistry()
    registry.failing = lambda change: change.key == DB
    report = first_pass(registry, serving("db"), serving("web"))
    assert results(report) == {DB: Result.FAILED, WEB: Result.APPLIED}
    assert registry.keys() == {WEB: f"{IP}:8000"}
    assert report.result is PassResult.OPERATION_ERROR
    assert report.problem == f"cannot create {DB}: no"


def test_a_lost_race_does_not_fail_the_pass() -> None:
    """If somebody writes the key between the read and the write, the next pass decides again."""
    registry = RecordingRegistry()
    registry.before_write = lambda: registry.put(WEB, "10.9.9.9:1")
    report = first_pass(registry, serving("web"))
    assert (report.result, results(report)) == (PassResult.SUCCESS, {WEB: Result.CONFLICT})
    assert registry.keys() == {WEB: "10.9.9.9:1"}


def test_a_change_that_the_registry_rejects_waits_while_all_others_go_on() -> None:
    """The rejected change is tried again after one second, two, four and so on. The result of such a pass is
    ``incomplete``, which is not a failure."""
    time = FakeTime()
    host = Host(serving("db"), serving("web"), clock=time.clock)
    host.registry.rejecting = lambda change: change.key == DB
    tries = []
    for second in range(64):
        before = len(host.registry.writes)
        host.runs(serving("db"), serving("web", number=8001 + second))
        report = host.tries_a_pass()
        assert (report.result, report.follows_host, report.outage) == (PassResult.INCOMPLETE, True, False)
        assert report.problem == f"cannot create {DB}: permission denied"
        assert host.registry.keys() == {WEB: f"{IP}:{8001 + second}"}
        tries += [second] if f"create {DB}" in host.registry.writes[before:] else []
        time.advance(1)
    assert tries == [0, 1, 3, 7, 15, 31, 63]
    host.registry.rejecting = lambda change: False
    host.memory = host.memory.trying_everything()
    assert host.tries_a_pass().succeeded


def test_a_change_that_gets_no_answer_holds_up_no_other() -> None:
    """The pass failed, as nobody knows whether the change was made. But it is no outage, so the next pass need not come
    later."""
    host = Host(serving("db"), serving("web"))
    host.interval = 0.5
    host.registry.failing = lambda change: change.key == DB
    report = host.tries_a_pass()
    assert (report.result, report.outage) == (PassResult.OPERATION_ERROR, False)
    assert results(host.tries_a_pass()) == {DB: Result.FAILED}
    assert results(host.tries_a_pass()) == {DB: Result.WAITING}


def test_a_rejected_delete_costs_no_second_read_while_it_waits() -> None:
    """The registry is read again, consistently, only before a delete is tried."""
    host = Host()
    host.interval = 0.5
    host.has_a_pass()
    host.registry.put(ORPHAN, f"{IP}:1")
    host.registry.rejecting = lambda change: change.action is Action.DELETE
    assert results(host.tries_a_pass()) == {ORPHAN: Result.REJECTED}
    host.registry.reads.clear()
    assert results(host.tries_a_pass()) == {ORPHAN: Result.WAITING}
    assert host.registry.reads == ["any"]


def test_a_change_that_was_rejected_by_a_store_that_is_no_more_is_tried_at_once() -> None:
    """The new store may accept the change."""
    host = Host(serving("web"))
    host.registry.rejecting = lambda change: change.key == WEB
    host.tries_a_pass()
    host.registry.rejecting = lambda change: False
    host.registry.cluster = "another"
    assert results(host.tries_a_pass()) == {WEB: Result.APPLIED}


LIFETIME = Lifetime(15, 10)


def host_with_lifetimes(time: FakeTime, *left: int) -> Host:
    """Return a host whose containers are ``web-0``, ``web-1`` and so on. ``left`` are the seconds that the keys of
    these containers have left."""
    containers = [serving(f"web-{number}", number=8000 + number) for number in range(len(left))]
    host = Host(*containers, registry=RecordingRegistry(lifetime=LIFETIME), clock=time.clock)
    host.settings = evolve(host.settings, lifetime=LIFETIME)
    host.has_a_pass()
    for number, seconds in enumerate(left):
        key = f"/services/nginx/core-01:web-{number}:80"
        host.registry.stored[key] = evolve(host.registry.stored[key], ttl=seconds)
    host.registry.writes.clear()
    return host


def test_keys_that_expire_are_renewed_before_anything_else_those_with_the_least_left_first() -> None:
    """Each write takes 3.5 seconds in this test, so that the pass has time for the three renewals and for nothing
    else."""
    time = FakeTime()
    host = host_with_lifetimes(time, 3, 1, 2, 9)
    host.source.containers.append(serving("a-new-one", "SERVICE_ID=custom", number=9000))
    host.registry.before_write = lambda: time.advance(3.5)
    report = host.tries_a_pass()
    renewals = [f"renew /services/nginx/core-01:web-{number}:80" for number in (1, 2, 0)]
    assert host.registry.writes == renewals
    assert report.result is PassResult.UNFINISHED


@pytest.mark.parametrize("lost", [False, True], ids=["rejected", "lost race"])
def test_keys_are_renewed_although_the_owner_record_cannot_be_written(lost: bool) -> None:
    """A renewal writes no value, so it needs no claim."""
    host = host_with_lifetimes(FakeTime(), 3)
    host.source.containers.append(serving("a-new-one", "SERVICE_ID=custom", number=9000))
    host.registry.rejecting = lambda change: change.action is Action.RECORD and not lost
    if lost:
        host.registry.before_write = lambda: host.registry.put(RECORD, "somebody else's")
    report = host.tries_a_pass()
    assert results(report)["/services/nginx/core-01:web-0:80"] is Result.APPLIED
    assert Result.APPLIED not in {results(report)[key] for key in results(report) if "web-0" not in key}


def test_renewals_are_tried_in_every_pass_although_the_registry_rejects_them() -> None:
    """The keys would expire if their renewals waited until they are tried again."""
    host = host_with_lifetimes(FakeTime(), 3)
    host.registry.rejecting = lambda change: change.action is Action.RENEW
    host.tries_a_pass()
    host.tries_a_pass()
    assert host.registry.writes == ["renew /services/nginx/core-01:web-0:80"] * 2


def test_changes_after_the_deadline_of_the_pass_are_skipped() -> None:
    """The report says how many changes the pass made, and the next pass makes the others."""
    time, registry = FakeTime(), RecordingRegistry()
    containers = [serving(name) for name in ("a1", "b1", "c1", "d1")]
    first_pass(registry)
    registry.before_write = lambda: time.advance(6)
    report = first_pass(registry, *containers, clock=time.clock)
    assert list(results(report).values()) == [Result.APPLIED, Result.APPLIED, Result.SKIPPED, Result.SKIPPED]
    assert report.result is PassResult.UNFINISHED
    assert report.problem == "the pass ran out of time after 2 of 4 changes"
    assert first_pass(registry, *containers).pending == 0
    assert len(registry.keys()) == 4


def test_each_stage_is_timed() -> None:
    """The report has the seconds of each stage, and of the whole pass, by the given clock. In this test only the writes
    take time."""
    time, registry = FakeTime(), RecordingRegistry()
    first_pass(registry)
    registry.before_write = lambda: time.advance(2)
    report = first_pass(registry, serving("web"), clock=time.clock)
    assert report.seconds == {Stage.REGISTRY_READ: 0, Stage.DOCKER: 0, Stage.PLAN: 0, Stage.APPLY: 2}
    assert report.duration == 2


def test_a_stage_that_failed_is_timed_and_a_stage_that_was_not_reached_is_not() -> None:
    """The report of a failed pass has the stages up to the one that failed, and the time of the whole pass."""
    host = Host()
    host.registry.down, host.source.problem = True, "no"
    report = host.tries_a_pass()
    assert report.seconds.keys() == {Stage.REGISTRY_READ}
    assert report.duration == 0
    host.registry.down = False
    assert host.tries_a_pass().seconds.keys() == {Stage.DOCKER, Stage.REGISTRY_READ}


# Dry run.


def test_a_dry_run_leaves_every_change_pending() -> None:
    """The registry of a dry run cannot write, so nothing changes."""
    registry = RecordingRegistry()
    registry.put(ORPHAN, f"{IP}:1")
    report = reconcile(
        pass_settings(), FakeSource(serving("web")), ReadWriteRegistry(registry, PendingWriter()), Memory()
    )
    assert results(report) == {ORPHAN: Result.PENDING, WEB: Result.PENDING}
    assert (report.result, report.pending, registry.keys()) == (PassResult.SUCCESS, 2, {ORPHAN: f"{IP}:1"})
    assert registry.version == 1


def test_a_dry_run_removes_no_liveness_query_and_writes_no_owner_record() -> None:
    """After a dry run the store is as it was before."""
    registry = RecordingRegistry()
    registry.put(LIVENESS_QUERY, "?")
    report = reconcile(pass_settings(), FakeSource(CUSTOM_ID), ReadWriteRegistry(registry, PendingWriter()), Memory())
    assert {each.result for each in report.outcomes} == {Result.PENDING}
    assert [(each.action, each.key) for each in report.plan.visible] == [(Action.CREATE, REDIS)]
    assert (report.pending, registry.version, set(registry.stored)) == (1, 1, {LIVENESS_QUERY})


# Liveness queries.


@pytest.mark.parametrize(
    ("engine", "result"),
    [(None, PassResult.SUCCESS), ("9XYZ:ENGINE:TWO", PassResult.OWNER_CONFLICT)],
    ids=["good", "owner conflict"],
)
def test_a_pass_removes_its_owners_liveness_query(engine: str | None, result: PassResult) -> None:
    """The removal is the agent's answer that it is alive. The first pass of an agent with an owner conflict removes the
    query, too, because that agent does not know its engine's id yet. The query for another owner stays."""
    registry = RecordingRegistry()
    first_pass(registry)
    registry.put(LIVENESS_QUERY, "?")
    registry.put(RECORD_KEYS.liveness_query("core-02"), "?")
    assert first_pass(registry, engine=engine).result is result
    assert LIVENESS_QUERY not in registry.stored
    assert RECORD_KEYS.liveness_query("core-02") in registry.stored


def test_a_pass_removes_the_liveness_query_even_if_the_containers_cannot_be_read() -> None:
    """The agent is alive, and will register the containers again when the engine answers."""

    class Unreadable(FakeSource):
        """An engine that says who it is, and does not list its containers."""

        def read(self, deadline: Deadline, *, hurried: bool = False, full: bool = False) -> Snapshot:
            self.problem = "no answer in time"
            return super().read(deadline, hurried=hurried, full=full)

    registry = RecordingRegistry()
    registry.put(LIVENESS_QUERY, "?")
    assert reconcile(pass_settings(), Unreadable(), registry, Memory()).result is PassResult.ENGINE_ERROR
    assert registry.stored == {}


def test_a_liveness_query_that_cannot_be_removed_does_not_fail_the_pass() -> None:
    """Its removal is not part of the plan, so it is not among the outcomes either."""
    registry = RecordingRegistry()
    registry.put(LIVENESS_QUERY, "?")
    registry.failing = lambda change: change.key == LIVENESS_QUERY
    report = first_pass(registry, serving("web"))
    assert (report.succeeded, set(registry.keys())) == (True, {WEB})
    assert LIVENESS_QUERY not in {each.change.key for each in report.outcomes}


# Consistent reads.


def test_an_idle_pass_reads_once_and_not_consistently() -> None:
    """A read that may be stale is good enough to see that nothing is to be deleted."""
    registry = RecordingRegistry()
    first_pass(registry, serving("web"), CUSTOM_ID)
    registry.reads.clear()
    version = registry.version
    report = first_pass(registry, serving("web"), CUSTOM_ID)
    assert (report.outcomes, registry.version) == ((), version)
    assert registry.reads == ["any"]


def test_registry_and_containers_are_read_again_before_a_delete() -> None:
    """The second read of the registry is consistent. A create needs no second read, because its write fails if the key
    was written in between."""
    host = Host(serving("web"))
    host.has_a_pass()
    host.registry.requests.clear()
    host.registry.reads.clear()
    host.runs()
    host.restarts()
    host.tries_a_pass()
    assert host.registry.reads == ["any", "inner prefixes", "consistent", "inner prefixes"]
    assert host.registry.requests.count("containers") == 2
    host.registry.reads.clear()
    host.runs(serving("web"))
    host.restarts()
    host.tries_a_pass()
    assert host.registry.reads == ["any", "inner prefixes"]


def test_a_container_that_starts_before_the_second_read_keeps_its_entry() -> None:
    """A key that looked like an orphan is not deleted if the second read finds its container."""
    source = FakeSource()

    class StartsTheContainer(RecordingRegistry):
        """A registry during whose consistent read the container starts."""

        def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
            if consistent:
                source.containers = [serving("web")]
            return super().read(owner, deadline, consistent=consistent)

    registry = StartsTheContainer()
    first_pass(registry, serving("web"))
    registry.reads.clear()
    report = reconcile(pass_settings(), source, registry, Memory())
    assert (report.outcomes, report.plan.in_sync) == ((), 1)
    assert registry.reads == ["any", "inner prefixes", "consistent"]


def test_every_thirtieth_pass_reads_consistently() -> None:
    """A member of the registry that is cut off from the others would show the same data for ever."""
    host, consistent = Host(serving("web")), []
    for _ in range(61):
        consistent.append(host.tries_a_pass().consistent)
    assert [number for number, each in enumerate(consistent, start=1) if each] == [30, 60]


def test_a_pass_with_deletes_restarts_the_count_of_passes_without_a_consistent_read() -> None:
    """Such a pass has read consistently, so the next 29 need not."""
    registry = RecordingRegistry()
    registry.put(ORPHAN, f"{IP}:1")
    memory = Memory(passes_since_consistent_read=20)
    report = reconcile(pass_settings(), FakeSource(serving("web")), registry, memory)
    assert report.consistent
    assert memory_after(report, memory).passes_since_consistent_read == 0


# Filters, health and several bindings, over the source that reads a Docker engine.

PLACE = "192.0.2.1:8080"


def pass_over(engine: Engine, registry: RecordingRegistry, **rules: Any) -> PassReport:
    """Make a pass of core-01's agent that reads its containers from this engine."""
    return reconcile(pass_settings(ip="192.0.2.1", **rules), engine, registry, Memory())


def entry_changes(report: PassReport) -> list[Change]:
    """Return the planned changes without the owner record."""
    return [change for change in report.plan.changes if change.action is not Action.RECORD]


def filtering(docker: FakeDocker, *filters: tuple[str, str]) -> Engine:
    """Return the engine behind this client, read with these filters."""
    return Engine(docker.dial, Asking(Inline(), Clock()), stopped_too=False, filters=filters)


def test_a_container_that_the_filter_excludes_loses_its_entries() -> None:
    """The reason of the delete is filtered, and the selected container is registered."""
    registry = RecordingRegistry()
    engine = filtering(FakeDocker(inspected("web", labels={"public": ""}), inspected("db")), ("label", "public"))
    registry.put(DB, PLACE)
    report = pass_over(engine, registry)
    assert (report.result, registry.keys()) == (PassResult.SUCCESS, {WEB: PLACE})
    assert [change.reason for change in entry_changes(report)] == [Reason.FILTERED, Reason.NEW]


def test_a_container_that_is_replaced_between_the_two_lists_keeps_its_entry() -> None:
    """The new container of the same name is only in the second, unfiltered list, which looks like a delete. Before a
    delete everything is read again."""
    old, new = (inspected(each) | {"Name": "/web"} for each in ("old", "new"))
    docker, registry = FakeDocker(old), RecordingRegistry()
    registry.put(WEB, PLACE)
    docker.then = lambda: setattr(docker, "documents", {"new": new})
    report = pass_over(filtering(docker, ("name", "web")), registry)
    assert (report.result, entry_changes(report), registry.keys()) == (PassResult.SUCCESS, [], {WEB: PLACE})
    assert [each for each in docker.asked if each.startswith("list")] == ["list filtered", "list"] * 2


def test_nothing_is_written_if_the_engine_refuses_the_filter() -> None:
    """Which containers the filter selects is then unknown, so the pass fails with an engine error."""
    registry = RecordingRegistry()
    registry.put(WEB, PLACE)
    report = pass_over(filtering(FakeDocker(), ("bogus", "x")), registry)
    assert (report.result, registry.keys()) == (PassResult.ENGINE_ERROR, {WEB: PLACE})
    assert report.problem == "cannot read the Docker engine: it refuses --filter: Invalid filter 'bogus'"


def test_a_container_that_cannot_be_inspected_keeps_the_entries_of_all_its_bindings() -> None:
    """It is unknown, not gone, whether or not a filter selects it."""
    docker, registry = FakeDocker(inspected("web")), RecordingRegistry()
    docker.errors["inspect web"] = OSError("odd")
    keys = {WEB: PLACE, f"{WEB}:8081": "192.0.2.1:8081", f"{WEB}:10.0.0.2-8082": "10.0.0.2:8082"}
    for key, value in keys.items():
        registry.put(key, value)
    for filters in ((), (("name", "nobody"),)):
        assert pass_over(filtering(docker, *filters), registry).result is PassResult.SUCCESS
        assert registry.keys() == keys


@pytest.mark.parametrize("all_bindings", [True, False])
def test_entries_of_further_bindings_come_and_go_with_all_bindings(all_bindings: bool) -> None:
    """Their ids name this host, so a pass without --all-bindings removes them. Those of other hosts stay."""
    web, registry = inspected("web"), RecordingRegistry()
    web["NetworkSettings"]["Ports"]["80/tcp"] += [
        {"HostIp": address, "HostPort": port} for port in ("8080", "8081") for address in ("0.0.0.0", "::")
    ]
    further, foreign = f"{WEB}:8081", "/services/nginx/core-02:web:80:8081"
    registry.put(foreign, "192.0.2.2:8081")
    registry.put(f"{WEB}:9999", "192.0.2.1:9999")
    pass_over(filtering(FakeDocker(web)), registry, all_bindings=all_bindings)
    expected = {WEB: PLACE, foreign: "192.0.2.2:8081"} | ({further: "192.0.2.1:8081"} if all_bindings else {})
    assert registry.keys() == expected
    pass_over(filtering(FakeDocker(web)), registry)
    assert registry.keys() == {WEB: PLACE, foreign: "192.0.2.2:8081"}


def test_an_entry_follows_the_health_of_its_container() -> None:
    """With --health healthy, only a healthy container is registered. An agent that has just started decides the same,
    because no health results are counted."""
    docker, registry = FakeDocker(inspected("web")), RecordingRegistry()
    engine = filtering(docker)
    for health, keys in (("starting", {}), ("healthy", {WEB: PLACE}), ("unhealthy", {}), ("healthy", {WEB: PLACE})):
        docker.documents["web"] = inspected("web", health=health)
        pass_over(engine, registry, health=HealthRule.HEALTHY)
        assert registry.keys() == keys
        writes = len(registry.writes)
        pass_over(filtering(docker), registry, health=HealthRule.HEALTHY)
        assert (registry.keys(), len(registry.writes)) == (keys, writes)


@pytest.mark.parametrize(("owner", "told"), [("", "core-02"), ("core-09", "")], ids=["engine's name", "--hostname"])
def test_a_host_that_is_renamed_keeps_its_owner_name_and_the_report_tells_the_new_one(owner: str, told: str) -> None:
    """Under another owner name nobody would remove the entries of the old name. With --hostname the engine's name does
    not matter, so the report has no new name."""
    docker, registry, time = FakeDocker(inspected("web")), RecordingRegistry(), FakeTime()
    engine = Engine(docker.dial, Asking(Inline(), time.clock, name_needed=not owner), stopped_too=False)
    settings = pass_settings(owner, ip="192.0.2.1")
    first = reconcile(settings, engine, registry, Memory())
    docker.name = "core-02"
    time.advance(IDENTITY_INTERVAL)
    second = reconcile(settings, engine, registry, memory_after(first, Memory()))
    assert (first.new_name, second.new_name, second.owner) == ("", told, owner or "core-01")
    assert second.plan.visible == ()


def test_a_pass_goes_on_without_the_engines_id_if_the_host_has_a_name() -> None:
    """Entries and owner record are written without the engine's id. The record gets the id as soon as the engine tells
    it, and keeps it from then on."""
    docker, registry, time = FakeDocker(inspected("web")), RecordingRegistry(), FakeTime()
    engine = Engine(docker.dial, Asking(Inline(), time.clock, name_needed=False), stopped_too=False)
    docker.errors["info"] = refusal(403, "forbidden")
    memory = Memory()
    for forbidden, known in ((True, ""), (False, ENGINE), (True, ENGINE)):
        docker.errors = {"info": refusal(403, "forbidden")} if forbidden else {}
        report = reconcile(pass_settings(ip="192.0.2.1"), engine, registry, memory)
        memory = memory_after(report, memory)
        assert (report.result, owner_record(registry).engine) == (PassResult.SUCCESS, known)
        time.advance(IDENTITY_INTERVAL)
    assert registry.keys() == {WEB: PLACE}
