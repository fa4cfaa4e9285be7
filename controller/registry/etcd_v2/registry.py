"""A registry over etcd's v2 API."""

from __future__ import annotations

from controller.registry.base import PendingWriter, ReadWriteRegistry
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.reader import EtcdV2Reader
from controller.registry.etcd_v2.writer import EtcdV2Writer
from model.stored import Lifetime


def etcd_v2_registry(
    client: EtcdV2Client, prefix: str, lifetime: Lifetime, *, dry_run: bool = False
) -> ReadWriteRegistry:
    """Return the registry of one prefix in etcd's v2 store.

    ``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. Keys are written with
    ``lifetime``. With ``dry_run`` nothing is written.
    """
    writer = PendingWriter() if dry_run else EtcdV2Writer(client, prefix, lifetime)
    return ReadWriteRegistry(EtcdV2Reader(client, prefix, lifetime.ttl), writer)
