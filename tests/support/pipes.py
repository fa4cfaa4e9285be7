"""A pipe that nobody reads, which a test uses as the standard error of a program."""

from __future__ import annotations

import os
from contextlib import suppress

#: The byte with which the pipe is filled.
FILLING = b"."


class UnreadPipe:
    """A pipe from which nobody reads until the test calls `read`."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)

    def fill(self) -> UnreadPipe:
        """Write until the pipe is full, and return this object. For the program, writes to the pipe still block."""
        # The writing end is opened anew, because O_NONBLOCK on the present open file would also apply to the program,
        # which shares it.
        own = os.open(f"/proc/self/fd/{self.writing}", os.O_WRONLY | os.O_NONBLOCK)
        # A long write may leave a part of the last page free, so single bytes fill the rest.
        for size in (65536, 1):
            with suppress(BlockingIOError):
                while True:
                    os.write(own, FILLING * size)
        os.close(own)
        return self

    def read(self) -> str:
        """Return what the program has written to the pipe since the last call, without the filling."""
        received = b""
        with suppress(BlockingIOError):
            while more := os.read(self._reading, 65536):
                received += more
        return received.decode(errors="replace").lstrip(FILLING.decode())

    def break_off(self) -> None:
        """Close the reading end, so that whoever writes gets EPIPE."""
        os.close(self._reading)
        self._reading = -1

    def close(self) -> None:
        """Close the ends that are still open."""
        for end in (self._reading, self.writing):
            if end >= 0:
                os.close(end)
