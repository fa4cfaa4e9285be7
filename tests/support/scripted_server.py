"""A server at a loopback port or a Unix socket that does with each connection what a script says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from tests.support.socket_server import SocketServer

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


class ScriptedServer(SocketServer):
    """Serves the first connection by the first script, and so on, and all further ones by the last script."""

    def __init__(self, *scripts: Script, at: str = "", context: ssl.SSLContext | None = None) -> None:
        """See SocketServer for ``at``. ``context`` is for TLS."""
        super().__init__(at)
        self._scripts, self.context = scripts, context
        #: How many connections were accepted.
        self.connections = 0
        self.port = self.address[1]

    def accepted(self, sock: socket.socket) -> None:
        """Serve the connection by its script."""
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        threading.Thread(target=self._serve, args=(script, sock), daemon=True).start()

    def _serve(self, script: Script, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            self.sockets.append(sock)
            connection = Connection(sock, self.ended)
            script(connection)
            connection.socket.shutdown(socket.SHUT_RDWR)
        sock.close()
