"""What a registry holds, as it was read."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from model.frozen import frozen_dict


@frozen
class Stored:
    """A key as the registry holds it."""

    key: str
    value: str
    #: Changes with each write of the key, so that a write can be made only if nothing was written in between. It is
    #: etcd's modifiedIndex (v2) or mod_revision (v3).
    version: int
    #: The seconds that are left of its lifetime. None: it does not expire. 0: its lifetime belongs to something, such
    #: as another lease, that this host does not renew.
    ttl: int | None = None
    #: Whether it can be given its full lifetime again without being written.
    renewable: bool = True


@frozen
class StorePosition:
    """Which store was read, and how far it had come."""

    #: etcd's cluster id.
    cluster: str
    #: etcd's index (v2) or revision (v3). It never goes back, unless the store was wiped or restored.
    index: int

    def succeeds(self, earlier: StorePosition) -> bool:
        """Return whether this can be the same store at a later time, or at the same time."""
        return self.cluster == earlier.cluster and self.index >= earlier.index


@frozen
class Actual:
    """What a registry held at one moment."""

    #: The keys under the prefix, of every owner. Where ``observed`` is given, those in the observed places.
    stored: Mapping[str, Stored] = field(factory=dict, converter=frozen_dict)
    #: This owner's record, or None where there is none.
    record: Stored | None = None
    #: The key by which somebody asks whether this owner's agent is alive; None while nobody asks.
    liveness_query: Stored | None = None
    #: The note of this owner's agent, or None where there is none.
    agent_note: Stored | None = None
    #: What the operator drains of this owner's containers, or None where there is no such key.
    drain_order: Stored | None = None
    #: The key by which this owner's agent shows that it is alive, or None where there is none. No pass needs it, so
    #: what was observed may have it as it was earlier.
    heartbeat: Stored | None = None
    #: The store position at the time of reading; None where the registry cannot tell.
    store_position: StorePosition | None = None
    #: Whether keys lie in directories, so that no key can lie below another one. True of etcd v2, false of v3.
    has_directories: bool = True
    #: The places that were looked at: keys, and, if the text ends in a slash, everything below a key. None: everything
    #: under the prefix was looked at.
    observed: frozenset[str] | None = None
    #: How many more keys are under the prefix, as the last sweep counted them.
    others: int = 0
    #: How many of those cannot be read by the layout.
    others_unreadable: int = 0


@frozen
class Lifetime:
    """For how long keys live, and how often they are renewed."""

    #: Seconds that a key lives without being renewed (``-ttl``); 0: keys do not expire.
    ttl: int = 0
    #: Seconds after which a key is renewed (``-ttl-refresh``).
    refresh: int = 0
    #: The most seconds from one chance to renew a key to the next. A key that has less left would expire before that.
    reserve: float = 0.0

    @property
    def kept(self) -> float:
        """The least seconds that a key may have left. A key that has no more than this left is renewed."""
        return max(self.ttl - self.refresh, self.reserve)

    def due(self, left: int | None) -> bool:
        """Return whether a key with ``left`` seconds of its lifetime needs its full lifetime again: it has too little
        left, more than a whole lifetime, or does not expire (None)."""
        return self.ttl > 0 and (left is None or not self.kept < left <= self.ttl)

    def unwanted(self, left: int | None) -> bool:
        """Return whether a key expires that should not."""
        return self.ttl == 0 and left is not None


#: Keys that do not expire.
FOREVER = Lifetime()
