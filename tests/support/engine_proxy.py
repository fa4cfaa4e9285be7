"""A proxy between an agent and a real Docker engine. It passes all requests on unless the test interferes."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

#: What the engine answered: status, headers and body.
Answer = tuple[int, dict[str, str], bytes]


class EngineProxy:
    """Listens at `url`, a loopback port of its own, and passes requests on to the engine at `socket_url`.

    What it does with a request depends on its path, without the API version, as in `/containers/<id>/json`.
    """

    def __init__(self, socket_url: str) -> None:
        self._socket_path = socket_url.removeprefix("unix://")
        #: Answers that are given in place of the engine's, by path: status and body.
        self.answers: dict[str, tuple[int, bytes]] = {}
        #: Seconds that an answer is held back, by path.
        self.delays: dict[str, float] = {}
        #: The paths whose answers do not come until `release`, and those whose answers come a byte a second.
        self.hanging: set[str] = set()
        self.trickling: set[str] = set()
        #: The path of every request.
        self.asked: list[str] = []
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"tcp://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def release(self) -> None:
        """Let all answers come, from now on at once."""
        self.hanging, self.trickling, self.delays = set(), set(), {}
        self._released.set()

    def hang(self, *paths: str) -> None:
        """Let no answer come to requests of these paths until `release`."""
        self._released.clear()
        self.hanging = set(paths)

    def answer_to(self, method: str, path_and_query: str) -> Answer:
        """Return what is to be answered to a request, when it is time."""
        path = re.sub(r"^/v1\.\d+(?=/)", "", path_and_query.partition("?")[0])
        self.asked.append(path)
        if path in self.hanging:
            self._released.wait()
        self._released.wait(self.delays.get(path, 0.0))
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

    def writer_for(self, path_and_query: str, write: Callable[[bytes], object]) -> Callable[[bytes], None]:
        """Return what writes the body of an answer."""
        path = re.sub(r"^/v1\.\d+(?=/)", "", path_and_query)

        def trickle(body: bytes) -> None:
            for each in body:
                if path in self.trickling:
                    self._released.wait(1.0)
                write(bytes([each]))

        return trickle if path in self.trickling else lambda body: (write(body), None)[1]


def _handler(proxy: EngineProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            """Answer a request."""
            status, headers, body = proxy.answer_to(self.command, self.path)
            try:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name not in {"Content-Length", "Transfer-Encoding", "Connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                proxy.writer_for(self.path, self.wfile.write)(body)
            except OSError:
                self.close_connection = True

    return Handler
