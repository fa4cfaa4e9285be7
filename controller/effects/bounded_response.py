"""A response of http.client that keeps to the time of its request, however its bytes arrive."""

from __future__ import annotations

import io
import socket
from http.client import HTTPResponse
from typing import Any

from controller.effects.request_time import RequestTime


class BoundedResponse(HTTPResponse):
    """A response of http.client that arrives within the time of its request."""

    def __init__(self, time: RequestTime, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Incoming(time, sock, self.fp.detach()))


class _Incoming(io.RawIOBase):
    """The bytes that come in through a socket."""

    def __init__(self, time: RequestTime, sock: socket.socket, raw: io.RawIOBase) -> None:
        """``raw`` is the file that the socket was made into."""
        self._time, self._sock, self._raw = time, sock, raw

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read the next bytes that arrive. Raises TimeoutError if none arrive in time."""
        self._sock.settimeout(self._time.to_go_on())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Close the socket's file, so that the socket can be closed."""
        self._raw.close()
        super().close()
