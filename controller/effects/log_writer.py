"""Write the lines of the log in the background, so that nothing waits for whoever reads the log.

Standard error may be a pipe that nobody reads, a closed one, or a file on a full disk. Lines that cannot be written are
dropped and counted. The standard library's QueueHandler and QueueListener do not fit: the listener starts a thread by
itself, the limit of its queue ignores the length of lines, and at the end it waits without a bound.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections import deque
from collections.abc import Callable
from threading import Lock

from controller.effects.background import Background

#: The most bytes of lines that may wait to be written: some thousand lines, and little compared to the memory of the
#: rest of the program.
LIMIT = 2**20

#: Seconds that the end of the program waits for the lines that are not written yet.
PATIENCE = 1.0

#: Seconds after which the writer looks for lines even if nothing woke it.
_IDLE = 3600.0


def write_to_stderr(data: bytes) -> int:
    """Write as much of the data as standard error takes, from its beginning, and return the number of bytes. If
    standard error takes none, wait until it takes some.

    Raises OSError. ``sys.stderr`` itself is not written to, because it would keep what it could not write, and try
    again when the program ends. Standard error may be non-blocking: another process that shares it may have made it so.
    """
    if sys.stderr is None:  # It was closed when the program started, and its number may be another file's now.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    descriptor = sys.stderr.fileno()
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        select.select([], [descriptor], [])
        return 0


class LogWriter:
    """A queue of lines, and the background work that writes them."""

    def __init__(
        self,
        background: Background,
        write: Callable[[bytes], int] = write_to_stderr,
        patience: float = PATIENCE,
    ) -> None:
        """``write`` works as ``write_to_stderr``.
        ``patience`` is how many seconds ``flush`` waits."""
        self._write = write
        self._patience = patience
        self._notice: Callable[[int], str] = lambda lost: f"{lost} lines of the log were lost"
        self._on_lost: Callable[[int], None] = lambda lines: None
        self._lock = Lock()
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._told = 0
        self._torn = False
        self._closed = False
        self._arrived = background.waker()
        self._drained = background.waker()
        self._drained.set()
        background.start(self._run, name="log")

    def announce_losses(self, notice: Callable[[int], str]) -> None:
        """Set what is written after ``lost`` lines were lost: the line ``notice(lost)``, before the next line that can
        be written."""
        self._notice = notice

    def report_losses(self, on_lost: Callable[[int], None]) -> None:
        """Call ``on_lost`` with the number of lines lost until now, and later with the number of each further loss."""
        with self._lock:
            self._on_lost = on_lost
            on_lost(self._lost)

    def put(self, line: str) -> None:
        """Have the line written in the background, and return at once. If too much waits, drop the oldest lines."""
        data = f"{line}\n".encode(errors="backslashreplace")
        with self._lock:
            self._lines.append(data)
            self._waiting_bytes += len(data)
            self._drained.clear()
            while self._waiting_bytes > LIMIT and len(self._lines) > 1:
                self._waiting_bytes -= len(self._lines.popleft())
                self._count_lost_line()
        self._arrived.set()

    def lose(self) -> None:
        """Count a line as lost."""
        with self._lock:
            self._count_lost_line()

    def flush(self) -> None:
        """Wait until every line is written or lost, but not longer than the patience."""
        self._drained.wait(self._patience)

    def close(self) -> None:
        """Have the background work end after it has written all lines that wait. Return at once."""
        self._closed = True
        self._arrived.set()

    def _count_lost_line(self) -> None:
        self._lost += 1
        self._on_lost(1)

    def _run(self) -> None:
        closing = False
        while not closing:
            self._arrived.wait(_IDLE)
            self._arrived.clear()
            closing = self._closed
            while line := self._next_line():
                self._write_line(line)

    def _next_line(self) -> bytes:
        """Take the next line out of the queue; empty if there is none."""
        with self._lock:
            if not self._lines:
                self._drained.set()
                return b""
            line = self._lines.popleft()
            self._waiting_bytes -= len(line)
            return line

    def _write_line(self, line: bytes) -> None:
        """Write a line. First end the previous line, if only a part of it was written, and announce lost lines, if
        there are any."""
        lost = self._lost
        before = "\n" if self._torn else ""
        if lost > self._told:
            before += f"{self._notice(lost - self._told)}\n"
        data = before.encode() + line
        left = data
        try:
            while left:
                left = left[self._write(left) :]
        except OSError:
            self._torn = self._torn or len(left) < len(data)
            self.lose()
        else:
            self._torn, self._told = False, lost
