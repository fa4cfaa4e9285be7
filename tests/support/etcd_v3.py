"""The few calls of etcd's v3 API that tests need, over urllib: no client library between test and truth."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

#: Where `changes()` marks the end of what it shows.
MARK = "/watched-until-here"

# Loopback traffic, whatever HTTP_PROXY says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Pair:
    """A key as etcd tells of it."""

    key: str
    value: str
    create_revision: int
    mod_revision: int
    lease: int


@dataclass(frozen=True)
class Event:
    """Something that a watcher was told: ``PUT`` or ``DELETE``."""

    kind: str
    key: str
    value: str
    revision: int


class EtcdV3Error(RuntimeError):
    """etcd answered with an error; `code` is its gRPC code, 0 where there is none."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class EtcdV3:
    """The v3 API of an etcd at `endpoint` ("127.0.0.1:2379"). With `token`, as the user that it was given to."""

    def __init__(self, endpoint: str, timeout: float = 5.0) -> None:
        self.endpoint = endpoint
        self.token = ""
        self._timeout = timeout

    def keys(self, prefix: str = "/") -> dict[str, str]:
        """All keys with their values below `prefix`."""
        return {key: pair.value for key, pair in self.pairs(prefix).items()}

    def pairs(self, prefix: str = "/") -> dict[str, Pair]:
        """All that etcd tells of the keys below `prefix`."""
        path = prefix.rstrip("/")
        answer = self.call("kv/range", {"key": coded(f"{path}/"), "range_end": coded(f"{path}0")})
        found = (_pair(each) for each in answer.get("kvs", ()))
        return {pair.key: pair for pair in found}

    def node(self, key: str) -> Pair | None:
        """What etcd tells of one key; None when there is no such key."""
        found = self.call("kv/range", {"key": coded(key)}).get("kvs", ())
        return _pair(found[0]) if found else None

    def get(self, key: str) -> str | None:
        """The value of one key; None when there is none."""
        pair = self.node(key)
        return None if pair is None else pair.value

    def put(self, key: str, value: str, ttl: int | None = None) -> int:
        """Write one key, come what may; returns its mod_revision."""
        lease = {} if ttl is None else {"lease": str(self.grant(ttl))}
        return int(self.call("kv/put", {"key": coded(key), "value": coded(value), **lease})["header"]["revision"])

    def grant(self, ttl: int) -> int:
        """A new lease; returns its id."""
        return int(self.call("lease/grant", {"TTL": str(ttl), "ID": "0"})["ID"])

    def leases(self) -> set[int]:
        """The ids of all leases."""
        return {int(each["ID"]) for each in self.call("lease/leases", {}).get("leases", ())}

    def revoke(self, lease: int) -> None:
        """End a lease and all that hangs on it."""
        self.call("lease/revoke", {"ID": str(lease)})

    def delete(self, key: str, recursive: bool = False) -> bool:
        """Delete a key, or with `recursive` all below it; False when there was nothing."""
        path = key.rstrip("/")
        keys = {"key": coded(f"{path}/"), "range_end": coded(f"{path}0")} if recursive else {"key": coded(key)}
        return int(self.call("kv/deleterange", keys).get("deleted", 0)) > 0

    def clear(self) -> None:
        """Delete everything, and end all leases."""
        self.delete("/", recursive=True)
        for lease in self.leases():
            self.revoke(lease)

    def index(self) -> int:
        """The store's revision: it moves with every write, and with nothing else."""
        return int(self.call("kv/range", {"key": coded("/")})["header"]["revision"])

    def compact(self) -> None:
        """Forget what was before the present revision."""
        self.call("kv/compaction", {"revision": str(self.index()), "physical": True})

    def changes(self, prefix: str, since: int) -> Iterator[Event]:
        """All that a watcher of `prefix` was told from the revision `since` up to now, the oldest first."""
        path = prefix.rstrip("/")
        # The watch is on everything, so that a write of our own can mark its end.
        mark = self.put(MARK, "")
        asked = {"key": coded("/"), "range_end": coded("0"), "start_revision": str(since)}
        with closing(self._open("watch", {"create_request": asked})) as answer:
            for line in answer:
                for event in map(_event, json.loads(line)["result"].get("events", ())):
                    if event.revision >= mark:
                        return
                    if event.key.startswith(f"{path}/") and event.key != MARK:
                        yield event

    def answers(self) -> bool:
        """Whether an etcd with the v3 API is there and takes reads."""
        try:
            self.index()
        except (OSError, EtcdV3Error, ValueError):
            return False
        return True

    def call(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Any call of the gateway."""
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


def coded(text: str | bytes) -> str:
    """As the gateway wants its bytes."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def _plain(text: str) -> str:
    return base64.b64decode(text).decode()


def _pair(document: dict[str, Any]) -> Pair:
    return Pair(
        _plain(document["key"]),
        _plain(document.get("value", "")),
        int(document["create_revision"]),
        int(document["mod_revision"]),
        int(document.get("lease", 0)),
    )


def _event(document: dict[str, Any]) -> Event:
    pair = document["kv"]
    return Event(
        document.get("type", "PUT"), _plain(pair["key"]), _plain(pair.get("value", "")), int(pair["mod_revision"])
    )


def _translated(error: urllib.error.HTTPError) -> EtcdV3Error:
    text = error.read().decode(errors="replace")
    try:
        document = json.loads(text)
        return EtcdV3Error(int(document["code"]), str(document.get("message") or document["error"]))
    except (ValueError, KeyError, TypeError):
        return EtcdV3Error(0, text.strip())
