"""The requests and responses that the simulated parts exchange. They stand for HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self, TypeAlias

from attrs import field, frozen


@frozen
class Request:
    """An HTTP request, as a simulated server receives it."""

    method: str
    #: The path without the query, with percent-encoding as it was sent: ``/v2/keys/services/a%20b``.
    path: str
    #: The decoded parameters of the query and, of a form, of the body.
    params: Mapping[str, str] = field(factory=dict)
    #: The body; empty for a form, whose parameters are in ``params``.
    body: bytes = b""

    def json(self) -> Any:
        """Return the JSON document in the body; an empty object where there is none."""
        return json.loads(self.body) if self.body else {}


class Listener(Protocol):
    """Hears the lines that a server sends after the body of a response. Moments are virtual times in seconds, and may
    be in the future."""

    def line(self, moment: float, line: bytes) -> None:
        """Note that the server sends a line at this moment."""

    def end(self, moment: float) -> None:
        """Note that the server ends the response at this moment."""


#: Sends lines to a listener until the returned function is called.
Feed: TypeAlias = Callable[[Listener], Callable[[], None]]

#: Yields the lines that arrive. Its argument is for how many virtual seconds nothing may arrive; after that it raises
#: TimeoutError.
Lines: TypeAlias = Callable[[float], Iterator[bytes]]


@frozen
class Response:
    """An HTTP response, as a simulated server gives it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(factory=dict)
    #: Of a response that goes on after its body, for as long as the server likes: sends the lines that follow.
    feed: Feed | None = None
    #: The same, as the client receives it: the network makes it of the feed.
    lines: Lines | None = None

    @classmethod
    def of_json(cls, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Return a response with a JSON document."""
        body = json.dumps(document, separators=(",", ":")).encode()
        return cls(status, body, {"Content-Type": "application/json", **(headers or {})})
