"""An HTTP server that gives every request the same answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Address = tuple[str, int]


class _Handler(BaseHTTPRequestHandler):
    """Gives every request the server's answer, and adds it to the server's list."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Answering)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.asked.append(f"{self.command} {self.path}")
        server.hosts.append(self.headers.get("Host", ""))
        self.send_response_only(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    do_PUT = do_DELETE = do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class Answering(ThreadingHTTPServer):
    """Stands for an etcd with a fault, or for a server that is no etcd. ``asked`` has the requests that it got, and
    ``hosts`` their Host headers."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.headers = status, body, headers
        self.asked: list[str] = []
        self.hosts: list[str] = []

    @property
    def address(self) -> Address:
        """The host and port at which it listens."""
        return "127.0.0.1", self.server_port


@contextmanager
def fake(status: int = 200, body: object = None, **headers: str) -> Iterator[Answering]:
    """Run a server with this answer. ``body`` is a text, or is sent as JSON; names of headers have ``_`` for ``-``."""
    text = body if isinstance(body, str) else json.dumps(body)
    with Answering(status, text.encode(), {name.replace("_", "-"): value for name, value in headers.items()}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
