"""A proxy that passes on the answers of a real server a few bytes at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from attrs import frozen

from tests.support.socket_server import Address, SocketServer

#: Splits what the server sent into the part that is passed on at once and the part that trickles.
Split = Callable[[bytes], tuple[bytes, bytes]]


@frozen
class Pace:
    """The speed at which an answer trickles: ``size`` bytes every ``seconds`` seconds."""

    size: int = 1
    seconds: float = 0.5


def everything(data: bytes) -> tuple[bytes, bytes]:
    """Let the whole answer trickle, beginning with the status line or the TLS handshake."""
    return b"", data


def body(data: bytes) -> tuple[bytes, bytes]:
    """Pass on the headers at once, and let the body trickle, even if the server sends it in several pieces."""
    if not data.startswith(b"HTTP/"):
        return b"", data
    head, end, rest = data.partition(b"\r\n\r\n")
    return head + end, rest


def chunks(data: bytes) -> tuple[bytes, bytes]:
    """Pass on the headers at once, and let the body trickle in the chunked encoding, with chunks of one byte."""
    head, end, rest = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    encoded = b"".join(b"1\r\n%c\r\n" % byte for byte in rest) + b"0\r\n\r\n"
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + end, encoded


class Trickler(SocketServer):
    """Passes all bytes on to ``target``, and the answers back.

    While ``trickling`` is true, the answers trickle on each connection that has sent a request which contains ``only``.
    """

    def __init__(
        self,
        target: Address | str,
        split: Split = everything,
        pace: Pace = Pace(),
        only: bytes = b"",
        at: str = "",
    ) -> None:
        """``target`` is a host and port, or the path of a Unix socket. See SocketServer for ``at``."""
        super().__init__(at)
        self._target, self._split, self._pace, self._only = target, split, pace, only
        self.trickling = True

    def accepted(self, sock: socket.socket) -> None:
        """Connect to the target, and pass on what comes from either side."""
        far = socket.create_connection(self._target) if isinstance(self._target, tuple) else _unix(self._target)
        self.sockets += [sock, far]
        slow = threading.Event()
        threading.Thread(target=self._pass_requests, args=(sock, far, slow), daemon=True).start()
        threading.Thread(target=self._pass_answers, args=(far, sock, slow), daemon=True).start()

    def _pass_requests(self, near: socket.socket, far: socket.socket, slow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if self.trickling and self._only in data:
                    slow.set()
                far.sendall(data)

    def _pass_answers(self, far: socket.socket, near: socket.socket, slow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(1 << 20):
                if not slow.is_set():
                    near.sendall(data)
                    continue
                at_once, slowly = self._split(data)
                near.sendall(at_once)
                for start in range(0, len(slowly), self._pace.size):
                    if self.ended.wait(self._pace.seconds):
                        return
                    near.sendall(slowly[start : start + self._pace.size])
        with contextlib.suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)


def _unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock
