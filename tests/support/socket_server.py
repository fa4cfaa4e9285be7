"""A server that hands each connection to the test support module that extends it."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

Address = tuple[str, int]


class SocketServer(ABC):
    """Listens at ``address``, a loopback port of its own, or at a Unix socket. It accepts connections while it is
    entered, and closes all of them at the end."""

    def __init__(self, at: str = "") -> None:
        """``at`` is the path of the Unix socket at which to listen; if it is empty, listen at a loopback port."""
        #: Is set when the server ends.
        self.ended = threading.Event()
        #: What is closed when the server ends, beside the listening socket.
        self.sockets: list[socket.socket] = []
        self._listener = _listening(at) if at else socket.create_server(("127.0.0.1", 0))
        self.address: Address = ("", 0) if at else self._listener.getsockname()[:2]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ended.set()
        for each in (self._listener, *self.sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.accepted(self._listener.accept()[0])

    @abstractmethod
    def accepted(self, sock: socket.socket) -> None:
        """Begin to serve a connection, without waiting for its end. An OSError ends the server."""


def _listening(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock
