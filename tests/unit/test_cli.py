"""The command line."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.cli import main
from tests.support.agent import PROGRAM, run_once
from tests.support.fakes import FakeDocker, inspected
from tests.support.processes import REPOSITORY, Child, clean_environment, free_ports
from tests.support.recorded_engine import RecordedEngine, RecordedEngineServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("logging_restored")

URI = "etcd://127.0.0.1:1/services"
USAGE_HINT = "Try 'wharfinger --help'."

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs a command line: its exit code, and what it wrote to standard output and standard error."""

    def run(*args: str) -> tuple[int, str, str]:
        code = main(args)
        return code, *capsys.readouterr()

    return run


class _Etcd(BaseHTTPRequestHandler):
    """An etcd that holds nothing, and will take nothing."""

    def do_GET(self) -> None:
        self._answer(404, {"errorCode": 100, "message": "Key not found", "cause": "/services", "index": 7})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(403, {"errorCode": 110, "message": "The request requires user authentication", "cause": "x"})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def etcd() -> Iterator[str]:
    """The URI of an etcd that holds nothing, and will take nothing."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Etcd) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"etcd://127.0.0.1:{server.server_port}/services"
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    """The flag for an engine that is not there."""
    return f"--docker-host=unix://{tmp_path}/nowhere.sock"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """The flag for an engine that runs one container with a published port."""
    document = inspected("web")
    state = RecordedEngine(FakeDocker(document).containers(all=True), {"web": document}, name="core-07")
    with RecordedEngineServer(tmp_path / "docker.sock", state) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"--docker-host=unix://{server.socket_path}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "wharfinger: at least one registry URI is needed, as in etcd://127.0.0.1:2379/services; none was given"),
        (
            ["reconcile"],
            "wharfinger: at least one registry URI is needed, as in etcd://127.0.0.1:2379/services; none was given",
        ),
        (
            ["consul://x/y"],
            "wharfinger: registry URI 'consul://x/y': the scheme 'consul' is not supported; etcd, etcd3, ",
        ),
        (
            ["skydns2://x"],
            "registry URI 'skydns2://x': a DNS domain is needed behind the host, as in HOST:PORT/cluster.local",
        ),
        (["-ttl", "5", URI], "wharfinger: -ttl and -ttl-refresh go together: give both, or neither"),
        (["-internal=maybe", URI], "wharfinger: -internal 'maybe': it must be true or false"),
        (["--nonsense", URI], "No such option '--nonsense'"),
        (["reconcile", "-o", "xml", URI], "'xml' is not one of 'text', 'json'"),
        (["-ip"], "requires an argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_1_with_a_message(ran: Ran, args: list[str], message: str) -> None:
    """Never 2, which means that changes are pending."""
    code, out, err = ran(*args)
    assert (code, out) == (1, "")
    assert message in err


def test_all_that_is_wrong_is_said_at_once(ran: Ran) -> None:
    """A line each, and where to read on."""
    code, _, err = ran("reconcile", "-tags={{x}}", "--interval=0", "--listen=9119", "consul://x")
    assert code == 1
    lines = err.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["wharfinger:"] * 4
    assert lines[-1] == USAGE_HINT


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--help"], ["run", "reconcile", "etcd"]),
        (["-h"], ["run", "reconcile"]),
        (["run", "--help"], ["-ttl-refresh", "--useIpFromLabel", "WHEN", "[default: 0.0.0.0:9119]"]),
        (["reconcile", "-h"], ["--dry-run", "--exit-code", "--output", "-ip"]),
        (["--version"], ["wharfinger 0."]),
    ],
    ids=" ".join,
)
def test_help_and_version_are_0(ran: Ran, args: list[str], words: list[str]) -> None:
    """On standard output."""
    code, out, err = ran(*args)
    assert (code, err) == (0, "")
    assert [word for word in words if word not in out] == []


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--exit-code"]], ids=str)
def test_a_pass_without_etcd_is_1_with_the_reason(ran: Ran, engine: str, more: list[str]) -> None:
    """There is nothing to print but that."""
    port = free_ports(1)[0]
    code, out, err = ran("reconcile", *more, engine, f"etcd://127.0.0.1:{port}/services")
    assert (code, out) == (1, "")
    assert err.startswith("wharfinger: registry-error: ")
    assert f"127.0.0.1:{port}" in err


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--exit-code"]], ids=str)
def test_a_pass_without_an_engine_is_1_with_the_reason(ran: Ran, nowhere: str, etcd: str, more: list[str]) -> None:
    """It is not taken for an engine that runs nothing, and the message says where it was looked for."""
    code, out, err = ran("reconcile", *more, nowhere, etcd)
    assert (code, out) == (1, "")
    where = nowhere.partition("=")[2]
    problem = "cannot read the Docker engine: [Errno 2] No such file or directory"
    assert err == f"wharfinger: engine-error: {problem} ({where})\n"


def test_a_failed_pass_in_json_is_a_document(ran: Ran, nowhere: str, etcd: str) -> None:
    """So that who reads it need not tell failures by the exit code."""
    code, out, _ = ran("reconcile", "-o", "json", nowhere, etcd)
    assert (code, json.loads(out)["result"]) == (1, "engine-error")


PLANNED = "+ /services/nginx/core-07:web:80  10.1.1.1:8080  (new)\n"
SUMMARY = "Plan: 1 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.\n"


@pytest.mark.parametrize(("more", "expected"), [([], 0), (["--exit-code"], 2)], ids=["plain", "--exit-code"])
def test_a_dry_run_prints_the_plan(ran: Ran, engine: str, etcd: str, more: list[str], expected: int) -> None:
    """And that changes are pending is its exit code where that is asked for."""
    code, out, err = ran("reconcile", "--dry-run", *more, "-ip", "10.1.1.1", engine, etcd)
    assert (code, out, err) == (expected, PLANNED + SUMMARY, "")


def test_a_dry_run_in_json(ran: Ran, engine: str, etcd: str) -> None:
    """The same as a document."""
    code, out, _ = ran("reconcile", "--dry-run", "-o", "json", "-ip=10.1.1.1", etcd, engine)
    (change,) = json.loads(out)["changes"]
    assert (code, change["key"], change["result"]) == (0, "/services/nginx/core-07:web:80", "pending")


def test_in_sync_is_0(ran: Ran, engine: str, etcd: str) -> None:
    """Nothing is wanted here, as no container is named, and nothing is there."""
    code, out, _ = ran("reconcile", "--dry-run", "--exit-code", "-explicit", engine, etcd)
    assert (code, out) == (0, "Plan: 0 to create, 0 to update, 0 to delete, 0 in sync, 0 refused.\n")


@pytest.mark.parametrize("more", [[], ["--exit-code"]], ids=["plain", "--exit-code"])
def test_a_change_that_fails_is_1(ran: Ran, engine: str, etcd: str, more: list[str]) -> None:
    """The plan is printed with what became of it, and the reason is on standard error."""
    code, out, err = ran("reconcile", *more, "-ip=10.1.1.1", engine, etcd)
    assert code == 1
    first, summary, last = out.splitlines()
    assert first.startswith(f"{PLANNED.rstrip()}  failed: ")
    assert (f"{summary}\n", last) == (SUMMARY, "Applied 0 of 1 changes.")
    assert err.startswith("wharfinger: operation-error: cannot record /_wharfinger/%2Fservices/core-07/record: ")
    assert err.endswith(" (and 1 more)\n")


def test_a_port_that_is_taken_is_a_clear_error_at_start() -> None:
    """The message names the address, and what to do about it; nothing else is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_once("unix:///nowhere/docker.sock", "--listen", address, URI)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"wharfinger: cannot listen on {address}: ")
    assert done.stderr.endswith("choose another address with --listen\n")


def test_at_its_start_it_says_what_it_is_about(tmp_path: Path) -> None:
    """Where it writes, how often, where it listens, and once for each flag that has no use here."""
    args = ["--listen=", "--log-format=json", "-cleanup", "-retry-attempts", "-1", "-resync", "60", URI]
    child = Child([*PROGRAM, *args], tmp_path / "log", cwd=REPOSITORY, env=clean_environment())
    child.start()
    wait_until(lambda: "pass failed" in child.log(), what="the first pass")
    assert child.stop() == 0
    lines = [json.loads(line) for line in child.log().splitlines()]
    started = {key: lines[0][key] for key in ("event", "endpoints", "prefix", "interval", "listen")}
    assert started == {
        "event": "started",
        "endpoints": ["127.0.0.1:1"],
        "prefix": "/services",
        "interval": 1.0,
        "listen": "none",
    }
    not_needed = "flag is not needed: every pass compares and repairs everything"
    assert [line["flag"] for line in lines if line["event"] == not_needed] == ["-cleanup", "-resync", "-retry-attempts"]


def test_an_interrupted_pass_is_1_without_a_traceback(tmp_path: Path, engine: str) -> None:
    """Who presses Ctrl-C knows why it ended."""
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
def test_colour_is_for_terminals_whose_owners_want_it(
    tmp_path: Path, engine: str, etcd: str, env: dict[str, str], coloured: bool
) -> None:
    """NO_COLOR is honoured; a pipe gets none, as the other tests here show."""
    out = on_a_terminal([*PROGRAM, "reconcile", "--dry-run", "-ip=10.1.1.1", engine, etcd], env)
    assert ("\x1b[32m+ /services/nginx" in out) is coloured
    assert "Plan: 1 to create" in out


def on_a_terminal(argv: list[str], env: dict[str, str]) -> str:
    """What a program prints on a terminal of its own."""
    ours, its = pty.openpty()
    with subprocess.Popen(argv, stdout=its, cwd=REPOSITORY, env={**clean_environment(), **env}):
        os.close(its)
        output = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return output.decode()


def _read(terminal: int) -> bytes:
    """A terminal whose last program has ended answers with an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
