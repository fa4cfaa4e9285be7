"""Whole fleets, by seed: nothing that must hold is violated. `python -m tests.simulation` has longer runs."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.bounds import AgentTimes, Bounds, promises, seconds
from tests.simulation.events import FAULTS, Event, draw_events
from tests.simulation.oracle import EXCEPTIONS
from tests.simulation.run import Plan, run

REPOSITORY = Path(__file__).parents[2]

APIS = [2, 3]

#: Runs of three hosts for half an hour, which makes some 4,500 passes each.
SEEDS = [1, 2, 3, 4, 5]
HALF_AN_HOUR = 1800.0

#: Virtual seconds in which a run with a fresh seed has events. In every run, the end of the last storm and the quiet
#: come after that.
FIVE_MINUTES = 300.0


@pytest.mark.parametrize("api", APIS, ids=["v2", "v3"])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_must_hold_holds_in_a_fleet_under_faults(api: int, seed: int) -> None:
    """The oracle watches every write, every pass and every second."""
    outcome = run(Plan(seed, 3, HALF_AN_HOUR, api))
    assert outcome.violation == "", outcome.command
    assert outcome.passes > 3000
    assert outcome.faults.total() > 50


@pytest.mark.parametrize("api", APIS, ids=["v2", "v3"])
def test_what_must_hold_holds_in_a_run_that_nobody_has_seen(api: int) -> None:
    """The seed is a fresh one. The message of a failure has the command that repeats the run."""
    outcome = run(Plan(random.SystemRandom().randrange(10**9), 3, FIVE_MINUTES, api))
    assert outcome.violation == "", outcome.command


def test_a_run_repeats_exactly_from_its_seed() -> None:
    """The traces of two runs are equal."""
    plan = Plan(77, 2, 300.0, 3)
    one, other = run(plan), run(plan)
    assert one.trace == other.trace
    assert len(one.trace) > 50


def test_the_order_of_sets_does_not_matter_to_a_run() -> None:
    """A run in a process with other hashes of texts has the same trace."""
    program = (
        "import hashlib, sys; from tests.simulation.run import Plan, run; "
        "print(hashlib.sha256('\\n'.join(run(Plan(78, 2, 300.0, 2)).trace).encode()).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    }
    here = hashlib.sha256("\n".join(run(Plan(78, 2, 300.0, 2)).trace).encode()).hexdigest()
    assert printed == {f"{here}\n"}


def test_every_fault_is_drawn() -> None:
    """Ten hours have each of them."""
    assert {event.kind for event in draw_events(random.Random(1), 36_000.0)} >= FAULTS.keys()


def test_the_promises_are_those_of_the_page() -> None:
    """The oracle has no bounds of its own."""
    assert len(promises()) == 5
    bounds = Bounds.of(AgentTimes(interval=2.0, pass_timeout=10.0, ttl=30.0, resync=60.0))
    assert (bounds.steady, bounds.hinted, bounds.recovery) == (20.0, 2.0, 90.0)
    assert (bounds.sweep, bounds.dead_host) == (60.0, 35.0)
    with pytest.raises(ValueError, match="no number of seconds"):
        seconds("`interval` + soon", AgentTimes(1.0, 1.0, 1.0, 1.0))


def test_the_oracles_exceptions_are_on_the_page() -> None:
    """Each is an item of "What is not covered" in docs/reliability.md."""
    page = (REPOSITORY / "docs/reliability.md").read_text().partition("## What is not covered")[2]
    text = " ".join(page.split())
    assert [item for item in EXCEPTIONS if f"- {item}" not in text] == []


@pytest.mark.parametrize("api", APIS, ids=["v2", "v3"])
def test_a_container_whose_inspect_hangs_holds_up_no_other(api: int) -> None:
    """Seed 501: another container ends while the first one's inspect hangs, and its key goes in time."""
    events = [
        Event(5.0, "run", (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)),
        Event(10.0, "hung-from-the-start", (0.0,) * 6),
        Event(30.0, "stop", (0.0,) * 6),
    ]
    assert run(Plan(501, 1, 60.0, api), events).violation == ""


@pytest.mark.parametrize("api", APIS, ids=["v2", "v3"])
def test_a_key_written_by_hand_with_the_wanted_value_is_not_deleted(api: int) -> None:
    """Seed 502: a container wants the key and the value that somebody wrote, and then ends."""
    events = [
        Event(5.0, "put-lookalike", (0.0,) * 6),
        Event(10.0, "run", (0.0, 3 / 8, 0.0, 1.0, 0.0, 0.0)),
        Event(30.0, "stop", (0.0,) * 6),
    ]
    assert run(Plan(502, 1, 60.0, api), events).violation == ""
