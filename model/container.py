"""A container as the engine's inspect answer shows it, cut down to what the rules need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Self

from attrs import field, frozen

from model.family import UNSPECIFIED, Family
from model.frozen import frozen_dict

#: States in which a container's ports answer, or will again once it is unpaused. ``restarting`` is not among them:
#: the engine reports such a container as running, but with no ports.
SERVING = frozenset({"running", "paused"})

#: How the engine says that a container has no HEALTHCHECK.
NO_HEALTHCHECK = frozenset({"", "none"})

_TIMESTAMP = re.compile(r"(?P<seconds>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?Z")


class MalformedContainer(ValueError):
    """The engine described a container in a way that cannot be understood; the message names the field."""


@frozen(order=True)
class PortId:
    """A container's port: number and protocol, as in ``80/tcp``."""

    number: int
    protocol: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``80/tcp`` or ``80`` (tcp); raises MalformedContainer."""
        number, _, protocol = text.partition("/")
        return cls(port_number(number), protocol or "tcp")

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@frozen
class Binding:
    """Where on the host the engine publishes a port."""

    address: str
    port: int

    @property
    def unspecified(self) -> bool:
        """Whether it is on all of the host's addresses (of its family)."""
        return self.address in UNSPECIFIED

    def reaches(self, address: str) -> bool:
        """Whether it is on this address of the host, as far as their families tell."""
        return not self.unspecified or (Family.IPV6 if self.address == "::" else Family.IPV4).has(address)


@frozen
class Container:
    """One container of this host.

    ``published`` maps each port the engine manages to its bindings in the engine's order, none when it is not
    published. A port that is exposed but missing from ``published`` is one the engine does not map at all: host
    networking, a joined network, or a network driver without port mapping. ``networks`` has the IPv4 address on each
    network, empty where there is none; ``networks_ipv6`` only the networks with an IPv6 address. ``address`` and
    ``address_ipv6`` are those on the default bridge. ``health`` is what its HEALTHCHECK says.
    """

    id: str
    name: str
    image: str
    created: str
    status: str = "running"
    exit_code: int = 0
    env: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    exposed: tuple[PortId, ...] = ()
    published: Mapping[PortId, tuple[Binding, ...]] = field(factory=dict, converter=frozen_dict)
    network_mode: str = "default"
    address: str = ""
    networks: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    health: str = ""
    address_ipv6: str = ""
    networks_ipv6: Mapping[str, str] = field(factory=dict, converter=frozen_dict)

    @property
    def serving(self) -> bool:
        """Whether its ports are to be registered."""
        return self.status in SERVING

    @property
    def healthy(self) -> bool:
        """Whether its HEALTHCHECK says so, or it has none. The engine calls a paused container unhealthy."""
        return self.health == "healthy" or self.health in NO_HEALTHCHECK

    @property
    def joined(self) -> str:
        """The id of the container whose network this one joins, or an empty string."""
        kind, _, target = self.network_mode.partition(":")
        return target if kind == "container" else ""

    @property
    def age(self) -> tuple[str, str]:
        """Sort key: the older container first, and a stable order among equals."""
        return self.created, self.id


def port_number(text: str) -> int:
    """Read a port number from 1 to 65535; raises MalformedContainer."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise MalformedContainer(f"port number {text!r}")
    return int(text)


def from_inspect(document: Mapping[str, Any]) -> Container:
    """Read the answer of ``GET /containers/<id>/json``; raises MalformedContainer naming what is wrong."""
    try:
        return _from_inspect(document)
    except MalformedContainer:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise MalformedContainer(f"unexpected shape: {error!r}") from error


def _from_inspect(document: Mapping[str, Any]) -> Container:
    config, network, state = document["Config"], document["NetworkSettings"], document["State"]
    ends = network.get("Networks") or {}
    return Container(
        id=_text(document["Id"]),
        name=_text(document["Name"]).lstrip("/"),
        image=_text(config["Image"]),
        created=_sortable(_text(document["Created"])),
        status=_text(state["Status"]),
        exit_code=int(state["ExitCode"]),
        env=tuple(map(_text, config.get("Env") or ())),
        labels={_text(key): _text(value) for key, value in (config.get("Labels") or {}).items()},
        exposed=tuple(sorted(PortId.parse(port) for port in config.get("ExposedPorts") or ())),
        published=_published(network.get("Ports") or {}),
        network_mode=_text(document["HostConfig"].get("NetworkMode") or "default"),
        address=_text(network.get("IPAddress") or ""),
        networks={_text(name): _text(end.get("IPAddress") or "") for name, end in ends.items()},
        health=_text((state.get("Health") or {}).get("Status") or ""),
        address_ipv6=_text(network.get("GlobalIPv6Address") or ""),
        networks_ipv6=_ipv6_in(ends),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _ipv6_in(ends: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The networks, by name, that gave the container an IPv6 address."""
    found = {_text(name): _text(end.get("GlobalIPv6Address") or "") for name, end in ends.items()}
    return {name: address for name, address in found.items() if address}


def _published(ports: Mapping[str, Sequence[Mapping[str, str]] | None]) -> dict[PortId, tuple[Binding, ...]]:
    """The bindings of each port, of which the engine lists one per address family."""
    return {PortId.parse(port): tuple(_bindings(bindings or ())) for port, bindings in ports.items()}


def _bindings(bindings: Sequence[Mapping[str, str]]) -> Iterator[Binding]:
    for each in bindings:
        if each.get("HostPort"):
            yield Binding(_host_address(_text(each.get("HostIp") or "")), port_number(_text(each["HostPort"])))


def _host_address(text: str) -> str:
    """A binding's address as the engine writes it: an IP address, or nothing for all of them."""
    try:
        if text:
            ip_address(text)
    except ValueError:
        raise MalformedContainer(f"host address {text!r} of a published port") from None
    return text


def _sortable(timestamp: str) -> str:
    """The engine cuts trailing zeros off its nanoseconds, so its timestamps do not sort as text; these do."""
    match = _TIMESTAMP.fullmatch(timestamp)
    if not match:
        raise MalformedContainer(f"creation time {timestamp!r}")
    return f"{match['seconds']}.{match['fraction'] or '':0<9}Z"


#: What the list of containers shows and what can change in a container's life.
_SHOWN = ("Names", "State", "Ports", "NetworkSettings")

_HEALTH = re.compile(r"\((?:health: )?(?P<health>starting|healthy|unhealthy)\)$")


def shown_in_list(listed: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a container's line in ``GET /containers/json`` that tells whether its inspect answer is still
    good: two equal ones, and what the inspect said holds. Of the status text only an exit code and the health count;
    the rest of it ("Up 3 minutes") changes by itself, and so does the order of the ports."""
    shown = {key: listed.get(key) for key in _SHOWN}
    shown["Ports"] = sorted(sorted(port.items()) for port in listed.get("Ports") or ())
    status = listed.get("Status") or ""
    ended = status.partition(")")[0] if status.startswith(("Exited", "Restarting")) else ""
    return {**shown, "exit": ended, "health": _health_in(status)}


def _health_in(status: str) -> str:
    """The health that a status text ends in: ``starting`` for ``Up 3 seconds (health: starting)``."""
    match = _HEALTH.search(status)
    return match["health"] if match else ""


def agrees_with_list(container: Container, listed: Mapping[str, Any]) -> bool:
    """Whether an inspect saw what the list showed just before. A container that is restarting in between can be seen
    with empty ports, and must not be taken for what the list will show again a moment later."""
    ends = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    return (
        container.status == listed.get("State")
        and f"/{container.name}" in (listed.get("Names") or ())
        and dict(container.networks) == {name: end.get("IPAddress") or "" for name, end in ends.items()}
        and dict(container.networks_ipv6) == _ipv6_in(ends)
        and _same_health(container, listed.get("Status") or "")
        and _same_ports(container, listed.get("Ports") or ())
    )


def _same_health(container: Container, status: str) -> bool:
    """The list tells the health of a running container alone: of a paused one it says so instead, and the engine does
    not look after the health of that one, so that it cannot change either."""
    health = "" if container.health in NO_HEALTHCHECK else container.health
    return container.status != "running" or health == _health_in(status)


def _same_ports(container: Container, listed: Sequence[Mapping[str, Any]]) -> bool:
    """Whether both show the same ports of the host. Their addresses cannot change in a container's life."""
    shown = {
        (PortId(each["PrivatePort"], each["Type"]), each["PublicPort"]) for each in listed if each.get("PublicPort")
    }
    return shown == {(port, each.port) for port, bindings in container.published.items() for each in bindings}
