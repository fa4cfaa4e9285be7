"""A small client of etcd's v2 API for tests and the demo. It uses urllib and no client library, so that tests see what
etcd itself answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

KEY_NOT_FOUND = 100

# Loopback traffic, whatever HTTP_PROXY says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Reply:
    """An answer of etcd: the JSON document and the store's index (X-Etcd-Index)."""

    document: dict[str, Any]
    index: int


class EtcdError(RuntimeError):
    """etcd answered with an error. `code` is etcd's errorCode, or the HTTP status where there is none."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class EtcdV2:
    """The v2 API of the etcd at `endpoint` ("127.0.0.1:2379"). `timeout` is in seconds."""

    def __init__(self, endpoint: str, timeout: float = 5.0) -> None:
        self.endpoint = endpoint
        self._timeout = timeout

    def keys(self, prefix: str = "/") -> dict[str, str]:
        """Return all keys below `prefix` with their values; none if there is no such directory."""
        return {node["key"]: node["value"] for node in self._nodes(prefix) if not node.get("dir")}

    def ls_dirs(self, prefix: str = "/") -> list[str]:
        """Return all directories below `prefix`, sorted, including the empty ones and without `prefix` itself."""
        nodes = self._nodes(prefix)
        return sorted(node["key"] for node in nodes if node.get("dir") and node["key"] != _normal(prefix))

    def get(self, key: str) -> str | None:
        """Return the value of one key; None if there is no such key."""
        node = self.node(key)
        return None if node is None else node.get("value")

    def node(self, key: str) -> dict[str, Any] | None:
        """Return etcd's node of one key (key, value, modifiedIndex, ttl...); None if there is no such key."""
        try:
            return dict(self._call("GET", key).document["node"])
        except EtcdError as error:
            if error.code != KEY_NOT_FOUND:
                raise
            return None

    def put(self, key: str, value: str, ttl: int | None = None) -> int:
        """Write one key without a guard; return its modifiedIndex. `ttl` is in seconds."""
        form = {"value": value} | ({} if ttl is None else {"ttl": str(ttl)})
        return int(self._call("PUT", key, form=form).document["node"]["modifiedIndex"])

    def put_directory(self, key: str) -> None:
        """Create an empty directory."""
        self._call("PUT", key, form={"dir": "true"})

    def put_bytes(self, key: str, value: str) -> None:
        """Write one key. ``key`` and ``value`` are given percent-encoded, so that they can stand for any bytes."""
        request = urllib.request.Request(
            f"http://{self.endpoint}/v2/keys{key}", data=f"value={value}".encode(), method="PUT"
        )
        with _opener.open(request, timeout=self._timeout):
            return

    def delete(self, key: str, recursive: bool = False) -> bool:
        """Delete a key, or with `recursive` a whole directory; return False if there was nothing to delete."""
        try:
            self._call("DELETE", key, query={"recursive": "true"} if recursive else None)
        except EtcdError as error:
            if error.code != KEY_NOT_FOUND:
                raise
            return False
        return True

    def index(self) -> int:
        """Return the store's index. It moves with every write, also when a key expires, and only then."""
        return self._call("GET", "/").index

    def watch(self, prefix: str, timeout: float, since: int | None = None) -> dict[str, Any] | None:
        """Return the first change at or below `prefix`, from the index `since` on where that is given; None if there is
        none within `timeout` seconds."""
        query = {"wait": "true", "recursive": "true"} | ({} if since is None else {"waitIndex": str(since)})
        try:
            return self._call("GET", prefix, query=query, timeout=timeout).document
        except TimeoutError:
            return None

    def changes(self, prefix: str, since: int) -> Iterator[dict[str, Any]]:
        """Return all changes at or below `prefix` from the index `since` on, oldest first. etcd keeps the last 1000."""
        while change := self.watch(prefix, 0.5, since):
            yield change
            since = int(change["node"]["modifiedIndex"]) + 1

    def answers(self) -> bool:
        """Return whether an etcd with the v2 API answers, and knows the version of its cluster."""
        try:
            self.index()
            return self.knows_version()
        except (OSError, EtcdError, ValueError):
            return False

    def knows_version(self) -> bool:
        """Return whether it has written what etcd writes by itself when it starts: the version of its cluster. That
        write moves the index. Raises OSError if it does not answer."""
        with _opener.open(f"http://{self.endpoint}/version", timeout=self._timeout) as answer:
            return bool(json.load(answer)["etcdcluster"] != "not_decided")

    def _nodes(self, prefix: str) -> Iterator[dict[str, Any]]:
        try:
            root = self._call("GET", prefix, query={"recursive": "true", "quorum": "true"}).document["node"]
        except EtcdError as error:
            if error.code == KEY_NOT_FOUND:
                return
            raise
        stack = [root]
        while stack:
            node = stack.pop()
            stack.extend(node.get("nodes", ()))
            if "key" in node:  # the root of the store has none
                yield node

    def _call(
        self,
        method: str,
        key: str,
        *,
        query: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Reply:
        # Unquoted, a `?` or `#` would end the key, and a `%2F` would become a slash.
        url = f"http://{self.endpoint}/v2/keys{urllib.parse.quote(_normal(key), safe='/:')}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        body = urllib.parse.urlencode(form).encode() if form is not None else None
        request = urllib.request.Request(url, data=body, method=method)
        try:
            with _opener.open(request, timeout=timeout or self._timeout) as response:
                return Reply(json.load(response), int(response.headers["X-Etcd-Index"]))
        except urllib.error.HTTPError as error:
            raise _translated(error) from None


def _translated(error: urllib.error.HTTPError) -> EtcdError:
    with error:
        text = error.read().decode(errors="replace")
    try:
        document = json.loads(text)
        return EtcdError(int(document["errorCode"]), f"{document['message']} ({document.get('cause', '')})")
    except (ValueError, KeyError, TypeError):
        # The v2 API switched off answers "404 page not found" in plain text.
        return EtcdError(error.code, text.strip())


def _normal(key: str) -> str:
    return "/" + key.strip("/")
