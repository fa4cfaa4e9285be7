"""A server at a loopback port or a Unix socket that does with each connection what a script says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

#: What is done with a connection. The connection is closed when the script returns.
Script = Callable[["Connection"], object]


class Connection:
    """The server's end of a connection."""

    def __init__(self, sock: socket.socket, ended: threading.Event) -> None:
        self.socket, self._ended = sock, ended
        self._file = sock.makefile("rb")

    def request(self) -> bytes:
        """Return the next request, its head and its body; empty after the last one."""
        head = b""
        while line := self._file.readline():
            head += line
            if line == b"\r\n":
                break
        lengths = [int(line.partition(b":")[2]) for line in head.splitlines() if line.startswith(b"Content-Length")]
        return head + self._file.read(sum(lengths))

    def send(self, data: bytes, size: int = 0, seconds: float = 0.0) -> None:
        """Send data, at once or in pieces of a size, after this many seconds each."""
        pieces = [data[start : start + size] for start in range(0, len(data), size)] if size else [data]
        for piece in pieces:
            if seconds:
                self.wait(seconds)
            self.socket.sendall(piece)

    def wait(self, seconds: float = 60.0) -> None:
        """Do nothing for this many seconds, or until the server ends."""
        self._ended.wait(seconds)


class ScriptedServer:
    """Serves the first connection by the first script, and so on, and all further ones by the last script."""

    def __init__(self, *scripts: Script, at: str = "", context: ssl.SSLContext | None = None) -> None:
        """``at`` is the path of the Unix socket at which to listen; if it is empty, listen at a loopback port.
        ``context`` is for TLS."""
        self._scripts, self.context = scripts, context
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []
        #: How many connections were accepted.
        self.connections = 0
        self._listener = _listening(at) if at else socket.create_server(("127.0.0.1", 0))
        self.port: int = 0 if at else self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                threading.Thread(target=self._serve, args=(script, sock), daemon=True).start()

    def _serve(self, script: Script, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            self._sockets.append(sock)
            connection = Connection(sock, self._ended)
            script(connection)
            connection.socket.shutdown(socket.SHUT_RDWR)
        sock.close()


def _listening(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock
