"""A machine that is busy with other work, on which processes get the CPU for a short while, again and again."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Self


class BusyMachine:
    """Lets processes run for `running` seconds, then stops them for `stopped` seconds, and so on, as a CPU quota does.

    It is a context manager. When it is left, the processes run on without further stops.
    """

    def __init__(self, running: float = 0.4, stopped: float = 1.6) -> None:
        self._times = {signal.SIGCONT: running, signal.SIGSTOP: stopped}
        self._state = signal.SIGCONT
        self._pids: set[int] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._enter(signal.SIGCONT)

    def add(self, pid: int) -> None:
        """Have a child process run on this machine. If the processes are stopped at this moment, stop it at once."""
        with self._lock:
            self._pids.add(pid)
            os.kill(pid, self._state)

    def remove(self, pid: int) -> None:
        """Forget a process. Call this before the process is reaped, because another process may get its number then."""
        with self._lock:
            self._pids.discard(pid)

    def _run(self) -> None:
        while not self._ending.is_set():
            for state in (signal.SIGCONT, signal.SIGSTOP):
                self._enter(state)
                self._ending.wait(self._times[state])

    def _enter(self, state: signal.Signals) -> None:
        with self._lock:
            self._state = state
            for pid in self._pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, state)
