"""Tests of what a command loads before it does its work, of its answers that nobody reads, and of what the help says
about the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pipes import UnreadPipe
from tests.support.processes import REPOSITORY, clean_environment, free_ports
from tests.unit.conftest import Ran

#: The libraries and parts of the program that the agent needs, and that not every command needs.
HEAVY = {
    "attrs",
    "controller.cli",
    "docker",
    "etcd",
    "logging",
    "model.report",
    "requests",
    "urllib.request",
    "urllib3",
}

#: The source of a program that runs wharfinger, and then prints its exit code and the names of the loaded modules.
PROGRAM = """
import json, sys
from controller.__main__ import main
try:
    code = main()
except SystemExit as exit:
    code = exit.code
print(json.dumps([code, sorted(sys.modules)]))
"""


#: The source of a program that runs the agent until its first pass has ended, and then prints the names of the loaded
#: modules.
FIRST_PASS = """
import json, os, signal, sys
from controller.signals import block_signals
block_signals()
from controller.commands import build
from controller.program import main
make_pass = build.reconcile
def first_pass(*args, **more):
    report = make_pass(*args, **more)
    print(json.dumps(sorted(sys.modules)), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    return report
build.reconcile = first_pass
raise SystemExit(main())
"""

#: The libraries that serve those who look at the passes, and the modules that import them.
OBSERVERS = {"controller.observe.http_server", "controller.observe.metrics", "prometheus_client", "waitress"}

#: What is slow to load, and is needed for other engines and registries alone, or not at all.
NEEDLESS = {"asyncio", "docker", "etcd", "importlib.metadata", "requests", "urllib3"}


def loaded(*args: str) -> tuple[int, set[str]]:
    """Return the exit code of a command line, and the names of the modules that it loads."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *args],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules)


def test_health_loads_no_library() -> None:
    """``health`` runs again and again, also on a busy machine, and only sends one request."""
    code, modules = loaded("health", f"http://127.0.0.1:{free_ports(1)[0]}/healthz")
    assert code == 1
    assert modules & {*HEAVY, "click", "http.client", "importlib.metadata", "ssl"} == set()


def test_version_loads_no_library() -> None:
    """Scripts ask for the version."""
    code, modules = loaded("--version")
    assert code == 0
    assert modules & {*HEAVY, "click", "importlib.metadata", "socket"} == set()


def test_the_first_pass_loads_only_what_it_uses(tmp_path: Path) -> None:
    """Loading takes longer than the pass. The HTTP server and the metrics are loaded afterwards, the libraries for an
    engine over TCP and for the v2 API only if they are needed."""
    listen = f"--listen=127.0.0.1:{free_ports(1)[0]}"
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PASS, listen, "etcd3://127.0.0.1:1/services"],
        cwd=REPOSITORY,
        env=clean_environment(DOCKER_HOST=f"unix://{tmp_path}/nowhere.sock"),
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(json.loads(done.stdout))
    assert "controller.reconcile.loop" in modules
    assert modules & (OBSERVERS | NEEDLESS) == set()


@pytest.mark.parametrize(
    ("command", "code"), [("--version >&-", 0), ("health http://127.0.0.1:1/healthz 2>&-", 1)], ids=["good", "bad"]
)
def test_an_answer_that_cannot_be_given_is_left_out(command: str, code: int) -> None:
    """The stream for it was closed when the program started."""
    script = f"exec {sys.executable} -m controller {command}"
    done = subprocess.run(["sh", "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_an_answer_whose_reader_has_gone_is_a_failure() -> None:
    """There is no traceback about it."""
    pipe = UnreadPipe()
    pipe.break_off()
    argv = [sys.executable, "-m", "controller", "--version"]
    done = subprocess.run(argv, cwd=REPOSITORY, stdout=pipe.writing, stderr=subprocess.PIPE, text=True, check=False)
    pipe.close()
    assert (done.returncode, done.stderr) == (1, "")


def test_a_pass_loads_them_all() -> None:
    """This shows that the names in HEAVY are right. The v2 API, and an engine over TCP, have libraries."""
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    code, modules = loaded("reconcile", "--dry-run", f"--docker-host=tcp://{nowhere}", f"etcd://{nowhere}/services")
    assert code == 1
    assert modules >= HEAVY - {"urllib.request"}


@pytest.mark.parametrize("command", ["deregister", "health", "reconcile", "run"])
def test_the_help_lists_every_command(ran: Ran, command: str) -> None:
    """The first sentence of a command's own help is beside its name, whether or not the command was loaded before."""
    code, out, _ = ran("--help")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.split()[:1] == [command]]
    assert len(line.split()) > 3


def test_a_command_that_does_not_exist_is_an_argument_of_run(ran: Ran) -> None:
    """registrator has no commands, so its first argument may be the URI."""
    code, _, err = ran("heath")
    assert code == 1
    assert "registry URI 'heath'" in err
