"""The process and its signals: real ones, in a child process."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.commands.service import GRACE
from tests.support.agent import Agent
from tests.support.processes import REPOSITORY, Child, free_ports
from tests.support.waiting import wait_until

#: What a machine may take on top to end a process.
SLACK = 2.0

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


class Program:
    """`tests.support.loop_program` in a child process."""

    def __init__(self, log: Path, *modes: str) -> None:
        self.child = Child([sys.executable, "-m", "tests.support.loop_program", *modes], log, cwd=REPOSITORY)
        self.child.start()
        self.wait_for_passes(len(modes))

    def lines(self, event: str) -> list[dict[str, str]]:
        """What it logged of this."""
        lines = [json.loads(line) for line in self.child.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def wait_for_passes(self, count: int) -> None:
        """Wait until so many passes have begun."""
        wait_until(lambda: self.child.log().splitlines().count("pass") >= count, what=f"pass {count}")

    def exit_code(self) -> int | None:
        """Wait for its end."""
        wait_until(lambda: not self.child.running, what="the program's end")
        return self.child.exit_code


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the child writes."""
    return tmp_path / "log"


@pytest.mark.parametrize("number", [TERM, INT], ids=["TERM", "INT"])
def test_term_and_int_end_the_program_in_good_order(log: Path, number: signal.Signals) -> None:
    """At once, though the next pass is an hour away; the exit code is 0, and the log says why."""
    program = Program(log, "calm")
    program.child.signal(number)
    assert program.exit_code() == 0
    assert "stopping, the entries stay" in program.child.log()
    assert number.name in program.child.log()


def test_hup_has_a_pass_at_once(log: Path) -> None:
    """One for each, and it ends nothing: the next pass is an hour away again."""
    program = Program(log, "calm")
    for count in (2, 3):
        program.child.signal(HUP)
        program.wait_for_passes(count)
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert program.child.log().splitlines().count("pass") == 3


def test_a_pass_that_does_not_end_is_not_waited_for_long(log: Path) -> None:
    """It can be ended anywhere: the next agent's first pass finds what it left."""
    program = Program(log, "stuck")
    begun = time.monotonic()
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert GRACE <= time.monotonic() - begun < GRACE + SLACK


def test_a_program_whose_loop_breaks_ends_and_says_so(log: Path) -> None:
    """It must not linger without one; who started it can start it again."""
    program = Program(log, "broken")
    assert program.exit_code() == 1
    assert "RuntimeError: this observer breaks" in program.child.log()


def test_hup_has_a_pass_of_every_loop(log: Path) -> None:
    """It is said once."""
    program = Program(log, "calm", "calm", "calm")
    program.child.signal(HUP)
    program.wait_for_passes(6)
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert program.child.log().splitlines().count("pass") == 6
    assert len(program.lines("looking at once")) == len(program.lines("stopping, the entries stay")) == 1


def test_loops_that_do_not_end_are_not_waited_for_one_after_the_other(log: Path) -> None:
    """The grace is for all of them together."""
    program = Program(log, "calm", *["stuck"] * 5)
    begun = time.monotonic()
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert GRACE <= time.monotonic() - begun < GRACE + SLACK


def test_one_loop_that_breaks_ends_the_program(log: Path) -> None:
    """Whatever the others do: who started it can start it again, whole."""
    program = Program(log, "calm", "stuck", "broken")
    assert program.exit_code() == 1
    assert "RuntimeError: this observer breaks" in program.child.log()


@pytest.mark.parametrize(
    ("modes", "registry"), [(("mistaken",), None), (("calm", "mistaken"), "mistaken-2")], ids=["one", "several"]
)
def test_lines_of_the_log_say_which_of_several_they_are_about(
    log: Path, modes: tuple[str, ...], registry: str | None
) -> None:
    """With one registry there is nothing to tell apart."""
    program = Program(log, *modes)
    wait_until(lambda: program.lines("pass broke, please report this"), what="the line")
    (line,) = program.lines("pass broke, please report this")
    assert line.get("registry") == registry
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert "registry" not in program.lines("stopping, the entries stay")[0]


@pytest.fixture
def agent(log: Path, tmp_path: Path) -> Iterator[Agent]:
    """The real program, that can reach neither etcd nor an engine, and serves HTTP from threads of its own."""
    uri = f"etcd://127.0.0.1:{free_ports(1)[0]}/services"
    agent = Agent(f"unix://{tmp_path}/nowhere.sock", "--interval", "0.5", uri, log_path=log).start()
    wait_until(lambda: "pass failed" in agent.log(), what="the first pass")
    yield agent
    agent.terminate()


def test_the_program_lives_on_and_says_what_is_wrong(agent: Agent) -> None:
    """It never ends because Docker or etcd is away: alive, not ready, and every failure counted. The engine is asked
    first, since its id says whose entries are at stake."""
    assert agent.get("/healthz") == (200, "ok\n")
    status, body = agent.get("/readyz")
    assert (status, body.partition(":")[0]) == (503, "engine-error")
    assert agent.metrics()['wharfinger_passes_total{registry="etcd",result="engine-error"}'] >= 1
    assert agent.metrics()['wharfinger_last_success_timestamp_seconds{registry="etcd"}'] == 0


def test_signals_reach_a_program_with_other_threads(agent: Agent) -> None:
    """However close they follow each other: a thread that did not block them would let them end the program."""
    for _ in range(30):
        os.kill(agent.pid, HUP)
    assert agent.terminate() == 0
    assert agent.log().count("looking at once") >= 1
