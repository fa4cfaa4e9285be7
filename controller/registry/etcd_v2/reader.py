"""Reading through etcd's v2 API: a tree of directories, each read with everything below it in one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v2.client import EtcdV2Client, EtcdV2Error, EtcdV2ErrorCode
from controller.registry.observed import ObservedWhole
from controller.registry.owner_records import records_of_others
from model.own_writes import OwnWrites
from model.record import ROOT, InnerPrefix, RecordKeys, inner_prefixes
from model.stored import Actual, Stored, StorePosition


class EtcdV2Reader(ObservedWhole):
    """Reads one prefix through etcd's v2 API. A consistent read goes through the quorum; any other is answered by one
    member from what it knows."""

    def __init__(self, client: EtcdV2Client, prefix: str, ttl: int = 0) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. Keys are written with a
        lifetime of ``ttl`` seconds, 0 for none."""
        self._client = client
        self._prefix = prefix
        self._record_keys = RecordKeys(prefix)
        super().__init__(OwnWrites(self._record_keys, ttl))

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader. A listing of the prefix does not show what is kept about the owner, so that is one more request.
        Both answers have to be of one cluster: a record that was restored from a backup says nothing about keys that
        were read before."""
        stored, position = self._tree(self._prefix or "/", deadline, consistent=consistent)
        about_owner, later = self._about_owner(owner, deadline, consistent=consistent)
        if later.cluster != position.cluster:
            raise RegistryUnavailable(
                f"etcd was replaced while it was read: cluster id changed from {position.cluster} to {later.cluster}"
            )
        return evolve(about_owner, stored=stored, observed=None, store_position=position)

    def about_owner(self, owner: str, deadline: Deadline) -> Actual:
        """See Reader."""
        return self._about_owner(owner, deadline, consistent=True)[0]

    def _about_owner(self, owner: str, deadline: Deadline, *, consistent: bool) -> tuple[Actual, StorePosition]:
        """Return what is kept about the owner, and the store position. Raises RegistryUnavailable."""
        keys = self._record_keys
        found, position = self._tree(keys.folder(owner), deadline, consistent=consistent)
        actual = Actual(
            record=found.get(keys.record(owner)),
            liveness_query=found.get(keys.liveness_query(owner)),
            agent_note=found.get(keys.agent_note(owner)),
            drain_order=found.get(keys.drain_order(owner)),
            heartbeat=found.get(keys.heartbeat(owner)),
            store_position=position,
            observed=frozenset(),
        )
        return actual, position

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        stored, _ = self._tree(self._record_keys.path, deadline, consistent=True)
        return records_of_others(stored.values(), self._record_keys, owner)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader. A directory stays when the records in it are deleted, so each directory of an inner prefix is
        read to see whether it has a record. If etcd does not let the user list these directories, return none."""
        try:
            listed = self._client.request("GET", ROOT, {"quorum": "true"}, deadline).node
        except EtcdV2Error as error:
            if error.code in {EtcdV2ErrorCode.KEY_NOT_FOUND, EtcdV2ErrorCode.UNAUTHORIZED}:
                return ()
            raise RegistryUnavailable(f"cannot read {ROOT}: {error.detail}") from error
        found: dict[str, Stored] = {}
        for directory in listed.get("nodes", ()):
            if directory["key"].startswith(self._record_keys.inner_paths):
                found |= self._tree(directory["key"], deadline, consistent=True)[0]
        return inner_prefixes(self._prefix, found)

    def _tree(self, key: str, deadline: Deadline, *, consistent: bool) -> tuple[dict[str, Stored], StorePosition]:
        """Return all keys in a directory and below it, none if the directory does not exist, and the store position.
        Raises RegistryUnavailable."""
        params = {"recursive": "true"} | ({"quorum": "true"} if consistent else {})
        node, position = self._node(key, params, deadline)
        return {each["key"]: _stored(each) for each in _leaves(node)}, position

    def _node(self, key: str, params: Mapping[str, str], deadline: Deadline) -> tuple[Mapping[str, Any], StorePosition]:
        """Return a node, an empty directory if it does not exist, and the store position. Raises
        RegistryUnavailable."""
        try:
            response = self._client.request("GET", key, params, deadline)
        except EtcdV2Error as error:
            if error.code == EtcdV2ErrorCode.KEY_NOT_FOUND:
                return {"dir": True}, error.store_position
            raise RegistryUnavailable(f"cannot read {key}: {error.detail}") from error
        return response.node, response.store_position


def _leaves(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the nodes at and below a node that are keys with a value, not directories."""
    if not node.get("dir"):
        yield node
    for child in node.get("nodes", ()):
        yield from _leaves(child)


def _stored(node: Mapping[str, Any]) -> Stored:
    return Stored(node["key"], node["value"], node["modifiedIndex"], node.get("ttl"))
