"""What each container wants to have registered, decided by itself: candidates for entries, and refusals.

Most containers are the same in each pass. So what was decided about a container is handed to the next pass, which
decides again only about a container for which something has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self

from attrs import field, frozen

from model.address import AddressBook, NetworkNotTold, Place
from model.container import MAX_RANGE, BadPort, Container, ContainerPort, PortId
from model.described import DescribedEnum
from model.entry import DefaultId, Entry
from model.family import is_loopback
from model.frozen import frozen_dict
from model.keys import ancestors, by_number, key_part_problem, quoted, strict_id_problem, strict_name_problem
from model.layout import Layout
from model.metadata import Metadata, metadata_for, split_tags
from model.ports import bad_ports, service_ports, unpublished_ports
from model.record import claim_size
from model.refusal import Refusal, RefusalReason, RefusedPort
from model.rules import AddressRules, Rules
from model.tag_template import BadTemplate, expanded, has_templates


@frozen
class Candidate:
    """An entry that the layout can write. It can still be refused because another entry excludes it."""

    entry: Entry
    key: str
    value: str
    #: The directories that the key lies in, the innermost first.
    directories: tuple[str, ...]
    #: How many bytes of the owner record it takes at most; 0 if its id tells the owner.
    claim_size: int
    #: Sort key: by name and id, app-2 before app-10.
    order: tuple[object, ...]
    #: Whether it has a loopback address that nobody gave for it.
    loopback_by_chance: bool

    @classmethod
    def of(cls, entry: Entry, container: Container, rules: AddressRules, layout: Layout) -> Self:
        """Make a candidate of an entry of this container. Raises RefusedPort if the layout cannot write the entry."""
        layout.check(entry)
        key = layout.key(entry)
        given = rules.ip or container.labels.get(rules.label, "")
        return cls(
            entry,
            key,
            layout.value(entry),
            tuple(ancestors(key)),
            claim_size=0 if DefaultId.parse(layout.id_of(key)) else claim_size(key),
            order=tuple(map(by_number, entry.identity)),
            loopback_by_chance=not given and is_loopback(entry.address),
        )


class LeftOutReason(DescribedEnum):
    """Why a port of a container is to have neither an entry nor a refusal."""

    IGNORED = "ignored", "SERVICE_IGNORE is set for the port, whatever its value."
    NOT_NAMED = "not-named", "The container gives the port no SERVICE_NAME, and -explicit is given."
    NOT_PUBLISHED = "unpublished", "The container exposes the port and does not publish it, and -internal is not given."


@frozen
class LeftOutPort:
    """A port of a container that is to have neither an entry nor a refusal, and why."""

    port: ContainerPort
    reason: LeftOutReason
    #: Why, for people, as the end of a sentence. It names what decided.
    detail: str


@frozen
class Decided:
    """What was decided about one container."""

    #: A candidate or a refusal for each of its service ports, sorted by port; several for a port with several entries.
    ports: tuple[Candidate | Refusal, ...] = ()
    #: What the engine has to say before anything can be decided, for people; empty if nothing is missing.
    untold: str = ""


@frozen
class Decisions:
    """What was decided about the containers of one pass, each by itself, and by what."""

    #: What all of it depends on: rules, layout, and why this host's address is not known.
    common: tuple[object, ...] = ()
    #: By the container's id, what its part depends on, and that part.
    by_id: Mapping[str, tuple[tuple[object, ...], Decided]] = field(factory=dict, converter=frozen_dict)

    @property
    def untold(self) -> Mapping[str, str]:
        """The containers about which nothing can be decided yet, by id, each with what the engine has to say first."""
        return {container_id: each.untold for container_id, (_, each) in self.by_id.items() if each.untold}

    @property
    def ports(self) -> Iterator[Candidate | Refusal]:
        """What was decided about all ports, in the order of the containers."""
        return (port for _, each in self.by_id.values() for port in each.ports)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all candidates."""
        return frozenset(each.key for each in self.ports if isinstance(each, Candidate))

    def followed_by(self, containers: Iterable[Container], rules: Rules, layout: Layout, book: AddressBook) -> Self:
        """Return what is decided about these containers now, in their order. Only a container for which something has
        changed is decided about again. The result is the same whatever this object holds."""
        common = (rules, layout, book.host_address_problem)
        before = self.by_id if self.common == common else {}
        by_id = {}
        for container in containers:
            basis = book.basis_of(container)
            known_basis, known = before.get(container.id, (None, None))
            if known is None or known_basis != basis:
                known = _decided(container, rules, layout, book)
            by_id[container.id] = basis, known
        return type(self)(common, by_id)


#: Nothing was decided before.
NOTHING_DECIDED = Decisions()


def _decided(container: Container, rules: Rules, layout: Layout, book: AddressBook) -> Decided:
    """Decide about one container."""
    ports: list[Candidate | Refusal] = []
    try:
        for port, decision in _decisions(container, rules, book):
            try:
                if isinstance(decision, RefusedPort):
                    raise decision
                ports.append(Candidate.of(decision, container, rules.address, layout))
            except RefusedPort as refused:
                ports.append(refused.of(container.ref, port))
    except NetworkNotTold as untold:
        return Decided(untold=str(untold))
    return Decided(tuple(ports))


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

    def tags(self, forced: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        """Return the entry's tags: its own, then those of every entry, then ``udp`` where it is. Return none, and why,
        if a template in them is bad."""
        udp = ("udp",) if self.port.protocol == "udp" else ()
        try:
            own = self._expanded(self.metadata.get("tags"), self.metadata.variables.get("tags", ""))
            return own + tuple(tag for text in forced for tag in self._expanded(text, "-tags")) + udp, ""
        except BadTemplate as bad:
            return (), f"{bad}; give a plain tag"

    def _expanded(self, text: str, source: str) -> tuple[str, ...]:
        """Return the tags in a text that ``source`` gives. What a template makes may hold several tags, or none. Raises
        BadTemplate, whose message names the source."""
        if not has_templates(text):
            return split_tags(text)
        try:
            return tuple(filter(None, split_tags(expanded(text, self.container.answers))))
        except BadTemplate as bad:
            raise BadTemplate(f"{source} {bad}") from None


def _decisions(
    container: Container, rules: Rules, book: AddressBook
) -> Iterator[tuple[ContainerPort, Entry | RefusedPort]]:
    """Yield what is decided about each service port of a container, each port by itself. A bad port is refused where it
    would be a service port; as with registrator it counts for the names of the others. Raises NetworkNotTold."""
    ports = service_ports(container, internal=rules.address.internal)
    bad = bad_ports(container, internal=rules.address.internal)
    for port in ports:
        metadata = metadata_for(port.port, container.env, container.labels)
        if _why_hidden(port.port, metadata, rules):
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
        if not _why_hidden(bad_port, metadata_for(bad_port, container.env, container.labels), rules):
            yield bad_port, _refused(bad_port)


def left_out_ports(container: Container, rules: Rules) -> Iterator[LeftOutPort]:
    """Yield the ports of a container that are to have neither an entry nor a refusal, in the order of the ports: first
    those that a rule hides, and then those that are no service ports because they are not published."""
    internal = rules.address.internal
    counted: list[ContainerPort] = [each.port for each in service_ports(container, internal=internal)]
    for port in (*counted, *bad_ports(container, internal=internal)):
        if hidden := _why_hidden(port, metadata_for(port, container.env, container.labels), rules):
            yield hidden
    for port in unpublished_ports(container, internal=internal):
        yield LeftOutPort(port, LeftOutReason.NOT_PUBLISHED, "it is exposed, and not published")


def _why_hidden(port: ContainerPort, metadata: Metadata, rules: Rules) -> LeftOutPort | None:
    """Return why a service port is to have neither an entry nor a refusal; None if it is to have one of them."""
    if value := metadata.get("ignore"):
        detail = f"the {metadata.variables['ignore']} is set, and every value counts as yes, {quoted(value)} too"
        return LeftOutPort(port, LeftOutReason.IGNORED, detail)
    if rules.explicit and not metadata.get("name"):
        detail = "-explicit is given, and no SERVICE_NAME names the port"
        return LeftOutPort(port, LeftOutReason.NOT_NAMED, detail)
    return None


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
    tags, tags_problem = service.tags(rules.tags)
    return Entry(
        name=service.name.text,
        id=entry_id.text,
        address=place.address,
        port=place.port,
        container=service.container.ref,
        container_port=service.port,
        tags=tags,
        tags_problem=tags_problem,
        attributes=service.metadata.attributes,
        variables=service.metadata.variables,
        name_shown=str(service.name),
        id_shown=str(entry_id),
        address_source=place.source,
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
