"""Run the demo in the background (`--keep`). On a signal, its process ends everything that it started."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.support.processes import REPOSITORY, is_alive
from tests.support.waiting import wait_until

PID_FILE = REPOSITORY / ".demo" / "pid"
READY = b"kept"

Hold = Callable[[], None]


def kept_pid() -> int | None:
    """Return the pid of a demo that was started with `--keep` and still runs, else None."""
    try:
        pid = int(PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    # Another process may have the pid by now, for example after a restart of the machine.
    return pid if b"scripts.demo" in command and is_alive(pid) else None


def stop_kept(pid: int) -> None:
    """Tell the demo with this pid to end everything that it started, and wait until it has ended. Raises WaitTimeout if
    it takes more than 60 seconds, and PermissionError if it runs as another user."""
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), 60, f"the demo (pid {pid}) to clean up")


def run_in_background(story: Callable[[Hold], int]) -> int:
    """Run `story` in a child process, and pass it a function to call when everything is running.

    Returns 0 as soon as the story calls that function, or the story's exit code if it ends without calling it. In the
    child, the function blocks until a signal handler raises an exception. So the story's own clean-up also ends a demo
    that was kept.
    """
    ours, childs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        sys.exit(_finish(story, childs))
    os.close(childs)
    # Ctrl-C reaches the child as well. Only the child has something to clean up, so the parent waits for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(child, received))
    with os.fdopen(ours, "rb") as pipe:
        if pipe.read() == READY:
            return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _finish(story: Callable[[Hold], int], pipe: int) -> int:
    try:
        return story(lambda: _hold(pipe))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        PID_FILE.unlink(missing_ok=True)


def _hold(pipe: int) -> NoReturn:
    """Detach from the terminal, report READY to the parent, and wait for a signal, whose handler raises."""
    os.setsid()
    PID_FILE.parent.mkdir(exist_ok=True)
    PID_FILE.write_text(f"{os.getpid()}\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.write(pipe, READY)
    os.close(pipe)
    while True:
        signal.pause()
