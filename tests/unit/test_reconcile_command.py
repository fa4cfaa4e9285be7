"""``wharfinger reconcile``: what it prints, and its exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.commands.build import Effects
from controller.commands.exit_codes import ExitCode
from controller.commands.reconcile import ReconcileOptions, reconcile_once
from controller.config.settings import parse_settings
from controller.effects.clock import Clock
from tests.support.agent import PROGRAM
from tests.support.fakes import EPOCH, FakeDocker, Inline, inspected
from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.recorded_engine import RecordedEngine, RecordedEngineServer
from tests.support.waiting import wait_until
from tests.unit.conftest import Ran
from tests.unit.test_settings import DEFAULT_OPTIONS

pytestmark = pytest.mark.usefixtures("logging_restored")


class _Etcd(BaseHTTPRequestHandler):
    """An etcd that holds no keys, and refuses every write."""

    def do_GET(self) -> None:
        self._answer(404, {"errorCode": 100, "message": "Key not found", "cause": "/services", "index": 7})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(403, {"errorCode": 110, "message": "The request requires user authentication", "cause": "x"})

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing about requests."""

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def etcd() -> Iterator[str]:
    """Return the URI of an etcd that holds no keys, and refuses every write."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Etcd) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"etcd://127.0.0.1:{server.server_port}/services"
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    """Return the flag for an engine that does not exist."""
    return f"--docker-host=unix://{tmp_path}/nowhere.sock"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """Return the flag for an engine that runs one container with a published port."""
    document = inspected("web")
    state = RecordedEngine(FakeDocker(document).containers(all=True), {"web": document}, name="core-07")
    with RecordedEngineServer(tmp_path / "docker.sock", state) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"--docker-host=unix://{server.socket_path}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--exit-code"]], ids=str)
def test_a_pass_without_etcd_has_exit_code_1_and_a_reason(ran: Ran, engine: str, more: list[str]) -> None:
    """The reason is all that is printed."""
    port = free_ports(1)[0]
    code, out, err = ran("reconcile", *more, engine, f"etcd://127.0.0.1:{port}/services")
    assert (code, out) == (1, "")
    assert err.startswith("wharfinger: registry-error: ")
    assert f"127.0.0.1:{port}" in err


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--exit-code"]], ids=str)
def test_a_pass_without_an_engine_has_exit_code_1_and_a_reason(
    ran: Ran, nowhere: str, etcd: str, more: list[str]
) -> None:
    """It is not taken for an engine that runs nothing. The message names the URL of the engine."""
    code, out, err = ran("reconcile", *more, nowhere, etcd)
    assert (code, out) == (1, "")
    where = nowhere.partition("=")[2]
    problem = "cannot read the Docker engine: [Errno 2] No such file or directory"
    assert err == f"wharfinger: engine-error: {problem} ({where})\n"


def test_a_failed_pass_is_printed_as_json_too(ran: Ran, nowhere: str, etcd: str) -> None:
    """A program that reads the JSON need not look at the exit code."""
    code, out, _ = ran("reconcile", "-o", "json", nowhere, etcd)
    assert (code, json.loads(out)["result"]) == (1, "engine-error")


@pytest.mark.parametrize(("no_hints", "asked", "created"), [("", 1, 0), ("true", 0, 1)])
def test_a_pass_does_not_register_a_container_that_is_being_stopped(
    etcd: str, capsys: pytest.CaptureFixture[str], no_hints: str, asked: int, created: int
) -> None:
    """The engine's history tells of the signal. With --no-hints it is not asked for."""
    fake = FakeDocker(inspected("web"))
    actor = {"ID": "web", "Attributes": {"signal": "15"}}
    fake.happened = [{"Type": "container", "Action": "kill", "Actor": actor, "timeNano": int(EPOCH * 1e9)}]
    effects = Effects(clock=Clock(wall=lambda: EPOCH), background=Inline(), connect_engine=lambda _: fake.dial())
    settings = parse_settings({**DEFAULT_OPTIONS, "no-hints": no_hints, "ip": "10.1.1.1"}, (etcd,))
    options = ReconcileOptions(dry_run=True, output="text", exit_code=False, force=False, wide=False)
    assert reconcile_once(settings, options, effects, colour=False) is ExitCode.IN_SYNC
    assert fake.asked.count("event history") == asked
    assert f"{created} to create" in capsys.readouterr().out


PLANNED = "+ /services/nginx/core-07:web:80  10.1.1.1:8080  (new)"
SUMMARY = "Plan: 1 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.\n"


@pytest.mark.parametrize(("more", "expected"), [([], 0), (["--exit-code"], 2)], ids=["plain", "--exit-code"])
def test_a_dry_run_prints_the_plan(ran: Ran, engine: str, etcd: str, more: list[str], expected: int) -> None:
    """With --exit-code it also has an exit code for pending changes."""
    code, out, err = ran("reconcile", "--dry-run", *more, "-ip", "10.1.1.1", engine, etcd)
    assert (code, out, err) == (expected, f"Create:\n{PLANNED}\n\n{SUMMARY}", "")


def test_a_dry_run_prints_the_plan_as_json(ran: Ran, engine: str, etcd: str) -> None:
    """The change is in the document, with the result pending."""
    code, out, _ = ran("reconcile", "--dry-run", "-o", "json", "-ip=10.1.1.1", etcd, engine)
    (change,) = json.loads(out)["changes"]
    assert (code, change["key"], change["result"]) == (0, "/services/nginx/core-07:web:80", "pending")


def test_a_dry_run_that_is_in_sync_has_exit_code_0(ran: Ran, engine: str, etcd: str) -> None:
    """Here no entry is desired, since no container has a SERVICE_NAME, and etcd holds none."""
    code, out, _ = ran("reconcile", "--dry-run", "--exit-code", "-explicit", engine, etcd)
    assert (code, out) == (0, "Plan: 0 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.\n")


@pytest.mark.parametrize("more", [[], ["--exit-code"]], ids=["plain", "--exit-code"])
def test_a_change_that_fails_has_exit_code_1(ran: Ran, engine: str, etcd: str, more: list[str]) -> None:
    """The plan is printed with the results, and the reason is on standard error."""
    code, out, err = ran("reconcile", *more, "-ip=10.1.1.1", engine, etcd)
    assert code == 1
    title, first, empty, summary, last = out.splitlines()
    assert (title, empty) == ("Create:", "")
    assert first.startswith(f"{PLANNED}  rejected: ")
    assert (f"{summary}\n", last) == (SUMMARY, "Applied 0 of 1 changes.")
    assert err.startswith("wharfinger: operation-error: cannot record /_wharfinger/%2Fservices/core-07/record: ")
    assert err.endswith(" (and 1 more)\n")


def test_an_interrupted_pass_has_exit_code_1_and_no_traceback(tmp_path: Path, engine: str) -> None:
    """The operator who presses Ctrl-C knows why it ended."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"etcd://127.0.0.1:{silent.getsockname()[1]}/services"
        child = Child([*PROGRAM, "reconcile", engine, uri], tmp_path / "log", cwd=REPOSITORY, env=clean_environment())
        child.start()
        silent.settimeout(10)
        connection, _ = silent.accept()
        child.signal(signal.SIGINT)
        wait_until(lambda: not child.running, what="the program's end")
        connection.close()
    assert child.exit_code == 1
    assert "Traceback" not in child.log()


@pytest.mark.parametrize(
    ("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)], ids=str
)
def test_colour_is_for_terminals_without_no_color(
    tmp_path: Path, engine: str, etcd: str, env: dict[str, str], coloured: bool
) -> None:
    """NO_COLOR is respected if it is not empty. The other tests here show that a pipe gets no colour."""
    out = on_a_terminal([*PROGRAM, "reconcile", "--dry-run", "-ip=10.1.1.1", engine, etcd], env)
    assert ("\x1b[32m+ /services/nginx" in out) is coloured
    assert "Plan: 1 to create" in out


def test_a_terminal_shows_how_far_a_slow_pass_has_come(tmp_path: Path, engine: str) -> None:
    """The line is gone before anything else is printed, and goes to standard error."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"etcd://127.0.0.1:{silent.getsockname()[1]}/services"
        argv = [*PROGRAM, "reconcile", "--hostname=core-07", "--pass-timeout=1.5", engine, uri]
        shown = on_a_terminal(argv, {}, stdout=(out := tmp_path / "out"))
    assert out.read_text() == ""
    first, *_, last = shown.split("\r\x1b[K")
    assert first == ""
    assert "\x1b[K1 s: reading the registry\r" in shown
    assert last.startswith("wharfinger: registry-error: ")


def on_a_terminal(argv: list[str], env: dict[str, str], stdout: Path | None = None) -> str:
    """Return what a program prints on a terminal of its own. With ``stdout``, only its standard error goes there, and
    its standard output into this file."""
    ours, its = pty.openpty()
    with contextlib.ExitStack() as stack:
        streams = {"stdout": stack.enter_context(stdout.open("w")), "stderr": its} if stdout else {"stdout": its}
        stack.enter_context(subprocess.Popen(argv, **streams, cwd=REPOSITORY, env={**clean_environment(), **env}))
        os.close(its)
        output = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return output.decode()


def _read(terminal: int) -> bytes:
    """Read from the terminal. It answers with an error once its last program has ended."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
