"""A small client of etcd's v3 API for tests. It uses urllib and no client library, so that tests see what etcd itself
answers."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

#: The key that `changes()` writes to find the end of the events that it returns.
END_OF_CHANGES = "/watched-until-here"

# Loopback traffic, whatever HTTP_PROXY says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Pair:
    """A key with its value, its revisions and its lease (0 for none)."""

    key: str
    value: str
    create_revision: int
    mod_revision: int
    lease: int


@dataclass(frozen=True)
class Event:
    """An event that a watcher got. `kind` is ``PUT`` or ``DELETE``."""

    kind: str
    key: str
    value: str
    revision: int


class EtcdV3Error(RuntimeError):
    """etcd answered with an error. `code` is its gRPC status code, 0 where there is none."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class EtcdV3:
    """The v3 API of the etcd at `endpoint` ("127.0.0.1:2379"). `timeout` is in seconds. While `token` is set, requests
    are made as the user that it was given to."""

    def __init__(self, endpoint: str, timeout: float = 5.0) -> None:
        self.endpoint = endpoint
        self.token = ""
        self._timeout = timeout

    def keys(self, prefix: str = "/") -> dict[str, str]:
        """Return all keys below `prefix` with their values."""
        return {key: pair.value for key, pair in self.pairs(prefix).items()}

    def pairs(self, prefix: str = "/") -> dict[str, Pair]:
        """Return all keys below `prefix` with all that etcd says about them."""
        path = prefix.rstrip("/")
        answer = self.call("kv/range", {"key": encoded(f"{path}/"), "range_end": encoded(f"{path}0")})
        found = (_pair(each) for each in answer.get("kvs", ()))
        return {pair.key: pair for pair in found}

    def node(self, key: str) -> Pair | None:
        """Return what etcd says about one key; None if there is no such key."""
        found = self.call("kv/range", {"key": encoded(key)}).get("kvs", ())
        return _pair(found[0]) if found else None

    def get(self, key: str) -> str | None:
        """Return the value of one key; None if there is no such key."""
        pair = self.node(key)
        return None if pair is None else pair.value

    def put(self, key: str, value: str, ttl: int | None = None) -> int:
        """Write one key without a guard; return its mod_revision. With `ttl` (seconds) it has a lease of its own."""
        lease = {} if ttl is None else {"lease": str(self.grant(ttl))}
        return int(self.call("kv/put", {"key": encoded(key), "value": encoded(value), **lease})["header"]["revision"])

    def grant(self, ttl: int) -> int:
        """Grant a new lease of `ttl` seconds; return its id."""
        return int(self.call("lease/grant", {"TTL": str(ttl), "ID": "0"})["ID"])

    def leases(self) -> set[int]:
        """Return the ids of all leases."""
        return {int(each["ID"]) for each in self.call("lease/leases", {}).get("leases", ())}

    def revoke(self, lease: int) -> None:
        """End a lease, which deletes all keys that hang on it."""
        self.call("lease/revoke", {"ID": str(lease)})

    def delete(self, key: str, recursive: bool = False) -> bool:
        """Delete a key, or with `recursive` all keys below it; return False if there was nothing to delete."""
        path = key.rstrip("/")
        keys = {"key": encoded(f"{path}/"), "range_end": encoded(f"{path}0")} if recursive else {"key": encoded(key)}
        return int(self.call("kv/deleterange", keys).get("deleted", 0)) > 0

    def clear(self) -> None:
        """Delete all keys and end all leases."""
        self.delete("/", recursive=True)
        for lease in self.leases():
            self.revoke(lease)

    def index(self) -> int:
        """Return the store's revision. It moves with every write, and only then."""
        return int(self.call("kv/range", {"key": encoded("/")})["header"]["revision"])

    def compact(self) -> None:
        """Make etcd forget what was before the present revision."""
        self.call("kv/compaction", {"revision": str(self.index()), "physical": True})

    def changes(self, prefix: str, since: int) -> Iterator[Event]:
        """Return the events that a watcher of `prefix` gets from the revision `since` up to now, the oldest first."""
        path = prefix.rstrip("/")
        # All keys are watched, so that the watcher also gets the write that stands for the end.
        end = self.put(END_OF_CHANGES, "")
        asked = {"key": encoded("/"), "range_end": encoded("0"), "start_revision": str(since)}
        with closing(self._open("watch", {"create_request": asked})) as answer:
            for line in answer:
                for event in map(_event, json.loads(line)["result"].get("events", ())):
                    if event.revision >= end:
                        return
                    if event.key.startswith(f"{path}/") and event.key != END_OF_CHANGES:
                        yield event

    def answers(self) -> bool:
        """Return whether an etcd with the v3 API answers reads."""
        try:
            self.index()
        except (OSError, EtcdV3Error, ValueError):
            return False
        return True

    def call(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Make any call of the gateway; return the answer."""
        with closing(self._open(path, document)) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def _open(self, path: str, document: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": self.token} if self.token else {})
        request = urllib.request.Request(f"http://{self.endpoint}/v3/{path}", json.dumps(document).encode(), headers)
        try:
            return _opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            raise _translated(error) from None


def encoded(text: str | bytes) -> str:
    """Return a key or value as the gateway takes it: in base64."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _pair(document: dict[str, Any]) -> Pair:
    return Pair(
        _decoded(document["key"]),
        _decoded(document.get("value", "")),
        int(document["create_revision"]),
        int(document["mod_revision"]),
        int(document.get("lease", 0)),
    )


def _event(document: dict[str, Any]) -> Event:
    pair = document["kv"]
    return Event(
        document.get("type", "PUT"), _decoded(pair["key"]), _decoded(pair.get("value", "")), int(pair["mod_revision"])
    )


def _translated(error: urllib.error.HTTPError) -> EtcdV3Error:
    with error:
        text = error.read().decode(errors="replace")
    try:
        document = json.loads(text)
        return EtcdV3Error(int(document["code"]), str(document.get("message") or document["error"]))
    except (ValueError, KeyError, TypeError):
        return EtcdV3Error(0, text.strip())
