"""Reading everything under a prefix through etcd's v2 API. It has no pages, so each directory is read as a whole."""

from __future__ import annotations

from controller.effects.clock import Deadline
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.reader import EtcdV2Reader
from model.record import ROOT
from model.stored import StorePosition
from model.survey import Survey


class EtcdV2Surveyor(EtcdV2Reader):
    """Reads everything of one prefix through etcd's v2 API."""

    def __init__(self, client: EtcdV2Client, prefix: str) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd."""
        super().__init__(client, prefix)

    def survey(self, deadline: Deadline) -> Survey:
        """See Surveyor."""
        before = self._client.requests
        stored, position = self._tree(self._prefix or "/", deadline, consistent=True)
        about_owners, _ = self._tree(self._record_keys.path, deadline, consistent=True)
        inner = self.inner_prefixes(deadline)
        return Survey(stored, about_owners, inner, position, self._client.requests - before)

    def store_position(self, deadline: Deadline) -> StorePosition | None:
        """See Surveyor. Every answer tells it, also one about a key that never exists."""
        _, position = self._node(f"{ROOT}/position", {"quorum": "true"}, deadline)
        return position
