"""What a registry holds, as it was read."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from model.frozen import frozen_dict

#: Where SkyDNS and CoreDNS look for records. Source: CoreDNS's etcd plugin, ``path``.
SKYDNS = "/skydns"


@frozen
class Stored:
    """A key as the registry holds it. ``version`` guards a write against a change in between (etcd's modifiedIndex or
    mod_revision). ``ttl`` is what is left of its lifetime in seconds: None for a key that does not expire, 0 where it
    hangs on something that this host does not renew. ``renewable``: whether it can be given its full lifetime again
    without being written."""

    key: str
    value: str
    version: int
    ttl: int | None = None
    renewable: bool = True


@frozen
class StorePosition:
    """Which store was read, and how far it had come: etcd's cluster id and index. The index never goes back, unless the
    store was wiped or restored."""

    cluster: str
    index: int

    def succeeds(self, earlier: StorePosition) -> bool:
        """Whether this can be the same store, later."""
        return self.cluster == earlier.cluster and self.index >= earlier.index


@frozen
class Actual:
    """All keys under the prefix, everybody's; and beside it this host's owner record, and the question whether its
    agent is alive, where somebody asks. ``flat``: whether a key may lie below another, as in etcd v3 and not in v2."""

    stored: Mapping[str, Stored] = field(factory=dict, converter=frozen_dict)
    record: Stored | None = None
    liveness_query: Stored | None = None
    store_position: StorePosition | None = None
    has_directories: bool = True


@frozen
class Lifetime:
    """``-ttl`` and ``-ttl-refresh`` in seconds; a ``ttl`` of 0 means that keys do not expire."""

    ttl: int = 0
    refresh: int = 0

    def due(self, left: int | None) -> bool:
        """Whether a key with this much of its lifetime left needs it renewed: none, too much or too little of it."""
        return self.ttl > 0 and (left is None or not self.ttl - self.refresh < left <= self.ttl)

    def unwanted(self, left: int | None) -> bool:
        """Whether a key expires that should not."""
        return self.ttl == 0 and left is not None


#: Keys that do not expire.
FOREVER = Lifetime()
