"""Tests of the agent note: what is in it, which texts can be read as a note, and when two agents disagree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from model.agent_note import SECONDS_WITHOUT_NOTE, AgentNote, disagreement, note_in, noted_kind, seconds_to_answer
from model.desired import Desired
from model.ownership import Ownership
from model.plan import Action, Plan, Reason, plan, with_note
from model.record import RecordKeys
from model.stored import Actual, Stored
from tests.support.builders import OWNER, PLAIN

KEY = RecordKeys("/services").agent_note(OWNER)
NOTE = AgentNote("0.2.0", 1.0, 10.0, 30.0, {"ip": "10.0.0.1", "internal": "true"}, "run-1")
OTHER_RUN = evolve(NOTE, run="run-2")


def test_a_note_tells_whether_its_agent_has_a_heartbeat() -> None:
    """By the flag that it was started with."""
    assert not evolve(NOTE, flags={}).has_heartbeat
    assert evolve(NOTE, flags={"heartbeat": "10"}).has_heartbeat


def stored(note: AgentNote | str | None, version: int = 7) -> Stored | None:
    """Return a note, or another text, as a registry holds it."""
    if note is None:
        return None
    return Stored(KEY, note.encode() if isinstance(note, AgentNote) else note, version)


def changed(**fields: Any) -> str:
    """Return the text of NOTE with other values in these fields. A field that is ``...`` is left out."""
    document = json.loads(NOTE.encode()) | fields
    return json.dumps({name: value for name, value in document.items() if value is not ...})


def test_a_note_tells_the_kind_of_the_engine() -> None:
    """The notes of older versions do not, and neither does that of an agent whose engine did not tell."""
    podman = evolve(NOTE, engine="podman")
    assert AgentNote.decode(podman.encode()) == podman
    assert "engine" not in NOTE.encode()
    assert noted_kind(stored(podman)) == "podman"
    assert {noted_kind(stored(each)) for each in (None, NOTE, "no note")} == {""}


def test_an_agent_writes_its_note_again_when_it_knows_the_kind_of_its_engine() -> None:
    """With --hostname it may learn that after its first pass. What it knows is not forgotten."""
    podman = evolve(NOTE, engine="podman")
    ownership = Ownership(OWNER, PLAIN)

    def written(note: AgentNote, found: AgentNote) -> list[str]:
        actual = Actual(agent_note=stored(found))
        return [each.value for each in with_note(Plan(), note, actual, ownership, noted=True).changes]

    assert written(podman, NOTE) == [podman.encode()]
    assert written(podman, podman) == written(NOTE, podman) == []


def test_a_note_is_read_as_it_was_written() -> None:
    """The text is canonical JSON, so equal notes have equal texts."""
    assert NOTE.encode() == (
        '{"flags":{"internal":"true","ip":"10.0.0.1"},"interval":1.0,"max_backoff":30.0,"pass_timeout":10.0,'
        '"run":"run-1","version":"0.2.0"}'
    )
    assert note_in(stored(NOTE)) == NOTE


def test_fields_of_a_newer_version_are_ignored() -> None:
    """So a newer version can add fields to the note."""
    assert AgentNote.decode(changed(colour="blue", flags={**NOTE.flags}, nested={"a": [1]})) == NOTE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "null",
        "[]",
        "7",
        "[" * 100_000,
        changed(interval=...),
        changed(flags=...),
        changed(run=...),
        changed(interval="soon"),
        changed(interval=None),
        changed(interval=-1),
        changed(interval=float("nan")),
        changed(pass_timeout=float("inf")),
        changed(max_backoff=1e300),
        changed(max_backoff=int("9" * 400)),
        changed(flags=["ip"]),
    ],
)
def test_a_text_that_is_no_note_counts_as_none(text: str) -> None:
    """Such a text comes from a version that writes another kind of note, or from somebody else."""
    assert note_in(stored(text)) is None
    assert seconds_to_answer(stored(text)) == SECONDS_WITHOUT_NOTE == 45


@pytest.mark.parametrize(
    ("note", "seconds"), [(NOTE, 41), (evolve(NOTE, interval=600.0), 640), (None, 45)], ids=["default", "long", "none"]
)
def test_an_agent_answers_within_an_interval_a_pass_and_the_longest_back_off(
    note: AgentNote | None, seconds: float
) -> None:
    """That is the longest time it may take. An agent without a note may be one of version 0.1.0, which writes none."""
    assert seconds_to_answer(stored(note)) == seconds


# When a pass writes the note.


def planned(note: AgentNote | str | None, *, noted: bool) -> Plan:
    """Return the plan of a pass of run-1 that reads this note. ``noted`` says whether run-1 has already written its own
    note."""
    actual = Actual(agent_note=stored(note))
    ownership = Ownership(OWNER, PLAIN)
    return with_note(plan(Desired(), actual, ownership), NOTE, actual, ownership, noted=noted)


SLOWER, QUICKER = evolve(OTHER_RUN, interval=2.0), evolve(OTHER_RUN, interval=0.5)


@pytest.mark.parametrize(
    ("note", "noted"),
    [(None, False), (None, True), ("rubbish", True), (OTHER_RUN, False), (SLOWER, False), (QUICKER, True)],
    ids=["absent", "removed", "unreadable", "of an earlier run", "of a slower earlier run", "of a quicker agent"],
)
def test_the_note_is_written_at_the_start_and_where_it_is_missing_or_promises_too_much(
    note: AgentNote | str | None, noted: bool
) -> None:
    """Whoever waits for as long as the note says must not take a slower agent for a dead one."""
    (change,) = planned(note, noted=noted).changes
    assert (change.action, change.key, change.value, change.reason) == (Action.NOTE, KEY, NOTE.encode(), Reason.STARTED)
    assert change.before == stored(note)
    assert planned(note, noted=noted).visible == ()


@pytest.mark.parametrize(
    ("note", "noted"),
    [(NOTE, True), (NOTE, False), (OTHER_RUN, True), (SLOWER, True)],
    ids=["own", "own, answer lost", "of another agent", "of a slower agent"],
)
def test_the_note_is_not_written_otherwise(note: AgentNote, noted: bool) -> None:
    """A note that promises no quicker answer than this agent's may stay, so that two agents of one host do not write in
    turn."""
    assert planned(note, noted=noted).changes == ()


# Two agents of one host.


OTHER_FLAGS = evolve(OTHER_RUN, flags={"ip": "10.0.0.2", "ttl": "30"})


def test_the_flags_of_another_agent_are_told_with_both_values() -> None:
    """Flags on which the two agents agree are left out."""
    assert disagreement(NOTE, stored(OTHER_FLAGS, 8), 7) == (
        "'internal' is 'true' here and not given there; 'ip' is '10.0.0.1' here and '10.0.0.2' there; "
        "'ttl' is not given here and '30' there"
    )


@pytest.mark.parametrize(
    ("note", "version", "replaced"),
    [
        (None, 8, 7),
        ("rubbish", 8, 7),
        (OTHER_RUN, 8, 7),
        (evolve(OTHER_FLAGS, run="run-1"), 8, 7),
        (OTHER_FLAGS, 8, None),
        (OTHER_FLAGS, 7, 7),
        (evolve(OTHER_FLAGS, interval=0.5), 8, 7),
    ],
    ids=["none", "unreadable", "same flags", "own", "at the start", "replaced, read late", "about to be replaced"],
)
def test_nothing_is_told_while_no_other_agent_is_known(
    note: AgentNote | str | None, version: int, replaced: int | None
) -> None:
    """A note that was there before this run wrote its own shows nothing, because the agent that wrote it may have
    ended."""
    assert disagreement(NOTE, stored(note, version), replaced) == ""
