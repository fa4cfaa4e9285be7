"""Record every change of a store, so that a test can check each of them afterwards."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.etcd_v2 import EtcdError, EtcdV2
from tests.support.etcd_v3 import EtcdV3, EtcdV3Error
from tests.support.lab import CabledMember

#: The errors that a request to a broken member may raise.
REQUEST_ERRORS = (OSError, ValueError, EtcdError, EtcdV3Error, http.client.HTTPException)


@dataclass(frozen=True)
class ObservedChange:
    """One change. `directory` says whether it changed a directory, which only v2 has."""

    action: str
    key: str
    value: str | None
    directory: bool = False


class Watcher(threading.Thread):
    """Reads every change of the v2 store, one after the other, from members that should answer."""

    def __init__(self, members: Callable[[], list[CabledMember]], since: int) -> None:
        super().__init__(name="watcher", daemon=True)
        self.changes: list[ObservedChange] = []
        self.lost = ""
        self._members = members
        self._since = since
        self._stopping = threading.Event()

    def run(self) -> None:
        """Follow the changes until told to stop. If a watch brings nothing for a second, ask another member."""
        turn = 0
        while not self._stopping.is_set():
            members = self._members()
            turn += not (members and self._follow(members[turn % len(members)]))
            self._stopping.wait(0 if members else 0.1)

    def _follow(self, member: EtcdV2) -> bool:
        try:
            change = member.watch("/", 1.0, self._since)
        except EtcdError as error:
            # 401: etcd has dropped the next change from its history, so changes may have been missed.
            self.lost = self.lost or (str(error) if error.code == 401 else "")
            return False
        except REQUEST_ERRORS:
            return False
        if change is None:
            return False
        self.changes.append(_observed(change))
        self._since = int(change["node"]["modifiedIndex"]) + 1
        return True

    def has_seen(self, key: str, value: str) -> bool:
        """Return whether this value was written to this key."""
        return any((each.key, each.value) == (key, value) for each in reversed(self.changes))

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(10)


def _observed(change: Mapping[str, Any]) -> ObservedChange:
    node, before = change["node"], change.get("prevNode") or {}
    return ObservedChange(change["action"], node["key"], node.get("value"), bool(node.get("dir") or before.get("dir")))


class History:
    """Every change of the v3 store. etcd keeps the history until it is compacted, so this reads it afterwards."""

    def __init__(self, store: Callable[[], EtcdV3], since: int) -> None:
        """`store` returns a client for a member that answers."""
        self.changes: list[ObservedChange] = []
        self.lost = ""
        self._store = store
        self._since = since

    def start(self) -> None:
        """Do nothing: etcd records the changes."""

    def has_seen(self, key: str, value: str) -> bool:
        """Read the new changes, and return whether this value was written to this key."""
        for event in self._store().changes("/", self._since):
            self.changes.append(ObservedChange(event.kind, event.key, event.value))
            self._since = event.revision + 1
        return any((each.key, each.value) == (key, value) for each in reversed(self.changes))

    def stop(self) -> None:
        """Do nothing: nothing runs."""
