"""The requests and responses that the simulated parts exchange. They stand for HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self

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


@frozen
class Response:
    """An HTTP response, as a simulated server gives it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of_json(cls, document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Return a response with a JSON document."""
        body = json.dumps(document, separators=(",", ":")).encode()
        return cls(status, body, {"Content-Type": "application/json", **(headers or {})})
