"""The plan: what is wanted and what the registry holds in, the changes that make up the difference out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import cached_property

from attrs import evolve, field, frozen

from model.desired import Desired
from model.entry import Entry, Refusal, RefusalReason, ancestors, quoted
from model.frozen import frozen_dict
from model.layout import Unreadable
from model.ownership import Known, Ownership
from model.record import OwnerRecord, RecordKeys
from model.stored import FOREVER, Actual, Lifetime, Stored


class Action(Enum):
    """What a change does. ``renew`` gives a key its full lifetime again and wakes no watcher; ``record`` writes the
    owner record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RENEW = "renew"
    RECORD = "record"


class Reason(Enum):
    """Why a change is made. A closed list: log, metrics, dry-run and tests share it."""

    NEW = "new"
    MISSING = "missing"
    CHANGED = "changed"
    OVERWRITTEN = "overwritten"
    GONE = "gone"
    ORPHAN = "orphan"
    UNHEALTHY = "unhealthy"
    FILTERED = "filtered"
    TTL_DUE = "ttl-due"
    TTL_UNWANTED = "ttl-unwanted"
    CLAIMS = "claims"
    ASKED = "asked"


#: The reasons that say: somebody or something changed the registry, not the containers.
DRIFT = (Reason.MISSING, Reason.OVERWRITTEN, Reason.ORPHAN)


@frozen
class Change:
    """One write. ``value`` is what the key shall hold (of a delete: nothing), ``before`` what was read and guards the
    write (of a create: None, so nothing may be there), ``container_id`` for which container. A ``claimed`` one is about
    a custom id, and must not be made before the owner record says so."""

    action: Action
    key: str
    value: str
    before: Stored | None
    reason: Reason
    container_id: str = ""
    claimed: bool = False


@frozen
class Plan:
    """``changes`` sorted by key; ``held_back`` are deletes that the guard has taken out of them. ``in_sync`` counts the
    wanted entries that need no create and no update, ``wanted`` all of them; ``settled`` are the keys found in order;
    ``foreign`` and ``unreadable`` count the keys that are not ours and, among them, those that nobody could read."""

    changes: tuple[Change, ...] = ()
    held_back: tuple[Change, ...] = ()
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
        """The changes that a reader of the service prefix could see."""
        return tuple(change for change in self.changes if change.action not in {Action.RENEW, Action.RECORD})


def plan(wanted: Desired, actual: Actual, ownership: Ownership, lifetime: Lifetime = FOREVER) -> Plan:
    """The changes that bring ``actual`` to ``wanted``, and nothing else.

    ==========  ==================  ==========================  ============================================
    wanted      actual              whose                       result
    ==========  ==================  ==========================  ============================================
    an entry    absent                                          create (``new``; ``missing`` if known)
    an entry    a key above or below it                         refusal (``conflict``), unless it is about to go,
                                                                or the registry is flat
    an entry    the same value      anyone's                    nothing; ``renew`` or ``update`` for its ttl
    an entry    another value       ours                        update (``changed``; ``overwritten`` if known)
    an entry    another value       cannot be shown to be ours  refusal (``conflict``)
    no entry    present             ours, container held        nothing; ``renew`` or ``update`` for its ttl
    no entry    present             ours, container runs        delete (``unhealthy``, ``filtered``)
    no entry    present             ours                        delete (``gone`` if known; ``orphan``)
    no entry    present             cannot be shown to be ours  nothing, ever
    ==========  ==================  ==========================  ============================================

    Laws, each a property test: applying the changes makes the next plan empty; so does applying any part of them and
    then the next plan; foreign keys are in no change; the order of the inputs does not matter.
    """
    entries = by_key(wanted, ownership)
    own = {key: stored for key, stored in actual.stored.items() if ownership.owns(stored)}
    planner = _Planner(ownership, lifetime, actual, wanted)
    for key, stored in own.items():
        if key not in entries:
            planner.drop(stored, held=_is_held(key, wanted, ownership))
    for key, entry in entries.items():
        planner.want(key, entry, actual.stored.get(key))
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


def by_key(wanted: Desired, ownership: Ownership) -> dict[str, Entry]:
    """The wanted entries by the keys that they will have."""
    return {ownership.layout.key(entry): entry for entry in wanted.entries}


def with_record(planned: Plan, record: OwnerRecord, actual: Actual, ownership: Ownership) -> Plan:
    """The plan with a change of the owner record, if the registry does not hold it as it should be."""
    value = record.encode()
    if actual.record and actual.record.value == value:
        return planned
    key = RecordKeys(ownership.layout.prefix).record(ownership.owner)
    change = Change(Action.RECORD, key, value, actual.record, Reason.CLAIMS)
    return evolve(planned, changes=(change, *planned.changes))


def _is_held(key: str, wanted: Desired, ownership: Ownership) -> bool:
    if not wanted.held:
        return False
    container_id, name = ownership.container_of(key)
    return any(each.id == container_id or (name and each.name == name) for each in wanted.held)


class _Planner:
    """Collects the changes of one plan, a row of the table at a time."""

    def __init__(self, ownership: Ownership, lifetime: Lifetime, actual: Actual, wanted: Desired) -> None:
        self.ownership = ownership
        self.lifetime = lifetime
        self.stored = actual.stored
        self.has_directories = actual.has_directories
        self.excluded = {each: why for ref, why in wanted.excluded.items() for each in (ref.id, ref.name)}
        self.changes: list[Change] = []
        self.conflicts: list[Refusal] = []
        self.settled: dict[str, Known] = {}
        self.in_sync = 0

    def want(self, key: str, entry: Entry, stored: Stored | None) -> None:
        """The rows of a wanted entry."""
        value, known = self.ownership.layout.value(entry), self.ownership.known.get(key)
        if stored is None and (obstacle := self._obstacle(key)):
            self._refuse(entry, f"there is no room for the key {key} while there is {quoted(obstacle)}")
        elif stored is None:
            self._write(Action.CREATE, entry, None, Reason.MISSING if known else Reason.NEW)
        elif stored.value == value and self.ownership.adopts(stored):
            self._settle(stored, entry)
        elif self.ownership.owns(stored):
            overwritten = known and known.value == value
            self._write(Action.UPDATE, entry, stored, Reason.OVERWRITTEN if overwritten else Reason.CHANGED)
        else:
            self._refuse(
                entry,
                f"the key {key} holds {quoted(stored.value)} and cannot be shown to be this host's; "
                "remove it by hand if no other host uses it",
            )

    def _refuse(self, entry: Entry, detail: str) -> None:
        self.conflicts.append(Refusal(entry.container, entry.container_port, RefusalReason.CONFLICT, detail))

    def _obstacle(self, key: str) -> str | None:
        """A key that stays and excludes this one: where one of the two is, the other would need a directory."""
        if not self.has_directories:
            return None
        above = next((each for each in ancestors(key) if each in self._staying), None)
        return above or self._directories.get(key)

    @cached_property
    def _staying(self) -> frozenset[str]:
        """The keys that no delete is planned for; asked for when all deletes are."""
        going = {change.key for change in self.changes if change.action is Action.DELETE}
        return frozenset(self.stored.keys() - going)

    @cached_property
    def _directories(self) -> Mapping[str, str]:
        """Every directory with something in it that stays, and one such key."""
        return {directory: key for key in sorted(self._staying) for directory in ancestors(key)}

    def _write(self, action: Action, entry: Entry, stored: Stored | None, reason: Reason) -> None:
        key, value = self.ownership.layout.key(entry), self.ownership.layout.value(entry)
        claimed = not self.ownership.id_is_ours(key)
        self.changes.append(Change(action, key, value, stored, reason, entry.container.id, claimed))

    def _settle(self, stored: Stored, entry: Entry) -> None:
        """A wanted entry that holds the right value; its lifetime may be wrong."""
        self.settled[stored.key] = Known(stored.value, entry.container.id)
        self.in_sync += self._keep(stored, entry.container.id)

    def _keep(self, stored: Stored, container_id: str) -> bool:
        """See to the lifetime of a key that keeps its value; returns whether that can be done without writing it."""
        if self.lifetime.unwanted(stored.ttl):
            action, reason = Action.UPDATE, Reason.TTL_UNWANTED
        elif self.lifetime.due(stored.ttl):
            action, reason = Action.RENEW if stored.renewable else Action.UPDATE, Reason.TTL_DUE
        else:
            return True
        claimed = action is Action.UPDATE and not self.ownership.id_is_ours(stored.key)
        self.changes.append(Change(action, stored.key, stored.value, stored, reason, container_id, claimed))
        return action is Action.RENEW

    def drop(self, stored: Stored, *, held: bool) -> None:
        """The rows of an own key that is not wanted."""
        container_id, name = self.ownership.container_of(stored.key)
        if held:
            self.settled[stored.key] = Known(stored.value, container_id)
            self._keep(stored, container_id)
        else:
            reason = Reason.GONE if stored.key in self.ownership.known else Reason.ORPHAN
            if why := self.excluded.get(container_id) or self.excluded.get(name):
                reason = Reason(why.value)
            self.changes.append(Change(Action.DELETE, stored.key, "", stored, reason, container_id))


def in_apply_order(changes: Iterable[Change]) -> Iterator[Change]:
    """The owner record first, as it is written ahead; deletes last: what moves from one key to another is never absent
    from both."""
    rank = {Action.RECORD: 0, Action.DELETE: 2}
    return iter(sorted(changes, key=lambda change: (rank.get(change.action, 1), change.key)))


def remember(
    known: Mapping[str, Known], result: Plan, applied: Iterable[Change], failed: Iterable[Change]
) -> Mapping[str, Known]:
    """What the next pass shall know: what was found or put in order, and what could not be put in order but was known
    before. What is wanted no more, and gone, is forgotten."""
    lasting = {Action.CREATE, Action.UPDATE, Action.RENEW}
    written = {each.key: Known(each.value, each.container_id) for each in applied if each.action in lasting}
    still = {each.key: known[each.key] for each in (*failed, *result.held_back) if each.key in known}
    return {**still, **result.settled, **written}
