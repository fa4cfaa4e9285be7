"""The agent as a process: its signals are real ones, sent to a child process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.commands.run import GRACE
from controller.effects.log_writer import PATIENCE
from tests.support.agent import PROGRAM, Agent, run_once
from tests.support.loop_program import CHATTY_LINES
from tests.support.pipes import UnreadPipe
from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.waiting import wait_until

#: Seconds that a slow machine may need on top to end a process.
SLACK = 2.0

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


class Program:
    """`tests.support.loop_program` in a child process."""

    def __init__(self, log: Path, *modes: str, stderr: int = subprocess.STDOUT, shell: str = 'exec "$@"') -> None:
        """Start the program. `stderr` is its standard error, by default the log. `shell` is the script that starts the
        program."""
        argv = ["sh", "-c", shell, "sh", sys.executable, "-m", "tests.support.loop_program", *modes]
        self.child = Child(argv, log, cwd=REPOSITORY, stderr=stderr)
        self.child.start()
        self.wait_for_passes(len(modes))

    def lines(self, event: str) -> list[dict[str, str]]:
        """Return the lines of its log with this event."""
        lines = [json.loads(line) for line in self.child.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def wait_for_passes(self, count: int) -> None:
        """Wait until this many passes have begun."""
        wait_until(lambda: self.child.log().splitlines().count("pass") >= count, what=f"pass {count}")

    def exit_code(self) -> int | None:
        """Wait until it has ended, and return its exit code."""
        wait_until(lambda: not self.child.running, what="the program's end")
        return self.child.exit_code


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the file that the child process writes to."""
    return tmp_path / "log"


@pytest.mark.parametrize("number", [TERM, INT], ids=["TERM", "INT"])
def test_term_and_int_end_the_program_with_exit_code_0(log: Path, number: signal.Signals) -> None:
    """It ends at once, although the next pass is an hour away, and the log names the signal."""
    program = Program(log, "calm")
    program.child.signal(number)
    assert program.exit_code() == 0
    assert "stopping, the entries stay" in program.child.log()
    assert number.name in program.child.log()


def test_hup_starts_a_pass_at_once(log: Path) -> None:
    """Each SIGHUP starts one pass and ends nothing; the next pass is an hour away again."""
    program = Program(log, "calm")
    for count in (2, 3):
        program.child.signal(HUP)
        program.wait_for_passes(count)
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert program.child.log().splitlines().count("pass") == 3


def test_a_pass_that_hangs_delays_the_end_by_the_grace_alone(log: Path) -> None:
    """A pass can be cut off anywhere: the first pass of the next agent finds what it left."""
    program = Program(log, "stuck")
    begun = time.monotonic()
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert GRACE <= time.monotonic() - begun < GRACE + SLACK


def test_a_program_whose_loop_breaks_ends_with_exit_code_1(log: Path) -> None:
    """It must not go on without its loop; whatever started it can start it again. The log has the error."""
    program = Program(log, "broken")
    assert program.exit_code() == 1
    assert "RuntimeError: this observer breaks" in program.child.log()


def test_hup_starts_a_pass_of_every_loop(log: Path) -> None:
    """The log has one line about it, and not one for each loop."""
    program = Program(log, "calm", "calm", "calm")
    program.child.signal(HUP)
    program.wait_for_passes(6)
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert program.child.log().splitlines().count("pass") == 6
    assert len(program.lines("starting a pass at once")) == len(program.lines("stopping, the entries stay")) == 1


def test_all_loops_that_hang_share_one_grace(log: Path) -> None:
    """They are not waited for one after the other."""
    program = Program(log, "calm", *["stuck"] * 5)
    begun = time.monotonic()
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert GRACE <= time.monotonic() - begun < GRACE + SLACK


def test_one_loop_that_breaks_ends_the_program(log: Path) -> None:
    """It ends whatever the other loops do; whatever started it can start all loops again."""
    program = Program(log, "calm", "stuck", "broken")
    assert program.exit_code() == 1
    assert "RuntimeError: this observer breaks" in program.child.log()


@pytest.mark.parametrize(
    ("mode", "error"), [("server", "this server breaks"), ("ended-server", "the server has ended by itself")]
)
def test_a_server_that_breaks_or_returns_ends_the_program(log: Path, mode: str, error: str) -> None:
    """An agent that nobody can ask for its health is started again. The log has the error."""
    program = Program(log, "calm", mode)
    assert program.exit_code() == 1
    assert f"RuntimeError: {error}" in program.child.log()


@pytest.mark.parametrize(
    ("modes", "registry"), [(("mistaken",), None), (("calm", "mistaken"), "mistaken-2")], ids=["one", "several"]
)
def test_a_line_of_the_log_names_its_registry_if_there_are_several(
    log: Path, modes: tuple[str, ...], registry: str | None
) -> None:
    """With one registry there is nothing to tell apart, so the field is left out."""
    program = Program(log, *modes)
    wait_until(lambda: program.lines("pass broke, please report this"), what="the line")
    (line,) = program.lines("pass broke, please report this")
    assert line.get("registry") == registry
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert "registry" not in program.lines("stopping, the entries stay")[0]


@pytest.fixture
def pipe() -> Iterator[UnreadPipe]:
    """Yield a pipe that nobody reads."""
    pipe = UnreadPipe()
    yield pipe
    pipe.close()


@pytest.mark.parametrize("number", [TERM, INT], ids=["TERM", "INT"])
def test_passes_and_stopping_do_not_wait_for_a_log_that_nobody_reads(
    log: Path, pipe: UnreadPipe, number: signal.Signals
) -> None:
    """Standard error is a full pipe from the start. The end of the program waits for the pipe for one second at
    most."""
    program = Program(log, "calm", "chatty", stderr=pipe.fill().writing)
    program.child.signal(HUP)
    program.wait_for_passes(4)
    begun = time.monotonic()
    program.child.signal(number)
    assert program.exit_code() == 0
    assert time.monotonic() - begun < PATIENCE + SLACK


def test_the_end_does_not_wait_for_a_log_that_nobody_reads_and_a_pass_that_hangs(log: Path, pipe: UnreadPipe) -> None:
    """The pipe gets full after the start of the program, by what others write to it."""
    program = Program(log, "calm", "stuck", stderr=pipe.writing)
    pipe.fill()
    begun = time.monotonic()
    program.child.signal(TERM)
    assert program.exit_code() == 0
    assert time.monotonic() - begun < GRACE + PATIENCE + SLACK


def test_a_log_that_is_read_again_tells_how_many_lines_were_lost(log: Path, pipe: UnreadPipe) -> None:
    """The log goes on with the newest lines, and the lines about the end of the program are not lost."""
    program = Program(log, "chatty", stderr=pipe.fill().writing)
    lines = log_lines(program, pipe, until="stopping, the entries stay")
    assert program.exit_code() == 0
    said = [line["number"] for line in lines if line["event"] == "said"]
    lost = [line["lines"] for line in lines if line["event"] == "lines of the log were lost"]
    assert len(lost) >= 1
    assert len(said) + sum(lost) == CHATTY_LINES
    assert said[-1] == CHATTY_LINES - 1


def test_a_standard_error_that_others_made_non_blocking_is_waited_for(log: Path, pipe: UnreadPipe) -> None:
    """Being non-blocking is a setting of the open file, which counts for everybody who shares the file. So the program
    leaves the setting as it is, and loses no line."""
    os.set_blocking(pipe.writing, False)
    program = Program(log, "calm", stderr=pipe.fill().writing)
    lines = log_lines(program, pipe, until="stopping, the entries stay")
    assert program.exit_code() == 0
    assert [line["event"] for line in lines] == ["stopping, the entries stay"]
    assert not os.get_blocking(pipe.writing)


def log_lines(program: Program, pipe: UnreadPipe, until: str) -> list[dict[str, Any]]:
    """Send SIGTERM, read the pipe until it has a line with this event, and return all lines."""
    program.child.signal(TERM)
    received = ""

    def complete() -> bool:
        nonlocal received
        received += pipe.read()
        return until in received and received.endswith("\n")

    wait_until(complete, what=until)
    return [json.loads(line) for line in received.splitlines()]


BROKEN = {
    "a pipe whose reader has gone": 'exec "$@"',
    "closed": 'exec "$@" 2>&-',
    "a full disk": 'exec "$@" 2>/dev/full',
}


@pytest.mark.parametrize("shell", BROKEN.values(), ids=BROKEN.keys())
def test_a_standard_error_that_takes_nothing_changes_nothing_else(log: Path, pipe: UnreadPipe, shell: str) -> None:
    """Signals still work, and the exit code is that of a program that was asked to stop."""
    pipe.break_off()
    program = Program(log, "calm", "chatty", stderr=pipe.writing, shell=shell)
    program.child.signal(HUP)
    program.wait_for_passes(4)
    program.child.signal(TERM)
    assert program.exit_code() == 0


@pytest.fixture
def agent(log: Path, tmp_path: Path) -> Iterator[Agent]:
    """The real program. It reaches neither etcd nor an engine, and serves HTTP from other threads."""
    uri = f"etcd://127.0.0.1:{free_ports(1)[0]}/services"
    agent = Agent(f"unix://{tmp_path}/nowhere.sock", "--interval", "0.5", uri, log_path=log).start()
    wait_until(lambda: "pass failed" in agent.log(), what="the first pass")
    yield agent
    agent.terminate()


def test_an_agent_that_reaches_nothing_stays_alive_and_tells_why_it_is_not_ready(agent: Agent) -> None:
    """It never ends because Docker or etcd does not answer, and it counts every failure. The engine is asked first,
    because its id decides which owner record is this agent's."""
    assert agent.get("/healthz") == (200, "ok\n")
    status, body = agent.get("/readyz")
    assert (status, body.partition(":")[0]) == (503, "engine-error")
    assert agent.metrics()['wharfinger_passes_total{registry="etcd",result="engine-error"}'] >= 1
    assert agent.metrics()['wharfinger_last_success_timestamp_seconds{registry="etcd"}'] == 0


def test_an_agent_whose_first_pass_hangs_is_asked_for_its_health(log: Path, tmp_path: Path) -> None:
    """Its HTTP server waits for the first pass, but not longer than HEAD_START. The engine takes the connection here,
    and does not answer."""
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "engine.sock"))
        engine.listen()
        agent = Agent(f"unix://{tmp_path}/engine.sock", f"etcd3://127.0.0.1:{free_ports(1)[0]}/a", log_path=log).start()
        wait_until(lambda: agent.get("/healthz") == (200, "ok\n"), what="the answer")
        assert agent.get("/readyz") == (503, "no pass has ended yet\n")
        assert agent.metrics()['wharfinger_last_attempt_timestamp_seconds{registry="etcd3"}'] > 0
        assert "pass failed" not in agent.log()
        agent.terminate()


def test_signals_reach_a_program_with_other_threads(agent: Agent) -> None:
    """They are handled however fast they come. A thread that did not block them would let them end the program."""
    for _ in range(30):
        os.kill(agent.pid, HUP)
    assert agent.terminate() == 0
    assert agent.log().count("starting a pass at once") >= 1


#: A registry that does not answer.
URI = "etcd://127.0.0.1:1/services"


def test_a_port_that_is_in_use_is_an_error_at_the_start() -> None:
    """The message names the address and says what to do. No pass is run."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_once("unix:///nowhere/docker.sock", "--listen", address, URI)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"wharfinger: cannot listen on {address}: ")
    assert done.stderr.endswith("choose another address with --listen\n")


def test_an_error_at_the_start_that_nobody_reads_can_be_ended_by_a_signal(log: Path, pipe: UnreadPipe) -> None:
    """The program waits until its message is read, as any program does. Signals are not blocked meanwhile."""
    child = Child([*PROGRAM, "nonsense://"], log, cwd=REPOSITORY, env=clean_environment(), stderr=pipe.fill().writing)
    child.start()
    wait_until(lambda: waits_to_write_into_a_pipe(child.pid), what="the message")
    child.signal(TERM)
    assert wait_until(lambda: child.exit_code, what="the end") == -TERM


def waits_to_write_into_a_pipe(pid: int) -> bool:
    """Return whether a process is blocked in a write to a pipe."""
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text()


def test_the_agent_logs_its_settings_at_the_start(tmp_path: Path) -> None:
    """It logs the registry, the owner, the address, the engine, the lifetime, the interval, where it listens, and each
    flag that is not needed."""
    needless = ["-cleanup", "-retry-attempts", "-1", "-resync", "60"]
    engine = "tcp://127.0.0.1:1"
    given = ["--hostname", "core-01", "-ip", "192.0.2.1", "-ttl", "30", "-ttl-refresh", "10", "--docker-host", engine]
    lines = logged(tmp_path / "log", "--listen=", *needless, *given, URI)
    assert (
        lines[0].items()
        >= {
            "event": "started",
            "endpoints": ["127.0.0.1:1"],
            "prefix": "/services",
            "owner": "core-01",
            "address": "192.0.2.1",
            "engine": "tcp://127.0.0.1:1",
            "lifetime": "30 s, renewed every 10 s",
            "interval": 1.0,
            "listen": "none",
        }.items()
    )
    not_needed = "flag is not needed: every pass compares and repairs everything"
    assert [line["flag"] for line in lines if line["event"] == not_needed] == ["-cleanup", "-resync", "-retry-attempts"]


def test_what_the_agent_was_not_told_and_cannot_find_out_is_not_known_at_the_start(tmp_path: Path) -> None:
    """No engine tells its name here. The address is that of the interface through which this host reaches etcd, but one
    that no entry can have is not shown as if it was registered."""
    line = logged(tmp_path / "log", "--listen=", URI)[0]
    assert (line["owner"], line["lifetime"]) == ("not known yet", "unlimited")
    assert line["address"].startswith("none: this host reaches etcd from 127.0.0.1, which nobody else can dial; give")
    line = logged(tmp_path / "internal", "--listen=", "-internal", URI)[0]
    assert line["address"] == "each container's own"
    line = logged(tmp_path / "name", "--listen=", "etcd://nobody.invalid:1/services")[0]
    assert line["address"] == "not known yet"


def logged(path: Path, *args: str, **variables: str) -> list[dict[str, Any]]:
    """Run the agent with these arguments and environment variables until its first pass has failed, and return the
    lines of its log."""
    environment = clean_environment(DOCKER_HOST=f"unix://{path}.sock", **variables)
    child = Child([*PROGRAM, "--log-format=json", *args], path, cwd=REPOSITORY, env=environment)
    child.start()
    wait_until(lambda: "pass failed" in child.log(), what="the first pass")
    assert child.stop() == 0
    return [json.loads(line) for line in child.log().splitlines()]


LIFETIME = "-ttl 60 -ttl-refresh 20"


def test_a_lifetime_with_the_etcd_of_this_host_alone_is_warned_of(tmp_path: Path) -> None:
    """The keys of such a host expire while its own member of etcd is stopped, though the cluster has other members. An
    etcd elsewhere, several members, and keys that do not expire are as they should be."""
    warned = {
        f"{LIFETIME} etcd://127.0.0.1:1/a": True,
        f"{LIFETIME} etcd3://[::1]:1/a": True,
        f"{LIFETIME} etcd://localhost:1/a": True,
        f"{LIFETIME} etcd://127.0.0.1:1,127.0.0.1:2/a": True,
        f"{LIFETIME} -ip 192.0.2.1 etcd://192.0.2.1:1/a": True,
        f"{LIFETIME} -ip 192.0.2.1 etcd://203.0.113.2:1/a": False,
        f"{LIFETIME} -ip 192.0.2.1 etcd://192.0.2.1:1,203.0.113.2:1/a": False,
        f"{LIFETIME} etcd://127.0.0.1:1,203.0.113.2:1/a": False,
        "etcd://127.0.0.1:1/a": False,
    }
    environment = clean_environment(DOCKER_HOST=f"unix://{tmp_path}/nowhere.sock")
    children = {}
    for number, line in enumerate(warned):
        argv = [*PROGRAM, "--listen=", *line.split()]
        children[line] = Child(argv, tmp_path / f"log-{number}", cwd=REPOSITORY, env=environment)
        children[line].start()
    for line, child in children.items():
        wait_until(partial(has_started, child), what="the start")
        assert child.stop() == 0
        assert ("the keys expire while it is stopped" in child.log()) == warned[line], line


def has_started(child: Child) -> bool:
    """Return whether the agent has logged that it started."""
    return "started" in child.log()


def test_the_agent_logs_what_its_flags_mean_for_each_other(tmp_path: Path) -> None:
    """A ``-resync`` that makes passes more frequent is needed. With ``-internal``, ``-ip`` counts for few containers.
    With ``-ttl``, the entries do not stay when the agent stops."""
    flags = ["--interval=60", "-resync=1", "-internal", "-ip=10.0.0.1", "-ttl=30", "-ttl-refresh=10"]
    lines = {line["event"]: line for line in logged(tmp_path / "log", "--listen=", *flags, URI)}
    assert lines["started"]["interval"] == 1.0
    assert "flag is not needed: every pass compares and repairs everything" not in lines
    assert lines["with -internal, -ip counts for containers with host networking alone"]["ip"] == "10.0.0.1"
    assert not [event for event in lines if "ETCD_ENDPOINTS" in event or "-ip-from-container" in event]
    last = lines["stopping, the entries expire if no agent renews them"]
    assert (last["signal"], last["seconds_after_last_renewal"]) == ("SIGTERM", 30)
    assert "stopping, the entries stay" not in lines


def test_the_agent_warns_of_endpoints_that_it_does_not_use(tmp_path: Path) -> None:
    """registrator 9 adds those of its variable to that of the URI, so a user of it would miss them."""
    endpoints = "127.0.0.1:1,http://127.0.0.9:1"
    lines = {line["event"]: line for line in logged(tmp_path / "log", "--listen=", URI, ETCD_ENDPOINTS=endpoints)}
    warning = "endpoints in ETCD_ENDPOINTS are not used, as each registry URI names its own; write all into the URI"
    assert (lines[warning]["level"], lines[warning]["endpoints"]) == ("warning", ["127.0.0.9:1"])


def test_the_agent_logs_that_published_ports_have_the_address_of_their_container(tmp_path: Path) -> None:
    """With ``-ip-from-container``, ``-ip`` counts for as few containers as with ``-internal``."""
    lines = {line["event"]: line for line in logged(tmp_path / "log", "-ip-from-container", "-ip=10.0.0.1", URI)}
    assert lines["started"]["address"] == "each container's own"
    event = "with -ip-from-container, -ip counts for containers with host networking alone"
    assert lines[event]["ip"] == "10.0.0.1"
