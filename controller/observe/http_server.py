"""The HTTP server, and the only module that imports waitress: ``/metrics``, ``/healthz``, ``/readyz``, and the pages
under ``/api/v1/``.

A health check has to get its answer whatever other clients do. Therefore each connection gets one answer, within ten
seconds, and if too many connections are open, those give way that have been idle for the longest time.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import RequestEntityTooLarge

from controller import logs
from controller.effects.clock import Clock, Deadline
from controller.errors import one_line
from controller.observe import agent_page
from controller.observe.answer import Answer
from controller.observe.api.pages import CHANGES, ENTRIES, PLAN, STATUS, Page
from controller.observe.api.values import encoded, problems_document
from controller.observe.health import Condition
from controller.observe.web_token import NO_TOKEN, WebToken

log = logs.logger("wharfinger.http")

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

#: The most bytes of a request's head: of its first line and its headers.
MAX_HEAD = 16 * 1024

#: The most connections at the same time. Those who ask are a Prometheus or two, a health check, and people.
MAX_CONNECTIONS = 100

#: The most bytes of answers that clients have not read yet, all of them together.
MAX_UNREAD = 16 * 1024 * 1024

#: The part of the files that the process may open which clients may use, as a divisor. The engine and etcd need files,
#: too.
_SHARE = 4

#: Seconds from the start of a connection until the client must have sent its request and received the answer.
_CONNECTION_SECONDS = 10

#: Seconds without accepting connections after one could not be accepted.
_PAUSE = 1.0

#: Seconds between two log lines about connections that give way, so that clients cannot fill the log.
_QUIET = 60.0

#: The pages that the front page links to.
_LINKED = ("/metrics", "/healthz", "/readyz", agent_page.PATH, STATUS, ENTRIES, PLAN, CHANGES)

_INDEX = f"""<!doctype html><html lang="en"><title>wharfinger</title><h1>wharfinger</h1>
<ul>{"".join(f'<li><a href="{each}">{each}</a>' for each in _LINKED)}</ul></html>
""".encode()

_JSON = "application/json; charset=utf-8"

#: What builds the page at a path under /api/v1/; None if there is none.
FindPage = Callable[[str], Callable[[], Page] | None]


def router(
    health: Condition,
    metrics: App,
    describe_agent: Callable[[], str],
    find_page: FindPage = lambda path: None,
    token: WebToken = NO_TOKEN,
) -> App:
    """Return the WSGI application that serves health, metrics, the description of the agent, and the pages that
    ``find_page`` finds. It answers GET and HEAD, and changes nothing. It asks for the token, except for the pages that
    are open."""
    pages: dict[str, App] = {
        "/": lambda environ, start: _reply(start, "200 OK", _INDEX, "text/html; charset=utf-8"),
        "/metrics": metrics,
        "/healthz": lambda environ, start: _answer(start, health.alive()),
        "/readyz": lambda environ, start: _answer(start, health.ready()),
        agent_page.PATH: lambda environ, start: _reply(start, "200 OK", describe_agent().encode(), _JSON),
    }

    def page_at(path: str) -> App | None:
        if path in pages:
            return pages[path]
        build = find_page(_decoded(path))
        return None if build is None else lambda environ, start: _reply_with(start, build())

    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        admitted = token.admits(path, environ.get("HTTP_AUTHORIZATION", ""))
        page = page_at(path) if admitted else _ask_for_token
        if page is None:
            return _reply(start, "404 Not Found", b"not found\n")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _reply(start, "405 Method Not Allowed", b"only GET and HEAD\n", more=[("Allow", "GET, HEAD")])
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(page({**environ, "REQUEST_METHOD": "GET"}, lambda *answer: started.append(answer)))
        ((status, headers),) = started
        start(status, [*(each for each in headers if each[0] != "Content-Length"), ("Content-Length", str(len(body)))])
        return [body] if environ["REQUEST_METHOD"] == "GET" else []

    return app


def _decoded(path: str) -> str:
    """Return a path as text. A server of WSGI hands over each byte of it as one character."""
    return path.encode("latin-1", "replace").decode(errors="replace")


def _ask_for_token(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    document = problems_document(["this page needs the token of --web-token-file, as Authorization: Bearer TOKEN"])
    body = f"{encoded(document)}\n".encode()
    return _reply(start, "401 Unauthorized", body, _JSON, more=[("WWW-Authenticate", "Bearer")])


def _reply_with(start: StartResponse, page: Page) -> Iterable[bytes]:
    return _reply(start, page.status, f"{encoded(page.document)}\n".encode(), _JSON)


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


class _Request(HTTPRequestParser):
    """A request. It is refused if it has a body, and its connection is closed after the answer."""

    headers: dict[str, str]

    def received(self, data: bytes) -> int:
        """See HTTPRequestParser. What follows the request is dropped, as it gets no answer. waitress itself would wait
        for the first piece of a body of unknown length."""
        consumed = super().received(data)
        if self.chunked and not self.completed:
            self.error = RequestEntityTooLarge("only requests without a body")
            self.completed = True
        return len(data) if self.completed and not self.empty else consumed

    def parse_header(self, header_plus: bytes) -> None:
        """See HTTPRequestParser. waitress would ask for the body that a client holds back."""
        super().parse_header(header_plus)
        self.expect_continue = False
        self.headers["CONNECTION"] = "close"


class _Channel(HTTPChannel):
    """The connection to a client. waitress would poll one that the server has closed since the last poll, and its own
    times of a connection are wrong after the machine's clock was set."""

    parser_class = _Request
    server: _Server

    def __init__(self, server: _Server, *accepted: Any, **settings: Any) -> None:
        """Begin. The other arguments are those of HTTPChannel."""
        super().__init__(server, *accepted, **settings)
        self.end = Deadline.after(_CONNECTION_SECONDS, server.clock)
        #: When the client last sent something, in seconds of the monotonic clock.
        self.last_heard = server.clock.monotonic()

    def received(self, data: bytes) -> bool:
        """See HTTPChannel."""
        self.last_heard = self.server.clock.monotonic()
        return bool(super().received(data))

    def readable(self) -> bool:
        """See HTTPChannel."""
        return self.connected and super().readable()

    def writable(self) -> bool:
        """See HTTPChannel."""
        return self.connected and super().writable()


class _Server(TcpWSGIServer):
    """Serves at one address. waitress calls ``readable`` before each poll, which lasts a second at most.

    At its own limit of connections, waitress would let new ones wait. Its own limit of time counts from the last byte
    of a client, so a client that sends a byte now and then would stay for ever.
    """

    channel_class = _Channel

    def __init__(self, clock: Clock, limit: int, shared: dict[int, Any], app: App, **settings: Any) -> None:
        """Serve. ``limit`` is the number of connections of all servers that share this mapping of descriptors."""
        self.clock = clock
        self._limit = limit
        self._shared = shared
        self._quiet = Deadline.after(0.0, clock)
        self._pause = Deadline.after(0.0, clock)
        super().__init__(app, shared, **settings)

    def readable(self) -> bool:
        """Return whether connections are accepted, after closing those that have taken too long or keep too much, and
        making room for another one."""
        for channel in self._channels():
            if channel.end.passed:
                channel.handle_close()
        self._free_memory()
        # One whose request is being answered is not idle.
        channels = sorted(self._channels(), key=lambda each: (bool(each.requests), each.last_heard))
        for channel in channels[: max(0, len(channels) - self._limit + 1)]:
            self._tell("as many are open as there may be, so those give way that have been idle for the longest time")
            channel.handle_close()
        return self._pause.passed and bool(super().readable())

    def _free_memory(self) -> None:
        """Close the connections of those who have not read their answers for the longest time, while more is unread
        than may be. The last one stays, however long its answer is."""
        unread = sorted((each for each in self._channels() if each.total_outbufs_len), key=lambda each: each.last_heard)
        excess = sum(each.total_outbufs_len for each in unread) - MAX_UNREAD
        for channel in unread[:-1]:
            if excess <= 0:
                return
            self._tell("clients do not read their answers, so those give way that have not for the longest time")
            excess -= channel.total_outbufs_len
            channel.handle_close()

    def accept(self) -> Any:
        """Accept a connection. If that fails, as without a free descriptor, accept none for a second."""
        try:
            return super().accept()
        except OSError as error:
            self._tell(f"a new one cannot be accepted: {one_line(error)}")
            self._pause = Deadline.after(_PAUSE, self.clock)
            raise

    def handle_close(self) -> None:
        """Raise RuntimeError. waitress would close its socket after a failure, and serve on without it."""
        raise RuntimeError("the socket at which the HTTP server listens has failed")

    def maintenance(self, now: float) -> None:
        """Do nothing. waitress would close connections by the machine's clock, which may have been set."""

    def _channels(self) -> list[_Channel]:
        return [each for each in self._shared.values() if isinstance(each, _Channel)]

    def _tell(self, trouble: str) -> None:
        if self._quiet.passed:
            self._quiet = Deadline.after(_QUIET, self.clock)
            log.warning("too many HTTP connections", problem=trouble)


def http_server(app: App, sockets: Sequence[Any], clock: Clock) -> Callable[[], None]:
    """Return a function that serves the application for ever at these sockets, which listen already."""
    limit = allowed_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    settings = Adjustments(
        sockets=sockets,
        threads=4,
        connection_limit=sys.maxsize,
        asyncore_use_poll=True,  # select() cannot serve descriptors from 1024 on.
        max_request_header_size=MAX_HEAD,
        max_request_body_size=1,  # The least that can be set. It refuses every body.
        outbuf_overflow=sys.maxsize,  # waitress would keep long answers in files.
        log_socket_errors=False,
        ident=None,
    )
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(settings.threads)
    shared: dict[int, Any] = {}
    servers = [
        _Server(
            clock,
            limit,
            shared,
            app,
            dispatcher=dispatcher,
            adj=settings,
            _sock=each,
            bind_socket=False,
            sockinfo=(each.family, each.type, each.proto, each.getsockname()),
        )
        for each in sockets
    ]
    return servers[0].run  # It serves all of them, because they share their connections.


def allowed_connections(files: int) -> int:
    """Return the most connections of a process that may open this many files; less than 0 means no limit."""
    return MAX_CONNECTIONS if files < 0 else max(1, min(MAX_CONNECTIONS, files // _SHARE))
