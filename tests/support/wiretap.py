"""A proxy between an agent and a real etcd. It passes all requests on unless the test interferes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

METHODS = ("GET", "PUT", "DELETE", "POST")

#: Called with a request before it is passed on, and again before its answer is. If it returns False, the connection is
#: closed at that point.
Meddler = Callable[["Moment"], bool]


class Moment:
    """A request on its way.

    `answered` is True once etcd has carried it out. `number` counts the writes from 1. If `status` is set before the
    request is passed on, it is answered with this status and an HTML page, and is not passed on.
    """

    def __init__(self, method: str, path: str, number: int) -> None:
        self.method, self.path, self.number = method, path, number
        self.answered = False
        self.status = 0

    @property
    def is_write(self) -> bool:
        """Whether it can change the store through the v2 API. Through the v3 API, any request may."""
        return self.method != "GET"


class Wiretap:
    """Listens at `endpoint`, a loopback port of its own, and passes requests on to `target`."""

    def __init__(self, target: str, meddle: Meddler) -> None:
        self._writes = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, target, meddle))
        self._server.daemon_threads = True
        self.endpoint = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def moment(self, method: str, path: str) -> Moment:
        """Return a request that came in, with the number of writes so far."""
        with self._lock:
            self._writes += method != "GET"
            return Moment(method, path, self._writes)


def _handler(tap: Wiretap, target: str, meddle: Meddler) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

        def pass_on(self) -> None:
            moment = tap.moment(self.command, self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not meddle(moment):
                self.close_connection = True
                return
            if moment.status:
                self.answer(moment.status, {"Content-Type": "text/html"}, b"<h1>Not now</h1>")
                return
            answer, content = _ask(target, self.command, self.path, body, dict(self.headers))
            moment.answered = True
            if not meddle(moment):
                self.close_connection = True
                return
            self.answer(answer.status, dict(answer.getheaders()), content)

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name not in {"Content-Length", "Transfer-Encoding", "Connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    for method in METHODS:
        setattr(Handler, f"do_{method}", Handler.pass_on)
    return Handler


def _ask(
    target: str, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(target, timeout=10)
    try:
        connection.request(method, path, body, {k: v for k, v in headers.items() if k != "Connection"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()
