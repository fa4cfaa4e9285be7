"""Measure the CPU time and the imported modules of commands that do little, and of an agent until its first request.

    .venv/bin/python -m benchmarks.startup [COMMAND]

COMMAND is an installed `wharfinger`. By default this tree is installed into a virtual environment of its own, because
an editable installation, as in `.venv`, takes longer to start. pip gets what it builds with from its package index.

Each command is compared with a bare interpreter. The CPU time of `wharfinger health` matters because the image's
HEALTHCHECK runs it twice a minute, within the agent's container and its share of the CPU. That of `wharfinger run`
delays the first key after each start.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from statistics import median

from tests.support.processes import REPOSITORY, clean_environment

#: How often each command is started.
RUNS = 20

#: The arguments of each command, by the command's name. Nobody listens at the URL.
STARTED = {
    "wharfinger --version": ("--version",),
    "wharfinger health": ("health", "http://127.0.0.1:1/healthz"),
    "wharfinger run --help": ("run", "--help"),
}

#: The arguments of the agent. It asks the engine first, so nobody has to listen at the registry.
AGENT = ("run", "--listen=", "etcd3://127.0.0.1:1/services")

#: What the package is built from.
SOURCES = ("controller", "model", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def main() -> int:
    """Run the benchmark. Returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="wharfinger-startup-") as folder:
        command = sys.argv[1] if sys.argv[1:] else install(Path(folder))
        python = interpreter(command)
        bare = report("bare interpreter", [python, "-c", "pass"])
        for name, arguments in STARTED.items():
            report(name, [python, command, *arguments], bare)
        seconds = median(cpu_until_first_request([command, *AGENT], Path(folder)) for _ in range(RUNS))
        print(f"{'first request of run':<24} {1000 * seconds:5.0f} ms CPU {seconds / bare:5.1f} x")
    return 0


def install(folder: Path) -> str:
    """Install this tree into a new virtual environment that has the libraries of this one, and return the command."""
    source, there = folder / "source", folder / "installed"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, source / name)
    venv.create(there)
    python = str(there / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", str(source)], check=True)
    (site,) = there.glob("lib/python*/site-packages")
    # A .pth file in the folder that is named here is not read, and so the editable installation is not seen.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return str(there / "bin" / "wharfinger")


def interpreter(command: str) -> str:
    """Return the interpreter of an installed command, which the first line of its script names."""
    return Path(command).read_text().splitlines()[0].removeprefix("#!")


def report(name: str, argv: list[str], bare: float = 0.0) -> float:
    """Print what a command takes that the interpreter runs, and return its CPU time in seconds. ``bare`` is that of a
    bare interpreter; 0 if it is this command."""
    seconds = median(cpu(argv) for _ in range(RUNS))
    print(f"{name:<24} {1000 * seconds:5.0f} ms CPU {seconds / (bare or seconds):5.1f} x {modules(argv):5} modules")
    return seconds


def cpu(argv: list[str]) -> float:
    """Return the seconds of CPU that a command takes."""
    return _cpu_of(_started(argv))


def cpu_until_first_request(argv: list[str], folder: Path) -> float:
    """Return the seconds of CPU that the agent takes until it connects to the engine, and end it there."""
    path = folder / "engine.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()
        process = _started(argv, DOCKER_HOST=f"unix://{path}")
        engine.accept()[0].close()
        process.kill()
    path.unlink()
    return _cpu_of(process)


def _started(argv: list[str], **variables: str) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, cwd="/", env=_environment(**variables), stdout=quiet, stderr=quiet)


def _environment(**variables: str) -> dict[str, str]:
    """Return an environment in which Python imports the installed package, and not the source in this folder."""
    return {**clean_environment(**variables), "PYTHONPATH": ""}


def _cpu_of(process: subprocess.Popen[bytes]) -> float:
    """Wait until the process has ended, and return the seconds of CPU that it took."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # It is reaped already.
    return used.ru_utime + used.ru_stime


def modules(argv: list[str]) -> int:
    """Return how many modules are imported by a command that the interpreter runs."""
    traced = [argv[0], "-X", "importtime", *argv[1:]]
    told = subprocess.run(traced, cwd="/", env=_environment(), capture_output=True, text=True, check=False).stderr
    return len(re.findall(r"^import time: +\d", told, re.MULTILINE))


if __name__ == "__main__":
    raise SystemExit(main())
