"""A pipe that nobody reads, as the standard error of a program."""

from __future__ import annotations

import os
from contextlib import suppress

#: What the pipe is filled with.
FILLING = b"."


class UnreadPipe:
    """A pipe whose reading end the test has, and which it reads when it wants to."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)

    def fill(self) -> UnreadPipe:
        """Write until nothing more fits. For the program the pipe stays a blocking one."""
        # The writing end is opened anew, because what is set for an open file counts for everybody who shares it.
        own = os.open(f"/proc/self/fd/{self.writing}", os.O_WRONLY | os.O_NONBLOCK)
        # A write that is longer than PIPE_BUF may be done in part, so single bytes fill the last page.
        for size in (65536, 1):
            with suppress(BlockingIOError):
                while True:
                    os.write(own, FILLING * size)
        os.close(own)
        return self

    def read(self) -> str:
        """Return what is in the pipe now, without what it was filled with."""
        received = b""
        with suppress(BlockingIOError):
            while more := os.read(self._reading, 65536):
                received += more
        return received.decode(errors="replace").lstrip(FILLING.decode())

    def break_off(self) -> None:
        """Close the reading end: whoever writes gets EPIPE."""
        os.close(self._reading)
        self._reading = -1

    def close(self) -> None:
        """Close both ends."""
        for end in (self._reading, self.writing):
            if end >= 0:
                os.close(end)
