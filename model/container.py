"""A container as the engine's inspect answer shows it, cut down to what the rules need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Self

from attrs import field, frozen

from model.family import UNSPECIFIED, is_loopback, same_address, same_family
from model.frozen import frozen_dict

#: States in which a container's ports answer, or will again once it is unpaused. ``restarting`` is not among them:
#: the engine reports such a container as running, but with no ports.
SERVING = frozenset({"running", "paused"})

#: How the engine says that a container has no HEALTHCHECK.
NO_HEALTHCHECK = frozenset({"", "none"})

_TIMESTAMP = re.compile(r"(?P<seconds>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?Z")

_OFFSET_TIMESTAMP = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<offset>Z|[+-]\d\d:\d\d)"
)

#: Go's zero time, which the engine writes for what has not happened.
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class MalformedContainer(ValueError):
    """The engine described a container in a way that cannot be understood. The message names the field."""


@frozen(order=True)
class PortId:
    """A container's port: number and protocol, as in ``80/tcp``."""

    number: int
    protocol: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``80/tcp``, or ``80`` for tcp. Raises MalformedContainer."""
        number, _, protocol = text.partition("/")
        return cls(port_number(number), protocol or "tcp")

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


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
    #: When it was created, in a form that sorts as text.
    created: str
    #: The engine's word for its state: ``running``, ``paused``, ``restarting``, ``exited`` and so on.
    status: str = "running"
    exit_code: int = 0
    #: The lines of its environment, ``NAME=value``, in the engine's order.
    env: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: The ports that its image or its creator exposed.
    exposed: tuple[PortId, ...] = ()
    #: Each port that the engine manages, with its bindings in the engine's order; none when it is not published. A port
    #: that is exposed and missing here is one that the engine does not map at all: host networking, a joined network, a
    #: network that is internal or whose driver maps no ports, or no network.
    published: Mapping[PortId, tuple[Binding, ...]] = field(factory=dict, converter=frozen_dict)
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
    to_publish: frozenset[PortId] = frozenset()
    #: When it was started last, in a form that sorts as text; empty if the engine does not tell.
    started: str = ""

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
    def joined(self) -> str:
        """The id of the container whose network this one joins; an empty string if it joins none."""
        kind, _, target = self.network_mode.partition(":")
        return target if kind == "container" else ""

    def started_after(self, other: Container) -> bool:
        """Return whether it was certainly started later than another container."""
        return bool(other.started) and self.started > other.started

    @property
    def age(self) -> tuple[str, str]:
        """Sort key: the older container first, and a stable order among containers of one age."""
        return self.created, self.id


def port_number(text: str) -> int:
    """Read a port number from 1 to 65535. Raises MalformedContainer."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise MalformedContainer(f"port number {text!r}")
    return int(text)


def from_inspect(document: Mapping[str, Any]) -> Container:
    """Read the answer of ``GET /containers/<id>/json``. Raises MalformedContainer, which names what is wrong."""
    try:
        return _from_inspect(document)
    except MalformedContainer:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise MalformedContainer(f"unexpected shape: {error!r}") from error


def _from_inspect(document: Mapping[str, Any]) -> Container:
    config, network, state = document["Config"], document["NetworkSettings"], document["State"]
    host_config, networks = document["HostConfig"], network.get("Networks") or {}
    ids = {_text(name): _text(each.get("NetworkID") or "") for name, each in networks.items()}
    exposed = tuple(sorted(PortId.parse(port) for port in config.get("ExposedPorts") or ()))
    return Container(
        id=_text(document["Id"]),
        name=_text(document["Name"]).lstrip("/"),
        image=_text(config["Image"]),
        created=_sortable(_text(document["Created"])),
        status=_text(state["Status"]),
        exit_code=int(state["ExitCode"]),
        env=tuple(map(_text, config.get("Env") or ())),
        labels={_text(key): _text(value) for key, value in (config.get("Labels") or {}).items()},
        exposed=exposed,
        published={
            PortId.parse(port): tuple(_bindings(bindings or ()))
            for port, bindings in (network.get("Ports") or {}).items()
        },
        network_mode=_network_named(_text(host_config.get("NetworkMode") or "default"), ids),
        address=_text(network.get("IPAddress") or ""),
        networks={_text(name): _text(each.get("IPAddress") or "") for name, each in networks.items()},
        health=_text((state.get("Health") or {}).get("Status") or ""),
        address_ipv6=_text(network.get("GlobalIPv6Address") or ""),
        networks_ipv6=ipv6_addresses(networks),
        network_ids=ids,
        to_publish=_to_publish(host_config, exposed),
        started=_moment(state.get("StartedAt")),
    )


def _network_named(mode: str, ids: Mapping[str, str]) -> str:
    """Return the name of the network that a container was started on. Docker also takes the id of a network, or the
    beginning of one, and shows what it was given. A name goes before an id."""
    begun = [name for name, network_id in ids.items() if network_id.startswith(mode)]
    return begun[0] if mode not in ids and len(begun) == 1 else mode


def _to_publish(host_config: Mapping[str, Any], exposed: Sequence[PortId]) -> frozenset[PortId]:
    """Return the ports that ``-p`` asks for, or with ``-P`` every exposed port."""
    asked = map(PortId.parse, host_config.get("PortBindings") or ())
    return frozenset([*asked, *(exposed if host_config.get("PublishAllPorts") else ())])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def ipv6_addresses(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the IPv6 addresses in an engine's ``Networks``, by the names of the networks that have one."""
    found = {_text(name): _text(each.get("GlobalIPv6Address") or "") for name, each in networks.items()}
    return {name: address for name, address in found.items() if address}


def _bindings(bindings: Sequence[Mapping[str, str]]) -> Iterator[Binding]:
    """Yield the bindings of a port, of which the engine lists one for each address family."""
    for each in bindings:
        if each.get("HostPort"):
            yield Binding(_host_address(_text(each.get("HostIp") or "")), port_number(_text(each["HostPort"])))


def _host_address(text: str) -> str:
    """Return a binding's address as the engine writes it: an IP address, or nothing for all of them."""
    try:
        if text:
            ip_address(text)
    except ValueError:
        raise MalformedContainer(f"host address {text!r} of a published port") from None
    return text


def _sortable(timestamp: str) -> str:
    """Return a timestamp that sorts as text. The engine cuts trailing zeros off its nanoseconds, so its own do not."""
    match = _TIMESTAMP.fullmatch(timestamp)
    if not match:
        raise MalformedContainer(f"creation time {timestamp!r}")
    return f"{match['seconds']}.{match['fraction'] or '':0<9}Z"


def _moment(timestamp: Any) -> str:
    """Return a timestamp in UTC that sorts as text; an empty string for Go's zero time and for any other text."""
    match = _OFFSET_TIMESTAMP.fullmatch(timestamp) if isinstance(timestamp, str) else None
    try:
        utc = datetime.fromisoformat(match["seconds"] + match["offset"]).astimezone(UTC) if match else _NEVER
    except (ValueError, OverflowError):
        utc = _NEVER
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{match['fraction'] or '':0<9}Z" if match and utc.year > _NEVER.year else ""
