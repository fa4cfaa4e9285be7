"""The plan: what is wanted and what the registry holds in, the changes that make up the difference out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from attrs import field, frozen

from model.desired import Desired
from model.entry import DefaultId, Entry, Refusal, RefusalReason
from model.frozen import frozen_dict
from model.layout import Layout, Unreadable


class Action(Enum):
    """What a change does. ``renew`` gives a key its full lifetime again and wakes no watcher."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RENEW = "renew"


class Reason(Enum):
    """Why a change is made. A closed list: log, metrics, dry-run and tests share it."""

    NEW = "new"
    MISSING = "missing"
    CHANGED = "changed"
    OVERWRITTEN = "overwritten"
    GONE = "gone"
    ORPHAN = "orphan"
    TTL_DUE = "ttl-due"
    TTL_UNWANTED = "ttl-unwanted"


#: The reasons that say: somebody or something changed the registry, not the containers.
DRIFT = (Reason.MISSING, Reason.OVERWRITTEN, Reason.ORPHAN)


@frozen
class Stored:
    """A key as the registry holds it. ``version`` guards a write against a change in between (etcd's modifiedIndex);
    ``ttl`` is what is left of its lifetime in seconds, None for a key that does not expire."""

    key: str
    value: str
    version: int
    ttl: int | None = None


@frozen
class Actual:
    """All keys under the prefix, everybody's."""

    stored: Mapping[str, Stored] = field(factory=dict, converter=frozen_dict)


@frozen
class Known:
    """A key that this agent saw in order in an earlier pass: with which value, and for which container.

    It tells drift from an ordinary change, shows a custom id to be ours, and finds the keys of a container whose
    name is not in them. A plan without it converges, too: it then leaves alone what it cannot show to be ours.
    """

    value: str
    container_id: str


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


@frozen
class Change:
    """One write. ``value`` is what the key shall hold (of a delete: nothing), ``before`` what was read and guards the
    write (of a create: None, so nothing may be there), ``container_id`` for which container."""

    action: Action
    key: str
    value: str
    before: Stored | None
    reason: Reason
    container_id: str = ""


@frozen
class Plan:
    """``changes`` sorted by key. ``in_sync`` counts the wanted entries that need no create and no update, ``wanted``
    all of them; ``settled`` are the keys found in order; ``foreign`` and ``unreadable`` count the keys that are not
    ours and, among them, those that nobody could read."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    wanted: int = 0
    in_sync: int = 0
    own: int = 0
    foreign: int = 0
    unreadable: int = 0
    settled: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)

    def count(self, action: Action) -> int:
        """How many changes are of this action."""
        return sum(change.action is action for change in self.changes)

    @property
    def visible(self) -> tuple[Change, ...]:
        """The changes that a reader of the registry could see: all but renewals."""
        return tuple(change for change in self.changes if change.action is not Action.RENEW)


@frozen
class Ownership:
    """Whose a key is. ``owner`` is this host, ``known`` what this agent saw in order before."""

    owner: str
    layout: Layout
    known: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)

    def owns(self, stored: Stored) -> bool:
        """Whether the key can be shown to be this host's: by its id; or, where a custom id does not tell, because it
        still holds what this agent saw in order there."""
        key_id = self.layout.id_of(stored.key)
        if key_id.startswith(f"{self.owner}:") and DefaultId.parse(key_id):
            return True
        known = self.known.get(stored.key)
        return known is not None and known.value == stored.value

    def container_of(self, key: str) -> tuple[str | None, str | None]:
        """Id and name of the container that an own key was written for, as far as they are known."""
        known, default = self.known.get(key), DefaultId.parse(self.layout.id_of(key))
        return known.container_id if known else None, default.container if default else None


def plan(wanted: Desired, actual: Actual, ownership: Ownership, lifetime: Lifetime = Lifetime()) -> Plan:
    """The changes that bring ``actual`` to ``wanted``, and nothing else.

    ==========  ==================  ==========================  ============================================
    wanted      actual              whose                       result
    ==========  ==================  ==========================  ============================================
    an entry    absent                                          create (``new``; ``missing`` if known)
    an entry    the same value      anyone's                    nothing; ``renew`` or ``update`` for its ttl
    an entry    another value       ours                        update (``changed``; ``overwritten`` if known)
    an entry    another value       cannot be shown to be ours  refusal (``conflict``)
    no entry    present             ours, container held        nothing; ``renew`` for its ttl
    no entry    present             ours                        delete (``gone`` if known; ``orphan``)
    no entry    present             cannot be shown to be ours  nothing, ever
    ==========  ==================  ==========================  ============================================

    Laws, each a property test: applying the changes makes the next plan empty; so does applying any part of them and
    then the next plan; foreign keys are in no change; the order of the inputs does not matter.
    """
    entries = {ownership.layout.key(entry): entry for entry in wanted.entries}
    own = {key: stored for key, stored in actual.stored.items() if ownership.owns(stored)}
    planner = _Planner(ownership, lifetime)
    for key, entry in entries.items():
        planner.want(key, entry, actual.stored.get(key))
    for key, stored in own.items():
        if key not in entries:
            planner.drop(stored, held=_is_held(key, wanted, ownership))
    others = [stored for key, stored in actual.stored.items() if key not in own and key not in planner.settled]
    return Plan(
        changes=tuple(sorted(planner.changes, key=lambda change: change.key)),
        refusals=(*wanted.refusals, *planner.conflicts),
        wanted=len(entries),
        in_sync=planner.in_sync,
        own=len(actual.stored) - len(others),
        foreign=len(others),
        unreadable=sum(isinstance(ownership.layout.decode(each.key, each.value), Unreadable) for each in others),
        settled=planner.settled,
    )


def _is_held(key: str, wanted: Desired, ownership: Ownership) -> bool:
    if not wanted.held:
        return False
    container_id, name = ownership.container_of(key)
    return any(each.id == container_id or each.name == name for each in wanted.held)


class _Planner:
    """Collects the changes of one plan, a row of the table at a time."""

    def __init__(self, ownership: Ownership, lifetime: Lifetime) -> None:
        self.ownership = ownership
        self.lifetime = lifetime
        self.changes: list[Change] = []
        self.conflicts: list[Refusal] = []
        self.settled: dict[str, Known] = {}
        self.in_sync = 0

    def want(self, key: str, entry: Entry, stored: Stored | None) -> None:
        """The rows of a wanted entry."""
        value, container_id = self.ownership.layout.value(entry), entry.container.id
        known = self.ownership.known.get(key)
        if stored is None:
            reason = Reason.MISSING if known else Reason.NEW
            self.changes.append(Change(Action.CREATE, key, value, None, reason, container_id))
        elif stored.value == value:
            self._settle(stored, container_id)
        elif self.ownership.owns(stored):
            reason = Reason.OVERWRITTEN if known and known.value == value else Reason.CHANGED
            self.changes.append(Change(Action.UPDATE, key, value, stored, reason, container_id))
        else:
            detail = f"the key {key} holds {stored.value!r} and cannot be shown to be this host's"
            self.conflicts.append(Refusal(entry.container, entry.container_port, RefusalReason.CONFLICT, detail))

    def _settle(self, stored: Stored, container_id: str) -> None:
        """A wanted entry that holds the right value; its lifetime may be wrong."""
        self.settled[stored.key] = Known(stored.value, container_id)
        if self.lifetime.unwanted(stored.ttl):
            change = Change(Action.UPDATE, stored.key, stored.value, stored, Reason.TTL_UNWANTED, container_id)
            self.changes.append(change)
            return
        self.in_sync += 1
        self._renew(stored, container_id)

    def _renew(self, stored: Stored, container_id: str) -> None:
        if self.lifetime.due(stored.ttl):
            self.changes.append(Change(Action.RENEW, stored.key, stored.value, stored, Reason.TTL_DUE, container_id))

    def drop(self, stored: Stored, *, held: bool) -> None:
        """The rows of an own key that is not wanted."""
        known = self.ownership.known.get(stored.key)
        container_id = known.container_id if known else ""
        if held:
            self.settled[stored.key] = Known(stored.value, container_id)
            self._renew(stored, container_id)
        else:
            reason = Reason.GONE if known else Reason.ORPHAN
            self.changes.append(Change(Action.DELETE, stored.key, "", stored, reason, container_id))


def in_apply_order(changes: Iterable[Change]) -> Iterator[Change]:
    """Deletes last: what moves from one key to another is never absent from both."""
    return iter(sorted(changes, key=lambda change: (change.action is Action.DELETE, change.key)))


def remember(
    known: Mapping[str, Known], result: Plan, applied: Iterable[Change], failed: Iterable[Change]
) -> Mapping[str, Known]:
    """What the next pass shall know: what was found or put in order, and what could not be put in order but was known
    before. What is wanted no more, and gone, is forgotten."""
    written = {each.key: Known(each.value, each.container_id) for each in applied if each.action is not Action.DELETE}
    still = {each.key: known[each.key] for each in failed if each.key in known}
    return {**still, **result.settled, **written}
