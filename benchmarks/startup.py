"""Measure what it takes to start the commands that do little, in CPU and in imported modules.

    .venv/bin/python -m benchmarks.startup

A bare interpreter is what everything else is compared with. `wharfinger health` runs twice a minute, in a container on
the container's share of the CPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

#: How often each is started.
RUNS = 20

#: What is started, by its name. Nobody listens at the URL.
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
