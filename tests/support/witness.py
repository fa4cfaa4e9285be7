"""Who sees every change of a store, and can tell of each afterwards."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.etcd_v2 import EtcdError, EtcdV2
from tests.support.etcd_v3 import EtcdV3, EtcdV3Error
from tests.support.lab import CabledMember

#: What a request ends with, to a member that something was done to.
GONE_WRONG = (OSError, ValueError, EtcdError, EtcdV3Error, http.client.HTTPException)


@dataclass(frozen=True)
class Seen:
    """One change. `directory`: of a directory, as v2 has them."""

    action: str
    key: str
    value: str | None
    directory: bool = False


class Watcher(threading.Thread):
    """Reads every change of the v2 store, one after the other, from members that can be expected to answer."""

    def __init__(self, members: Callable[[], list[CabledMember]], since: int) -> None:
        super().__init__(name="watcher", daemon=True)
        self.changes: list[Seen] = []
        self.lost = ""
        self._members = members
        self._since = since
        self._stopping = threading.Event()

    def run(self) -> None:
        """Follow until told to stop; a watch that brings nothing for a second is asked of another member."""
        turn = 0
        while not self._stopping.is_set():
            members = self._members()
            turn += not (members and self._follow(members[turn % len(members)]))
            self._stopping.wait(0 if members else 0.1)

    def _follow(self, member: EtcdV2) -> bool:
        try:
            change = member.watch("/", 1.0, self._since)
        except EtcdError as error:
            # 401: what was to be read next is forgotten, so something may have gone unseen.
            self.lost = self.lost or (str(error) if error.code == 401 else "")
            return False
        except GONE_WRONG:
            return False
        if change is None:
            return False
        self.changes.append(_seen(change))
        self._since = int(change["node"]["modifiedIndex"]) + 1
        return True

    def has_seen(self, key: str, value: str) -> bool:
        """Whether this was written."""
        return any((each.key, each.value) == (key, value) for each in reversed(self.changes))

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self.join(10)


def _seen(change: Mapping[str, Any]) -> Seen:
    node, before = change["node"], change.get("prevNode") or {}
    return Seen(change["action"], node["key"], node.get("value"), bool(node.get("dir") or before.get("dir")))


class History:
    """All that a watcher of the v3 store was told. etcd keeps it until it is compacted, so it is read afterwards."""

    def __init__(self, store: Callable[[], EtcdV3], since: int) -> None:
        """`store` is how to reach a member that answers."""
        self.changes: list[Seen] = []
        self.lost = ""
        self._store = store
        self._since = since

    def start(self) -> None:
        """Nothing to do yet."""

    def has_seen(self, key: str, value: str) -> bool:
        """Whether this was written: reads what is new."""
        for event in self._store().changes("/", self._since):
            self.changes.append(Seen(event.kind, event.key, event.value))
            self._since = event.revision + 1
        return any((each.key, each.value) == (key, value) for each in reversed(self.changes))

    def stop(self) -> None:
        """Nothing to end."""
