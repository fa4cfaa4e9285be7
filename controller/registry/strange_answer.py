"""What is said of an answer that is none of etcd's. Something else listens at the endpoint, or stands between etcd and
the agent: a proxy, a load balancer, the login page of a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from http.client import BadStatusLine
from urllib.parse import urlsplit

from attrs import frozen

from controller.effects.one_sided_tls import shows_tls
from controller.errors import plain
from controller.registry.schemes import schemes_for

#: The most characters that are shown of a text that came with the answer.
_SHOWN = 80

#: The names that documents of many services have for what is wrong.
_MESSAGES = ("error", "message", "cause")

#: What to do where no more is known.
_CURE = "something other than etcd answers there; give the endpoints of etcd itself"

_NOT_LET_THROUGH = "whatever stands before etcd does not let the agent through; allow it, or give the endpoints of etcd"

_NOT_REACHED = "a proxy or load balancer before etcd does not reach it; mend it, or give the endpoints of etcd itself"

#: What to do, by the status of the answer.
_CURES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: _NOT_LET_THROUGH,
    HTTPStatus.FORBIDDEN: _NOT_LET_THROUGH,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _NOT_LET_THROUGH,
    HTTPStatus.TOO_MANY_REQUESTS: _NOT_LET_THROUGH,
    HTTPStatus.BAD_GATEWAY: _NOT_REACHED,
    HTTPStatus.SERVICE_UNAVAILABLE: _NOT_REACHED,
    HTTPStatus.GATEWAY_TIMEOUT: _NOT_REACHED,
}


@frozen
class StrangeAnswer:
    """An answer over HTTP to a request that was meant for etcd."""

    status: int
    #: The headers; their names in any case.
    headers: Mapping[str, str]
    body: str

    def __str__(self) -> str:
        """Return what answered and what to do, in a sentence that goes on after the endpoint's name. Of the body, it
        has at most a short message: a page helps nobody in a log."""
        return f"it does not answer as etcd does, but with {self._summary}: {self._cure}"

    @property
    def _summary(self) -> str:
        """Status, kind and origin of the answer."""
        try:
            phrase = f" {HTTPStatus(self.status).phrase}"
        except ValueError:
            phrase = ""
        kind = _short(self._header("Content-Type").partition(";")[0]) if self.body else "no content"
        server, message = _short(self._header("Server")), self._message
        parts = (
            kind or "content of no type",
            f"from {server}" if server else "",
            f'saying "{message}"' if message else "",
        )
        return f"{self.status}{phrase} ({', '.join(filter(None, parts))})"

    @property
    def _cure(self) -> str:
        if 300 <= self.status < 400:
            return f"it points to {self._target}, and redirects are not followed; give the endpoints of etcd itself"
        if self.status == HTTPStatus.BAD_REQUEST and shows_tls(self.body):
            return f"it uses TLS; give one of {schemes_for(tls=True)}"
        return _CURES.get(self.status, _CURE)

    @property
    def _target(self) -> str:
        """Where a redirect points to, without a user, a path or a query, which may hold secrets."""
        try:
            parts = urlsplit(self._header("Location"))
        except ValueError:
            return "no valid URL"
        host = parts.netloc.rpartition("@")[2]
        return _short(f"{parts.scheme or 'http'}://{host}") if host else "another path"

    @property
    def _message(self) -> str:
        """The message in a JSON document, or a short text; otherwise empty."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            is_text = self._header("Content-Type").partition(";")[0] in {"", "text/plain"}
            return _short(self.body) if is_text and len(self.body) <= _SHOWN and "<" not in self.body else ""
        found = [document.get(name) for name in _MESSAGES] if isinstance(document, dict) else []
        return _short(": ".join(each for each in found if isinstance(each, str)))

    def _header(self, name: str) -> str:
        return next((value for each, value in self.headers.items() if each.lower() == name.lower()), "")


def not_in_http(error: BadStatusLine) -> str:
    """Return what is said of an answer that is not in HTTP at all, such as the greeting of an SSH server. ``error`` has
    its first line."""
    return f'it does not answer in HTTP, but with "{_short(str(error))}": {_CURE}'


def _short(text: str) -> str:
    return plain(text.strip())[:_SHOWN]
