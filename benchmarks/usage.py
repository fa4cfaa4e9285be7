"""What processes use: CPU and memory, as Linux counts them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
#: The fields of /proc/PID/stat after the command's name that hold the ticks in user and in system mode.
_UTIME, _STIME = 11, 12


def cpu_seconds(*pids: int) -> float:
    """Return the seconds of CPU that these processes have used. One that has ended counts nothing."""
    return sum(map(_cpu_of, pids))


def _cpu_of(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS
    return 0.0


def resident_mb(pid: int) -> float:
    """Return how many megabytes of memory a process has at this moment."""
    return _memory(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """Return how many megabytes of memory a process has had at most."""
    return _memory(pid, "VmHWM")


def _memory(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that run."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def engine_pids(dockerd: int) -> list[int]:
    """Return the processes of an engine: dockerd and its containerd, without the shims of the containers."""
    return [dockerd, *_named(children(dockerd), "containerd")]


def _named(pids: Iterable[int], name: str) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == name]
