"""Scratch folders of engines and servers. They are removed when the tests end, whatever ends them.

`scratch_folder` tells a janitor of each folder that it makes. The janitor is a process in a session of its own, so a
signal to the tests does not reach it. When the tests have ended, by themselves or by SIGKILL, it ends what still uses
the folders, and removes them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.support.processes import REPOSITORY, is_alive
from tests.support.waiting import WaitTimeout, wait_until

#: Seconds that dockerd gets to stop its containers.
GRACE = 30


def scratch_folder(name: str) -> Path:
    """Make an empty folder that is removed when this process has ended, if it is still there. `name` becomes a part of
    its name."""
    folder = Path(tempfile.mkdtemp(prefix=f"wharfinger-{name}-"))
    standard_input = _janitor().stdin
    assert standard_input is not None
    print(folder, file=standard_input, flush=True)
    return folder


@cache
def _janitor() -> subprocess.Popen[str]:
    """Start the janitor of this process, once."""
    janitor = subprocess.Popen(
        [sys.executable, "-m", "tests.support.scratch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    atexit.register(janitor.communicate)
    return janitor


def main() -> None:
    """Be the janitor: read a folder from each line of standard input. When it ends, clean up all folders."""
    folders = [Path(line.removesuffix("\n")) for line in sys.stdin]
    for folder in filter(Path.exists, folders):
        end_users(folder)
        sweep(folder)


def end_users(folder: Path) -> None:
    """End the processes that have something in `folder` on their command line, except containers and their shims. A
    process that still runs after GRACE seconds is killed."""
    _signal(_daemons_of(folder), signal.SIGTERM, signal.SIGCONT)
    with suppress(WaitTimeout):
        wait_until(lambda: not list(_daemons_of(folder)), GRACE, "the servers to end")
    _signal(_daemons_of(folder), signal.SIGKILL)


def sweep(folder: Path) -> None:
    """Remove a folder, and whatever is left of an engine that had its data there: shims, their containers, mounts."""
    # A killed shim leaves its container running, so both are killed. Conmon goes first, or it would start Podman.
    for shim in shims_of(folder):
        _signal([shim, *_children_of(shim)], signal.SIGKILL)
    wait_until(lambda: not list(shims_of(folder)), 10, "the containers of the private engine to end")
    for mount in _mounts_below(folder):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _signal(pids: Iterable[int], *numbers: signal.Signals) -> None:
    for pid in pids:
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def shims_of(folder: Path) -> Iterator[int]:
    """Yield the pids of the shims of an engine that has its data below `folder`."""
    return (pid for pid, command in _users_of(folder) if _is_shim(command))


def _daemons_of(folder: Path) -> Iterator[int]:
    return (pid for pid, command in _users_of(folder) if not _is_shim(command))


def _is_shim(command: bytes) -> bool:
    """Return whether a command line is that of a process that watches over a container: Docker's or Podman's."""
    program = command.partition(b"\0")[0]
    return b"containerd-shim" in command or program.endswith(b"conmon")


def _users_of(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield pid and command line of each process that has something below `folder` on its command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if os.fsencode(f"{folder}/") in command and is_alive(int(entry.name)):
                yield int(entry.name), command


def _children_of(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _mounts_below(folder: Path) -> list[str]:
    """Return the mount points below `folder`, the innermost first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(f"{folder}/")), key=len, reverse=True)


if __name__ == "__main__":
    main()
