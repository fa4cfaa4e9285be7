"""The HTTP server: ``/metrics``, ``/healthz``, ``/readyz``.

It reads the head of a request and never a body, and answers one request for each connection. The listener
(``controller/effects/listener.py``) keeps clients to their limits.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from controller import logs
from controller.effects.clock import Clock
from controller.effects.listener import Answering, Later, Limits, Listener
from controller.effects.network import listen
from controller.errors import Stop, one_line
from controller.host_port import HostPort
from controller.observe.answer import Answer
from controller.observe.health import Condition

log = logs.logger("wharfinger.http")

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

#: The most bytes of a request's head: of its first line, its headers and the empty line after them.
MAX_HEAD = 16 * 1024

#: The most connections at the same time. Those who ask are a Prometheus or two, a health check, and people.
MAX_CONNECTIONS = 100

#: The part of the files that the process may open which clients may use, as a divisor. The engine and etcd need files,
#: too.
_SHARE = 4

#: The pages that take milliseconds to make. They are made when no other client waits, so that a health check waits for
#: one of them at most.
_SLOW = frozenset({"/metrics"})

_HEAD_END = re.compile(rb"\n\r?\n")

#: What stands before the path if a client sends the whole URL, as it does to a proxy.
_ORIGIN = re.compile(r"^https?://[^/?]*", re.IGNORECASE)

_INDEX = b"""<!doctype html><html lang="en"><title>wharfinger</title><h1>wharfinger</h1>
<ul><li><a href="/metrics">/metrics</a><li><a href="/healthz">/healthz</a><li><a href="/readyz">/readyz</a></ul></html>
"""


def router(health: Condition, metrics: App) -> App:
    """Return the WSGI application that serves health and metrics. It answers GET and HEAD without a body, and changes
    nothing."""
    pages: dict[str, App] = {
        "/": lambda environ, start: _reply(start, "200 OK", _INDEX, "text/html; charset=utf-8"),
        "/metrics": metrics,
        "/healthz": lambda environ, start: _answer(start, health.alive()),
        "/readyz": lambda environ, start: _answer(start, health.ready()),
    }

    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        page = pages.get(environ["PATH_INFO"])
        if page is None:
            return _reply(start, "404 Not Found", b"not found\n")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _reply(start, "405 Method Not Allowed", b"only GET and HEAD\n", more=[("Allow", "GET, HEAD")])
        if _has_body(environ):
            return _reply(start, "413 Content Too Large", b"only requests without a body\n")
        body = page({**environ, "REQUEST_METHOD": "GET"}, start)
        return body if environ["REQUEST_METHOD"] == "GET" else []

    return app


def _has_body(environ: Environ) -> bool:
    return environ.get("CONTENT_LENGTH", "").strip("0") != "" or "HTTP_TRANSFER_ENCODING" in environ


def _answer(start: StartResponse, answer: Answer) -> Iterable[bytes]:
    status = "200 OK" if answer.good else "503 Service Unavailable"
    return _reply(start, status, f"{answer.text}\n".encode())


def _reply(
    start: StartResponse,
    status: str,
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
    more: Sequence[tuple[str, str]] = (),
) -> Iterable[bytes]:
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        *more,
    ]
    start(status, headers)
    return [body]


def http_server(app: App, address: HostPort, clock: Clock) -> Listener:
    """Listen at the address, and return what serves the application there.

    Raises Stop when the program cannot listen there, for example because the port is in use.
    """
    try:
        sockets = listen(*address)
    except (OSError, ValueError) as error:
        raise Stop(f"cannot listen on {address}: {one_line(error)}; choose another address with --listen") from error
    return Listener(
        sockets,
        answering(app, clock),
        clock,
        lambda trouble: log.warning("HTTP connections give way", why=trouble),
        Limits(allowed_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])),
    )


def allowed_connections(files: int) -> int:
    """Return the most connections of a process that may open this many files; less than 0 means no limit."""
    return MAX_CONNECTIONS if files < 0 else max(1, min(MAX_CONNECTIONS, files // _SHARE))


def answering(app: App, clock: Clock) -> Answering:
    """Return a function that takes what a client has sent until now, and returns the answer to its request; None while
    the head of the request is not whole. The answer tells the client that the connection is closed after it."""

    def answer(received: bytes) -> bytes | Later | None:
        try:
            asked = _asked(received, app)
        except Exception:  # A mistake of ours must not end the server.
            log.exception("HTTP request cannot be read, please report this")
            asked = _problem(HTTPStatus.BAD_REQUEST), {}
        if not asked:
            return None
        page, environ = asked
        later = partial(_run, page, environ, clock)
        return later if environ.get("PATH_INFO") in _SLOW else later()

    return answer


def _asked(received: bytes, app: App) -> tuple[App, Environ] | None:
    """Return the application that answers what was received, and what that application is told of the request; None
    while the head of the request is not whole."""
    request = received.lstrip(b"\r\n")
    end = _HEAD_END.search(request, 0, MAX_HEAD)
    if end:
        head = _Head(request[: end.end()])
        return (_problem(head.problem), {}) if head.problem else (app, head.environ())
    if len(received) >= MAX_HEAD:
        line_ended = b"\n" in request
        return _problem(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if line_ended else HTTPStatus.REQUEST_URI_TOO_LONG
        ), {}
    if request and not request[:1].isalpha():  # No method begins like this. A TLS handshake, for example, does.
        return _problem(HTTPStatus.BAD_REQUEST), {}
    return None


class _Head(BaseHTTPRequestHandler):
    """The head of a request, parsed by the standard library, which is handed the bytes instead of a socket."""

    def __init__(self, head: bytes) -> None:
        self.rfile = BytesIO(head)
        self.raw_requestline = self.rfile.readline()
        #: What is wrong with it, or None.
        self.problem: HTTPStatus | None = None
        if not self.parse_request() and self.problem is None:
            self.problem = HTTPStatus.BAD_REQUEST

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Note the problem. The standard library calls this, and would send a page that repeats the request."""
        self.problem = HTTPStatus(code)

    def environ(self) -> Environ:
        """Return what WSGI applications get to know of the request, as far as those of this program ask for it."""
        path, _, query = _ORIGIN.sub("", self.path).partition("?")
        environ = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "iso-8859-1") or "/",
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": self.request_version,
        }
        for name, value in self.headers.items():
            variable = name.upper().replace("-", "_")
            environ[variable if variable == "CONTENT_LENGTH" else f"HTTP_{variable}"] = value
        return environ


def _problem(status: HTTPStatus) -> App:
    """Return an application that answers every request with this status."""
    text = f"{status.value} {status.phrase}"
    return lambda environ, start: _reply(start, text, f"{status.phrase}\n".encode())


def _run(app: App, environ: Environ, clock: Clock) -> bytes:
    """Return the whole answer of an application to a request. If the application breaks, the answer says so."""
    try:
        return _answer_of(app, environ, clock)
    except Exception:  # A mistake of ours must not end the server.
        log.exception("HTTP page broke, please report this")
        return _answer_of(_problem(HTTPStatus.INTERNAL_SERVER_ERROR), {}, clock)


def _answer_of(app: App, environ: Environ, clock: Clock) -> bytes:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    body = b"".join(app(environ, lambda status, headers: started.append((status, headers))))
    ((status, headers),) = started
    headers = [*headers, ("Date", formatdate(clock.wall(), usegmt=True)), ("Connection", "close")]
    if body and "Content-Length" not in dict(headers):
        headers.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("iso-8859-1") + body
