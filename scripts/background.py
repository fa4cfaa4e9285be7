"""Keeping the demo: its process goes on in the background, and ends everything that it started when it is told to."""

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
    """The pid of a demo that was kept and still runs."""
    try:
        pid = int(PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    # The number may be another process's by now, after a restart of the machine, say.
    return pid if b"scripts.demo" in command and is_alive(pid) else None


def stop_kept(pid: int) -> None:
    """Let a kept demo end, with everything that it started; returns when it has."""
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), 60, f"the demo (pid {pid}) to clean up")


def run_in_background(story: Callable[[Hold], int]) -> int:
    """Run `story` in a child process; returns when it calls the function that it is given, or else with its exit code.

    That function returns only by a signal, so the story's own clean-up is what ends a kept demo, too.
    """
    ours, childs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        sys.exit(_finish(story, childs))
    os.close(childs)
    # Ctrl-C reaches the child as well, and it is the child that has something to clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
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
    """Leave the terminal, say that we are ready, and wait for a signal, whose handler raises."""
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
