"""A watch on the keys under a prefix in etcd, which notes the moment at which each key came and went."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Literal

from attrs import field, frozen

from tests.support.etcd_v3 import encoded

Kind = Literal["put", "delete"]

#: Seconds after which a watch that sees nothing gives up. No benchmark is quiet for so long.
SILENCE = 600.0


@frozen
class Seen:
    """One change of a key."""

    at: float
    kind: Kind
    key: str

    @property
    def name(self) -> str:
        """The container's name in the key; the whole key if it has none."""
        parts = self.key.rpartition("/")[2].split(":")
        return parts[1] if len(parts) > 2 else self.key


@frozen
class KeyWatch:
    """A watch of one prefix, which runs until it is closed. ``api`` is the version of etcd's API."""

    endpoint: str
    prefix: str
    api: int
    seen: list[Seen] = field(factory=list, init=False)
    _changed: threading.Condition = field(factory=threading.Condition, init=False)
    _sockets: list[socket.socket] = field(factory=list, init=False)

    def start(self) -> KeyWatch:
        """Begin to watch. The watch has begun when this returns."""
        host, _, port = self.endpoint.rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=SILENCE)
        if self.api == 3:
            asked = {"key": encoded(f"{self.prefix}/"), "range_end": encoded(f"{self.prefix}0")}
            connection.request("POST", "/v3/watch", json.dumps({"create_request": asked}))
        else:
            connection.request("GET", f"/v2/keys{self.prefix}?wait=true&recursive=true&stream=true")
        self._sockets.append(connection.sock)
        response = connection.getresponse()
        if self.api == 3:
            response.readline()  # It says that the watch was created.
        threading.Thread(target=self._read, args=(response,), daemon=True, name=f"watch {self.prefix}").start()
        return self

    def wait_for(self, kind: Kind, name: str, since: float = 0.0, timeout: float = 20.0) -> float | None:
        """Return the moment, after ``since``, at which the key of a container came or went; None if that does not
        happen in time."""

        def found() -> float | None:
            wanted = (each for each in reversed(self.seen) if each.kind == kind and each.name == name)
            return next((each.at for each in wanted if each.at > since), None)

        with self._changed:
            return self._changed.wait_for(found, timeout)

    def wait_for_keys(self, number: int, timeout: float = 60.0) -> list[float]:
        """Return the moments at which the first ``number`` keys came, in order. Raises TimeoutError."""

        def found() -> list[float] | None:
            first: dict[str, float] = {}
            for each in self.seen:
                if each.kind == "put":
                    first.setdefault(each.key, each.at)
            return sorted(first.values()) if len(first) >= number else None

        with self._changed:
            moments = self._changed.wait_for(found, timeout)
        if not moments:
            raise TimeoutError(f"not {number} keys under {self.prefix} in {timeout:g} s")
        return moments

    def close(self) -> None:
        """End the watch."""
        for each in self._sockets:
            each.shutdown(socket.SHUT_RDWR)

    def _read(self, response: HTTPResponse) -> None:
        try:
            for line in iter(response.readline, b""):
                now = time.perf_counter()
                changes = [Seen(now, kind, key) for kind, key in _changes(json.loads(line), self.api)]
                with self._changed:
                    self.seen.extend(changes)
                    self._changed.notify_all()
        except (OSError, HTTPException, ValueError):
            return  # It was closed.


def _changes(document: Any, api: int) -> Iterator[tuple[Kind, str]]:
    """Yield what each change in a line of the answer did to which key."""
    if api == 3:
        for event in document["result"].get("events", ()):
            kind: Kind = "delete" if event.get("type") == "DELETE" else "put"
            yield kind, base64.b64decode(event["kv"]["key"]).decode()
    else:
        gone = document["action"] in {"delete", "compareAndDelete", "expire"}
        yield ("delete" if gone else "put"), document["node"]["key"]
