"""A container as the engine's inspect answer shows it, cut down to what the rules need."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Self

from attrs import evolve, field, frozen

from model.family import UNSPECIFIED, is_loopback, same_address, same_family
from model.frozen import frozen_dict
from model.keys import quoted
from model.stop_signal import TERM, signal_number
from model.tag_template import Query, has_templates, queries_in

#: The state of a container that Podman has sent the signal which stops it.
STOPPING = "stopping"

#: States in which a container's ports answer, or will again once it is unpaused. ``restarting`` is not among them:
#: the engine reports such a container as running, but with no ports.
SERVING = frozenset({"running", "paused", STOPPING})

#: States in which Docker's list shows a container by default.
UP = SERVING | {"restarting"}

#: The states for which engines have another word than Docker. Podman says "stopped" until it has cleaned up.
_OTHER_WORDS = {"stopped": "exited"}

#: The label that compose gives to a container of ``docker compose run``, with the value ``True``.
ONE_OFF_LABEL = "com.docker.compose.oneoff"

#: How the engine says that a container has no HEALTHCHECK.
NO_HEALTHCHECK = frozenset({"", "none"})

#: Seconds that the engine gives a container to end before it kills it, if its creator did not say.
STOP_TIMEOUT = 10.0

#: The protocols of ports, in the order in which the ports of one number are sorted.
PROTOCOLS = ("tcp", "udp", "sctp")

#: The most ports of one exposed range that are registered.
MAX_RANGE = 100

#: A time as RFC 3339 writes it, or as Go prints it: ``2026-01-02 03:04:05.1 +0000 UTC m=+0.01``.
_TIMESTAMP = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r" ?(?P<zone>[Zz]|[+-]\d\d:?\d\d)(?: .*)?",
    re.ASCII,
)

#: What stands for a time that cannot be read. It sorts behind every time.
UNKNOWN_TIME = "unknown"


class MalformedContainer(ValueError):
    """The engine described a container in a way that cannot be understood. The message names the field."""


class MalformedPort(ValueError):
    """A text is no port. The message says what is wrong, as the end of a sentence that begins with the port."""


@frozen
class PortId:
    """A container's port: number and protocol, as in ``80/tcp``."""

    number: int
    protocol: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``80/tcp``, or ``80`` for tcp. Raises MalformedPort."""
        number, _, protocol = text.partition("/")
        protocol = protocol.lower() or "tcp"
        if protocol not in PROTOCOLS:
            raise MalformedPort(f"has the protocol {quoted(protocol)}, which is none of {', '.join(PROTOCOLS)}")
        return cls(port_number(number), protocol)

    @property
    def numbers(self) -> range:
        """The port numbers that this stands for: one."""
        return range(self.number, self.number + 1)

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@frozen
class BadPort:
    """An exposed or published port that cannot be registered: no port number, or a range that is too long."""

    #: The port as the engine writes it.
    text: str
    #: What is wrong with it, as the end of a sentence that begins with the port.
    problem: str
    #: The first and the last number of a range. Without a range, no number lies between them.
    first: int = 0
    last: int = -1

    @property
    def number(self) -> int:
        """The number that the engine shows for a port that it cannot read."""
        return 0

    @property
    def numbers(self) -> range:
        """The port numbers that this stands for: those of the range, if it is one."""
        return range(self.first, self.last + 1)

    @property
    def protocol(self) -> str:
        """The protocol, in lower case, whether it is a known one or not."""
        return self.text.partition("/")[2].lower() or "tcp"

    def __str__(self) -> str:
        return self.text if len(self.text) <= _MAX_SHOWN else f"{self.text[:_MAX_SHOWN]}…"


#: The most characters of a bad port that are shown.
_MAX_SHOWN = 100

#: A port of a container, be it one that can be registered or not.
ContainerPort = PortId | BadPort


def ports_in(text: str, longest: int = MAX_RANGE) -> tuple[ContainerPort, ...]:
    """Return the ports that the engine writes as ``80/tcp``, or as ``8000-8010/tcp`` for a range: one BadPort if the
    text is neither, or a range of more than ``longest`` ports."""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    try:
        begin = PortId.parse(f"{first}/{protocol}")
        end = PortId.parse(f"{last}/{protocol}") if dash else begin
    except MalformedPort as error:
        return (BadPort(text, str(error)),)
    found = range(begin.number, end.number + 1)
    if not found:
        return (BadPort(text, "is a range that ends before it begins"),)
    if len(found) > longest:
        problem = f"is a range of {len(found)} ports, which is more than {longest}"
        return (BadPort(text, problem, begin.number, end.number),)
    return tuple(PortId(number, begin.protocol) for number in found)


@frozen(order=True)
class ContainerRef:
    """Names one container."""

    id: str
    name: str


@frozen
class Binding:
    """Where on the host the engine publishes a port."""

    #: An IP address of the host; empty, ``0.0.0.0`` or ``::`` for all of them.
    address: str
    port: int

    @property
    def unspecified(self) -> bool:
        """Whether it is on all of the host's addresses (of its family)."""
        return self.address in UNSPECIFIED

    @property
    def loopback(self) -> bool:
        """Whether only the host itself can reach it."""
        return is_loopback(self.address)

    def listens_on(self, address: str) -> bool:
        """Return whether the binding may answer at this address or host name of the host.

        It answers at addresses of its own family only. A binding on a concrete address may answer at another one,
        because ``-ip`` is often an address that is translated to it. No address is translated to a loopback address, so
        a binding on one answers there alone.
        """
        if self.loopback:
            return same_address(self.address, address)
        return same_family(self.address, address)


@frozen
class Container:
    """One container of this host."""

    id: str
    #: Without the slash that the engine puts before it.
    name: str
    #: The image as it was given to ``docker run``.
    image: str
    #: When it was created, in a form that sorts as text; UNKNOWN_TIME where the engine's answer does not tell.
    created: str
    #: The engine's word for its state: ``running``, ``paused``, ``restarting``, ``exited`` and so on.
    status: str = "running"
    exit_code: int = 0
    #: The lines of its environment, ``NAME=value``, in the engine's order.
    env: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: The ports that its image or its creator exposed, sorted, the bad ones last.
    exposed: tuple[ContainerPort, ...] = ()
    #: Each port that the engine manages, with its bindings in the engine's order; none when it is not published. A port
    #: that is exposed and missing here is one that the engine does not map at all: host networking, a joined network, a
    #: network that is internal or whose driver maps no ports, or no network.
    published: Mapping[ContainerPort, tuple[Binding, ...]] = field(factory=dict, converter=frozen_dict)
    #: The network that it was started on: ``default``, ``host``, ``none``, ``container:<id>`` or a network's name; the
    #: text that was given if it is on no such network any more.
    network_mode: str = "default"
    #: Its IPv4 address on the default bridge; empty where it has none.
    address: str = ""
    #: Its IPv4 address on each network, by the network's name; empty where it has none there.
    networks: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: What its HEALTHCHECK says: ``starting``, ``healthy``, ``unhealthy``; see NO_HEALTHCHECK.
    health: str = ""
    #: Its IPv6 address on the default bridge; empty where it has none.
    address_ipv6: str = ""
    #: Its IPv6 address on each network that gave it one, by the network's name.
    networks_ipv6: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: The id of each network that it is on, by the network's name; empty where the engine shows none.
    network_ids: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: The ports that its creator asked the engine to publish.
    to_publish: frozenset[ContainerPort] = frozenset()
    #: When it was started last, in a form that sorts as text; empty if the engine does not tell.
    started: str = ""
    #: The number of the signal by which the engine stops it.
    stop_signal: int = TERM
    #: Seconds that the engine gives it to end after that signal; negative if it has no limit.
    stop_timeout: float = STOP_TIMEOUT
    #: What the engine's answer says to the templates in the container's tags and in those of every entry. Nothing is
    #: kept of what no template asks for.
    answers: Mapping[Query, str] = field(factory=dict, converter=frozen_dict)

    @property
    def ref(self) -> ContainerRef:
        """What names it in refusals, plans and logs."""
        return ContainerRef(self.id, self.name)

    @property
    def serving(self) -> bool:
        """Whether it is in a state in which its ports are to be registered."""
        return self.status in SERVING

    @property
    def healthy(self) -> bool:
        """Whether its HEALTHCHECK says so, or it has none. When a container is paused, the engine sets it to
        unhealthy."""
        return self.health == "healthy" or self.health in NO_HEALTHCHECK

    @property
    def one_off(self) -> bool:
        """Whether compose started it for a single command. It is not one of the containers of its service."""
        return self.labels.get(ONE_OFF_LABEL, "").strip().lower() == "true"

    @property
    def joined(self) -> str:
        """The id of the container whose network this one joins; an empty string if it joins none."""
        return _joined_in(self.network_mode)

    def started_after(self, other: Container) -> bool:
        """Return whether it was certainly started later than another container."""
        return bool(other.started) and self.started > other.started

    @property
    def age(self) -> tuple[str, str]:
        """Sort key: the older container first, and a stable order among containers of one age."""
        return self.created, self.id


def port_number(text: str) -> int:
    """Read a port number from 1 to 65535. Raises MalformedPort."""
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit() and 0 < len(digits) < 6 and int(digits) < 65536):
        raise MalformedPort(f"has {quoted(text)} where a number from 1 to 65535 belongs")
    return int(digits)


def from_inspect(document: Mapping[str, Any], tags: Sequence[str] = ()) -> Container:
    """Read the answer of ``GET /containers/<id>/json``. Raises MalformedContainer, which names what is wrong.

    ``tags`` are the tags of every entry, which may have templates, as may those of the container.

    Null stands for an empty list or mapping. A container that cannot be understood in full is malformed, because the
    part that is not understood may hold its SERVICE_IGNORE. Two things are exceptions: a port that is none is a
    BadPort, so that the others are registered, and the time of creation decides only which container is older.
    """
    try:
        return _with_answers(_from_inspect(document), document, tags)
    except MalformedContainer:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise MalformedContainer(f"unexpected shape: {error!r}") from error


def _from_inspect(document: Mapping[str, Any]) -> Container:
    config, network, state = document["Config"], document["NetworkSettings"], document["State"]
    host_config, status = document["HostConfig"], state_named(_string("State.Status", state["Status"]))
    mode = _optional("HostConfig.NetworkMode", host_config.get("NetworkMode")) or "default"
    if _joined_in(mode):
        # It has nothing of its own, but Podman shows what the other container has.
        network = {}
    networks = networks_in(network)
    ids = {name: _text(each.get("NetworkID") or "") for name, each in networks.items()}
    exposed = _exposed(_mapping("Config.ExposedPorts", config.get("ExposedPorts")))
    ports = _mapping("NetworkSettings.Ports", network.get("Ports"))
    health = _mapping("State.Health", state.get("Health") or state.get("Healthcheck"))
    return Container(
        id=_text(document["Id"]),
        name=_name(document.get("Name"), status),
        image=_optional("Config.Image", config.get("Image")),
        created=_moment(document.get("Created")) or UNKNOWN_TIME,
        status=status,
        exit_code=int(state["ExitCode"]),
        env=tuple(_string("a line of Config.Env", line) for line in _list("Config.Env", config.get("Env"))),
        labels={
            key: _string(f"the label {quoted(key)}", value)
            for key, value in _mapping("Config.Labels", config.get("Labels")).items()
        },
        exposed=exposed,
        published=_published(ports, exposed),
        network_mode=_network_named(mode, ids),
        address=_text(network.get("IPAddress") or ""),
        networks={_text(name): _text(each.get("IPAddress") or "") for name, each in networks.items()},
        health=_text(health.get("Status") or ""),
        address_ipv6=_text(network.get("GlobalIPv6Address") or ""),
        networks_ipv6=ipv6_addresses(networks),
        network_ids=ids,
        to_publish=_to_publish(host_config, exposed, ports),
        started=_moment(state.get("StartedAt")),
        stop_signal=signal_number(str(config.get("StopSignal") or "")) or TERM,
        stop_timeout=_stop_timeout(config.get("StopTimeout")),
    )


def _with_answers(container: Container, document: Mapping[str, Any], tags: Iterable[str]) -> Container:
    """Return the container with what the answer says to all templates in tags."""
    lines = (line.partition("=")[::2] for line in container.env)
    own = [text for name, text in (*lines, *container.labels.items()) if name.lower().endswith("tags")]
    queries = {query for text in (*own, *tags) if has_templates(text) for query in queries_in(text)}
    found = {query: query.answer(document) for query in queries}
    answers = {query: text for query, text in found.items() if text is not None}
    return evolve(container, answers=answers) if answers else container


def state_named(word: str) -> str:
    """Return Docker's word for a state of a container for which the engine has this word."""
    return _OTHER_WORDS.get(word, word)


def _joined_in(mode: str) -> str:
    """Return the id of the container whose network a container with this network mode joins; an empty string if it
    joins none."""
    kind, _, target = mode.partition(":")
    return target if kind == "container" else ""


def _stop_timeout(value: Any) -> float:
    """Return the seconds that the engine gives a container to end. What cannot be understood counts as not given."""
    return float(value) if type(value) is int else STOP_TIMEOUT


def _network_named(mode: str, ids: Mapping[str, str]) -> str:
    """Return the name of the network that a container was started on. Docker also takes the id of a network, or the
    beginning of one, and shows what it was given. A name goes before an id."""
    begun = [name for name, network_id in ids.items() if network_id.startswith(mode)]
    return begun[0] if mode not in ids and len(begun) == 1 else mode


def _to_publish(
    host_config: Mapping[str, Any], exposed: Iterable[ContainerPort], managed: Collection[str]
) -> frozenset[ContainerPort]:
    """Return the ports that ``-p`` asks for, or with ``-P`` the exposed ports: those that the engine names, if it
    manages ports of the container (``managed``), because it cannot publish others, such as the ports of a range. A port
    without a binding is not asked for: some engines list the exposed ports so."""
    bindings = _mapping("HostConfig.PortBindings", host_config.get("PortBindings"))
    asked = [port for text, listed in bindings.items() if listed for port in ports_in(text)]
    named = {port for text in managed for port in ports_in(text)}
    if host_config.get("PublishAllPorts"):
        asked += [port for port in exposed if not named or port in named]
    return frozenset(asked)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _string(name: str, value: Any) -> str:
    """Return the text in the field with this name."""
    if not isinstance(value, str):
        raise MalformedContainer(f"{name} is no text: {quoted(repr(value))}")
    return value


def _optional(name: str, value: Any) -> str:
    """Return the text in the field with this name; an empty one for null."""
    return "" if value is None else _string(name, value)


def _list(name: str, value: Any) -> Sequence[Any]:
    """Return the list in the field with this name; an empty one for null."""
    if not isinstance(value, list | None):
        raise MalformedContainer(f"{name} is no list: {quoted(repr(value))}")
    return value or []


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Return the mapping in the field with this name; an empty one for null."""
    if not isinstance(value, dict | None):
        raise MalformedContainer(f"{name} is no mapping: {quoted(repr(value))}")
    return value or {}


def _name(value: Any, status: str) -> str:
    """Return the container's name. One that is dead may have none, and needs none, as it has no entries."""
    name = value.lstrip("/") if isinstance(value, str) else ""
    if not name and status in SERVING:
        raise MalformedContainer(f"Name is no name: {quoted(repr(value))}")
    return name


def networks_in(section: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the ``Networks`` in a section ``NetworkSettings`` of the engine's, by their names."""
    networks = _mapping("NetworkSettings.Networks", section.get("Networks"))
    return {name: _mapping(f"NetworkSettings.Networks.{name}", each) for name, each in networks.items()}


def ipv6_addresses(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the IPv6 addresses in an engine's ``Networks``, by the names of the networks that have one."""
    found = {_text(name): _text(each.get("GlobalIPv6Address") or "") for name, each in networks.items()}
    return {name: address for name, address in found.items() if address}


def _exposed(texts: Iterable[str]) -> tuple[ContainerPort, ...]:
    """Return the exposed ports. A port that is exposed alone and in a range is one port."""
    return tuple(sorted({port for text in texts for port in ports_in(text)}, key=port_order))


def port_order(port: ContainerPort) -> tuple[bool, int, int, str]:
    """Return a sort key: by number and protocol, tcp first, and the bad ports last."""
    if isinstance(port, BadPort):
        return True, 0, 0, port.text
    return False, port.number, PROTOCOLS.index(port.protocol), ""


def _published(texts: Mapping[str, Any], exposed: Iterable[ContainerPort]) -> dict[ContainerPort, tuple[Binding, ...]]:
    """Return the bindings of each port that the engine manages.

    If the engine manages ports of a container, it manages all of them. It reads an exposed port that is no plain
    number, such as a range, as number 0. So each exposed port that the engine does not name is one that it does not
    publish, and number 0 is no port, unless it was published.
    """
    found: dict[ContainerPort, tuple[Binding, ...]] = {}
    for text, listed in texts.items():
        bindings = tuple(_bindings(_list(f"NetworkSettings.Ports of {text}", listed)))
        for port in ports_in(text, longest=1 if bindings else MAX_RANGE):
            if bindings or isinstance(port, PortId):
                found[port] = (*found.get(port, ()), *bindings)
    return (dict.fromkeys(exposed, ()) if texts else {}) | found


def _bindings(bindings: Iterable[Any]) -> Iterator[Binding]:
    """Yield the bindings of a port, of which the engine lists one for each address family."""
    for each in bindings:
        if each and each.get("HostPort"):
            yield Binding(_host_address(_text(each.get("HostIp") or "")), _host_port(_text(each["HostPort"])))


def _host_port(text: str) -> int:
    try:
        return port_number(text)
    except MalformedPort as error:
        raise MalformedContainer(f"HostPort of a published port {error}") from None


def _host_address(text: str) -> str:
    """Return a binding's address as the engine writes it: an IP address, or nothing for all of them."""
    try:
        if text:
            ip_address(text)
    except ValueError:
        raise MalformedContainer(f"host address {text!r} of a published port") from None
    return text


def _moment(timestamp: Any) -> str:
    """Return a timestamp in UTC, with nanoseconds, so that it sorts as text. The engine cuts trailing zeros off its own
    timestamps. Return an empty string for Go's zero time, which stands for no time, and for what is no timestamp."""
    match = _TIMESTAMP.fullmatch(timestamp) if isinstance(timestamp, str) else None
    if not match:
        return ""
    try:
        utc = datetime.fromisoformat(f"{match['date']}T{match['time']}{match['zone'].upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    seconds = utc.replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{seconds}.{(match['fraction'] or '')[:9]:0<9}Z" if utc.year > 1 else ""


def seconds_since_1970(moment: str) -> float:
    """Return the seconds since 1970-01-01 UTC of a moment in the form of ``Container.started``."""
    return datetime.fromisoformat(moment).timestamp()
