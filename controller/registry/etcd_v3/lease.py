"""The one lease on which all service entries of an owner under a prefix hang.

Source of what etcd does: https://etcd.io/docs/v3.5/learning/api/#lease-api
"""

from __future__ import annotations

import hashlib

from attrs import frozen

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error, GrpcStatus
from controller.registry.etcd_v3.documents import Document
from model.skydns import SKYDNS


def lease_id(prefix: str, owner: str, ttl: int) -> int:
    """Return the id of the lease on which this owner's keys under this prefix hang: a positive number of 63 bits. 0,
    which stands for no lease, where keys do not expire (a ``ttl`` of 0 seconds).

    The id follows from the arguments alone. So an agent that was started again goes on with the lease that is there,
    two agents of one host share it, and another ``-ttl`` means another lease.

    CoreDNS before 1.12.4 answers with the low 32 bits of the id as the seconds that its answer is good for
    (CVE-2025-58063). Under the prefixes where CoreDNS reads, they are therefore the ``-ttl``.
    """
    if not ttl:
        return 0
    digest = hashlib.sha256(f"{prefix}\0{owner}\0{ttl}".encode()).digest()
    number = int.from_bytes(digest[:8], "big") >> 1 or 1
    return number >> 32 << 32 | min(ttl, 2**32 - 1) if prefix.startswith(f"{SKYDNS}/") else number


@frozen
class Lease:
    """The leases of the owners under one prefix; a running agent uses the one of its own owner.

    All methods but ``id`` and ``revive`` raise EtcdV3Error when etcd refuses the request, and RegistryUnavailable.
    """

    client: EtcdV3Client
    prefix: str
    #: Seconds that a lease lasts after it was granted or kept alive; 0 where keys do not expire.
    ttl: int

    def id(self, owner: str) -> int:
        """Return the id of the owner's lease; 0 where keys do not expire."""
        return lease_id(self.prefix, owner, self.ttl)

    def seconds_left(self, owner: str, deadline: Deadline) -> int:
        """Return how many seconds the lease still lasts, rounded down; 0 if it has expired, and ``ttl`` at most. etcd
        itself may say more than was asked for: it grants no lease that is shorter than an election may take."""
        left = self.client.call("lease/timetolive", {"ID": str(self.id(owner))}, _seconds_in, deadline)
        return min(max(left, 0), self.ttl)

    def keep_alive(self, owner: str, deadline: Deadline) -> bool:
        """Give the lease its full lifetime again; return False if it has expired. No key is written, so no watcher
        wakes."""
        lease = {"ID": str(self.id(owner))}
        return self.client.call("lease/keepalive", lease, lambda answer: _seconds_in(answer["result"]), deadline) > 0

    def grant(self, owner: str, deadline: Deadline) -> None:
        """Create the lease. It is not there when it was never granted, when it expired while this program stood still,
        and when the store was lost."""
        lease = {"ID": str(self.id(owner)), "TTL": str(self.ttl)}
        try:
            self.client.call("lease/grant", lease, lambda answer: None, deadline)
        except EtcdV3Error as error:
            # It is there already: another agent of this host was quicker.
            if error.code != GrpcStatus.FAILED_PRECONDITION:
                raise

    def revive(self, owner: str, deadline: Deadline) -> None:
        """Give the lease its full lifetime before keys are written that hang on it. While no key does, it is not kept
        alive, so next to nothing may be left of it.

        Errors are ignored here: if the lease is missing, writing the keys fails with an error of its own, or the next
        renewal does.
        """
        try:
            if not self.keep_alive(owner, deadline):
                self.grant(owner, deadline)
        except (EtcdV3Error, RegistryUnavailable):
            return


def _seconds_in(answer: Document) -> int:
    """Return the seconds in an answer about a lease; the gateway leaves out a 0."""
    return int(answer.get("TTL", 0))
