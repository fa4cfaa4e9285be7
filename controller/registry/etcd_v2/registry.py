"""The door to etcd's v2 API, and to python-etcd. Its own reconnecting is not used; see
``controller.registry.failover``."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

import etcd
import urllib3
from attrs import frozen

from controller.clock import Deadline
from controller.errors import RegistryUnavailable, one_line
from controller.registry.base import OneByOne, overtaken
from controller.registry.credentials import Credentials
from controller.registry.failover import EndpointFailover, Unusable, timeouts
from model.plan import Action, Change
from model.record import RecordKeys
from model.report import Outcome, Result
from model.stored import Actual, Lifetime, Stored, StorePosition

#: etcd's v2 error codes: https://etcd.io/docs/v2.3/errorcode/
KEY_NOT_FOUND, COMPARE_FAILED, NOT_A_FILE, NOT_A_DIRECTORY, KEY_EXISTS = 100, 101, 102, 104, 105

#: The codes that say: the store is not as it was read.
OVERTAKEN = frozenset({KEY_NOT_FOUND, COMPARE_FAILED, NOT_A_FILE, NOT_A_DIRECTORY, KEY_EXISTS})

Params = Mapping[str, str]


@frozen
class Refused(Exception):
    """etcd understood the request and said no."""

    code: int
    detail: str
    store_position: StorePosition


@frozen
class Answer:
    """What etcd said: the node that was asked about, and how far the store had come."""

    node: Mapping[str, Any]
    store_position: StorePosition


class EtcdV2Client:
    """The members of one etcd cluster, asked in rotation."""

    def __init__(
        self,
        endpoints: Sequence[tuple[str, int]],
        on_error: Callable[[], None] = lambda: None,
        credentials: Credentials = Credentials(),
    ) -> None:
        """``endpoints`` are hosts and ports; ``on_error`` is called for each request that got no usable answer. Raises
        Stop for credentials that cannot be used."""
        context = credentials.context()
        members = [_Member(_client(host, port, credentials, context)) for host, port in endpoints]
        self._rotation = EndpointFailover(members, on_error)

    def request(self, method: str, key: str, params: Params, deadline: Deadline) -> Answer:
        """The answer to a request about ``key``. Raises Refused, or RegistryUnavailable when no endpoint gave
        a usable answer before the deadline."""
        return self._rotation.ask(lambda member: _request(member.client, method, key, params, deadline), deadline)


@frozen
class _Member:
    """A client of its own for each endpoint, without retries."""

    client: etcd.Client

    @property
    def url(self) -> str:
        return str(self.client.base_uri)


def _client(host: str, port: int, credentials: Credentials, context: ssl.SSLContext | None) -> etcd.Client:
    client = etcd.Client(
        host=f"[{host}]" if ":" in host else host,
        port=port,
        protocol="https" if context else "http",
        username=_for_header(credentials.user),
        password=_for_header(credentials.password),
        allow_reconnect=False,
        allow_redirect=False,
    )
    client.http.connection_pool_kw["retries"] = urllib3.Retry(0)
    if context:
        # python-etcd's own TLS settings leave some things unverified; this context verifies all.
        client.http.connection_pool_kw["ssl_context"] = context
    return client


def _for_header(text: str) -> str | None:
    """etcd takes names and passwords in UTF-8, and urllib3 writes headers in Latin-1."""
    return text.encode().decode("latin-1") or None


def _request(client: etcd.Client, method: str, key: str, params: Params, deadline: Deadline) -> Answer:
    connect, read = timeouts(deadline)
    timeout = urllib3.Timeout(connect=connect, read=read)
    try:
        # python-etcd does not encode keys, and would have etcd cut them at a question mark.
        response = client.api_execute(f"/v2/keys{quote(key, safe='/:')}", method, dict(params), timeout=timeout)
        mark = StorePosition(client.expected_cluster_id or "", int(response.headers["X-Etcd-Index"]))
        return Answer(json.loads(response.data)["node"], mark)
    except etcd.EtcdConnectionFailed as error:
        raise Unusable(_cause(error)) from error
    except etcd.EtcdClusterIdChanged as error:
        raise Unusable("it belongs to another cluster than before") from error
    except etcd.EtcdException as error:
        raise _translated(error, client) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unusable(f"it does not answer as etcd does: {one_line(error)}") from error
    except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
        raise Unusable(one_line(error)) from error


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


def _translated(error: etcd.EtcdException, client: etcd.Client) -> Exception:
    """etcd's refusals carry a code below 300: they would be the same at every member. The rest is the member's own
    trouble (300 to 499: raft, no leader), or not from etcd at all."""
    payload = getattr(error, "payload", None) or {}
    code = payload.get("errorCode")
    if isinstance(code, int) and code < 300:
        detail = f"{payload.get('message', '')}: {payload.get('cause', '')} (etcd error {code})"
        return Refused(code, detail, StorePosition(client.expected_cluster_id or "", int(payload.get("index", 0))))
    if "404 page not found" in str(error):
        return Unusable("it does not serve the v2 API; start etcd with --enable-v2")
    return Unusable(one_line(error))


class EtcdV2Reader:
    """Reads one prefix through etcd's v2 API. It has no way to write."""

    def __init__(self, endpoints: EtcdV2Client, prefix: str) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd."""
        self._endpoints = endpoints
        self._prefix = prefix
        self._shelf = RecordKeys(prefix)

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """All keys under the prefix, and what is kept about the owner. What does not exist has none."""
        stored, mark = self._tree(self._prefix or "/", deadline, consistent=consistent)
        about, _ = self._tree(self._shelf.folder(owner), deadline, consistent=consistent)
        record, question = about.get(self._shelf.record(owner)), about.get(self._shelf.liveness_query(owner))
        return Actual(stored, record, question, mark)

    def others(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """The records of all other owners."""
        stored, _ = self._tree(self._shelf.path, deadline, consistent=True)
        own = self._shelf.record(owner)
        return tuple(each for key, each in stored.items() if key.endswith("/record") and key != own)

    def _tree(self, key: str, deadline: Deadline, *, consistent: bool) -> tuple[dict[str, Stored], StorePosition]:
        """All keys in a directory and below it; none if it does not exist."""
        params = {"recursive": "true"} | ({"quorum": "true"} if consistent else {})
        try:
            answer = self._endpoints.request("GET", key, params, deadline)
        except Refused as refused:
            if refused.code == KEY_NOT_FOUND:
                return {}, refused.store_position
            raise RegistryUnavailable(f"cannot read {key}: {refused.detail}") from refused
        return {node["key"]: _stored(node) for node in _leaves(answer.node)}, answer.store_position


def _leaves(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if not node.get("dir"):
        yield node
    for child in node.get("nodes", ()):
        yield from _leaves(child)


def _stored(node: Mapping[str, Any]) -> Stored:
    return Stored(node["key"], node["value"], node["modifiedIndex"], node.get("ttl"))


class EtcdV2Registry(OneByOne, EtcdV2Reader):
    """Reads and writes one prefix. Each write is guarded by what was read, and can safely be made twice."""

    def __init__(self, endpoints: EtcdV2Client, prefix: str, lifetime: Lifetime) -> None:
        super().__init__(endpoints, prefix)
        self._lifetime = lifetime

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """Make one change; see Registry. Each key has a lifetime of its own here, whoever the owner is."""
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
        # The owner record outlives the entries: it says whose they were.
        expires = self._lifetime.ttl > 0 and change.action is not Action.RECORD
        ttl = {"ttl": str(self._lifetime.ttl)} if expires else {}
        self._endpoints.request("PUT", change.key, {**what, **ttl, **guard}, deadline)

    def _settle(self, change: Change, refused: Refused, deadline: Deadline) -> Outcome:
        """Where a guard did not hold, look again."""
        if refused.code not in OVERTAKEN:
            return Outcome(change, Result.FAILED, refused.detail)
        try:
            return overtaken(change, self._value(change.key, deadline))
        except (Refused, RegistryUnavailable) as error:
            return Outcome(change, Result.FAILED, one_line(error))

    def _value(self, key: str, deadline: Deadline) -> str | None:
        try:
            value = self._endpoints.request("GET", key, {"quorum": "true"}, deadline).node.get("value")
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
