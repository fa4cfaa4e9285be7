"""The desired state: containers in; entries by key, refusals, held and excluded containers out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

from attrs import field, frozen

from model.address import AddressBook
from model.candidates import NOTHING_DECIDED, Candidate, Decisions
from model.container import Container, ContainerRef
from model.described import DescribedEnum
from model.draining import Draining
from model.entry import DefaultId, Entry
from model.frozen import frozen_dict
from model.keys import quoted
from model.layout import Layout
from model.ownership import Holding
from model.refusal import Refusal, RefusalReason, RefusedPort
from model.rules import Deregister, Rules
from model.snapshot import Snapshot, UnknownContainer


class ExclusionReason(DescribedEnum):
    """Why a container that runs is to have no entries."""

    UNHEALTHY = "unhealthy", "The container's HEALTHCHECK does not say healthy, and --health healthy is given."
    FILTERED = "filtered", "The filters of --filter do not select the container."
    ONE_OFF = "one-off", "The container was started by docker compose run, and --one-offs is not given."
    DRAINING = "draining", "The container is being stopped, or the operator drains it."


_DRAINING = ExclusionReason.DRAINING


class HoldReason(DescribedEnum):
    """Why the entries of a container stay as they are."""

    UNREADABLE = "unreadable", "The engine would not describe the container."
    FAILED = "failed", "The container ended with an error, and -deregister on-success is given."
    JOINS_UNREADABLE = "joins-unreadable", "The engine would not describe a container whose network this one uses."
    NETWORK_UNKNOWN = "network-unknown", "The engine has not said yet what a network of the container is."


@frozen
class Desired:
    """What this host should have registered."""

    #: The entries by their keys, sorted by name and id.
    by_key: Mapping[str, Entry] = field(factory=dict, converter=frozen_dict)
    #: The ports that are not registered, the older container's first.
    refusals: tuple[Refusal, ...] = ()
    #: The containers whose entries stay as they are.
    held: frozenset[ContainerRef] = frozenset()
    #: Why each of them is held, for people. It follows from the same containers, so comparisons need not look at it.
    why_held: Mapping[ContainerRef, HoldReason] = field(factory=dict, converter=frozen_dict, eq=False)
    #: The containers among them for which the engine has not said yet what their networks are.
    undecided: tuple[UnknownContainer, ...] = ()
    #: The entries with a loopback address that neither ``-ip`` nor a label gave, so that the operator can be warned.
    loopback: tuple[Entry, ...] = ()
    #: The containers that run and are to have no entries.
    excluded: Mapping[ContainerRef, ExclusionReason] = field(factory=dict, converter=frozen_dict)
    #: Those of them that drain.
    draining: Mapping[ContainerRef, Draining] = field(factory=dict, converter=frozen_dict)
    #: The entries for which only this host's address is missing, by their keys. Their ``address`` is empty. They are
    #: refused, and the keys that they already have in the registry are held.
    unaddressed: Mapping[str, Entry] = field(factory=dict, converter=frozen_dict)
    #: The keys of all entries that were weighed, those of refused ones included.
    considered: frozenset[str] = frozenset()
    #: Why this host's address is not known, and what the operator can do about it; empty if no entry needs it.
    host_address_problem: str = ""
    #: The values of the entries' keys, by key.
    values: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: What was decided about each container by itself, for the next pass.
    decisions: Decisions = field(default=NOTHING_DECIDED, eq=False, repr=False)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, sorted by name and id."""
        return tuple(self.by_key.values())

    @property
    def placed(self) -> Mapping[str, Entry]:
        """All entries that this host wants a key for, with or without an address, by key."""
        return {**self.by_key, **self.unaddressed}

    @property
    def none_addressed(self) -> bool:
        """Whether there are entries, and all of them lack this host's address."""
        return bool(self.unaddressed) and not self.by_key


#: What is known of the holders of keys where nobody claims any.
NO_HOLDINGS: Mapping[str, Holding] = frozen_dict({})


#: The state before anything was decided.
NOTHING_DESIRED = Desired()


def desired(
    snapshot: Snapshot,
    rules: Rules,
    layout: Layout,
    holdings: Mapping[str, Holding] = NO_HOLDINGS,
    earlier: Desired = NOTHING_DESIRED,
) -> Desired:
    """Return what this host should have registered. The order of the snapshot does not matter. ``earlier`` is an
    earlier answer. It saves work where little has changed, and the result does not depend on it.

    The first row that is true of a container decides:

    ================================================  =======================================
    container                                         its service ports
    ================================================  =======================================
    the engine would not describe it                  held
    not selected by ``--filter``                      none; its registered entries are deleted
    a one-off of compose, without ``--one-offs``      none; its registered entries are deleted
    failed, with ``-deregister on-success``           held
    draining                                          none; its registered entries are deleted
    not healthy, with ``--health healthy``            none; its registered entries are deleted
    joins the network of one that is not described    held
    a port depends on a network of which the engine   held
    has not said yet what it is
    running, paused or stopping                       an entry or a refusal each; both, if nothing but this
                                                      host's address is missing
    anything else                                     none; its registered entries are deleted
    ================================================  =======================================

    A container that is starting is not healthy, and one without a HEALTHCHECK is healthy.

    Each service port is decided by itself and checked against the layout. Then the entries are collected, and one that
    an earlier one excludes, or for which the owner record has no room, is refused. First come those that have their key
    now, as ``holdings`` tells. So a container that runs and has a key keeps it, whatever its time of creation, which
    depends on the host's clock. The others follow, those of the older container first.
    """
    why_held = _why_held(snapshot, rules)
    running = {each.id: each for each in snapshot.containers if each.serving}
    excluded = {each.ref: why for each in running.values() if (why := _exclusion(each, snapshot, rules))}
    book = AddressBook.of(rules.address, running, snapshot.networks)
    apart = {each.id for each in (*why_held, *excluded)}
    oldest_first = sorted(_in_order_of(earlier.decisions.by_id, running), key=attrgetter("age"))
    admitted = (each for each in oldest_first if each.id not in apart)
    decisions = earlier.decisions.followed_by(admitted, rules, layout, book)
    undecided = tuple(UnknownContainer(running[each].ref, network) for each, network in decisions.untold.items())
    why_held |= {each.ref: HoldReason.NETWORK_UNKNOWN for each in undecided}
    entries = _Entries(layout, rules, book.host_address_problem, _held_keys(why_held, snapshot, holdings))
    refusals = _collect(entries, decisions.ports, holdings)
    addressed, unaddressed = entries.addressed(earlier.by_key), entries.unaddressed()
    return Desired(
        by_key={each.key: each.entry for each in addressed},
        refusals=refusals,
        held=frozenset(why_held),
        why_held=why_held,
        undecided=undecided,
        loopback=tuple(each.entry for each in addressed if each.loopback_by_chance),
        excluded=excluded,
        draining={each: snapshot.draining[each.id] for each, why in excluded.items() if why is _DRAINING},
        unaddressed=unaddressed,
        considered=decisions.keys,
        host_address_problem=book.host_address_problem if unaddressed else "",
        values={each.key: each.value for each in addressed},
        decisions=decisions,
    )


_Value = TypeVar("_Value")


def _in_order_of(before: Iterable[str], now: Mapping[str, _Value]) -> Iterable[_Value]:
    """Return the values of a mapping, first those whose keys were there before, in that order. What is almost sorted is
    sorted in little time."""
    return {**{key: now[key] for key in before if key in now}, **now}.values()


def _exclusion(container: Container, snapshot: Snapshot, rules: Rules) -> ExclusionReason | None:
    if why := _lasting_exclusion(container, snapshot, rules):
        return why
    if container.id in snapshot.draining:
        return _DRAINING
    return None if rules.health.admits(container) else ExclusionReason.UNHEALTHY


def _lasting_exclusion(container: Container, snapshot: Snapshot, rules: Rules) -> ExclusionReason | None:
    """Return why a container is to have no entries, whether it runs, has failed, or is healthy."""
    if not snapshot.selects(container):
        return ExclusionReason.FILTERED
    return ExclusionReason.ONE_OFF if container.one_off and not rules.one_offs else None


def _why_held(snapshot: Snapshot, rules: Rules) -> dict[ContainerRef, HoldReason]:
    unknown = {each.ref.id for each in snapshot.unknown}
    joined = {each.id: each.joined for each in snapshot.containers if each.joined} if unknown else {}
    described = {
        each.ref: why
        for each in snapshot.containers
        if (why := _hold_reason(each, not unknown.isdisjoint(_all_joined(each.id, joined)), snapshot, rules))
        and not _lasting_exclusion(each, snapshot, rules)
    }
    return {each.ref: HoldReason.UNREADABLE for each in snapshot.unknown} | described


def _all_joined(container_id: str, joined: Mapping[str, str]) -> Collection[str]:
    """Return the ids of all containers on the way to the network that a container joins. ``joined`` has the id of the
    container that each one joins."""
    found: dict[str, None] = {}
    while (container_id := joined.get(container_id, "")) and container_id not in found:
        found[container_id] = None
    return found


def _hold_reason(container: Container, joins_unknown: bool, snapshot: Snapshot, rules: Rules) -> HoldReason | None:
    """Return why a described container's entries are held; None if they are not. The engine calls a container that
    ended unhealthy, so the health of a failed one says nothing."""
    if rules.deregister is Deregister.ON_SUCCESS and _failed(container):
        return HoldReason.FAILED
    return HoldReason.JOINS_UNREADABLE if joins_unknown and _exclusion(container, snapshot, rules) is None else None


def _failed(container: Container) -> bool:
    """Return whether the container ended, or is being started again, after an exit that was neither a success nor
    caused by a signal (an exit code with the bit 128 set). Source: registrator's ``shouldRemove``."""
    stopped = container.status in {"exited", "restarting"}
    return stopped and container.exit_code != 0 and not container.exit_code & 128


# Deciding which entries can be had together.


def _collect(
    entries: _Entries, ports: Iterable[Candidate | Refusal], holdings: Mapping[str, Holding]
) -> tuple[Refusal, ...]:
    """Add the candidates that can be registered together to ``entries``. Return all refusals, in the order of
    ``ports``."""
    candidates: list[tuple[int, Candidate]] = []
    refusals: dict[int, Refusal] = {}
    for place, port in enumerate(ports):
        if isinstance(port, Candidate):
            candidates.append((place, port))
        else:
            refusals[place] = port
    for place, candidate in _holders_first(candidates, holdings):
        try:
            entries.add(candidate)
        except RefusedPort as refused:
            refusals[place] = refused.of(candidate.entry.container, candidate.entry.container_port)
    return tuple(dict.fromkeys(refusals[place] for place in sorted(refusals)))


def _holders_first(
    candidates: Sequence[tuple[int, Candidate]], holdings: Mapping[str, Holding]
) -> list[tuple[int, Candidate]]:
    """Return the candidates, each with its place, in the order in which they are collected: those that have their key
    now, then the others.

    The container that the key's id names has the key, and else the one whose value is in the registry. If it is none of
    them, or several have that value, it is the container that the owner record names.
    """
    holders: dict[str, str] = {key: each.container_id for key, each in holdings.items()}
    likely: dict[str, list[str]] = {}
    for _, each in candidates:
        holding, container = holdings.get(each.key), each.entry.container
        if holding and (each.value == holding.value or container.name == holding.container_name):
            likely.setdefault(each.key, []).append(container.id)
    holders |= {key: ids[0] for key, ids in likely.items() if holders[key] not in ids}
    return sorted(candidates, key=lambda placed: holders.get(placed[1].key) != placed[1].entry.container.id)


def _held_keys(
    held: Iterable[ContainerRef], snapshot: Snapshot, holdings: Mapping[str, Holding]
) -> Mapping[str, ContainerRef]:
    """Return the held containers by the keys that they have, without those that have ended."""
    ended = {each.id for each in snapshot.containers if not each.serving}
    by_id = {each.id: each for each in held if each.id not in ended}
    return {key: by_id[each.container_id] for key, each in holdings.items() if each.container_id in by_id}


#: The bytes of the owner record that may be about desired entries under custom ids. etcd takes a megabyte and a half in
#: a request, and the record also holds what is no longer desired and not yet removed.
RECORD_ROOM = 500_000


class _Entries:
    """Collects the entries that can be registered together."""

    def __init__(
        self, layout: Layout, rules: Rules, host_address_problem: str, held: Mapping[str, ContainerRef]
    ) -> None:
        self._layout = layout
        self._strict_names = rules.strict_names
        self._host_address_problem = host_address_problem
        #: The held containers by the keys that they have.
        self._held = held
        self._by_key: dict[str, Candidate] = {}
        #: Each directory that an entry lies in, with one such entry's key.
        self._directories: dict[str, str] = {}
        self._record_room = RECORD_ROOM
        #: The first entry with each name, and with each name and id, in small letters.
        self._names: dict[str, Entry] = {}
        self._identities: dict[tuple[str, str], Entry] = {}

    def addressed(self, before: Iterable[str]) -> Sequence[Candidate]:
        """Return those that have an address, sorted by name and id. ``before`` are the keys of an earlier answer, which
        is sorted likewise."""
        found = [each for each in _in_order_of(before, self._by_key) if each.entry.address]
        return sorted(found, key=attrgetter("order"))

    def unaddressed(self) -> Mapping[str, Entry]:
        """Return the entries that have no address by their keys."""
        return {key: each.entry for key, each in self._by_key.items() if not each.entry.address}

    def add(self, candidate: Candidate) -> None:
        """Add an entry. Raises RefusedPort for one that an earlier entry excludes, or for which the owner record has no
        room. An entry without an address is added, so that no later one gets its key, and RefusedPort is raised for it
        all the same."""
        entry = candidate.entry
        self._check_place(candidate)
        if self._strict_names:
            self._check_spelling(entry)
        if candidate.claim_size > self._record_room:
            detail = f"the owner record has no room for {entry.id_shown}; use fewer SERVICE_IDs on this host"
            raise RefusedPort(RefusalReason.BAD_ID, detail)
        self._by_key[candidate.key] = candidate
        for directory in candidate.directories:
            self._directories[directory] = candidate.key
        self._record_room -= candidate.claim_size
        if self._strict_names:
            self._names.setdefault(entry.name.lower(), entry)
            self._identities.setdefault(_in_small_letters(entry), entry)
        if not entry.address:
            raise RefusedPort(RefusalReason.NO_ADDRESS, self._host_address_problem)

    def _check_spelling(self, entry: Entry) -> None:
        """Raise RefusedPort if an earlier entry has the same name in another spelling, or the same name and, in another
        spelling, the same id. An id in the default form is unique as it is, because its container's name is."""
        namesake = self._names.get(entry.name.lower(), entry)
        if namesake.name != entry.name:
            raise RefusedPort(RefusalReason.BAD_NAME, _differs_in_case(entry.name_shown, namesake.name, namesake))
        twin = self._identities.get(_in_small_letters(entry), entry)
        if twin.id != entry.id and not DefaultId.parse(entry.id):
            raise RefusedPort(RefusalReason.BAD_ID, _differs_in_case(entry.id_shown, twin.id, twin))

    def _check_place(self, candidate: Candidate) -> None:
        """Raise RefusedPort if an earlier entry has this key, or if the key of one is a directory of the other, or if
        the key is held."""
        key = candidate.key
        if holder := self._held.get(key):
            detail = f"container {holder.name!r} has {key.removeprefix(f'{self._layout.prefix}/')}, which is held"
            raise RefusedPort(RefusalReason.DUPLICATE, detail)
        above = filter(self._by_key.__contains__, (key, *candidate.directories))
        taken = next(above, self._directories.get(key))
        if taken is None:
            return
        path, taken_path = (each.removeprefix(f"{self._layout.prefix}/") for each in (key, taken))
        instead = "" if taken == key else f", which leaves no room for {path}"
        detail = f"container {self._by_key[taken].entry.container.name!r} already has {taken_path}{instead}"
        raise RefusedPort(RefusalReason.DUPLICATE, detail)


def _in_small_letters(entry: Entry) -> tuple[str, str]:
    return entry.name.lower(), entry.id.lower()


def _differs_in_case(shown: str, earlier: str, holder: Entry) -> str:
    """Return why --strict-names refuses a name or id that another entry has in another spelling."""
    return (
        f"{shown} differs in case alone from {quoted(earlier)} of container {holder.container.name!r}, "
        "and --strict-names does not allow that"
    )
