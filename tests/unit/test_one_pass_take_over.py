"""Tests of passes with --take-over: an agent takes the name of another engine only if that engine's agent is silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from controller.reconcile.one_pass import reconcile
from controller.registry.base import PendingWriter, ReadWriteRegistry
from model.agent_note import AgentNote
from model.engine_kind import DOCKER, PODMAN
from model.memory import Memory
from model.plan import Action
from model.record import OwnerRecord, RecordKeys
from model.report import PassReport, PassResult
from model.snapshot import EngineIdentity
from tests.support.fakes import ENGINE, FakeTime
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, first_pass, owner_record, serving

WEB = "/services/nginx/core-01:web:80"
RECORD_KEYS = RecordKeys("/services")
LIVENESS_QUERY, NOTE_KEY = RECORD_KEYS.liveness_query("core-01"), RECORD_KEYS.agent_note("core-01")
NEW_ENGINE = "9XYZ:ENGINE:TWO"
ASKING = f"note {LIVENESS_QUERY}"


class Succession:
    """An old machine called core-01 that has registered a container, and a new machine of the same name that wants to
    take over. Both have the same clock."""

    def __init__(self, interval: float = 1.0) -> None:
        self.time = FakeTime()
        self.registry = RecordingRegistry()
        self.old = Host(serving("web"), registry=self.registry, clock=self.time.clock)
        note = AgentNote("0.2.0", interval, 10.0, 30.0, {}, "run-1")
        self.old.settings = evolve(self.old.settings, note=note)
        self.old.has_a_pass()
        self.registry.writes.clear()
        self.new = self.successor()

    def successor(self, engine: str = NEW_ENGINE) -> Host:
        """Return another machine that wants to take over."""
        return Host(serving("zoo"), registry=self.registry, engine=engine, take_over=True, clock=self.time.clock)

    @property
    def holder(self) -> str:
        """The id of the engine that has the name."""
        return owner_record(self.registry).engine

    def passes(self, host: Host, seconds: float) -> Iterator[PassReport]:
        """Make a pass each second for this many seconds, and yield the report of each pass."""
        for _ in range(round(seconds)):
            yield host.tries_a_pass()
            self.time.advance(1)


@pytest.fixture
def succession() -> Succession:
    """Return an old machine and a new one."""
    return Succession()


def test_the_name_of_a_silent_agent_is_taken_after_the_wait_that_its_note_asks_for(succession: Succession) -> None:
    """Until then, the new machine writes only the liveness query. Then it replaces the old engine's entries by its own,
    and its next pass removes the query, as every living agent of the owner does."""
    for report in succession.passes(succession.new, 41):
        assert (report.result, report.waits, report.owner) == (PassResult.OWNER_CONFLICT, True, "core-01")
    assert succession.registry.writes == [ASKING]
    assert succession.registry.stored[LIVENESS_QUERY].ttl is None
    report = succession.new.has_a_pass()
    assert (report.consistent, succession.holder) == (True, NEW_ENGINE)
    assert succession.registry.keys() == {"/services/nginx/core-01:zoo:80": "10.0.0.1:8000"}
    succession.new.has_a_pass()
    assert LIVENESS_QUERY not in succession.registry.stored
    assert succession.old.tries_a_pass().result is PassResult.OWNER_CONFLICT


@pytest.mark.parametrize(("interval", "seconds"), [(20.0, 60), (None, 45)], ids=["long interval", "no note"])
def test_the_wait_is_as_long_as_the_other_agent_may_take(interval: float | None, seconds: int) -> None:
    """The other agent's note tells that time. An agent of version 0.1.0 has no note, and 45 seconds are waited for
    it."""
    succession = Succession(interval or 1.0)
    if interval is None:
        succession.registry.remove(NOTE_KEY)
    assert [each.result for each in succession.passes(succession.new, seconds)] == [PassResult.OWNER_CONFLICT] * seconds
    assert succession.new.tries_a_pass().succeeded


def test_the_name_of_a_living_agent_is_never_taken(succession: Succession) -> None:
    """The new machine asks again after each wait. The old agent answers late each time, but before the end of the
    wait."""
    results = set()
    for number, report in enumerate(succession.passes(succession.new, 500)):
        results.add(report.result)
        if number % 40 == 39:
            succession.old.has_a_pass()
    assert (results, succession.holder) == ({PassResult.OWNER_CONFLICT}, ENGINE)
    assert set(succession.registry.writes) == {ASKING, f"delete {LIVENESS_QUERY}"}
    assert succession.registry.writes.count(ASKING) in range(5, 14)
    assert succession.registry.keys() == {WEB: "10.0.0.1:8000"}


def test_the_name_is_taken_once_the_other_agent_no_longer_answers(succession: Succession) -> None:
    """The other agent was alive when it was first asked."""
    succession.new.tries_a_pass()
    succession.old.has_a_pass()
    reports = [*succession.passes(succession.new, 90)]
    assert [each.waits for each in reports] == [False] * 41 + [True] * 41 + [False] * 8
    assert (reports[-1].succeeded, succession.holder) == (True, NEW_ENGINE)


def test_the_error_says_what_it_waits_for_and_how_long(succession: Succession) -> None:
    """The text is the same in all passes of one wait."""
    problems = [report.problem for report in succession.passes(succession.new, 3)]
    assert len(set(problems)) == 1
    words = ("'core-01'", ENGINE, NEW_ENGINE, "--take-over waits for a sign of life until 22:14:01 UTC, 41 seconds in")
    assert [word for word in (*words, "--hostname") if word not in problems[0]] == []
    succession.old.has_a_pass()
    problem = succession.new.tries_a_pass().problem
    assert "is alive, as it has answered" in problem
    assert "until 22:14:04 UTC" in problem


def test_an_agent_that_starts_meanwhile_with_a_longer_interval_has_that_long_to_answer(succession: Succession) -> None:
    """The agent may have read the registry just before the query was written, and may have written its note right
    after."""
    succession.new.tries_a_pass()
    succession.registry.put(NOTE_KEY, AgentNote("0.2.0", 600.0, 10.0, 30.0, {}, "run-2").encode())
    assert {each.waits for each in succession.passes(succession.new, 600)} == {True}


def test_the_wait_begins_anew_after_the_registry_could_not_be_read(succession: Succession) -> None:
    """While the registry could not be read, the other agent could not answer either. The query of the first wait is
    still there."""
    list(succession.passes(succession.new, 40))
    succession.registry.down = True
    assert succession.new.tries_a_pass().result is PassResult.REGISTRY_ERROR
    succession.registry.down = False
    assert {each.waits for each in succession.passes(succession.new, 41)} == {True}
    assert succession.new.tries_a_pass().succeeded


def test_an_engine_that_cannot_be_read_does_not_end_the_wait(succession: Succession) -> None:
    """The other agent can answer meanwhile. The new machine does not answer its own liveness query."""
    succession.new.tries_a_pass()
    succession.new.source.problem = "no answer in time"
    assert {each.result for each in succession.passes(succession.new, 41)} == {PassResult.ENGINE_ERROR}
    assert LIVENESS_QUERY in succession.registry.stored
    succession.new.source.problem = ""
    assert succession.new.tries_a_pass().succeeded


def test_a_query_that_cannot_be_written_is_a_registry_error(succession: Succession) -> None:
    """Without a liveness query, the other agent's silence shows nothing."""
    succession.registry.failing = lambda change: change.action is Action.NOTE
    for report in succession.passes(succession.new, 60):
        assert (report.result, report.take_over) == (PassResult.REGISTRY_ERROR, None)
        assert report.problem == "cannot ask whether the agent of 'core-01' is alive: no"


def test_the_query_of_somebody_else_is_made_one_that_does_not_expire(succession: Succession) -> None:
    """If the query expired, the other agent would seem to have answered."""
    succession.registry.put(LIVENESS_QUERY, "?", ttl=30)
    succession.new.tries_a_pass()
    assert succession.registry.stored[LIVENESS_QUERY].ttl is None


def test_a_name_that_a_third_engine_took_meanwhile_is_asked_for_anew(succession: Succession) -> None:
    """The third engine's agent has just written its record, so it is alive, and was not asked yet."""
    list(succession.passes(succession.new, 41))
    succession.registry.put(RECORD_KEYS.record("core-01"), OwnerRecord("THIRD").encode())
    assert {each.waits for each in succession.passes(succession.new, 41)} == {True}


def test_an_earlier_agent_of_the_same_engine_is_no_conflict(succession: Succession) -> None:
    """The record has this machine's own engine id, so nobody is asked. The flag may therefore stay."""
    again = succession.successor(engine=ENGINE)
    assert again.tries_a_pass().succeeded
    assert ASKING not in succession.registry.writes


def test_take_over_applies_until_the_first_pass_that_writes_the_record(succession: Succession) -> None:
    """An agent that loses its name while it runs does not ask for the name again."""
    list(succession.passes(succession.new, 42))
    assert succession.holder == NEW_ENGINE
    third = succession.successor(engine="THIRD")
    list(succession.passes(third, 46))
    assert succession.holder == "THIRD"
    succession.registry.writes.clear()
    assert {each.waits for each in succession.passes(succession.new, 60)} == {False}
    assert succession.registry.writes == []


def test_two_machines_that_both_keep_the_flag_do_not_take_the_name_in_turn(succession: Succession) -> None:
    """Both machines are restarted again and again. The one that has the name answers the liveness query of the other
    one."""
    for _ in range(5):
        succession.old.restarts()
        succession.old.settings = evolve(succession.old.settings, take_over=True)
        succession.new.restarts()
        for _ in range(60):
            succession.old.has_a_pass()
            assert succession.new.tries_a_pass().result is PassResult.OWNER_CONFLICT
            succession.time.advance(1)
    assert succession.holder == ENGINE


def test_a_take_over_whose_record_could_not_be_written_is_tried_again_at_once(succession: Succession) -> None:
    """The other agent was silent for the whole wait, and need not be asked again."""
    list(succession.passes(succession.new, 41))
    succession.registry.failing = lambda change: change.action is Action.RECORD
    assert succession.new.tries_a_pass().result is PassResult.OPERATION_ERROR
    succession.registry.failing = lambda change: False
    assert succession.new.tries_a_pass().succeeded
    assert succession.holder == NEW_ENGINE


def test_a_dry_run_shows_the_plan_of_the_take_over_and_asks_nobody() -> None:
    """A dry run writes nothing, so it need not wait."""
    registry = RecordingRegistry()
    first_pass(registry, serving("web"))
    version = registry.version
    host = Host(serving("zoo"), registry=registry, engine=NEW_ENGINE, take_over=True)
    report = reconcile(host.settings, host.source, ReadWriteRegistry(registry, PendingWriter()), Memory())
    assert (report.succeeded, report.pending, registry.version) == (True, 2, version)


def test_a_restarted_agent_does_not_answer_the_query_that_it_wrote_before(succession: Succession) -> None:
    """The restarted agent begins its wait anew. It waits no longer than an agent that finds no query."""
    list(succession.passes(succession.new, 20))
    succession.new.restarts()
    assert {each.waits for each in succession.passes(succession.new, 41)} == {True}
    assert succession.new.tries_a_pass().succeeded


def test_an_owner_that_keeps_the_flag_answers_although_its_engine_never_did(succession: Succession) -> None:
    """While its engine is silent, the agent cannot know that the owner name is its own. If the name is its own, the
    agent must not seem dead."""
    owner = succession.successor(engine=ENGINE)
    owner.source.problem = "no answer in time"
    succession.registry.put(LIVENESS_QUERY, "?")
    assert owner.tries_a_pass().result is PassResult.ENGINE_ERROR
    assert LIVENESS_QUERY not in succession.registry.stored


# A host whose engine has another id since it was started anew.


def reborn(succession: Succession, engine: str = NEW_ENGINE, **settings: Any) -> Host:
    """Return the agent of an engine with this id, on the same address, to which nobody gave --take-over."""
    host = Host(serving("zoo"), registry=succession.registry, engine=engine, clock=succession.time.clock, **settings)
    host.settings = evolve(host.settings, note=AgentNote("0.2.0", 1.0, 10.0, 30.0, {}, "run-2"))
    return host


def test_a_host_whose_engine_has_lost_its_id_takes_its_name_back_by_itself(succession: Succession) -> None:
    """It waits for a sign of life of the agent that had the name, as with --take-over."""
    host = reborn(succession)
    for report in succession.passes(host, 41):
        assert (report.result, report.waits) == (PassResult.OWNER_CONFLICT, True)
        assert (
            "this agent, as every entry under the name points at this host, waits for a sign of life" in report.problem
        )
    assert succession.registry.writes == [ASKING]
    host.has_a_pass()
    assert (succession.holder, [*succession.registry.keys()]) == (NEW_ENGINE, ["/services/nginx/core-01:zoo:80"])


def test_two_living_machines_on_one_address_are_still_told_apart(succession: Succession) -> None:
    """The agent that has the name answers, and keeps it and its entries."""
    host = reborn(succession)
    for report in succession.passes(host, 200):
        assert report.result is PassResult.OWNER_CONFLICT
        succession.old.has_a_pass()
    assert (succession.holder, [*succession.registry.keys()]) == (ENGINE, [WEB])
    assert "the agent of that engine is alive, as it has answered; this agent" in report.problem


def test_another_machine_leaves_the_name_of_a_silent_agent_alone(succession: Succession) -> None:
    """The entries point at another address, so they are another machine's, whose containers may still run."""
    host = reborn(succession, ip="10.0.0.2")
    for report in succession.passes(host, 100):
        assert (report.result, report.waits) == (PassResult.OWNER_CONFLICT, False)
        assert "use --take-over once" in report.problem
    assert succession.registry.writes == []


def test_an_agent_that_is_led_to_another_engine_while_it_runs_never_takes_the_name(succession: Succession) -> None:
    """The other engine's list lacks the containers of the first one, and all of their entries would be deleted."""
    succession.old.source.told = EngineIdentity("core-01", NEW_ENGINE)
    for report in succession.passes(succession.old, 100):
        assert (report.result, report.waits) == (PassResult.OWNER_CONFLICT, False)
    assert (succession.registry.writes, [*succession.registry.keys()]) == ([], [WEB])


# An engine of another kind.


def of_kind(host: Host, kind: str) -> Host:
    """Let the host's engine be of this kind. The id of Podman is none."""
    host.source.told = EngineIdentity("core-01", ENGINE if kind == DOCKER else "", kind=kind)
    return host


@pytest.mark.parametrize(("old", "new"), [(DOCKER, PODMAN), (PODMAN, DOCKER)])
@pytest.mark.parametrize("noting", [True, False], ids=["agent", "single pass"])
def test_the_name_of_an_engine_of_another_kind_is_taken_only_with_take_over(
    succession: Succession, old: str, new: str, noting: bool
) -> None:
    """Without the flag nothing is written or deleted, also once that engine's agent is silent. With it, the other
    engine's entries are replaced, and its agent cannot take the name back."""
    note = AgentNote("0.2.0", 1.0, 10.0, 30.0, {}, "run-2") if noting else None
    succession.registry.put(RECORD_KEYS.record("core-01"), OwnerRecord("").encode())
    of_kind(succession.old, old).restarts()
    succession.old.has_a_pass()
    assert (note_of(succession.registry).engine, succession.holder) == (old, ENGINE if old == DOCKER else "")
    succession.registry.writes.clear()
    host = of_kind(reborn(succession), new)
    for report in succession.passes(host, 100):
        assert (report.result, report.waits) == (PassResult.OWNER_CONFLICT, False)
        assert f"belongs to an engine of another kind: {old}, and this is {new}: give this host" in report.problem
    assert (succession.registry.writes, [*succession.registry.keys()]) == ([], [WEB])
    host = of_kind(reborn(succession, take_over=True), new)
    host.settings = evolve(host.settings, note=note)
    assert [report.waits for report in succession.passes(host, 41)] == [True] * 41
    host.has_a_pass()
    assert (succession.holder, [*succession.registry.keys()]) == (
        ENGINE if new == DOCKER else "",
        ["/services/nginx/core-01:zoo:80"],
    )
    host.has_a_pass()
    if noting:
        assert note_of(succession.registry).engine == new
        assert succession.old.tries_a_pass().result is PassResult.OWNER_CONFLICT
    else:
        assert NOTE_KEY not in succession.registry.stored
        host.restarts()
        host.settings = evolve(host.settings, take_over=False)
        host.has_a_pass()


def test_an_agent_that_is_led_to_an_engine_of_another_kind_while_it_runs_writes_nothing(succession: Succession) -> None:
    """With --take-over neither: it applies until the first pass that writes the record."""
    of_kind(succession.old, DOCKER).restarts()
    succession.old.settings = evolve(succession.old.settings, take_over=True)
    succession.old.has_a_pass()
    succession.registry.writes.clear()
    of_kind(succession.old, PODMAN)
    for report in succession.passes(succession.old, 100):
        assert (report.result, report.waits) == (PassResult.OWNER_CONFLICT, False)
    assert (succession.registry.writes, [*succession.registry.keys()]) == ([], [WEB])


@pytest.mark.parametrize("kind", [DOCKER, PODMAN])
def test_a_note_of_an_older_version_is_compatible_with_any_kind(succession: Succession, kind: str) -> None:
    """It names none. An agent that runs for the first time in this version has the name if the id says nothing else."""
    succession.old.registry.put(RECORD_KEYS.record("core-01"), OwnerRecord("").encode())
    host = of_kind(reborn(succession), kind)
    host.has_a_pass()
    assert note_of(succession.registry).engine == kind


def note_of(registry: RecordingRegistry) -> AgentNote:
    """Return the agent note that the registry holds; it must be a readable one."""
    note = AgentNote.decode(registry.stored[NOTE_KEY].value)
    assert note is not None
    return note
