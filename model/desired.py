"""The desired state: containers in; entries, refusals and holds out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum

from attrs import evolve, field, frozen

from model.address import AddressBook, AddressRules, Unaddressed
from model.clashes import resolve_conflicts
from model.container import Container
from model.entry import (
    ContainerRef,
    DefaultId,
    Entry,
    Refusal,
    RefusalReason,
    key_part_problem,
    quoted,
)
from model.frozen import frozen_dict
from model.metadata import Metadata, metadata_for, split_tags
from model.ports import ServicePort, service_ports


class Deregister(Enum):
    """When a container that stopped loses its entries."""

    ALWAYS = "always"
    ON_SUCCESS = "on-success"


class HealthRule(Enum):
    """Whose HEALTHCHECK counts. The engine's own retries do the damping, so nothing is counted here."""

    ANY = "any"
    HEALTHY = "healthy"

    def admits(self, container: Container) -> bool:
        """Whether the container may have entries."""
        return self is HealthRule.ANY or container.healthy


@frozen
class Rules:
    """What the operator decided. ``owner`` is the Docker host that the entries belong to. ``all_bindings``: whether
    every published binding of a port has an entry, and not only the first."""

    owner: str
    address: AddressRules = AddressRules()
    explicit: bool = False
    tags: tuple[str, ...] = ()
    deregister: Deregister = Deregister.ALWAYS
    health: HealthRule = HealthRule.ANY
    all_bindings: bool = False


@frozen
class UnknownContainer:
    """A container that is there, but that the engine would not describe. ``name`` is what the list calls it."""

    ref: ContainerRef
    problem: str


@frozen
class Snapshot:
    """What the engine said in one pass. ``unknown`` containers exist; nothing else is known of them now. ``selected``
    are the ids of those that the operator's filters let through; None where there are no filters. The others are here
    all the same, as one of them may hold the network that a selected one joins."""

    containers: tuple[Container, ...] = ()
    unknown: tuple[UnknownContainer, ...] = ()
    selected: frozenset[str] | None = None

    def selects(self, container: Container) -> bool:
        """Whether the container may have entries."""
        return self.selected is None or container.id in self.selected


class ExclusionReason(Enum):
    """Why a container that runs is to have no entries."""

    UNHEALTHY = "unhealthy"
    FILTERED = "filtered"


@frozen
class Desired:
    """``entries`` sorted by identity, with no identity twice; ``refusals`` in order of container and port; ``held``
    are containers whose entries stay as they are, whatever those may be. ``decisions`` is what was decided of each
    port by itself, the older container's first: which of them exclude each other is a question of the layout, too.
    ``excluded`` are the containers that run, and are to have no entries."""

    entries: tuple[Entry, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    held: frozenset[ContainerRef] = frozenset()
    decisions: tuple[Entry | Refusal, ...] = field()
    excluded: Mapping[ContainerRef, ExclusionReason] = field(factory=dict, converter=frozen_dict)

    @decisions.default
    def _of_the_rest(self) -> tuple[Entry | Refusal, ...]:
        return *self.entries, *self.refusals


def desired(snapshot: Snapshot, rules: Rules) -> Desired:
    """What this host should have registered. The order of the snapshot does not matter. The first line that is true of
    a container counts:

    ================================================  =======================================
    container                                         its service ports
    ================================================  =======================================
    the engine would not describe it                  held
    not selected by ``--filter``                      nothing, so what was registered goes
    failed, with ``-deregister on-success``           held
    not healthy, with ``--health healthy``            nothing
    joins the network of one that is not described    held
    running or paused                                 an entry or a refusal each
    anything else                                     nothing
    ================================================  =======================================

    Starting is not healthy, and a container without a HEALTHCHECK is.
    """
    held = _held(snapshot, rules)
    peers = {each.id: each for each in snapshot.containers if each.serving}
    book = AddressBook.of(rules.address, peers)
    excluded = {_ref(each): why for each in peers.values() if (why := _excluded(each, snapshot, rules))}
    left_out = held | excluded.keys()
    serving = sorted((each for each in peers.values() if _ref(each) not in left_out), key=lambda each: each.age)
    decisions = tuple(_decide(serving, rules, book))
    entries, refusals = resolve_conflicts(decisions, lambda entry: entry.path)
    return Desired(entries, refusals, held, decisions, excluded)


def _excluded(container: Container, snapshot: Snapshot, rules: Rules) -> ExclusionReason | None:
    if not snapshot.selects(container):
        return ExclusionReason.FILTERED
    return None if rules.health.admits(container) else ExclusionReason.UNHEALTHY


def _ref(container: Container) -> ContainerRef:
    return ContainerRef(container.id, container.name)


def _held(snapshot: Snapshot, rules: Rules) -> frozenset[ContainerRef]:
    unknown = {each.ref.id for each in snapshot.unknown}
    selected = filter(snapshot.selects, snapshot.containers)
    kept = (each for each in selected if _keeps_its_entries(each, unknown, rules))
    return frozenset([*(each.ref for each in snapshot.unknown), *map(_ref, kept)])


def _keeps_its_entries(container: Container, unknown: Collection[str], rules: Rules) -> bool:
    """A container that ended is unhealthy in the engine's eyes, so its health says nothing about a failed one."""
    failed = rules.deregister is Deregister.ON_SUCCESS and _failed(container)
    return failed or (container.joined in unknown and rules.health.admits(container))


def _failed(container: Container) -> bool:
    """Whether the container ended, or is being started again, after an exit that was neither a success nor a signal's
    doing (an exit code with the bit 128 set). Source: registrator's ``shouldRemove``."""
    stopped = container.status in {"exited", "restarting"}
    return stopped and container.exit_code != 0 and not container.exit_code & 128


def _decide(containers: Iterable[Container], rules: Rules, book: AddressBook) -> Iterator[Entry | Refusal]:
    """The decisions about each service port, the older container's first."""
    for container in containers:
        ports = service_ports(container, internal=rules.address.internal, family=rules.address.family)
        for port in ports:
            metadata = metadata_for(port.port, container.env, container.labels)
            ignored = metadata.get("ignore") or (rules.explicit and not metadata.get("name"))
            if not ignored:
                yield from _decide_port(_Service(container, port, metadata, grouped=len(ports) > 1), rules, book)


@frozen
class _Service:
    """A service port with what its container says about it; ``grouped`` if the container has several."""

    container: Container
    port: ServicePort
    metadata: Metadata
    grouped: bool

    @property
    def name(self) -> str:
        """The service's name: given, or the last part of the image's name without its tag. One of several service
        ports marks the name with its number, unless the name was given for that port."""
        image = self.container.image.rstrip("/").rpartition("/")[2].partition(":")[0]
        suffix = f"-{self.port.port.number}" if self.grouped and "name" not in self.metadata.from_port else ""
        return (self.metadata.get("name") or image) + suffix

    def id(self, owner: str) -> str:
        """The entry's id: given, or registrator's; with a mark behind it for a further binding."""
        first = self.metadata.get("id") or str(DefaultId.of(owner, self.container.name, self.port.port))
        return f"{first}:{self.port.id_suffix}" if self.port.id_suffix else first

    def tags(self, forced: tuple[str, ...]) -> tuple[str, ...]:
        """The entry's tags, those of every entry behind its own."""
        mark = ("udp",) if self.port.port.protocol == "udp" else ()
        return split_tags(self.metadata.get("tags")) + forced + mark


def _decide_port(service: _Service, rules: Rules, book: AddressBook) -> Iterable[Entry | Refusal]:
    """One decision; with ``all_bindings`` one for each address and port that the port's bindings come to. Two that come
    to the same are one entry, and what is wrong with both is said once. A binding on all addresses of one family does
    not count where the address to register is of the other: nobody listens there."""
    if not rules.all_bindings or rules.address.internal:
        return (_decide_binding(service, rules, book),)
    distinct: dict[object, Entry | Refusal] = {}
    astray = []
    for port in service.port.each_binding():
        decision = _decide_binding(evolve(service, port=port), rules, book)
        if isinstance(decision, Entry) and port.binding and not port.binding.reaches(decision.address):
            detail = f"it is published on {port.binding.address or 'IPv4'} alone, and not on {decision.address}"
            astray.append(Refusal(decision.container, port.port, RefusalReason.NO_ADDRESS, detail))
        else:
            distinct.setdefault(_place(decision), decision)
    return tuple(distinct.values()) or astray[:1]


def _place(decision: Entry | Refusal) -> object:
    return (decision.address, decision.port) if isinstance(decision, Entry) else decision


def _decide_binding(service: _Service, rules: Rules, book: AddressBook) -> Entry | Refusal:
    container, port = service.container, service.port
    name, entry_id = service.name, service.id(rules.owner)
    try:
        _check(name, entry_id, service.metadata, rules.owner)
        address = book.address_of(container, port, service.metadata.get("network"))
    except (Unaddressed, _Unfit) as no:
        return Refusal(_ref(container), port.port, no.reason, no.detail)
    return Entry(
        name=name,
        id=entry_id,
        address=address,
        port=port.port.number if rules.address.internal else port.host_port,
        container=_ref(container),
        container_port=port.port,
        tags=service.tags(rules.tags),
        attributes=service.metadata.attributes,
        image=container.image,
    )


@frozen
class _Unfit(Exception):
    """A name or id that must not be written."""

    reason: RefusalReason
    detail: str


def _check(name: str, entry_id: str, metadata: Metadata, owner: str) -> None:
    """Raise _Unfit for a name or id that would land outside the prefix, be hidden, or pose as another host's."""
    if problem := key_part_problem(name):
        source = "SERVICE_NAME" if metadata.get("name") else "the image's name"
        raise _Unfit(RefusalReason.BAD_NAME, f"{source} {quoted(name)} {problem}")
    if problem := key_part_problem(entry_id):
        raise _Unfit(RefusalReason.BAD_ID, f"SERVICE_ID {quoted(entry_id)} {problem}")
    claimed = DefaultId.parse(entry_id.rpartition("/")[2])
    if claimed and claimed.owner != owner:
        detail = f"SERVICE_ID {quoted(entry_id)} has the form of an id of host {claimed.owner!r}, which would remove it"
        raise _Unfit(RefusalReason.BAD_ID, detail)
