"""The door to etcd's v2 API, and to python-etcd.

Its own reconnecting is not used: it sticks to dead nodes and multiplies timeouts. Each endpoint has a client of its
own, without retries, and a request goes to the endpoints in turn, beginning with the one that answered last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

import etcd
import urllib3
from attrs import frozen

from controller.clock import Deadline
from controller.errors import RegistryUnavailable, one_line
from model.plan import Action, Actual, Change, Lifetime, Stored
from model.report import Outcome, Result

CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 2.0

#: etcd's v2 error codes: https://etcd.io/docs/v2.3/errorcode/
KEY_NOT_FOUND, COMPARE_FAILED, KEY_EXISTS = 100, 101, 105

Params = Mapping[str, str]


@frozen
class Refused(Exception):
    """etcd understood the request and said no."""

    code: int
    detail: str


class Endpoints:
    """The members of one etcd cluster, asked in rotation."""

    def __init__(self, endpoints: Sequence[tuple[str, int]], on_error: Callable[[], None]) -> None:
        """``endpoints`` are hosts and ports; ``on_error`` is called for each request that got no usable answer."""
        self._clients = [_client(host, port) for host, port in endpoints]
        self._on_error = on_error
        self._current = 0

    def request(self, method: str, key: str, params: Params, deadline: Deadline) -> Any:
        """The decoded answer to a request about ``key``. Raises Refused, or RegistryUnavailable when no endpoint gave
        a usable answer before the deadline."""
        problems = []
        for client in self._rotation():
            if deadline.passed:
                problems.append("the pass ran out of time")
                break
            try:
                return _request(client, method, key, params, deadline)
            except _Unusable as problem:
                self._on_error()
                self._current = (self._current + 1) % len(self._clients)
                problems.append(f"{client.base_uri}: {problem}")
        raise RegistryUnavailable("; ".join(problems))

    def _rotation(self) -> Iterator[etcd.Client]:
        start = self._current
        yield from self._clients[start:] + self._clients[:start]


class _Unusable(Exception):
    """This endpoint gave no answer that counts; another one may."""


def _client(host: str, port: int) -> etcd.Client:
    client = etcd.Client(host=host, port=port, protocol="http", allow_reconnect=False, allow_redirect=False)
    client.http.connection_pool_kw["retries"] = urllib3.Retry(0)
    return client


def _request(client: etcd.Client, method: str, key: str, params: Params, deadline: Deadline) -> Any:
    timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, deadline.left), read=min(READ_TIMEOUT, deadline.left))
    try:
        # python-etcd does not encode keys, and would have etcd cut them at a question mark.
        response = client.api_execute(f"/v2/keys{quote(key, safe='/:')}", method, dict(params), timeout=timeout)
        return json.loads(response.data)
    except etcd.EtcdConnectionFailed as error:
        raise _Unusable(_cause(error)) from error
    except etcd.EtcdClusterIdChanged as error:
        raise _Unusable("it belongs to another cluster than before") from error
    except etcd.EtcdException as error:
        raise _translated(error) from error
    except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
        raise _Unusable(one_line(error)) from error


def _cause(error: etcd.EtcdConnectionFailed) -> str:
    cause = getattr(error, "cause", None)
    if isinstance(cause, urllib3.exceptions.MaxRetryError):
        cause = cause.reason
    # To urllib3 a refused connection is a timeout, too, so it comes first.
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return f"cannot connect: {one_line(cause).rpartition(': ')[2]}"
    if isinstance(cause, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return one_line(cause or error)


def _translated(error: etcd.EtcdException) -> Exception:
    """etcd's refusals carry a code below 300: they would be the same at every member. The rest is the member's own
    trouble (300 to 499: raft, no leader), or not from etcd at all."""
    payload = getattr(error, "payload", None) or {}
    code = payload.get("errorCode")
    if isinstance(code, int) and code < 300:
        return Refused(code, f"{payload.get('message', '')}: {payload.get('cause', '')} (etcd error {code})")
    if "404 page not found" in str(error):
        return _Unusable("it does not serve the v2 API; start etcd with --enable-v2")
    return _Unusable(one_line(error))


class Etcd2Reader:
    """Reads one prefix through etcd's v2 API. It has no way to write."""

    name = "etcd"

    def __init__(self, endpoints: Endpoints, prefix: str) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd."""
        self._endpoints = endpoints
        self._prefix = prefix

    def read(self, deadline: Deadline) -> Actual:
        """All keys under the prefix. A prefix that does not exist has none."""
        try:
            answer = self._endpoints.request("GET", self._prefix or "/", {"recursive": "true"}, deadline)
        except Refused as refused:
            if refused.code == KEY_NOT_FOUND:
                return Actual()
            raise RegistryUnavailable(f"cannot read {self._prefix or '/'}: {refused.detail}") from refused
        return Actual({node["key"]: _stored(node) for node in _leaves(answer["node"])})


def _leaves(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if not node.get("dir"):
        yield node
    for child in node.get("nodes", ()):
        yield from _leaves(child)


def _stored(node: Mapping[str, Any]) -> Stored:
    return Stored(node["key"], node["value"], node["modifiedIndex"], node.get("ttl"))


class Etcd2Registry(Etcd2Reader):
    """Reads and writes one prefix. Each write is guarded by what was read, and can safely be made twice."""

    def __init__(self, endpoints: Endpoints, prefix: str, lifetime: Lifetime) -> None:
        super().__init__(endpoints, prefix)
        self._lifetime = lifetime

    def apply(self, change: Change, deadline: Deadline) -> Outcome:
        """Make one change; see Registry."""
        try:
            self._write(change, deadline)
        except Refused as refused:
            return self._settle(change, refused, deadline)
        except RegistryUnavailable as error:
            return Outcome(change, Result.FAILED, str(error))
        if change.action is Action.DELETE:
            self._remove_empty_directories(change.key, deadline)
        return Outcome(change, Result.APPLIED)

    def _write(self, change: Change, deadline: Deadline) -> None:
        guard = {"prevIndex": str(change.before.version)} if change.before else {"prevExist": "false"}
        if change.action is Action.DELETE:
            self._endpoints.request("DELETE", change.key, guard, deadline)
            return
        # A refresh keeps the value and wakes no watcher; it must not be given one.
        renewal = change.action is Action.RENEW
        what = {"refresh": "true", "prevExist": "true"} if renewal else {"value": change.value}
        ttl = {"ttl": str(self._lifetime.ttl)} if self._lifetime.ttl else {}
        self._endpoints.request("PUT", change.key, {**what, **ttl, **guard}, deadline)

    def _settle(self, change: Change, refused: Refused, deadline: Deadline) -> Outcome:
        """A refused guard may be our own doing: the answer to an earlier try got lost, and the next endpoint then
        finds the change made. Look again."""
        if refused.code not in {KEY_NOT_FOUND, COMPARE_FAILED, KEY_EXISTS}:
            return Outcome(change, Result.FAILED, refused.detail)
        wanted = None if change.action is Action.DELETE else change.value
        try:
            now = self._value(change.key, deadline)
        except (Refused, RegistryUnavailable) as error:
            return Outcome(change, Result.FAILED, one_line(error))
        if now == wanted and change.action is not Action.RENEW:
            return Outcome(change, Result.APPLIED)
        return Outcome(change, Result.CONFLICT, "it changed after it was read")

    def _value(self, key: str, deadline: Deadline) -> str | None:
        try:
            value = self._endpoints.request("GET", key, {"quorum": "true"}, deadline)["node"].get("value")
        except Refused as refused:
            if refused.code == KEY_NOT_FOUND:
                return None
            raise
        return None if value is None else str(value)

    def _remove_empty_directories(self, key: str, deadline: Deadline) -> None:
        """Remove the directories that the delete of ``key`` left empty, up to the prefix. etcd itself refuses to remove
        one with something in it; what cannot be removed stays, and harms nobody."""
        directory = key.rpartition("/")[0]
        while directory.startswith(f"{self._prefix}/"):
            try:
                self._endpoints.request("DELETE", directory, {"dir": "true"}, deadline)
            except (Refused, RegistryUnavailable):
                return
            directory = directory.rpartition("/")[0]
