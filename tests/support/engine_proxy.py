"""A proxy between an agent and a real Docker engine. It passes all requests on unless the test interferes."""

from __future__ import annotations

import http.client
import re
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from tests.support.loopback_server import LoopbackServer, PassingHandler

#: An answer: status, headers and body.
Answer = tuple[int, dict[str, str], bytes]


class EngineProxy(LoopbackServer):
    """Listens at `url`, a loopback port of its own, and passes requests on to the engine at `socket_url`.

    A test changes by path how requests are answered. Paths are without the API's version, as in
    `/containers/<id>/json`.
    """

    def __init__(self, socket_url: str) -> None:
        self._socket_path = socket_url.removeprefix("unix://")
        #: Answers that replace the engine's, as status and body, by path.
        self.answers: dict[str, tuple[int, bytes]] = {}
        #: By path, the seconds for which an answer is held back.
        self.delays: dict[str, float] = {}
        #: The paths that are let through, as a regular expression; empty: all of them. Any other request is refused.
        self.only = ""
        #: Whether streams of events are refused. If not, they are passed on as they come.
        self.refuses_streams = False
        #: The paths whose answers do not come until `release`, and the paths whose answers come a byte a second.
        self.hanging: set[str] = set()
        self.trickling: set[str] = set()
        #: Where all requests are redirected to; empty: nowhere.
        self.redirect = ""
        #: The path of every request without and with the API's version, and the names of its headers.
        self.asked: list[str] = []
        self.requests: list[str] = []
        self.headers: list[list[str]] = []
        self._released = threading.Event()
        super().__init__(_handler(self))
        self.url = f"tcp://{self.address}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
        super().__exit__(kind, error, at)

    def release(self) -> None:
        """Send all answers that were held back, and answer from now on at once."""
        self.hanging, self.trickling, self.delays = set(), set(), {}
        self._released.set()

    def hang(self, *paths: str) -> None:
        """Answer no request to these paths until `release`."""
        self._released.clear()
        self.hanging = set(paths)

    def answer_to(self, method: str, path_and_query: str) -> Answer:
        """Return the answer to a request, after waiting for as long as the test wants it held back."""
        path = _without_version(path_and_query)
        self.asked.append(path)
        self.requests.append(path_and_query.partition("?")[0])
        if self.redirect:
            return 302, {"Location": self.redirect}, b""
        if path in self.hanging:
            self._released.wait()
        self._released.wait(self.delays.get(path, 0.0))
        if self._is_refused(path_and_query):
            return 403, {"Content-Type": "text/html"}, b"<html><body><h1>403 Forbidden</h1></body></html>"
        if path in self.answers:
            status, body = self.answers[path]
            return status, {"Content-Type": "application/json"}, body
        return self._ask_engine(method, path_and_query)

    def _ask_engine(self, method: str, path_and_query: str) -> Answer:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(self._socket_path)
            connection.request(method, path_and_query)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def passes_on(self, path_and_query: str) -> bool:
        """Return whether the answer to this request is passed on as it comes."""
        return _is_stream(path_and_query) and not self._is_refused(path_and_query)

    def _is_refused(self, path_and_query: str) -> bool:
        if self.only and not re.fullmatch(self.only, path_and_query.partition("?")[0]):
            return True
        return self.refuses_streams and _is_stream(path_and_query)

    def relay(self, path_and_query: str, sock: socket.socket) -> None:
        """Pass a request on to the engine, and its answer on as it comes, until either end closes the connection."""
        self.asked.append(_without_version(path_and_query))
        self.requests.append(path_and_query.partition("?")[0])
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._socket_path)
            engine.sendall(f"GET {path_and_query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            while select.select([engine, sock], [], [])[0] == [engine] and (data := engine.recv(65536)):
                sock.sendall(data)

    def write_body(self, path_and_query: str, body: bytes, write: Callable[[bytes], object]) -> None:
        """Write the body of an answer, a byte a second while its path is among the trickling ones."""
        path, sent = _without_version(path_and_query), 0
        while path in self.trickling and sent < len(body):
            self._released.wait(1.0)
            write(body[sent : sent + 1])
            sent += 1
        write(body[sent:])


def _without_version(path_and_query: str) -> str:
    """Return the path of a request to the engine without the API's version and the query."""
    return re.sub(r"^/v1\.\d+(?=/)", "", path_and_query.partition("?")[0])


def _is_stream(path_and_query: str) -> bool:
    """Return whether the answer to a request goes on for as long as the engine likes."""
    return _without_version(path_and_query) == "/events" and "until=" not in path_and_query


def _handler(proxy: EngineProxy) -> type[PassingHandler]:
    class Handler(PassingHandler):
        def do_GET(self) -> None:
            """Answer a request."""
            proxy.headers.append(list(self.headers))
            if proxy.passes_on(self.path):
                self.close_connection = True
                with suppress(OSError):
                    proxy.relay(self.path, self.connection)
                return
            status, headers, body = proxy.answer_to(self.command, self.path)
            try:
                self.begin_answer(status, headers, len(body))
                proxy.write_body(self.path, body, self.wfile.write)
            except OSError:
                self.close_connection = True

    return Handler
