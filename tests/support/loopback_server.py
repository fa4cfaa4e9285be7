"""An HTTP server on a loopback port of its own, with the handler that a test support module gives it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class _Server(ThreadingHTTPServer):
    """Accepts connections, over TLS where it has a context."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.context: ssl.SSLContext | None = None
        self.connections = 0
        super().__init__(("127.0.0.1", 0), handler)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection. The thread of its own makes the handshake."""
        sock, address = super().get_request()
        self.connections += 1
        if self.context:
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client may end the connection, or be refused."""


class LoopbackServer:
    """Serves while it is entered, with a daemon thread for each connection. `address` is HOST:PORT."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = _Server(handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def connections(self) -> int:
        """How many connections it has accepted."""
        return self._server.connections

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Serve the connections that it accepts from now on over TLS."""
        self._server.context = context

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class PassingHandler(BaseHTTPRequestHandler):
    """The handler of a proxy. It keeps connections open, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def begin_answer(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Send the head of an answer whose body has this length, with the headers that a server gave."""
        self.send_response_only(status)
        for name, value in headers.items():
            if name not in {"Content-Length", "Transfer-Encoding", "Connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
