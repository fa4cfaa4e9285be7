"""The desired state: containers in; entries by key, refusals, held and excluded containers out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Self

from attrs import field, frozen

from model.address import AddressBook, NetworkNotTold, Place
from model.container import MAX_RANGE, BadPort, Container, ContainerPort, ContainerRef, PortId
from model.described import DescribedEnum
from model.entry import DefaultId, Entry
from model.family import is_loopback
from model.frozen import frozen_dict
from model.keys import ancestors, by_number, key_part_problem, quoted, strict_id_problem, strict_name_problem
from model.layout import Layout
from model.metadata import Metadata, metadata_for, split_tags
from model.ownership import Holding
from model.ports import bad_ports, service_ports
from model.record import claim_size
from model.refusal import Refusal, RefusalReason, RefusedPort
from model.rules import AddressRules, Deregister, Rules
from model.snapshot import Snapshot, UnknownContainer


class ExclusionReason(DescribedEnum):
    """Why a container that runs is to have no entries."""

    UNHEALTHY = "unhealthy", "The container's HEALTHCHECK does not say healthy, and --health healthy is given."
    FILTERED = "filtered", "The filters of --filter do not select the container."
    ONE_OFF = "one-off", "The container was started by docker compose run, and --one-offs is not given."


@frozen
class Desired:
    """What this host should have registered."""

    #: The entries by their keys, sorted by name and id.
    by_key: Mapping[str, Entry] = field(factory=dict, converter=frozen_dict)
    #: The ports that are not registered, the older container's first.
    refusals: tuple[Refusal, ...] = ()
    #: The containers whose entries stay as they are.
    held: frozenset[ContainerRef] = frozenset()
    #: The containers among them for which the engine has not said yet what their networks are.
    undecided: tuple[UnknownContainer, ...] = ()
    #: The entries with a loopback address that neither ``-ip`` nor a label gave, so that the operator can be warned.
    loopback: tuple[Entry, ...] = ()
    #: The containers that run and are to have no entries.
    excluded: Mapping[ContainerRef, ExclusionReason] = field(factory=dict, converter=frozen_dict)
    #: The entries for which only this host's address is missing, by their keys. Their ``address`` is empty. They are
    #: refused, and the keys that they already have in the registry are held.
    unaddressed: Mapping[str, Entry] = field(factory=dict, converter=frozen_dict)
    #: The keys of all entries that were weighed, those of refused ones included.
    considered: frozenset[str] = frozenset()
    #: Why this host's address is not known, and what the operator can do about it; empty if no entry needs it.
    host_address_problem: str = ""

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


def desired(snapshot: Snapshot, rules: Rules, layout: Layout, holdings: Mapping[str, Holding] = NO_HOLDINGS) -> Desired:
    """Return what this host should have registered. The order of the snapshot does not matter.

    The first row that is true of a container decides:

    ================================================  =======================================
    container                                         its service ports
    ================================================  =======================================
    the engine would not describe it                  held
    not selected by ``--filter``                      none; its registered entries are deleted
    a one-off of compose, without ``--one-offs``      none; its registered entries are deleted
    failed, with ``-deregister on-success``           held
    not healthy, with ``--health healthy``            none; its registered entries are deleted
    joins the network of one that is not described    held
    a port depends on a network of which the engine   held
    has not said yet what it is
    running or paused                                 an entry or a refusal each; both, if nothing but this
                                                      host's address is missing
    anything else                                     none; its registered entries are deleted
    ================================================  =======================================

    A container that is starting is not healthy, and one without a HEALTHCHECK is healthy.

    Each service port is decided by itself and checked against the layout. Then the entries are collected, and one that
    an earlier one excludes, or for which the owner record has no room, is refused. First come those that have their key
    now, as ``holdings`` tells. So a container that runs and has a key keeps it, whatever its time of creation, which
    depends on the host's clock. The others follow, those of the older container first.
    """
    held, undecided = _held(snapshot, rules), []
    running = {each.id: each for each in snapshot.containers if each.serving}
    excluded = {each.ref: why for each in running.values() if (why := _exclusion(each, snapshot, rules))}
    book = AddressBook.of(rules.address, running, snapshot.networks)
    candidates: list[_Candidate] = []
    refusals: dict[int, Refusal] = {}
    for container in sorted(running.values(), key=lambda each: each.age):
        if container.ref in held or container.ref in excluded:
            continue
        try:
            decisions = tuple(_decisions(container, rules, book))
        except NetworkNotTold as untold:
            undecided.append(UnknownContainer(container.ref, str(untold)))
            continue
        for port, decision in decisions:
            place = len(candidates) + len(refusals)
            try:
                candidates.append(_Candidate.of(place, decision, layout))
            except RefusedPort as refused:
                refusals[place] = refused.of(container.ref, port)
    held = held.union(each.ref for each in undecided)
    entries = _Entries(layout, rules, book.host_address_problem, _held_keys(held, snapshot, holdings))
    for each in _holders_first(candidates, holdings):
        try:
            entries.add(each)
        except RefusedPort as refused:
            refusals[each.place] = refused.of(each.entry.container, each.entry.container_port)
    by_key, unaddressed = entries.by_key(), entries.unaddressed()
    return Desired(
        by_key=by_key,
        refusals=tuple(dict.fromkeys(refusals[place] for place in sorted(refusals))),
        held=held,
        undecided=tuple(undecided),
        loopback=tuple(each for each in by_key.values() if _is_loopback_by_chance(each, running, rules.address)),
        excluded=excluded,
        unaddressed=unaddressed,
        considered=frozenset(each.key for each in candidates),
        host_address_problem=book.host_address_problem if unaddressed else "",
    )


def _is_loopback_by_chance(entry: Entry, running: Mapping[str, Container], rules: AddressRules) -> bool:
    """Return whether an entry has a loopback address that nobody gave for it."""
    given = rules.ip or running[entry.container.id].labels.get(rules.label, "")
    return not given and is_loopback(entry.address)


def _exclusion(container: Container, snapshot: Snapshot, rules: Rules) -> ExclusionReason | None:
    if why := _lasting_exclusion(container, snapshot, rules):
        return why
    return None if rules.health.admits(container) else ExclusionReason.UNHEALTHY


def _lasting_exclusion(container: Container, snapshot: Snapshot, rules: Rules) -> ExclusionReason | None:
    """Return why a container is to have no entries, whether it runs, has failed, or is healthy."""
    if not snapshot.selects(container):
        return ExclusionReason.FILTERED
    return ExclusionReason.ONE_OFF if container.one_off and not rules.one_offs else None


def _held(snapshot: Snapshot, rules: Rules) -> frozenset[ContainerRef]:
    unknown = {each.ref.id for each in snapshot.unknown}
    joined = {each.id: each.joined for each in snapshot.containers if each.joined}
    admitted = (each for each in snapshot.containers if not _lasting_exclusion(each, snapshot, rules))
    held = (
        each.ref for each in admitted if _is_held(each, not unknown.isdisjoint(_all_joined(each.id, joined)), rules)
    )
    return frozenset([*(each.ref for each in snapshot.unknown), *held])


def _all_joined(container_id: str, joined: Mapping[str, str]) -> Collection[str]:
    """Return the ids of all containers on the way to the network that a container joins. ``joined`` has the id of the
    container that each one joins."""
    found: dict[str, None] = {}
    while (container_id := joined.get(container_id, "")) and container_id not in found:
        found[container_id] = None
    return found


def _is_held(container: Container, joins_unknown: bool, rules: Rules) -> bool:
    """Return whether a described container's entries are held. The engine calls a container that ended unhealthy, so
    the health of a failed one says nothing."""
    failed = rules.deregister is Deregister.ON_SUCCESS and _failed(container)
    return failed or (joins_unknown and rules.health.admits(container))


def _failed(container: Container) -> bool:
    """Return whether the container ended, or is being started again, after an exit that was neither a success nor
    caused by a signal (an exit code with the bit 128 set). Source: registrator's ``shouldRemove``."""
    stopped = container.status in {"exited", "restarting"}
    return stopped and container.exit_code != 0 and not container.exit_code & 128


# Deciding each port by itself.


@frozen
class _Made:
    """A service's name or an entry's id, and what it is made of."""

    #: What says the first part, for messages: a label, an environment variable, or something else.
    source: str
    #: Whether it is a label or an environment variable of the container.
    chosen: bool
    given: str
    #: What is added to the given part.
    suffix: str

    @property
    def text(self) -> str:
        """The whole of it."""
        return f"{self.given}{self.suffix}"

    def __str__(self) -> str:
        """Return how a message begins that goes on with what is wrong: ``label SERVICE_80_NAME 'a//b'``."""
        makes = f", which makes {quoted(self.text)}," if self.suffix else ""
        return f"{self.source} {quoted(self.given)}{makes}"


@frozen
class _Service:
    """A service port with what its container says about it."""

    container: Container
    port: PortId
    metadata: Metadata
    #: Whether the container has several service ports.
    grouped: bool

    @property
    def name(self) -> _Made:
        """The service's name: the given one, else the last part of the image's name without its tag. With several
        service ports the port's number is added, unless the name was given for that port."""
        image = self.container.image.rstrip("/").rpartition("/")[2].partition(":")[0]
        suffix = f"-{self.port.number}" if self.grouped and "name" not in self.metadata.from_port else ""
        given = self.metadata.get("name")
        source = self.metadata.variables["name"] if given else "the image's name"
        return _Made(source, bool(given), given or image, suffix)

    def id(self, owner: str, suffix: str = "") -> _Made:
        """Return the entry's id: the given one, else registrator's; with a suffix for a further binding."""
        given = self.metadata.get("id")
        default = str(DefaultId.of(owner, self.container.name, self.port))
        source = self.metadata.variables["id"] if given else "the default id"
        return _Made(source, bool(given), given or default, f":{suffix}" if suffix else "")

    def tags(self, forced: tuple[str, ...]) -> tuple[str, ...]:
        """Return the entry's tags: its own, then those of every entry, then ``udp`` where it is."""
        udp = ("udp",) if self.port.protocol == "udp" else ()
        return split_tags(self.metadata.get("tags")) + forced + udp


def _decisions(
    container: Container, rules: Rules, book: AddressBook
) -> Iterator[tuple[ContainerPort, Entry | RefusedPort]]:
    """Yield what is decided about each service port of a container, each port by itself. A bad port is refused where it
    would be a service port; as with registrator it counts for the names of the others. Raises NetworkNotTold."""
    ports = service_ports(container, internal=rules.address.internal)
    bad = bad_ports(container, internal=rules.address.internal)
    for port in ports:
        metadata = metadata_for(port.port, container.env, container.labels)
        if _is_hidden(metadata, rules):
            continue
        service = _Service(container, port.port, metadata, grouped=len(ports) + len(bad) > 1)
        try:
            _check_name_and_id(service, service.id(rules.owner), rules)
            network_variable = metadata.variables.get("network", "")
            places = book.places_of(container, port, metadata.get("network"), network_variable)
        except RefusedPort as refused:
            yield port.port, refused
            continue
        yield from ((port.port, each) for each in _at_each_place(service, places, rules))
    for bad_port in bad:
        if not _is_hidden(metadata_for(bad_port, container.env, container.labels), rules):
            yield bad_port, _refused(bad_port)


def _is_hidden(metadata: Metadata, rules: Rules) -> bool:
    """Return whether a service port is to have neither an entry nor a refusal."""
    return bool(metadata.get("ignore")) or (rules.explicit and not metadata.get("name"))


def _refused(port: BadPort) -> RefusedPort:
    detail = (
        f"the port {quoted(port.text)} {port.problem}; expose single ports, or ranges of at most {MAX_RANGE}, "
        "or hide it with SERVICE_IGNORE"
    )
    return RefusedPort(RefusalReason.BAD_PORT, detail)


def _at_each_place(service: _Service, places: Sequence[Place], rules: Rules) -> Iterator[Entry | RefusedPort]:
    """Yield the entry of a port at its first place, and with ``--all-bindings`` one at each further place. The id of a
    further one has the suffix of the place."""
    first, *further = places
    yield _entry(service, service.id(rules.owner), first, rules)
    for place in further if rules.all_bindings else ():
        entry_id = service.id(rules.owner, place.id_suffix)
        try:
            _check_name_and_id(service, entry_id, rules)
        except RefusedPort as refused:
            yield refused
        else:
            yield _entry(service, entry_id, place, rules)


def _entry(service: _Service, entry_id: _Made, place: Place, rules: Rules) -> Entry:
    return Entry(
        name=service.name.text,
        id=entry_id.text,
        address=place.address,
        port=place.port,
        container=service.container.ref,
        container_port=service.port,
        tags=service.tags(rules.tags),
        attributes=service.metadata.attributes,
        variables=service.metadata.variables,
        name_shown=str(service.name),
        id_shown=str(entry_id),
        image=service.container.image,
    )


def _check_name_and_id(service: _Service, entry_id: _Made, rules: Rules) -> None:
    """Raise RefusedPort for a name or id that the container may not have."""
    name = service.name
    if problem := key_part_problem(name.text):
        raise RefusedPort(RefusalReason.BAD_NAME, f"{name} {problem}")
    if problem := key_part_problem(entry_id.text):
        raise RefusedPort(RefusalReason.BAD_ID, f"{entry_id} {problem}")
    _check_claimed_id(entry_id, service.container, rules.owner)
    if rules.strict_names:
        _check_characters(name, entry_id)


def _check_claimed_id(entry_id: _Made, container: Container, owner: str) -> None:
    """Raise RefusedPort for an id that looks like one of another host or of another container."""
    claimed = DefaultId.parse(entry_id.text.rpartition("/")[2])
    if not claimed:
        return
    if claimed.owner != owner:
        detail = f"{entry_id} has the form of an id of host {claimed.owner!r}, which would remove it"
        raise RefusedPort(RefusalReason.BAD_ID, detail)
    if claimed.container != container.name:
        detail = (
            f"{entry_id} has the form of an id of container {quoted(claimed.container)}, and this is {container.name!r}"
        )
        raise RefusedPort(RefusalReason.BAD_ID, detail)


def _check_characters(name: _Made, entry_id: _Made) -> None:
    """Raise RefusedPort for a name or id of the container's own choice that has a character which --strict-names does
    not allow. The engine allows only harmless characters in the name of an image: small letters, digits, ``-``, ``_``,
    ``.`` and ``@``."""
    if name.chosen and (problem := strict_name_problem(name.given)):
        raise RefusedPort(RefusalReason.BAD_NAME, f"{name} {problem}")
    if entry_id.chosen and (problem := strict_id_problem(entry_id.given)):
        raise RefusedPort(RefusalReason.BAD_ID, f"{entry_id} {problem}")


# Deciding which entries can be had together.


@frozen
class _Candidate:
    """An entry that the layout can write. It can still be refused because another entry excludes it."""

    #: Its place among all service ports, those of the older container first.
    place: int
    entry: Entry
    key: str
    value: str

    @classmethod
    def of(cls, place: int, decision: Entry | RefusedPort, layout: Layout) -> Self:
        """Make a candidate of an entry. Raises RefusedPort if the port was refused, or if the layout cannot write the
        entry."""
        if isinstance(decision, RefusedPort):
            raise decision
        layout.check(decision)
        return cls(place, decision, layout.key(decision), layout.value(decision))


def _holders_first(candidates: Iterable[_Candidate], holdings: Mapping[str, Holding]) -> list[_Candidate]:
    """Return the candidates in the order in which they are collected: those that have their key now, then the others.

    The container that the key's id names has the key, and else the one whose value is in the registry. If it is none of
    them, or several have that value, it is the container that the owner record names.
    """
    holders: dict[str, str] = {key: each.container_id for key, each in holdings.items()}
    likely: dict[str, list[str]] = {}
    for each in candidates:
        holding, container = holdings.get(each.key), each.entry.container
        if holding and (each.value == holding.value or container.name == holding.container_name):
            likely.setdefault(each.key, []).append(container.id)
    holders |= {key: ids[0] for key, ids in likely.items() if holders[key] not in ids}
    return sorted(candidates, key=lambda each: holders.get(each.key) != each.entry.container.id)


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
        self._by_key: dict[str, Entry] = {}
        #: Each directory that an entry lies in, with one such entry's key.
        self._directories: dict[str, str] = {}
        self._record_room = RECORD_ROOM
        #: The first entry with each name, and with each name and id, in small letters.
        self._names: dict[str, Entry] = {}
        self._identities: dict[tuple[str, str], Entry] = {}

    def by_key(self) -> Mapping[str, Entry]:
        """Return the entries that have an address by their keys, sorted by name and id."""
        addressed = ((key, entry) for key, entry in self._by_key.items() if entry.address)
        return dict(sorted(addressed, key=lambda item: tuple(map(by_number, item[1].identity))))

    def unaddressed(self) -> Mapping[str, Entry]:
        """Return the entries that have no address by their keys."""
        return {key: entry for key, entry in self._by_key.items() if not entry.address}

    def add(self, candidate: _Candidate) -> None:
        """Add an entry. Raises RefusedPort for one that an earlier entry excludes, or for which the owner record has no
        room. An entry without an address is added, so that no later one gets its key, and RefusedPort is raised for it
        all the same."""
        key, entry = candidate.key, candidate.entry
        self._check_place(key)
        if self._strict_names:
            self._check_spelling(entry)
        size = 0 if DefaultId.parse(self._layout.id_of(key)) else claim_size(key)
        if size > self._record_room:
            detail = f"the owner record has no room for {entry.id_shown}; use fewer SERVICE_IDs on this host"
            raise RefusedPort(RefusalReason.BAD_ID, detail)
        self._by_key[key] = entry
        self._directories |= dict.fromkeys(ancestors(key), key)
        self._record_room -= size
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

    def _check_place(self, key: str) -> None:
        """Raise RefusedPort if an earlier entry has this key, or if the key of one is a directory of the other, or if
        the key is held."""
        if holder := self._held.get(key):
            detail = f"container {holder.name!r} has {key.removeprefix(f'{self._layout.prefix}/')}, which is held"
            raise RefusedPort(RefusalReason.DUPLICATE, detail)
        taken = next((each for each in (key, *ancestors(key)) if each in self._by_key), self._directories.get(key))
        if taken is None:
            return
        path, taken_path = (each.removeprefix(f"{self._layout.prefix}/") for each in (key, taken))
        instead = "" if taken == key else f", which leaves no room for {path}"
        detail = f"container {self._by_key[taken].container.name!r} already has {taken_path}{instead}"
        raise RefusedPort(RefusalReason.DUPLICATE, detail)


def _in_small_letters(entry: Entry) -> tuple[str, str]:
    return entry.name.lower(), entry.id.lower()


def _differs_in_case(shown: str, earlier: str, holder: Entry) -> str:
    """Return why --strict-names refuses a name or id that another entry has in another spelling."""
    return (
        f"{shown} differs in case alone from {quoted(earlier)} of container {holder.container.name!r}, "
        "and --strict-names does not allow that"
    )
