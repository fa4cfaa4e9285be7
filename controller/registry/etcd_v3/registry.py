"""A registry over etcd's v3 API."""

from __future__ import annotations

from controller.registry.base import PendingWriter, ReadWriteRegistry, Sweeping
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.lease import Lease
from controller.registry.etcd_v3.reader import EtcdV3Reader
from controller.registry.etcd_v3.record_guard import RecordGuard
from controller.registry.etcd_v3.writer import EtcdV3Writer
from model.record import RecordKeys
from model.stored import Lifetime


def etcd_v3_registry(
    client: EtcdV3Client,
    prefix: str,
    lifetime: Lifetime,
    *,
    dry_run: bool = False,
    sweeping: Sweeping = Sweeping(),
) -> ReadWriteRegistry:
    """Return the registry of one prefix in etcd's v3 store.

    ``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. Keys are written with
    ``lifetime``. With ``dry_run`` nothing is written. ``sweeping`` says when a large prefix is read as a whole.
    """
    lease = Lease(client, prefix, lifetime.ttl)
    record_guard = RecordGuard(RecordKeys(prefix))
    writer = PendingWriter() if dry_run else EtcdV3Writer(client, lease, record_guard)
    return ReadWriteRegistry(EtcdV3Reader(client, prefix, lease, record_guard, sweeping), writer)
