"""Tests of how a pass writes and reads the agent note, and of what a pass hands to the next one about engine and
owner."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from controller.errors import EngineUnavailable
from model.agent_note import AgentNote
from model.plan import Action
from model.record import RecordKeys
from model.report import PassReport, PassResult, Result
from model.snapshot import EngineIdentity
from tests.support.fakes import ENGINE, FakeSource
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving

RECORD_KEYS = RecordKeys("/services")
RECORD, NOTE_KEY = RECORD_KEYS.record("core-01"), RECORD_KEYS.agent_note("core-01")
LIVENESS_QUERY = RECORD_KEYS.liveness_query("core-01")
NOTE = AgentNote("0.2.0", 1.0, 10.0, 30.0, {"ip": "10.0.0.1"}, "run-1")


class NotingHost(Host):
    """The host core-01, whose agents write agent notes."""

    def __init__(self, *containers: Any, note: AgentNote = NOTE, **settings: Any) -> None:
        super().__init__(*containers, **settings)
        self.settings = evolve(self.settings, note=note)

    def restarts(self, note: AgentNote | None = None) -> None:
        """Replace the agent by a new one. It writes ``note`` if that is given, and otherwise the note that the old
        agent wrote."""
        super().restarts()
        self.settings = evolve(self.settings, note=note or self.settings.note)


def notes_written(registry: RecordingRegistry) -> int:
    """Return how often the note was written since the last call."""
    count = registry.writes.count(f"note {NOTE_KEY}")
    registry.writes.clear()
    return count


def test_the_note_is_written_once_for_each_run_and_again_where_it_was_removed() -> None:
    """The note has no lifetime. An idle pass does not write it again."""
    host = NotingHost(serving("web"))
    for _ in range(3):
        host.has_a_pass()
    assert (notes_written(host.registry), host.registry.stored[NOTE_KEY].ttl) == (1, None)
    host.restarts(evolve(NOTE, run="run-2"))
    host.has_a_pass()
    assert AgentNote.decode(host.registry.stored[NOTE_KEY].value) == evolve(NOTE, run="run-2")
    host.registry.remove(NOTE_KEY)
    host.has_a_pass()
    host.has_a_pass()
    assert notes_written(host.registry) == 2


def test_the_record_stays_as_the_first_version_wrote_it() -> None:
    """Version 0.1.0 writes the record back without the fields that it does not know, so the record has no new
    fields."""
    host = NotingHost(serving("web"))
    host.has_a_pass()
    assert host.registry.stored[RECORD].value == f'{{"claims":{{}},"engine":"{ENGINE}"}}'


def test_a_note_that_cannot_be_written_fails_the_pass_and_holds_up_no_entry() -> None:
    """The next pass tries to write the note again."""
    host = NotingHost(serving("web"))
    host.registry.failing = lambda change: change.action is Action.NOTE
    report = host.tries_a_pass()
    assert report.result is PassResult.OPERATION_ERROR
    assert [each.change.key for each in report.outcomes if each.result is Result.FAILED] == [NOTE_KEY]
    assert len(host.registry.keys()) == 1
    host.registry.failing = lambda change: False
    host.has_a_pass()
    assert NOTE_KEY in host.registry.stored


def test_a_pass_with_an_owner_conflict_leaves_the_note_of_the_owners_agent() -> None:
    """That note tells how long the owner's agent, which has another engine, may take to answer."""
    registry = RecordingRegistry()
    NotingHost(serving("web"), registry=registry).has_a_pass()
    before = registry.stored[NOTE_KEY]
    second = NotingHost(registry=registry, engine="9XYZ", note=evolve(NOTE, run="run-2"))
    assert second.tries_a_pass().result is PassResult.OWNER_CONFLICT
    assert registry.stored[NOTE_KEY] == before


def test_a_store_that_was_replaced_gets_the_note_again() -> None:
    """A restored store has the note of another run, so this run writes its own note again."""
    host = NotingHost(serving("web"))
    host.has_a_pass()
    host.registry.put(NOTE_KEY, evolve(NOTE, run="run-0", flags={"ip": "10.0.0.9"}).encode())
    host.registry.cluster = "another"
    report = host.has_a_pass()
    assert (report.replaced, report.disagreement) == (True, "")
    assert AgentNote.decode(host.registry.stored[NOTE_KEY].value) == NOTE


def test_of_two_agents_with_other_flags_the_first_tells_the_difference() -> None:
    """The first agent reports the difference in each pass while the second agent's note is there. Neither agent writes
    its note again."""
    registry = RecordingRegistry()
    first = NotingHost(serving("web"), registry=registry)
    second = NotingHost(serving("web"), registry=registry, note=evolve(NOTE, run="run-2", flags={"ip": "10.0.0.2"}))
    reports = [host.has_a_pass() for host in (first, second, first, second, first)]
    difference = "'ip' is '10.0.0.1' here and '10.0.0.2' there"
    assert [each.disagreement for each in reports] == ["", "", difference, "", difference]
    assert notes_written(registry) == 2
    first.restarts()
    assert [host.has_a_pass().disagreement for host in (first, second, first)] == [
        "",
        "'ip' is '10.0.0.2' here and '10.0.0.1' there",
        "",
    ]


def test_of_two_agents_the_note_of_the_slower_one_stays() -> None:
    """If the quicker agent's note stayed, whoever waits as long as it says would take the slower agent for dead once
    the quicker one has ended."""
    registry = RecordingRegistry()
    slow = NotingHost(serving("web"), registry=registry, note=evolve(NOTE, interval=600.0))
    quick = NotingHost(serving("web"), registry=registry, note=evolve(NOTE, run="run-2", flags={}))
    told = [bool(host.has_a_pass().disagreement) for host in (slow, quick, slow, quick, slow, quick)]
    assert told == [False, False, False, True, False, True]
    assert notes_written(registry) == 3


# What a run knows of its engine.


class ForgetfulSource(FakeSource):
    """An engine whose name and id the test sets, and which raises EngineUnavailable while ``name`` is empty."""

    def __init__(self, name: str = "core-01") -> None:
        super().__init__(serving("web"), name=name)
        self.now = EngineIdentity(name, ENGINE)

    def identity(self) -> EngineIdentity:
        """See Source."""
        if not self.now.name:
            raise EngineUnavailable("no answer in time")
        return self.now


def unnamed_host(source: FakeSource) -> Host:
    """Return a host without --hostname."""
    host = Host(owner="")
    host.source = source
    return host


def test_the_owner_stays_for_a_run() -> None:
    """If the engine gives its host another name, nothing changes until the agent is started again."""
    source = ForgetfulSource()
    host = unnamed_host(source)
    assert host.has_a_pass().owner == "core-01"
    source.now = EngineIdentity("core-02", ENGINE)
    assert (host.has_a_pass().owner, list(host.registry.keys())) == ("core-01", ["/services/nginx/core-01:web:80"])
    host.restarts()
    assert host.has_a_pass().owner == "core-02"


@pytest.mark.parametrize("hostname", ["", "core-01"], ids=["engine's name", "--hostname"])
def test_a_liveness_query_is_answered_while_the_engine_gives_no_answer_at_all(hostname: str) -> None:
    """With --hostname, the agent answers from the start. Otherwise it answers once the engine has told the host's
    name."""
    source = ForgetfulSource()
    host = Host(owner=hostname)
    host.source = source
    if not hostname:
        host.has_a_pass()
    source.now = EngineIdentity("")
    host.registry.put(LIVENESS_QUERY, "?")
    report: PassReport = host.tries_a_pass()
    assert (report.result, report.owner) == (PassResult.ENGINE_ERROR, "core-01")
    assert LIVENESS_QUERY not in host.registry.stored


def test_an_agent_that_knows_of_an_owner_conflict_leaves_the_liveness_query_to_the_owners_agent() -> None:
    """If this agent removed the query, a dead owner's agent would seem alive to whoever asks, for as long as this agent
    runs."""
    registry = RecordingRegistry()
    first = Host(serving("web"), registry=registry)
    first.has_a_pass()
    second = Host(registry=registry, engine="9XYZ")
    second.tries_a_pass()
    registry.put(LIVENESS_QUERY, "?")
    assert second.tries_a_pass().result is PassResult.OWNER_CONFLICT
    second.source.problem = "no answer in time"
    assert second.tries_a_pass().result is PassResult.ENGINE_ERROR
    assert LIVENESS_QUERY in registry.stored
    first.has_a_pass()
    assert LIVENESS_QUERY not in registry.stored
