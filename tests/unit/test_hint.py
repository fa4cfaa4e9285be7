"""Which events of the engine are hints, and what they say."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from model.hint import Hint, HintKind, hint_in
from tests.support.builders import container

#: A moment in nanoseconds since 1970, and the same as the engine writes it.
NANOSECONDS, MOMENT = 1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"


def event(action: str, kind: str = "container", **changed: Any) -> dict[str, Any]:
    """Return an event of the engine's stream."""
    actor = {"ID": "abc", "Attributes": {"name": "web", "image": "nginx", "signal": "15"}}
    if kind == "network":
        actor = {"ID": "net", "Attributes": {"container": "abc", "name": "lan", "type": "bridge"}}
    return {"Type": kind, "Action": action, "Actor": actor, "time": 1_700_000_000, "timeNano": NANOSECONDS, **changed}


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("start", HintKind.START),
        ("die", HintKind.DIE),
        ("kill", HintKind.KILL),
        ("pause", HintKind.OTHER),
        ("unpause", HintKind.OTHER),
        ("rename", HintKind.OTHER),
        ("health_status: healthy", HintKind.OTHER),
        ("health_status: unhealthy", HintKind.OTHER),
        ("destroy", HintKind.OTHER),
        ("remove", HintKind.OTHER),
    ],
)
def test_the_events_by_which_entries_of_a_container_may_change_are_hints(action: str, kind: HintKind) -> None:
    """The hint names the container, and has the time of the engine's clock."""
    signal = 15 if action == "kill" else 0
    assert hint_in(event(action)) == Hint("abc", kind, NANOSECONDS, signal)


@pytest.mark.parametrize(
    ("signal", "number", "kind"),
    [
        ("1", 1, HintKind.OTHER),
        ("10", 10, HintKind.OTHER),
        ("37", 37, HintKind.OTHER),
        ("SIGTERM", 15, HintKind.KILL),
        ("SIGNONE", 0, HintKind.OTHER),
    ],
)
def test_the_hint_of_a_signal_tells_its_number(signal: str, number: int, kind: HintKind) -> None:
    """A signal that need not end a process is otherwise like any other event: an end would not be expected."""
    actor = {"ID": "abc", "Attributes": {"signal": signal}}
    assert hint_in(event("kill", Actor=actor)) == Hint("abc", kind, NANOSECONDS, number)


@pytest.mark.parametrize("action", ["connect", "disconnect"])
def test_a_network_names_the_container_that_joins_or_leaves_it(action: str) -> None:
    """The id of the event itself is that of the network."""
    assert hint_in(event(action, "network")) == Hint("abc", HintKind.OTHER, NANOSECONDS)


def test_podman_names_the_container_in_the_place_of_the_network() -> None:
    """Its network events have no attribute for it."""
    hint = hint_in(event("connect", "network", Actor={"ID": "abc", "Attributes": {"name": "web"}}))
    assert hint is not None
    assert (hint.container, hint.kind) == ("abc", HintKind.OTHER)


@pytest.mark.parametrize(
    "told",
    [
        event("create"),
        event("exec_start: sh"),
        event("start", "network"),
        event("connect"),
        event("pull", "image"),
        event("connect", "network", Actor={"ID": "net", "Attributes": None}),
        event("start", Actor=None),
        event("kill", Actor={"ID": "abc", "Attributes": {}}),
        event("start", Actor={"ID": ""}),
        event("start", Actor={"ID": "../info"}),
        event("start", Actor={"ID": 7}),
        event("start", timeNano="1700000000"),
        event("start", timeNano=None),
        event("start", timeNano=10**40),
        event("start", Action=None),
        {},
        [],
        None,
        "start",
    ],
)
def test_everything_else_is_none(told: Any) -> None:
    """An event that says nothing about entries, or that cannot be understood, is no hint."""
    assert hint_in(told) is None


def test_a_hint_has_its_time_in_the_forms_in_which_it_is_compared() -> None:
    """It sorts among the times at which containers were started, and has seconds for differences."""
    hint = Hint("abc", HintKind.START, NANOSECONDS)
    assert hint.moment == MOMENT
    assert hint.seconds == pytest.approx(NANOSECONDS / 1e9)


@pytest.mark.parametrize(
    ("kind", "started", "ended"),
    [
        (HintKind.DIE, "2023-11-14T22:13:20.123456788Z", True),
        (HintKind.DIE, "", True),
        (HintKind.DIE, MOMENT, False),
        (HintKind.DIE, "2023-11-14T22:13:21.000000000Z", False),
        (HintKind.START, "", False),
    ],
)
def test_an_end_counts_for_the_run_that_began_before_it(kind: HintKind, started: str, ended: bool) -> None:
    """A late event of an earlier run says nothing about a container that was started since."""
    assert Hint("abc", kind, NANOSECONDS).ended(evolve(container(), started=started)) == ended
