"""Reading through etcd's v2 API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v2.client import EtcdV2Client, EtcdV2Response
from controller.registry.etcd_v2.reader import EtcdV2Reader
from model.stored import StorePosition


class Replaced:
    """A client of an etcd that is replaced by another one after the first answer."""

    def __init__(self) -> None:
        self.clusters = ["old", "new"]

    def request(self, method: str, key: str, params: Mapping[str, str], deadline: Deadline) -> EtcdV2Response:
        """Answer with an empty directory."""
        node: dict[str, Any] = {"key": key, "dir": True}
        return EtcdV2Response(node, StorePosition(self.clusters.pop(0), 7))


def test_keys_and_record_of_two_clusters_are_not_put_together() -> None:
    """If etcd is restored from a backup between the two requests of a read, the read fails, and the next pass reads
    anew. Together, the old keys and the restored record would make the agent forget its claims."""
    reader = EtcdV2Reader(cast(EtcdV2Client, Replaced()), "/services")
    with pytest.raises(RegistryUnavailable, match="changed from old to new"):
        reader.read("core-01", Deadline.after(1.0, Clock()))
