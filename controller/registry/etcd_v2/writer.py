"""Writing through etcd's v2 API: one request for each change, and a lifetime for each key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Found, OneByOne, overtaken
from controller.registry.etcd_v2.client import EtcdV2Client, EtcdV2Error, EtcdV2ErrorCode, EtcdV2Response
from model.heartbeat import TEXT, Heartbeat
from model.plan import Action, Change
from model.record import RecordKeys
from model.report import Outcome, Result
from model.stored import Lifetime

#: The error codes that say that the key is not as it was read.
_OVERTAKEN = frozenset(
    {
        EtcdV2ErrorCode.KEY_NOT_FOUND,
        EtcdV2ErrorCode.TEST_FAILED,
        EtcdV2ErrorCode.NOT_A_FILE,
        EtcdV2ErrorCode.NOT_A_DIRECTORY,
        EtcdV2ErrorCode.KEY_EXISTS,
    }
)


class EtcdV2Writer(OneByOne):
    """Writes one prefix through etcd's v2 API. Each write is guarded by what was read, and can safely be repeated."""

    def __init__(self, client: EtcdV2Client, prefix: str, lifetime: Lifetime) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. Keys are written with
        ``lifetime``."""
        self._client = client
        self._prefix = prefix
        self._lifetime = lifetime

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Writer. The owner makes no difference here, as each key has a lifetime of its own."""
        try:
            response = self._write(change, deadline)
        except EtcdV2Error as error:
            return self._outcome_of_error(owner, change, error, deadline)
        except RegistryUnavailable as error:
            return Outcome(change, Result.FAILED, str(error))
        if change.action is Action.DELETE:
            self._remove_empty_directories(change.key, deadline)
        return Outcome(change, Result.APPLIED, version=int(response.node["modifiedIndex"]))

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """See Writer."""
        key = RecordKeys(self._prefix).heartbeat(owner)
        lifetime = {"ttl": str(heartbeat.lifetime)}
        try:
            try:
                self._client.request("PUT", key, {"refresh": "true", "prevExist": "true", **lifetime}, deadline)
            except EtcdV2Error as error:
                if error.code != EtcdV2ErrorCode.KEY_NOT_FOUND:
                    raise
                self._client.request("PUT", key, {"value": TEXT, **lifetime}, deadline)
        except EtcdV2Error as error:
            raise RegistryUnavailable(error.detail) from error

    def _write(self, change: Change, deadline: Deadline) -> EtcdV2Response:
        """Send a change, and return the response. Raises EtcdV2Error, also if the key is not as it was read, and
        RegistryUnavailable."""
        guard = {"prevIndex": str(change.before.version)} if change.before else {"prevExist": "false"}
        if change.action is Action.DELETE:
            return self._client.request("DELETE", change.key, guard, deadline)
        # A refresh keeps the value and wakes no watcher; etcd refuses one that comes with a value.
        renewal = change.action is Action.RENEW
        what = {"refresh": "true", "prevExist": "true"} if renewal else {"value": change.value}
        # Owner record, agent note and the query of --take-over never expire. They may have to outlive the entries.
        expires = self._lifetime.ttl > 0 and change.action not in {Action.RECORD, Action.NOTE}
        ttl = {"ttl": str(self._lifetime.ttl)} if expires else {}
        return self._client.request("PUT", change.key, {**what, **ttl, **guard}, deadline)

    def _outcome_of_error(self, owner: str, change: Change, error: EtcdV2Error, deadline: Deadline) -> Outcome:
        """Return the outcome of a change that etcd refused. If the key was not as it was read, it is read again: an
        earlier try may have made the change, or an empty directory may be in the key's place."""
        if error.code not in _OVERTAKEN:
            return Outcome(change, Result.REJECTED, error.detail)
        try:
            found = self._node(change.key, deadline)
            if found.get("dir") and change.before is None:
                return self._replace_directory(change, found, deadline)
            record = self._node(RecordKeys(self._prefix).record(owner), deadline) if change.claimed else {}
        except EtcdV2Error as second_error:
            return Outcome(change, Result.REJECTED, second_error.detail)
        except RegistryUnavailable as second_error:
            return Outcome(change, Result.FAILED, str(second_error))
        return overtaken(change, _found_in(found), int(record.get("modifiedIndex", 0)))

    def _node(self, key: str, deadline: Deadline) -> Mapping[str, Any]:
        """Return what is at a path, as etcd's JSON has it: a key, or a directory with everything in it. The mapping is
        empty if there is neither."""
        try:
            return self._client.request("GET", key, {"quorum": "true", "recursive": "true"}, deadline).node
        except EtcdV2Error as error:
            if error.code == EtcdV2ErrorCode.KEY_NOT_FOUND:
                return {}
            raise

    def _replace_directory(self, change: Change, directory: Mapping[str, Any], deadline: Deadline) -> Outcome:
        """Create a key where there is a directory, provided that there is no key in it, not even a hidden one: etcd
        refuses to remove a directory that is not empty. Raises RegistryUnavailable."""
        try:
            for each in _innermost_first(directory):
                self._client.request("DELETE", each, {"dir": "true"}, deadline)
            response = self._write(change, deadline)
        except EtcdV2Error:
            return Outcome(change, Result.CONFLICT, "a directory that is not empty is in its place")
        return Outcome(change, Result.APPLIED, version=int(response.node["modifiedIndex"]))

    def _remove_empty_directories(self, key: str, deadline: Deadline) -> None:
        """Remove the directories above a deleted key that it left empty, up to the prefix, which stays. etcd refuses to
        remove a directory that is not empty; one that cannot be removed stays and does no harm."""
        directory = key.rpartition("/")[0]
        while directory.startswith(f"{self._prefix}/"):
            try:
                self._client.request("DELETE", directory, {"dir": "true"}, deadline)
            except (EtcdV2Error, RegistryUnavailable):
                return
            directory = directory.rpartition("/")[0]


def _found_in(node: Mapping[str, Any]) -> Found | None:
    """Return the key that is in a node; None if the node is empty or a directory."""
    if "value" not in node:
        return None
    return Found(str(node["value"]), int(node["modifiedIndex"]), int(node["createdIndex"]))


def _innermost_first(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of a directory and of all directories in it, each one after the directories that it contains."""
    for child in node.get("nodes", ()):
        if child.get("dir"):
            yield from _innermost_first(child)
    yield node["key"]
