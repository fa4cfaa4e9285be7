"""A container as the engine's inspect answer shows it, cut down to what the rules need."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from attrs import field, frozen

from model.frozen import frozen_dict

#: States in which a container's ports answer, or will again once it is unpaused. ``restarting`` is not among them:
#: the engine reports such a container as running, but with no ports.
SERVING = frozenset({"running", "paused"})

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


@frozen
class Container:
    """One container of this host.

    ``published`` maps each port the engine manages to its first binding, or to None when it is not published.
    A port that is exposed but missing from ``published`` is one the engine does not map at all: host networking,
    a joined network, or a network driver without port mapping.
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
    published: Mapping[PortId, Binding | None] = field(factory=dict, converter=frozen_dict)
    network_mode: str = "default"
    address: str = ""
    networks: Mapping[str, str] = field(factory=dict, converter=frozen_dict)

    @property
    def serving(self) -> bool:
        """Whether its ports are to be registered."""
        return self.status in SERVING

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
    config, network = document["Config"], document["NetworkSettings"]
    return Container(
        id=_text(document["Id"]),
        name=_text(document["Name"]).lstrip("/"),
        image=_text(config["Image"]),
        created=_sortable(_text(document["Created"])),
        status=_text(document["State"]["Status"]),
        exit_code=int(document["State"]["ExitCode"]),
        env=tuple(map(_text, config.get("Env") or ())),
        labels={_text(key): _text(value) for key, value in (config.get("Labels") or {}).items()},
        exposed=tuple(sorted(PortId.parse(port) for port in config.get("ExposedPorts") or ())),
        published=_published(network.get("Ports") or {}),
        network_mode=_text(document["HostConfig"].get("NetworkMode") or "default"),
        address=_text(network.get("IPAddress") or ""),
        networks={_text(name): _address_in(end) for name, end in (network.get("Networks") or {}).items()},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _address_in(end: Mapping[str, Any]) -> str:
    return _text(end.get("IPAddress") or "")


def _published(ports: Mapping[str, Sequence[Mapping[str, str]] | None]) -> dict[PortId, Binding | None]:
    """The first binding of each port: the engine lists a port once per address family, and registrator takes the
    first of them."""
    return {PortId.parse(port): _first(bindings or ()) for port, bindings in ports.items()}


def _first(bindings: Sequence[Mapping[str, str]]) -> Binding | None:
    if not bindings or not bindings[0].get("HostPort"):
        return None
    return Binding(_text(bindings[0].get("HostIp") or ""), port_number(_text(bindings[0]["HostPort"])))


def _sortable(timestamp: str) -> str:
    """The engine cuts trailing zeros off its nanoseconds, so its timestamps do not sort as text; these do."""
    match = _TIMESTAMP.fullmatch(timestamp)
    if not match:
        raise MalformedContainer(f"creation time {timestamp!r}")
    return f"{match['seconds']}.{match['fraction'] or '':0<9}Z"


#: What the list of containers shows and what can change in a container's life.
_SHOWN = ("Names", "State", "Ports", "NetworkSettings")


def shown_in_list(listed: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a container's line in ``GET /containers/json`` that tells whether its inspect answer is still
    good: two equal ones, and what the inspect said holds. Of the status text only an exit code counts; the rest of it
    ("Up 3 minutes") changes by itself, and so does the order of the ports."""
    shown = {key: listed.get(key) for key in _SHOWN}
    shown["Ports"] = sorted(sorted(port.items()) for port in listed.get("Ports") or ())
    status = listed.get("Status") or ""
    return {**shown, "exit": status.partition(")")[0] if status.startswith(("Exited", "Restarting")) else ""}


def agrees_with_list(container: Container, listed: Mapping[str, Any]) -> bool:
    """Whether an inspect saw what the list showed just before. A container that is restarting in between can be seen
    with empty ports, and must not be taken for what the list will show again a moment later."""
    ends = ((listed.get("NetworkSettings") or {}).get("Networks") or {}).items()
    return (
        container.status == listed.get("State")
        and f"/{container.name}" in (listed.get("Names") or ())
        and dict(container.networks) == {name: end.get("IPAddress") or "" for name, end in ends}
        and _same_ports(container, listed.get("Ports") or ())
    )


def _same_ports(container: Container, listed: Sequence[Mapping[str, Any]]) -> bool:
    """The list shows every binding of a published port, the container its first."""
    shown = [
        (PortId(each["PrivatePort"], each["Type"]), each["PublicPort"]) for each in listed if each.get("PublicPort")
    ]
    bound = {port: binding.port for port, binding in container.published.items() if binding}
    return bound.keys() == {port for port, _ in shown} and set(bound.items()) <= set(shown)
