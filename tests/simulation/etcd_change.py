"""What the simulated etcd's two stores have in common: the changes that they tell of, and how they count time."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum

from attrs import frozen

#: Seconds between two looks of etcd's leader for what has expired, of keys (v2) and of leases (v3). With etcd 3.5.1,
#: keys of both were seen to go 0 to 0.5 s after their time.
EXPIRY_INTERVAL = 0.5


class ChangeKind(StrEnum):
    """What happened to a key."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    #: Its lifetime, or that of its lease, had passed.
    EXPIRE = "expire"
    #: A v2 key got a new lifetime and kept its value, which wakes no watcher. The v3 API renews leases, not keys.
    RENEW = "renew"


@frozen
class Change:
    """A change of one key that a store has made. Directories and leases are no keys."""

    #: ``v2`` or ``v3``.
    api: str
    kind: ChangeKind
    key: str
    #: None where the key is gone.
    value: str | None
    #: None where there was no key.
    previous_value: str | None


#: Is told of each change, after it was made.
Notify = Callable[[Change], None]


def expiry_tick(time: float) -> float:
    """Return when etcd's leader notices that something has expired at ``time``; in virtual seconds, as ``time``."""
    return math.ceil(time / EXPIRY_INTERVAL) * EXPIRY_INTERVAL


def last_tick(now: float) -> float:
    """Return when etcd's leader last looked for what has expired."""
    return math.floor(now / EXPIRY_INTERVAL) * EXPIRY_INTERVAL
