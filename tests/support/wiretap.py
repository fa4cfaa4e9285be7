"""A proxy between an agent and a real etcd. It passes all requests on unless the test interferes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable

from tests.support.loopback_server import LoopbackServer, PassingHandler

METHODS = ("GET", "PUT", "DELETE", "POST")

#: Called with a request before it is passed on, and again before its answer is. If it returns False, the connection is
#: closed at that point.
Meddler = Callable[["Moment"], bool]


class Moment:
    """A request on its way.

    `answered` is True once etcd has carried it out. `number` counts the writes from 1. If `status` is set before the
    request is passed on, it is answered with this status and an HTML page, and is not passed on.
    """

    def __init__(self, method: str, path: str, number: int, body: bytes) -> None:
        self.method, self.path, self.number, self.body = method, path, number, body
        self.answered = False
        self.status = 0

    @property
    def is_write(self) -> bool:
        """Whether it can change the store through the v2 API. Through the v3 API, any request may."""
        return self.method != "GET"

    @property
    def is_write_by_v3(self) -> bool:
        """Whether it is a transaction of the v3 API that may change keys."""
        return self.path.endswith("/kv/txn") and (b"request_put" in self.body or b"request_delete" in self.body)


class Wiretap(LoopbackServer):
    """Listens at `endpoint`, a loopback port of its own, and passes requests on to `target`."""

    def __init__(self, target: str, meddle: Meddler) -> None:
        self._writes = 0
        self._lock = threading.Lock()
        super().__init__(_handler(self, target, meddle))

    @property
    def endpoint(self) -> str:
        """Where it listens, as HOST:PORT."""
        return self.address

    def moment(self, method: str, path: str, body: bytes) -> Moment:
        """Return a request that came in, with the number of writes so far."""
        with self._lock:
            self._writes += method != "GET"
            return Moment(method, path, self._writes, body)


def _handler(tap: Wiretap, target: str, meddle: Meddler) -> type[PassingHandler]:
    class Handler(PassingHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            moment = tap.moment(self.command, self.path, body)
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
            self.begin_answer(status, headers, len(content))
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
