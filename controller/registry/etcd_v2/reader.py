"""Reading through etcd's v2 API: a tree of directories, each read with everything below it in one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v2.client import EtcdV2Client, EtcdV2Error, EtcdV2ErrorCode
from controller.registry.owner_records import records_of_others
from model.record import RecordKeys
from model.stored import Actual, Stored, StorePosition


class EtcdV2Reader:
    """Reads one prefix through etcd's v2 API. A consistent read goes through the quorum; any other is answered by one
    member from what it knows."""

    def __init__(self, client: EtcdV2Client, prefix: str) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd."""
        self._client = client
        self._prefix = prefix
        self._record_keys = RecordKeys(prefix)

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader. Record, liveness query and agent note are hidden from a listing of the prefix. One more request
        reads them all."""
        stored, position = self._tree(self._prefix or "/", deadline, consistent=consistent)
        about_owner, _ = self._tree(self._record_keys.folder(owner), deadline, consistent=consistent)
        return Actual(
            stored,
            about_owner.get(self._record_keys.record(owner)),
            about_owner.get(self._record_keys.liveness_query(owner)),
            about_owner.get(self._record_keys.agent_note(owner)),
            position,
        )

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        stored, _ = self._tree(self._record_keys.path, deadline, consistent=True)
        return records_of_others(stored.values(), self._record_keys, owner)

    def _tree(self, key: str, deadline: Deadline, *, consistent: bool) -> tuple[dict[str, Stored], StorePosition]:
        """Return all keys in a directory and below it, none if the directory does not exist, and the store position.
        Raises RegistryUnavailable."""
        params = {"recursive": "true"} | ({"quorum": "true"} if consistent else {})
        try:
            response = self._client.request("GET", key, params, deadline)
        except EtcdV2Error as error:
            if error.code == EtcdV2ErrorCode.KEY_NOT_FOUND:
                return {}, error.store_position
            raise RegistryUnavailable(f"cannot read {key}: {error.detail}") from error
        return {node["key"]: _stored(node) for node in _leaves(response.node)}, response.store_position


def _leaves(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the nodes at and below a node that are keys with a value, not directories."""
    if not node.get("dir"):
        yield node
    for child in node.get("nodes", ()):
        yield from _leaves(child)


def _stored(node: Mapping[str, Any]) -> Stored:
    return Stored(node["key"], node["value"], node["modifiedIndex"], node.get("ttl"))
