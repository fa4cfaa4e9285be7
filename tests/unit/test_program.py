"""Tests of what a command loads before it does its work, and of what the help says about the commands."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

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
    "prometheus_client",
    "requests",
    "structlog",
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


def test_health_loads_no_library_but_that_of_the_command_line() -> None:
    """``health`` runs again and again, also on a busy machine, and only sends one request."""
    code, modules = loaded("health", f"http://127.0.0.1:{free_ports(1)[0]}/healthz")
    assert code == 1
    assert modules & HEAVY == set()
    assert "importlib.metadata" not in modules


def test_version_loads_no_library_but_that_of_the_command_line() -> None:
    """Scripts ask for the version."""
    code, modules = loaded("--version")
    assert code == 0
    assert modules & (HEAVY - {"logging"}) == set()


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
