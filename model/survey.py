"""Everything under a prefix, as it looks from no host: whose each key is, and who writes there.

A host knows which of its own keys a container backs, and nobody else does. So what is said here follows from the keys
alone, and from what the owners wrote down about themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Self

from attrs import field, frozen

from model.agent_note import AgentNote, note_in
from model.described import DescribedEnum
from model.drain_order import NO_DRAIN, DrainOrder, drain_order_in, is_unreadable
from model.entry import DefaultId
from model.frozen import frozen_dict
from model.keys import by_number, is_utf8, quoted
from model.layout import Decoded, Layout, Unreadable
from model.ownership import Ownership
from model.record import InnerPrefix, OwnerRecord, RecordKeys
from model.stored import Stored, StorePosition

#: The seconds that a key has left, in ``Stored.ttl``, if it expires and etcd does not say when.
UNKNOWN_SECONDS = 0


@frozen
class Survey:
    """Everything that was read of a prefix. Of a key that expires, ``ttl`` are the seconds that are left, at least 1;
    UNKNOWN_SECONDS if etcd does not say."""

    #: All keys under the prefix, without what is kept about owners.
    stored: Mapping[str, Stored] = field(converter=frozen_dict)
    #: What is kept about all owners, by key.
    about_owners: Mapping[str, Stored] = field(converter=frozen_dict)
    #: The prefixes within this one, which have owner records of their own.
    inner: tuple[InnerPrefix, ...] = ()
    #: The store position when the reading began.
    store_position: StorePosition | None = None
    #: How many requests it took.
    requests: int = 0

    @property
    def keys(self) -> int:
        """How many keys were read."""
        return len(self.stored) + len(self.about_owners)


class EntryState(DescribedEnum):
    """What can be said of a key from no host."""

    OURS = "ours", "A host has it that has an owner record: its id names the host, or the host's record claims it."
    FOREIGN = (
        "foreign",
        "Nothing shows that a host of wharfinger has it: no record claims it, or the host that its id names has no "
        "owner record, as with registrator.",
    )
    ORPHAN = "orphan", "A host has it whose agent is dead, so nobody keeps it in step."
    UNREADABLE = "unreadable", "Its key or its value is not of the layout, whoever has it."


class Alive(DescribedEnum):
    """Whether the agent of an owner is alive."""

    YES = "yes", "It has renewed its heartbeat, or keys with a lifetime, and they have not expired."
    NO = "no", "It was started with --heartbeat, and its heartbeat has expired."
    UNKNOWN = "unknown", "It has neither --heartbeat nor keys with a lifetime, so nothing in etcd tells."


@frozen
class SurveyedEntry:
    """A key, and what can be said of it."""

    stored: Stored
    #: The service's name, and the entry's id, as far as the key tells them.
    service: str
    id: str
    #: What a client dials; None if it cannot be read.
    place: tuple[str, int] | None
    #: The owner; empty if nothing tells it.
    owner: str
    #: The name of the container, or its id if the name is not known; empty if nothing tells it.
    container: str
    state: EntryState
    #: Why it is in this state, for people; empty if there is nothing to add.
    detail: str = ""


@frozen
class SurveyedOwner:
    """An owner, and what can be said of it."""

    name: str
    #: The id of its engine; empty if it is not known.
    engine: str
    #: The version of its agent; empty if it is not known. Version 0.1.0 does not tell.
    version: str
    #: How many keys are its own.
    entries: int
    alive: Alive
    #: What the operator drains, without the parts that have ended.
    drain_order: DrainOrder = NO_DRAIN
    #: Whether there is a drain order that cannot be read, and counts as none.
    drain_order_unreadable: bool = False
    #: Whether it has an owner record or an agent note. One that has neither is named in the ids of keys alone.
    recorded: bool = True


@frozen
class _AboutOwner:
    """What is kept about an owner."""

    record: OwnerRecord | None = None
    note: AgentNote | None = None
    drain_order: Stored | None = None
    heartbeat: Stored | None = None

    @classmethod
    def read_from(cls, stored: Mapping[str, Stored], keys: RecordKeys, owner: str) -> Self:
        """Return what these keys say of an owner."""
        record = stored.get(keys.record(owner))
        return cls(
            OwnerRecord.decode(record.value) if record else None,
            note_in(stored.get(keys.agent_note(owner))),
            stored.get(keys.drain_order(owner)),
            stored.get(keys.heartbeat(owner)),
        )

    @property
    def recorded(self) -> bool:
        """Whether the owner is known to run, or to have run, an agent."""
        return bool(self.record or self.note)


#: What is kept about an owner that only ids name.
_NOTHING = _AboutOwner()


class Findings:
    """What a survey shows."""

    def __init__(self, survey: Survey, layout: Layout) -> None:
        self._survey = survey
        self._layout = layout
        self._owners = _by_owner(survey, RecordKeys(layout.prefix))
        self._owner_of_key = {key: self._owner_of(each) for key, each in survey.stored.items()}

    @cached_property
    def entries(self) -> tuple[SurveyedEntry, ...]:
        """All keys under the prefix, sorted by service and id."""
        found = map(self._entry, self._survey.stored.values())
        return tuple(sorted(found, key=lambda each: (by_number(each.service), by_number(each.id), each.stored.key)))

    def owners(self, now: float) -> tuple[SurveyedOwner, ...]:
        """Return all owners, sorted by name: those that something is kept about, and those that ids name. ``now`` is in
        seconds since 1970-01-01 UTC."""
        names = {*self._owners, *filter(None, self._owner_of_key.values())}
        return tuple(self._owner(name, now) for name in sorted(names, key=by_number))

    def _owner(self, name: str, now: float) -> SurveyedOwner:
        about = self._owners.get(name, _NOTHING)
        return SurveyedOwner(
            name,
            about.record.engine if about.record else "",
            about.note.version if about.note else "",
            self._counts.get(name, 0),
            self._alive(name),
            drain_order_in(about.drain_order).at(now),
            drain_order_unreadable=is_unreadable(about.drain_order),
            recorded=about.recorded,
        )

    @cached_property
    def _counts(self) -> Mapping[str, int]:
        """How many keys each owner has."""
        return Counter(self._owner_of_key.values())

    @cached_property
    def _renewing(self) -> frozenset[str]:
        """The owners that have keys with a lifetime. Such a key is gone unless its agent renewed it lately."""
        stored = self._survey.stored
        return frozenset(owner for key, owner in self._owner_of_key.items() if stored[key].ttl is not None)

    def _alive(self, owner: str) -> Alive:
        """Return whether the agent of an owner is alive."""
        about = self._owners.get(owner, _NOTHING)
        if about.heartbeat or owner in self._renewing:
            return Alive.YES
        return Alive.NO if about.note and about.note.has_heartbeat else Alive.UNKNOWN

    # Whose a key is.

    @cached_property
    def _claimants(self) -> Mapping[str, tuple[Ownership, ...]]:
        """The owners whose records claim a key, by the key, sorted."""
        records = {name: about.record for name, about in sorted(self._owners.items()) if about.record}
        claims = Counter(key for each in records.values() for key in each.claims)
        contested = frozenset(key for key, count in claims.items() if count > 1)
        found: dict[str, tuple[Ownership, ...]] = {}
        for name, record in records.items():
            ownership = Ownership(name, self._layout, record.claims, contested=contested)
            found |= {key: (*found.get(key, ()), ownership) for key in record.claims}
        return found

    def _owner_of(self, stored: Stored) -> str:
        """Return the owner of a key, as ``Ownership`` decides it; empty if nothing shows one."""
        if any(inner.contains(stored.key) for inner in self._survey.inner):
            return ""
        default = DefaultId.parse(self._layout.id_of(stored.key)) if is_utf8(stored.key) else None
        if default:
            return default.owner
        return next((each.owner for each in self._claimants.get(stored.key, ()) if each.owns(stored)), "")

    def _entry(self, stored: Stored) -> SurveyedEntry:
        layout, owner = self._layout, self._owner_of_key[stored.key]
        found = layout.decode(stored.key, stored.value)
        state, detail = self._state(stored.key, found, owner)
        container = self._container_of(stored.key, owner)
        if isinstance(found, Unreadable):
            service, _, last = stored.key.removeprefix(f"{layout.prefix}/").rpartition("/")
            return SurveyedEntry(stored, service, last, None, owner, container, state, detail)
        place = found.address, found.port
        return SurveyedEntry(stored, found.name, found.id, place, owner, container, state, detail)

    def _container_of(self, key: str, owner: str) -> str:
        """Return the container of a key, as ``SurveyedEntry`` has it."""
        default = DefaultId.parse(self._layout.id_of(key)) if owner else None
        if default:
            return default.container
        record = self._owners[owner].record if owner else None
        return record.claims[key].container_id if record else ""

    def _state(self, key: str, decoded: Decoded | Unreadable, owner: str) -> tuple[EntryState, str]:
        """Return the state of a key, and why it is in this state."""
        if isinstance(decoded, Unreadable):
            return EntryState.UNREADABLE, decoded.problem
        if not owner:
            return EntryState.FOREIGN, self._why_nobodys(key)
        if not self._owners.get(owner, _NOTHING).recorded:
            return EntryState.FOREIGN, f"{quoted(owner)} has no owner record"
        if self._alive(owner) is Alive.NO:
            return EntryState.ORPHAN, f"the agent of {quoted(owner)} is dead"
        return EntryState.OURS, ""

    def _why_nobodys(self, key: str) -> str:
        """Return why nothing shows whose a key is."""
        inner = next((each for each in self._survey.inner if each.contains(key)), None)
        if inner:
            return f"it lies below {quoted(inner.prefix)}, whose agents keep it"
        return "no owner record claims it" if is_utf8(key) else "its key is not UTF-8"


def _by_owner(survey: Survey, keys: RecordKeys) -> Mapping[str, _AboutOwner]:
    """Return what is kept about each owner, by the owner's name. A liveness query alone makes no owner."""
    names = {key.removeprefix(f"{keys.path}/").rpartition("/")[0] for key in survey.about_owners}
    found = {name: _AboutOwner.read_from(survey.about_owners, keys, name) for name in names}
    return {name: about for name, about in found.items() if about != _NOTHING}
