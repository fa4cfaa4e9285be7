"""The plan: the changes that bring what the registry holds to what is desired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from attrs import evolve, field, frozen

from model.agent_note import AgentNote, note_in
from model.container import ContainerRef, PortId
from model.described import DescribedEnum
from model.desired import Desired, ExclusionReason
from model.engine_kind import UNKNOWN_KIND
from model.entry import DefaultId, Entry
from model.frozen import frozen_dict
from model.keys import ancestors, by_number, quoted
from model.layout import Decoded, Unreadable
from model.ownership import Known, Ownership
from model.record import InnerPrefix, OwnerRecord, RecordKeys
from model.refusal import Refusal, RefusalReason, RefusedPort
from model.stored import FOREVER, Actual, Lifetime, Stored


class Action(DescribedEnum):
    """What a change does."""

    CREATE = "create", "Writes a key that is not there."
    UPDATE = "update", "Writes a key that is there."
    DELETE = "delete", "Removes a key."
    RENEW = "renew", "Gives a key its full lifetime again, without an event for watchers."
    RECORD = "record", "Writes the owner record."
    NOTE = "note", "Writes the agent note, or the liveness query of --take-over."


class Reason(DescribedEnum):
    """Why a change is made. The list is closed: log, metrics, dry run and tests share it."""

    NEW = "new", "The entry is desired and was never seen."
    MISSING = "missing", "The entry was in order before, and somebody removed its key."
    CHANGED = "changed", "The entry has another value than its key."
    OVERWRITTEN = "overwritten", "The entry was in order before, and somebody wrote another value."
    GONE = "gone", "The key was in order before, and no desired entry has it any more."
    ORPHAN = "orphan", "The key is this host's, no desired entry has it, and this agent never found it in order."
    UNHEALTHY = "unhealthy", "The container runs and is excluded by --health healthy."
    FILTERED = "filtered", "The container runs and is excluded by --filter."
    ONE_OFF = "one-off", "The container runs and is excluded as a one-off of compose."
    DRAINING = "draining", "The container runs and drains: it is being stopped, or the operator drains it."
    REFUSED = "refused", "The container runs, and the port that the key was written for is refused."
    TTL_DUE = "ttl-due", "The key's lifetime is due to be renewed, or the key has none and should have one."
    TTL_UNWANTED = "ttl-unwanted", "The key expires and should not."
    CLAIMS = "claims", "The owner record does not claim exactly the keys that it has to claim."
    ASKED = "asked", "A liveness query was asked, answered or withdrawn, or the operator changed the drain order."
    STARTED = "started", "The agent note is missing, or is that of another run and must be replaced by this run's note."


#: The reasons that mean drift: the registry was changed, and not by this agent, or a container went while no agent ran.
DRIFT = (Reason.MISSING, Reason.OVERWRITTEN, Reason.ORPHAN)


#: Why a delete is made for a container that runs and is excluded.
REASON_OF_EXCLUSION = {
    ExclusionReason.UNHEALTHY: Reason.UNHEALTHY,
    ExclusionReason.FILTERED: Reason.FILTERED,
    ExclusionReason.ONE_OFF: Reason.ONE_OFF,
    ExclusionReason.DRAINING: Reason.DRAINING,
}


#: The actions that write no value under the prefix.
_INVISIBLE = frozenset({Action.RENEW, Action.RECORD, Action.NOTE})


@frozen
class Change:
    """One write."""

    action: Action
    key: str
    #: What the key shall hold; an empty string for a delete.
    value: str
    #: What was read, and must still be there when the write is made; None for a create: nothing may be there.
    before: Stored | None
    reason: Reason
    #: The id of the container that the key is about; empty where not known.
    container_id: str = ""
    #: Whether it writes a value under a custom id, so that the owner record must be written first.
    claimed: bool = False
    #: The container's name. For a key that no entry wants, it is the one in the key's id, or else the one that the
    #: agent remembers. Empty where neither is known.
    container_name: str = ""
    #: More about the reason, for people; empty where there is nothing to say.
    detail: str = ""
    #: Other keys that must be absent when the write is made. Only the v3 API can check that; with v2 they are ignored.
    absent: tuple[str, ...] = ()

    @property
    def visible(self) -> bool:
        """Whether a reader of the prefix can see it."""
        return self.action not in _INVISIBLE

    @property
    def container(self) -> str:
        """The container's id, or its name where the id is not known, to ask the engine about it. Empty where neither is
        known."""
        return self.container_id or self.container_name

    def is_supported(self, confirmed: frozenset[str]) -> bool:
        """Return whether nothing more has to be asked before this delete: the engine itself told what its container
        does, which is then one of ``confirmed``, or the container drains."""
        return self.reason is Reason.DRAINING or self.container_id in confirmed


@frozen
class Plan:
    """What a pass has to do, and what it counted on the way."""

    #: The changes, sorted by key, app-2 before app-10; the owner record comes first, and the agent note last.
    changes: tuple[Change, ...] = ()
    #: The deletes that the guard has taken out of the changes.
    held_back: tuple[Change, ...] = ()
    #: The own keys that stay as they are, because their container is held or this host's address is missing, sorted.
    held: tuple[Stored, ...] = ()
    #: The ports that are not registered.
    refusals: tuple[Refusal, ...] = ()
    #: How many entries are desired.
    wanted: int = 0
    #: How many of those need no create and no update.
    in_sync: int = 0
    #: How many keys under the prefix are this host's.
    own: int = 0
    #: How many are not.
    foreign: int = 0
    #: How many of the foreign ones cannot be read by the layout.
    unreadable: int = 0
    #: The keys that were found in order.
    settled: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)

    def count(self, action: Action) -> int:
        """Return how many changes have this action."""
        return sum(change.action is action for change in self.changes)

    @property
    def deletes(self) -> tuple[Change, ...]:
        """The deletes among the changes."""
        return tuple(change for change in self.changes if change.action is Action.DELETE)

    @property
    def visible(self) -> tuple[Change, ...]:
        """The changes that a reader of the prefix can see."""
        return tuple(change for change in self.changes if change.visible)


def plan(wanted: Desired, actual: Actual, ownership: Ownership, lifetime: Lifetime = FOREVER) -> Plan:
    """Return the changes that bring ``actual`` to ``wanted``, and nothing else:

    ==========  ===============  ==========================  ==============================================
    wanted      actual           owner                       result
    ==========  ===============  ==========================  ==============================================
    an entry    absent           nobody                      create (``new``; ``missing`` if known)
    an entry    absent           a key above or below it     refusal (``conflict``), if that key stays and the
                                 is there, anyone's          registry has directories, or the lower key would
                                                             hide the upper one; else create
    an entry    the same value   we, or nobody claims it     nothing; ``renew`` or ``update`` for its ttl
                                 and this pass may adopt
    an entry    another value    we                          update (``changed``; ``overwritten`` if known)
    an entry    any value        cannot be shown to be ours  refusal (``conflict``)
    an entry    below an inner   the agents of that prefix   refusal (``conflict``)
                prefix
    unaddressed the same port    we                          held
    no entry    present          we, container held          held
    no entry    present          we, container excluded      delete (``unhealthy``, ``filtered``, ``one-off``,
                                                             ``draining``)
    no entry    present          we, port refused            delete (``refused``)
    no entry    present          we                          delete (``gone`` if known; ``orphan``)
    no entry    present          cannot be shown to be ours  nothing, ever
    ==========  ===============  ==========================  ==============================================

    "Known" means that this agent found the key in order in an earlier pass. "Unaddressed" is an entry for which only
    this host's address is missing; in the other rows, "an entry" means an entry with an address. A key that is held
    stays as it is, except for ``renew`` or ``update`` for its ttl. A key whose container is known by its name alone is
    held, too, while a container is held whose name the engine does not tell, as nobody knows whether that is the one.

    The laws of the plan, each of them a property test: after the changes were applied, the next plan is empty; it is
    also empty if only a part of them was applied, and then all of the plan that followed; no change is about a foreign
    key, unless the key held the wanted value and was adopted; the order of the inputs does not matter.
    """
    planner = _Planner(ownership, lifetime, actual, wanted)
    for key, stored in actual.stored.items():
        if key not in wanted.by_key and ownership.owns(stored):
            planner.plan_unwanted(stored)
    for key, entry in wanted.by_key.items():
        planner.plan_entry(key, entry)
    unsettled = [stored for key, stored in actual.stored.items() if key not in planner.settled]
    others = [stored for stored in unsettled if not ownership.owns(stored)]
    return Plan(
        changes=tuple(sorted(planner.changes, key=lambda change: by_number(change.key))),
        held=tuple(sorted(planner.held, key=lambda stored: by_number(stored.key))),
        refusals=(*wanted.refusals, *planner.conflicts),
        wanted=len(wanted.by_key),
        in_sync=planner.in_sync,
        own=len(actual.stored) - len(others),
        foreign=len(others) + actual.others,
        unreadable=actual.others_unreadable
        + sum(isinstance(ownership.layout.decode(each.key, each.value), Unreadable) for each in others),
        settled=planner.settled,
    )


def plan_with_record(
    wanted: Desired, actual: Actual, ownership: Ownership, lifetime: Lifetime, engine: str
) -> tuple[Plan, OwnerRecord]:
    """Return the plan, and the owner record of the engine with this id that has to be written before its other changes
    are made."""
    record = OwnerRecord(engine, ownership.next_claims(wanted.by_key, actual))
    return with_record(plan(wanted, actual, ownership, lifetime), record, actual, ownership), record


def with_record(planned: Plan, record: OwnerRecord, actual: Actual, ownership: Ownership) -> Plan:
    """Return the plan with a change that writes ``record``, if the registry does not hold this owner record.

    A claim to a key that is absent is dropped only on condition that the key is still absent at that moment
    (``Change.absent``): etcd may carry out an earlier create of it late.
    """
    value = record.encode()
    if actual.record and actual.record.value == value:
        return planned
    key = RecordKeys(ownership.layout.prefix).record(ownership.owner)
    before = (OwnerRecord.decode(actual.record.value) if actual.record else None) or OwnerRecord()
    gone = tuple(each for each in before.claims if each not in record.claims and each not in actual.stored)
    change = Change(Action.RECORD, key, value, actual.record, Reason.CLAIMS, absent=gone)
    return evolve(planned, changes=(change, *planned.changes))


def with_note(planned: Plan, note: AgentNote, actual: Actual, ownership: Ownership, *, noted: bool) -> Plan:
    """Return the plan with a change that writes the agent note ``note``, if it has to be written.

    It has to be written if the registry has no note, or the note of another run that may not stay. Such a note may stay
    only after this run has written its own one before (``noted``). This run's own note is written again when it knows
    what kind of engine it asks.
    """
    found = note_in(actual.agent_note)
    if found and found.run == note.run and note.engine in {UNKNOWN_KIND, found.engine}:
        return planned
    if found and found.run != note.run and noted and note.may_stay(found):
        return planned
    key = RecordKeys(ownership.layout.prefix).agent_note(ownership.owner)
    change = Change(Action.NOTE, key, note.encode(), actual.agent_note, Reason.STARTED)
    return evolve(planned, changes=(*planned.changes, change))


class _Planner:
    """Collects the changes of one plan, a row of the table at a time."""

    def __init__(self, ownership: Ownership, lifetime: Lifetime, actual: Actual, wanted: Desired) -> None:
        self.ownership = ownership
        self.lifetime = lifetime
        self.actual = actual
        self.wanted = wanted
        self.serving = {each.container.id for each in wanted.by_key.values()}
        self.excluded = {each: (ref, why) for ref, why in wanted.excluded.items() for each in (ref.id, ref.name)}
        #: The names of the containers about which something is decided.
        self.named = {
            *(each.container.name for each in wanted.by_key.values()),
            *(each.container.name for each in wanted.refusals),
            *(each.name for each in wanted.excluded),
        }
        self.changes: list[Change] = []
        self.held: list[Stored] = []
        self.conflicts: list[Refusal] = []
        self.settled: dict[str, Known] = {}
        self.in_sync = 0

    def plan_entry(self, key: str, entry: Entry) -> None:
        """Plan for a wanted entry."""
        stored = self.actual.stored.get(key)
        value, known = self.wanted.values[key], self.ownership.known.get(key)
        try:
            if inner := self.ownership.inner_prefix_of(key):
                raise RefusedPort(RefusalReason.CONFLICT, _within(key, inner))
            if stored is None:
                self._check_room(key)
                self._write(Action.CREATE, entry, None, Reason.MISSING if known else Reason.NEW)
            elif stored.value == value and self.ownership.adopts(stored):
                self.settled[key] = _as_known(value, entry.container, known)
                self.in_sync += self._keep(stored, entry.container)
            elif self.ownership.owns(stored):
                overwritten = known and known.value == value
                self._write(Action.UPDATE, entry, stored, Reason.OVERWRITTEN if overwritten else Reason.CHANGED)
            else:
                raise RefusedPort(RefusalReason.CONFLICT, _not_ours(stored, value))
        except RefusedPort as refused:
            self.conflicts.append(refused.of(entry.container, entry.container_port))

    def plan_unwanted(self, stored: Stored) -> None:
        """Plan for an own key that no entry wants."""
        container_id, name = self.ownership.container_of(stored.key)
        known = self.ownership.known.get(stored.key)
        shown = name or (known.container_name if known else "")
        if self._is_held(stored, container_id, name):
            self.held.append(stored)
            self.settled[stored.key] = Known(stored.value, container_id, shown)
            self._keep(stored, ContainerRef(container_id, shown))
            return
        reason, detail = Reason.GONE if known else Reason.ORPHAN, ""
        if exclusion := self.excluded.get(container_id) or self.excluded.get(name):
            ref, why = exclusion
            reason, draining = REASON_OF_EXCLUSION[why], self.wanted.draining.get(ref)
            detail = draining.why if draining else ""
        elif refusal := self._refusal_of(stored.key):
            reason, detail = Reason.REFUSED, refusal.detail
        delete = Change(
            Action.DELETE, stored.key, "", stored, reason, container_id, container_name=shown, detail=detail
        )
        self.changes.append(delete)

    def _is_held(self, stored: Stored, container_id: str, name: str) -> bool:
        """Return whether an own key that no entry wants stays as it is. It does while it may be that of a held
        container whose name the engine does not tell."""
        if entry := self.wanted.unaddressed.get(stored.key):
            found = self.ownership.layout.decode(stored.key, stored.value)
            return isinstance(found, Decoded) and found.port == entry.port
        held = self.wanted.held
        if any(each.id == container_id or (name and each.name == name) for each in held):
            return True
        return not container_id and name not in self.named and any(not each.name for each in held)

    def _refusal_of(self, key: str) -> Refusal | None:
        """Return the refusal of the port that an own key was written for; None if that port is not refused.

        A custom id does not tell the port. For such a key, return the first refusal of its container, provided that the
        container has no entries at all.
        """
        container_id, name = self.ownership.container_of(key)
        default = DefaultId.parse(self.ownership.layout.id_of(key))
        for refusal in self.wanted.refusals:
            if default:
                same_port = isinstance(refusal.port, PortId) and default.is_of(refusal.port)
            else:
                same_port = refusal.container.id not in self.serving
            if same_port and (refusal.container.name == name or refusal.container.id == container_id):
                return refusal
        return None

    def _check_room(self, key: str) -> None:
        """Raise RefusedPort if a key that stays excludes this one: where one of the two is, the other would need a
        directory, or the lower one would hide the upper one from readers."""
        if not (self.actual.has_directories or self.ownership.layout.nesting_hides):
            return
        above = next((each for each in ancestors(key) if each in self._staying), None)
        if obstacle := above or self._directories.get(key):
            why = "" if self.actual.has_directories else ", because a key hides the key that it lies below"
            detail = f"there is no room for the key {key} while there is {quoted(obstacle)}{why}"
            raise RefusedPort(RefusalReason.CONFLICT, detail)

    def _absent_above(self, key: str) -> tuple[str, ...]:
        """Return the keys that must still be absent when this one is created, because it would hide them."""
        if not self.ownership.layout.nesting_hides:
            return ()
        prefix = self.ownership.layout.prefix
        return tuple(each for each in ancestors(key) if len(each) > len(prefix) and each not in self.actual.stored)

    @cached_property
    def _staying(self) -> frozenset[str]:
        """The keys that no delete is planned for. All deletes are planned before this is asked for."""
        going = {change.key for change in self.changes if change.action is Action.DELETE}
        return frozenset(self.actual.stored.keys() - going)

    @cached_property
    def _directories(self) -> Mapping[str, str]:
        """For each directory, one key in it that stays."""
        return {directory: key for key in sorted(self._staying) for directory in ancestors(key)}

    def _write(self, action: Action, entry: Entry, stored: Stored | None, reason: Reason) -> None:
        key = self.ownership.layout.key(entry)
        claimed = not self.ownership.id_is_ours(key)
        absent = self._absent_above(key) if action is Action.CREATE else ()
        container = entry.container
        change = Change(
            action,
            key,
            self.wanted.values[key],
            stored,
            reason,
            container.id,
            claimed,
            container.name,
            absent=absent,
        )
        self.changes.append(change)

    def _keep(self, stored: Stored, container: ContainerRef) -> bool:
        """Plan for the lifetime of a key that keeps its value. Return whether the key need not be written."""
        if self.lifetime.unwanted(stored.ttl):
            action, reason = Action.UPDATE, Reason.TTL_UNWANTED
        elif self.lifetime.due(stored.ttl):
            action, reason = Action.RENEW if stored.renewable else Action.UPDATE, Reason.TTL_DUE
        else:
            return True
        claimed = action is Action.UPDATE and not self.ownership.id_is_ours(stored.key)
        change = Change(action, stored.key, stored.value, stored, reason, container.id, claimed, container.name)
        self.changes.append(change)
        return action is Action.RENEW


def _as_known(value: str, container: ContainerRef, before: Known | None) -> Known:
    """Return what is remembered of a key that was found in order: the same object as before, if it says the same."""
    if before and (before.value, before.container_id, before.container_name) == (value, container.id, container.name):
        return before
    return Known(value, container.id, container.name)


def _not_ours(stored: Stored, wanted: str) -> str:
    """Return why this host may not write a wanted key that already exists, and what the operator can do about it."""
    cure = "remove it by hand if no other host uses it"
    if stored.value == wanted:
        cure = "if no other host or program uses it, take it over with --adopt, or remove it by hand"
    return f"the key {stored.key} holds {quoted(stored.value)} and cannot be shown to be this host's; {cure}"


def _within(key: str, inner: InnerPrefix) -> str:
    """Return why this host may not write a wanted key below an inner prefix, and what the operator can do about it."""
    return (
        f"the key {key} lies below the prefix {quoted(inner.prefix)}, which has agents of its own; "
        "give the service another name, or the agents prefixes that do not contain each other"
    )


def in_apply_order(changes: Iterable[Change]) -> Iterator[Change]:
    """Return the changes with the deletes last: what moves from one key to another is never absent from both."""
    return iter(sorted(changes, key=lambda change: (change.action is Action.DELETE, by_number(change.key))))
