"""An HTTP client for one server, over one connection that is kept between requests.

It is the standard library's http.client, with what the requests of this program need besides: one time limit for the
request as a whole, whatever the other end does, Unix sockets, addresses that ``Names`` remembers, and a TLS context
that may change. It loads faster than a larger library would, and its requests cost less. It follows no redirects, makes
no retries, and takes neither proxies, nor CAs, nor passwords from the environment.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from types import MappingProxyType
from typing import Any, Protocol

from attrs import frozen

from controller.effects.bounded_response import BoundedResponse
from controller.effects.clock import Clock
from controller.effects.names import Names
from controller.effects.network import connect
from controller.effects.request_time import RequestTime, TimeLimits

#: Tells of each request, as the client libraries do. See ``--log-level trace``.
_log = logging.getLogger(__name__)

#: The most bytes that are sent before the time that is left is looked at again.
_PIECE = 16 * 1024

#: What a request may raise: there was no answer, or none in HTTP. ``TimeoutError`` is among the OSErrors.
HTTP_ERRORS = (OSError, HTTPException)

#: The headers of a request that has none of its own.
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@frozen
class HttpAnswer:
    """The answer to a request, received as a whole."""

    status: int
    #: The headers, by their names in lower case.
    headers: Mapping[str, str]
    body: bytes


class HttpClient(Protocol):
    """Makes requests to one server. A simulation has one of its own."""

    def request(
        self, method: str, path: str, limits: TimeLimits, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
    ) -> HttpAnswer:
        """Make a request and return the answer, whatever its status. Raises HTTP_ERRORS."""

    def lines(self, path: str, limits: TimeLimits, silence: float) -> Iterator[bytes]:
        """Get an answer that goes on for as long as the server likes. Return an iterator of its lines, as they arrive,
        when its headers have arrived.

        ``limits`` are for everything up to the headers. ``silence`` is for how many seconds nothing may arrive after
        that. The connection is closed when the iterator ends, or the client is closed. Raises HTTP_ERRORS, and
        UnwantedAnswer if the status is not 200. The iterator raises HTTP_ERRORS, and TimeoutError after the silence.
        """

    def close(self) -> None:
        """Close the connection. The next request opens another one."""


@frozen
class UnwantedAnswer(HTTPException):
    """The answer to a request for lines has another status than 200."""

    answer: HttpAnswer

    def __str__(self) -> str:
        return f"status {self.answer.status}"


class Route(Protocol):
    """How a server is reached."""

    @property
    def host(self) -> str:
        """The Host header."""

    def connect(self, time: RequestTime) -> socket.socket:
        """Return a new connection. Raises OSError, also if there is none in time."""

    def has_changed(self) -> bool:
        """Return whether connections that were made before now must not be used any longer."""


@frozen
class UnixRoute:
    """A server at a Unix socket."""

    path: str
    host: str = "localhost"

    def connect(self, time: RequestTime) -> socket.socket:
        """See Route."""
        return connect(socket.AF_UNIX, self.path, time.to_connect())

    def has_changed(self) -> bool:
        """See Route."""
        return False


class TcpRoute:
    """A server at a host and port, with TLS if there is a context for it."""

    def __init__(
        self, name: str, port: int, names: Names, context: Callable[[], ssl.SSLContext | None] = lambda: None
    ) -> None:
        """``context`` is called before each request. When it returns another context than before, the connection under
        the old one is closed. It may raise an error of its own, which the request passes on. A certificate has to be
        valid for ``name``."""
        self._name, self._port, self._names, self._current = name, port, names, context
        self._used: ssl.SSLContext | None = None
        self.host = f"[{name}]:{port}" if ":" in name else f"{_ascii(name)}:{port}"

    def connect(self, time: RequestTime) -> socket.socket:
        """See Route. The addresses of the name are tried in turn."""
        self._used = self._current()
        addresses = self._names.addresses(self._name, self._port, time.left)
        problem = OSError("it has no address")
        for number, (family, address) in enumerate(addresses):
            try:
                return self._secured(connect(family, address, time.to_connect(len(addresses) - number)), time)
            except ssl.SSLError:
                raise
            except OSError as error:
                problem = error
        self._names.doubt(self._name, self._port)
        raise problem

    def _secured(self, sock: socket.socket, time: RequestTime) -> socket.socket:
        if self._used is None:
            return sock
        try:
            sock.settimeout(time.to_go_on())
            return self._used.wrap_socket(sock, server_hostname=self._name)
        except BaseException:
            sock.close()
            raise

    def has_changed(self) -> bool:
        """See Route."""
        return self._current() is not self._used


def _ascii(name: str) -> str:
    """Return a host name as headers have it. One that is no host name stays as it is: it has no address."""
    with suppress(UnicodeError):
        return name if name.isascii() else name.encode("idna").decode()
    return name


class KeptConnection:
    """An HttpClient over one connection that is kept between requests. It is closed when nothing refers to it."""

    def __init__(self, route: Route, clock: Clock) -> None:
        """Nothing is connected yet."""
        self._route = route
        self._time = RequestTime(clock)
        self._connection: _Connection | None = None
        #: Closes the connection, once.
        self._end: Callable[[], object] = lambda: None

    def request(
        self, method: str, path: str, limits: TimeLimits, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
    ) -> HttpAnswer:
        """See HttpClient."""
        try:
            return _whole(self._sent(method, path, limits, body, headers))
        except BaseException:
            self.close()
            raise

    def lines(self, path: str, limits: TimeLimits, silence: float) -> Iterator[bytes]:
        """See HttpClient."""
        try:
            response = self._sent("GET", path, limits, b"", _NO_HEADERS)
            if response.status != HTTPStatus.OK:
                raise UnwantedAnswer(_whole(response))
        except BaseException:
            self.close()
            raise
        return self._lines_of(response, silence)

    def _lines_of(self, response: HTTPResponse, silence: float) -> Iterator[bytes]:
        """Yield the lines of a response as they arrive, and close the connection at the end."""
        try:
            while True:
                self._time.begin(TimeLimits(silence, silence, silence))
                line = response.readline()
                if not line:
                    return
                yield line
        finally:
            self.close()

    def close(self) -> None:
        """See HttpClient."""
        self._end()
        self._connection = None

    def _sent(
        self, method: str, path: str, limits: TimeLimits, body: bytes, headers: Mapping[str, str]
    ) -> HTTPResponse:
        """Send a request, and return the response as far as its headers. Raises HTTP_ERRORS."""
        self._time.begin(limits)
        connection = self._kept() or self._new()
        connection.request(method, path, body or None, {"Host": self._route.host, **headers})
        # A server that refuses a request may answer before it has read all of it, and close the connection.
        with suppress(BrokenPipeError):
            connection.flush()
        response = connection.getresponse()
        _log.debug('%s "%s %s" %s', self._route.host, method, path, response.status)
        return response

    def _kept(self) -> _Connection | None:
        """Return the connection that was kept; None if there is none that can be used. The other end may have closed
        it, which makes its socket readable."""
        connection = self._connection
        if connection and (connection.sock is None or self._route.has_changed() or _is_readable(connection.sock)):
            self.close()
        return self._connection

    def _new(self) -> _Connection:
        self._connection = _Connection(self._route.connect(self._time), self._time)
        end = weakref.finalize(self, self._connection.close)
        # The kernel closes it when the program ends. Closing it here would wait for a thread that reads a stream.
        end.atexit = False
        self._end = end
        return self._connection


def _whole(response: HTTPResponse) -> HttpAnswer:
    """Return the answer of a response, received as a whole."""
    return HttpAnswer(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class _Connection(HTTPConnection):
    """A connection of http.client that keeps to the time of the request."""

    def __init__(self, sock: socket.socket, time: RequestTime) -> None:
        """``sock`` is connected."""
        super().__init__("unused")
        self.sock, self._time = sock, time
        self._outgoing = b""
        self.auto_open = 0
        self.response_class = partial(BoundedResponse, time)  # type: ignore[assignment] # called as the class is

    def send(self, data: Any) -> None:
        """Keep a part of the request until ``flush``. The server is woken up once then, and not for each part."""
        self._outgoing += data

    def flush(self) -> None:
        """Send the request, piece by piece."""
        data, self._outgoing = self._outgoing, b""
        for start in range(0, len(data), _PIECE):
            self.sock.settimeout(self._time.to_go_on())
            self.sock.sendall(data[start : start + _PIECE])
