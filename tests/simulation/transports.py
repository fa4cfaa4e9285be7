"""Transports that hand each request to a function instead of a socket.

``SimulatedHttpClient`` stands in for the program's own HTTP client. python-etcd runs unchanged above a connection pool
of urllib3, ``SimulatedPool``. So the errors of the simulated network become the library's errors in its own code.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from http.client import IncompleteRead, RemoteDisconnected, responses
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import urllib3
from attrs import frozen
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError

from controller.effects.http_client import HttpAnswer, UnwantedAnswer
from controller.effects.request_time import TimeLimits
from model.host_port import HostPort
from tests.simulation.messages import Request, Response

#: The time limits of a request in seconds: for connecting, for each wait for more of the answer, and for the request as
#: a whole; ``math.inf`` where the client sets no limit.
Timeouts: TypeAlias = tuple[float, float, float]

#: Carries a request to a server and returns its response. Raises Refused, TimedOut and CutShort. It lets the virtual
#: time pass that the request takes.
Deliver: TypeAlias = Callable[[HostPort, Request, Timeouts], Response]

#: The headers of a request that has none of its own.
_NO_HEADERS: Mapping[str, str] = {}

#: The ports of URLs that have none.
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Refused(Exception):
    """Nobody listens at the endpoint."""


@frozen
class TimedOut(Exception):
    """A time limit of the request passed. Unless it was the one for connecting, the server may have carried the request
    out, or may still do so."""

    #: Whether it was the time limit for connecting.
    connect: bool = False


@frozen
class CutShort(Exception):
    """The connection was closed before the response was complete. The server may have carried the request out."""

    #: The response, of which the headers and half of the body arrived; None if nothing arrived.
    response: Response | None = None


class SimulatedHttpClient:
    """An HttpClient for one endpoint. It raises the same errors as a client that uses real sockets."""

    def __init__(self, deliver: Deliver, endpoint: HostPort) -> None:
        """``deliver`` carries each request."""
        self._deliver, self._endpoint = deliver, endpoint

    def request(
        self, method: str, path: str, limits: TimeLimits, body: bytes = b"", headers: Mapping[str, str] = _NO_HEADERS
    ) -> HttpAnswer:
        """See HttpClient."""
        response, cut = self._carried(_request(method, path, body, headers), limits)
        if cut:
            raise IncompleteRead(*_halves(response.body))
        return _answer(response)

    def lines(self, path: str, limits: TimeLimits, silence: float) -> Iterator[bytes]:
        """See HttpClient. The server ends the answer after the body of its response, unless the response goes on."""
        response, cut = self._carried(_request("GET", path, b"", _NO_HEADERS), limits)
        if response.status != 200:
            raise UnwantedAnswer(_answer(response))
        return _lines_of(response, silence, *(_halves(response.body) if cut else (response.body, 0)))

    def close(self) -> None:
        """See HttpClient. There is no connection."""

    def _carried(self, request: Request, limits: TimeLimits) -> tuple[Response, bool]:
        """Return the response, and whether only half of its body arrived. Raises HTTP_ERRORS if nothing arrived."""
        try:
            return self._deliver(self._endpoint, request, (limits.connect, limits.read, limits.total)), False
        except CutShort as problem:
            if problem.response:
                return problem.response, True
            error: Exception = RemoteDisconnected("Remote end closed connection without response")
        except Refused:
            error = ConnectionRefusedError(111, "Connection refused")
        except TimedOut:
            error = TimeoutError("timed out")
        raise error


def _lines_of(response: Response, silence: float, arrived: bytes, missing: int) -> Iterator[bytes]:
    """Yield the lines of a body that arrived, and of a response that goes on. Raises IncompleteRead after the body if
    bytes of it are missing."""
    yield from io.BytesIO(arrived)
    if missing:
        raise IncompleteRead(b"", missing)
    if response.lines:
        yield from response.lines(silence)


def _answer(response: Response) -> HttpAnswer:
    return HttpAnswer(response.status, {name.lower(): text for name, text in response.headers.items()}, response.body)


def _halves(body: bytes) -> tuple[bytes, int]:
    """Return the first half of a body, and how many bytes the other half has."""
    return body[: len(body) // 2], len(body) - len(body) // 2


class SimulatedPool(urllib3.PoolManager):
    """The pool for python-etcd's ``client.http``."""

    def __init__(self, deliver: Deliver) -> None:
        """``deliver`` carries each request."""
        super().__init__(retries=urllib3.Retry(0))
        self._deliver = deliver
        self._pools: dict[HostPort, _Pool] = {}

    def connection_from_host(
        self, host: str | None, port: int | None = None, scheme: str | None = "http", pool_kwargs: Any = None
    ) -> _Pool:
        """Return the pool for one endpoint."""
        endpoint = HostPort((host or "").strip("[]"), port or _DEFAULT_PORTS[scheme or "http"])
        if endpoint not in self._pools:
            self._pools[endpoint] = _Pool(endpoint, self._deliver)
        return self._pools[endpoint]


class _Pool(urllib3.HTTPConnectionPool):
    """The connections to one endpoint."""

    def __init__(self, endpoint: HostPort, deliver: Deliver) -> None:
        super().__init__(endpoint.host, endpoint.port, retries=urllib3.Retry(0))
        self._endpoint = endpoint
        self._deliver = deliver

    def urlopen(  # type: ignore[override] # one of several signatures, and the arguments that matter here
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Any = None,
        retries: Any = None,
        timeout: urllib3.Timeout | None = None,
        preload_content: bool = True,
        decode_content: bool = True,
        **ignored: Any,
    ) -> urllib3.HTTPResponse:
        """Send a request; ``url`` is its path and query."""
        request = _request(method, url, body, headers or {})
        response, error = self._carried(request, url, _limits(timeout))
        if response is None:
            assert error is not None
            # This raises: no retries are left. The error must not be raised while another one is handled, as messages
            # to the operator come from the innermost one.
            (retries or urllib3.Retry(0)).increment(method, url, error=error, _pool=self)
            raise NotImplementedError("retries of urllib3 are not simulated")
        content = _CutBody(response.body) if error else io.BytesIO(response.body)
        return urllib3.HTTPResponse(
            content,
            {"Content-Length": str(len(response.body)), **response.headers},
            response.status,
            version=11,
            reason=responses.get(response.status),
            preload_content=preload_content,
            decode_content=decode_content,
            request_method=method,
            request_url=url,
        )

    def _carried(self, request: Request, url: str, limits: Timeouts) -> tuple[Response | None, Exception | None]:
        """Return the response, None if nothing of it arrived, and the error, None if the response is complete."""
        try:
            return self._deliver(self._endpoint, request, limits), None
        except Refused:
            cause = ConnectionRefusedError(111, "Connection refused")
            connection = HTTPConnection(self.host, self.port)
            refused = NewConnectionError(connection, f"Failed to establish a new connection: {cause}")
            return None, _caused(refused, cause)
        except TimedOut as problem:
            if problem.connect:
                connection = HTTPConnection(self.host, self.port)
                return None, ConnectTimeoutError(connection, f"Connection to {self.host} timed out.")
            return None, ReadTimeoutError(self, url, "Read timed out.")
        except CutShort as problem:
            if problem.response:
                return problem.response, problem
            closed = RemoteDisconnected("Remote end closed connection without response")
            return None, _caused(ProtocolError("Connection aborted.", closed), closed)


def _caused(error: HTTPError, cause: Exception) -> HTTPError:
    """Return an error with its cause, as if it had been raised from it."""
    error.__cause__ = cause
    return error


class _CutBody(io.BytesIO):
    """The body of a response whose connection closes after half of it."""

    def __init__(self, body: bytes) -> None:
        arrived, self._missing = _halves(body)
        super().__init__(arrived)

    def read(self, size: int | None = -1) -> bytes:
        """Return what arrived, if that is enough for ``size``; otherwise raise IncompleteRead, as http.client does."""
        found = super().read(size)
        if size is None or size < 0 or (size and not found):
            raise IncompleteRead(found, self._missing)
        return found


def _limits(timeout: urllib3.Timeout | None) -> Timeouts:
    if timeout is None:
        return math.inf, math.inf, math.inf
    read = _seconds(timeout.read_timeout, math.inf)
    # If no limit for the whole request is given, the read time-out is that limit, as in the program's own connections.
    return _seconds(timeout.connect_timeout, math.inf), read, _seconds(timeout.total, read)


def _seconds(limit: object, otherwise: float) -> float:
    return float(limit) if isinstance(limit, (int, float)) else otherwise


def _request(method: str, url: str, body: Any, headers: Any) -> Request:
    """Return a request as a server sees it."""
    path, _, query = url.partition("?")
    params = _decoded(query) if query else {}
    content = body.encode() if isinstance(body, str) else body or b""
    if content and headers.get("Content-Type") == "application/x-www-form-urlencoded":
        return Request(method, path, params | _decoded(content.decode()))
    return Request(method, path, params, content)


def _decoded(form: str) -> dict[str, str]:
    return dict(parse_qsl(form, keep_blank_values=True))
