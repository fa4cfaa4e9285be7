"""The engine's API: the requests that the program makes, and a client that makes them over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from attrs import frozen

from controller.effects.clock import Clock
from controller.effects.http_client import HTTP_ERRORS, HttpAnswer, HttpClient, UnwantedAnswer
from controller.effects.request_time import TimeLimits
from controller.errors import one_line
from controller.source.engine_errors import (
    REDIRECTED,
    UNEXPECTED_ANSWER,
    EngineError,
    ErrorAnswer,
    error_answer,
)
from model.engine_kind import UNKNOWN_KIND, kind_in_headers, kind_in_version

#: A version of the API to put into a path while that of the engine is not known. An engine that refuses this version
#: still tells its own.
SOME_VERSION = "1.44"

#: Seconds for which the version of an engine is remembered. Connections are usually opened together: at the start, and
#: when many containers change at once.
VERSION_LIFETIME = 10.0

#: What is said of an engine whose version cannot be known.
NO_VERSION = (
    "it tells the version of its API neither at /version nor in the header Api-Version of its list of containers; "
    "have the proxy before it let /version or this header through"
)

#: Values by the name of a filter, as the API takes them.
Filters = dict[str, list[str]]


class EngineClient(Protocol):
    """A client of the engine, for one thread. It opens connections when it needs them.

    The requests return the engine's JSON. They raise EngineError, NotFound among them, and a ValueError if the answer
    is no JSON.
    """

    #: The seconds that a request may take as a whole, even if its answer comes byte by byte.
    timeout: int

    @property
    def kind(self) -> str:
        """The kind of the engine; UNKNOWN_KIND if it did not tell."""

    def info(self) -> Any:
        """Return what the engine says of itself."""

    def containers(self, *, all: bool, filters: Filters | None = None) -> Any:
        """Return the list of containers that are up, or of all."""

    def inspect_container(self, container: str) -> Any:
        """Return what the engine says of the container with this id or name."""

    def inspect_network(self, net_id: str) -> Any:
        """Return what the engine says of the network with this id."""

    def events(self, since: float, filters: Filters, silence: float) -> Iterator[Any]:
        """Open the event stream, and return an iterator of the events since a moment, in seconds since 1970, and of
        those to come. The moment may lie in the past: the engine remembers its last 256 events.

        The iterator raises TimeoutError if nothing arrives for ``silence`` seconds. It ends when the engine closes the
        connection. No other request may be made before the iterator is closed.
        """

    def event_history(self, since: float, until: float, filters: Filters) -> list[Any]:
        """Return the events between two moments, in seconds since 1970. Of these, the engine remembers only the last
        256."""

    def close(self) -> None:
        """Close the connections. The next request opens another one."""


class HttpEngineClient:
    """An EngineClient that makes its requests over an HttpClient."""

    def __init__(self, http: HttpClient, timeout: int, base: str, kind: str = UNKNOWN_KIND) -> None:
        """``base`` is what all paths begin with: that of the engine's URL, and the version of the API."""
        self.timeout = timeout
        self._http, self._base, self._kind = http, base, kind

    @property
    def kind(self) -> str:
        """See EngineClient."""
        return self._kind

    def info(self) -> Any:
        """See EngineClient."""
        return self._document("/info")

    def containers(self, *, all: bool, filters: Filters | None = None) -> Any:
        """See EngineClient."""
        more = {"filters": json.dumps(filters)} if filters else {}
        return self._document("/containers/json", all=str(int(all)), **more)

    def inspect_container(self, container: str) -> Any:
        """See EngineClient."""
        return self._document(f"/containers/{quote(container, safe='')}/json")

    def inspect_network(self, net_id: str) -> Any:
        """See EngineClient."""
        return self._document(f"/networks/{quote(net_id, safe='')}")

    def events(self, since: float, filters: Filters, silence: float) -> Iterator[Any]:
        """See EngineClient."""
        path = self._path("/events", since=_moment(since), filters=json.dumps(filters))
        try:
            return _documents(self._http.lines(path, _limits(self.timeout), silence))
        except UnwantedAnswer as error:
            raise _refusal(error.answer) from error
        except HTTP_ERRORS as error:
            raise EngineError(one_line(error)) from error

    def event_history(self, since: float, until: float, filters: Filters) -> list[Any]:
        """See EngineClient."""
        body = self._get("/events", since=_moment(since), until=_moment(until), filters=json.dumps(filters))
        return [json.loads(line) for line in body.splitlines()]

    def close(self) -> None:
        """See EngineClient."""
        self._http.close()

    def _document(self, path: str, **params: str) -> Any:
        return json.loads(self._get(path, **params))

    def _get(self, path: str, **params: str) -> bytes:
        answer = _asked(self._http, self._path(path, **params), self.timeout)
        if answer.status >= 300:
            raise _refusal(answer)
        return answer.body

    def _path(self, path: str, **params: str) -> str:
        return f"{self._base}{path}{'?' if params else ''}{urlencode(params)}"


@frozen
class EngineVersion:
    """What an engine speaks, and what it is."""

    #: The version of the API.
    api: str
    kind: str = UNKNOWN_KIND

    @classmethod
    def in_document(cls, document: Any) -> EngineVersion:
        """Read the answer of ``GET /version``. Raises KeyError or TypeError if it is none."""
        return cls(str(document["ApiVersion"]), kind_in_version(document))


def version_of(http: HttpClient, timeout: int) -> EngineVersion:
    """Return the version of the API that the engine speaks, and the engine's kind. Raises EngineError.

    The engine tells both at ``/version``, and in headers of each answer. A socket proxy may refuse ``/version``, and
    may let requests through only with a version in their path, or only without one. The list of containers is asked
    for here because the agent cannot do without it.
    """
    try:
        return EngineVersion.in_document(HttpEngineClient(http, timeout, "")._document("/version"))
    except (ErrorAnswer, ValueError, *UNEXPECTED_ANSWER) as error:
        refusal = error
    for version in ("", f"/v{SOME_VERSION}"):
        answer = _asked(http, f"{version}/containers/json?limit=1", timeout)
        if told := answer.headers.get("api-version"):
            return EngineVersion(told, kind_in_headers(answer.headers))
    raise EngineError(NO_VERSION) from refusal


class Versions:
    """Remembers which version of the API an engine speaks, because an engine takes several milliseconds to tell it.

    It is remembered for VERSION_LIFETIME alone, because the engine may be replaced by one that refuses this version.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: The version by the engine's socket, and until when it is remembered, in seconds of the monotonic clock.
        self._known: dict[str, tuple[EngineVersion, float]] = {}

    def of(self, socket: str, http: HttpClient, timeout: int) -> EngineVersion:
        """Return the version of the engine at a socket, which is asked over ``http`` unless its version is remembered.
        Raises EngineError."""
        version, until = self._known.get(socket, (EngineVersion(""), -inf))
        if self._clock.monotonic() >= until:
            version = version_of(http, timeout)
            self._known[socket] = version, self._clock.monotonic() + VERSION_LIFETIME
        return version


def negotiated(
    http: HttpClient, timeout: int, version: Callable[[HttpClient, int], EngineVersion] = version_of
) -> HttpEngineClient:
    """Return a client that speaks the engine's version of the API, which ``version`` returns, because newer engines
    refuse old versions. Raises EngineError."""
    try:
        told = version(http, timeout)
        return HttpEngineClient(http, timeout, f"/v{told.api}", told.kind)
    except BaseException:
        http.close()
        raise


def _asked(http: HttpClient, path: str, timeout: int) -> HttpAnswer:
    """Return the answer to a GET, whatever its status."""
    try:
        return http.request("GET", path, _limits(timeout))
    except HTTP_ERRORS as error:
        raise EngineError(one_line(error)) from error


def _documents(lines: Iterator[bytes]) -> Iterator[Any]:
    """Yield the JSON document in each line."""
    try:
        for line in lines:
            yield json.loads(line)
    except TimeoutError:
        raise
    except HTTP_ERRORS as error:
        raise EngineError(one_line(error)) from error


def _limits(timeout: float) -> TimeLimits:
    return TimeLimits(total=timeout, connect=timeout, read=timeout)


def _moment(seconds: float) -> str:
    """Return seconds since 1970 as the API takes them."""
    return f"{seconds:.9f}"


def _refusal(answer: HttpAnswer) -> EngineError:
    """Return the error for an answer that is none to the question."""
    if answer.status < 400:
        return EngineError(REDIRECTED)
    return error_answer(answer.status, _explanation(answer.body))


def _explanation(body: bytes) -> str:
    """Return what an error answer says: its message if it is the engine's, else all of it."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, *UNEXPECTED_ANSWER):
        return body.decode(errors="replace")
