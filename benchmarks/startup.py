"""Measure the CPU time and the imported modules of commands that do little.

    .venv/bin/python -m benchmarks.startup

Each command is compared with a bare interpreter. The CPU time of `wharfinger health` matters because the image's
HEALTHCHECK runs it twice a minute, within the agent's container and its share of the CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

#: How often each command is started.
RUNS = 20

#: The interpreter's arguments for each command, by the command's name. Nobody listens at the URL.
STARTED = {
    "bare interpreter": ("-c", "pass"),
    "wharfinger --version": ("-m", "controller", "--version"),
    "wharfinger health": ("-m", "controller", "health", "http://127.0.0.1:1/healthz"),
    "wharfinger run --help": ("-m", "controller", "run", "--help"),
}


def main() -> int:
    """Run the benchmark. Returns the exit code."""
    bare = 0.0
    for name, arguments in STARTED.items():
        seconds = median(cpu(arguments) for _ in range(RUNS))
        bare = bare or seconds
        print(f"{name:<24} {1000 * seconds:5.0f} ms CPU {seconds / bare:5.1f} x {modules(arguments):5} modules")
    return 0


def cpu(arguments: tuple[str, ...]) -> float:
    """Return the seconds of CPU that the interpreter takes with these arguments."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0  # It is reaped already.
    return used.ru_utime + used.ru_stime


def modules(arguments: tuple[str, ...]) -> int:
    """Return how many modules the interpreter imports with these arguments."""
    argv = [sys.executable, "-X", "importtime", *arguments]
    told = subprocess.run(argv, capture_output=True, text=True, check=False).stderr.splitlines()
    return sum(line.startswith("import time:") for line in told) - 1


if __name__ == "__main__":
    raise SystemExit(main())
