"""What a simulated container is, and how the engine's API shows it: its inspect document and its line in the list.

The documents have the fields of the recorded answers of an engine 20.10 in tests/parity/cases.json, and the health.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import define, field, frozen

from tests.simulation.scheduler import EPOCH

Json = dict[str, Any]

#: The states in which the engine's list shows a container without ``all``.
UP = frozenset({"running", "paused", "restarting"})

#: The states in which a container has ports and addresses.
CONNECTED = frozenset({"running", "paused"})

#: Seconds that the engine gives a container to end, if nobody asked for others.
STOP_TIMEOUT = 10

#: How the engine writes a time that has not come.
_NEVER = "0001-01-01T00:00:00Z"

_STATUSES = frozenset({"created", "running", "paused", "restarting", "removing", "exited", "dead"})

_HEALTHS = frozenset({"starting", "healthy", "unhealthy", "none"})

#: Filters that an engine 20.10 has and that are not simulated.
_OTHER_FILTERS = frozenset({"ancestor", "before", "expose", "isolation", "is-task", "publish", "since", "volume"})

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@frozen
class Binding:
    """Where on the host a port is published."""

    #: ``0.0.0.0`` or ``::`` for all addresses of the family.
    host_ip: str
    host_port: int


@frozen
class Endpoint:
    """A container's connection to a network."""

    #: Empty until the container was started on this network.
    network_id: str = ""
    #: The IPv4 address; empty while the container does not run.
    address: str = ""
    #: The IPv6 address; empty while the container does not run, and on a network without IPv6.
    address_ipv6: str = ""
    #: Its own id, another one after each start; empty while the container does not run.
    id: str = ""


@frozen
class Blueprint:
    """What a container was created with. It never changes."""

    id: str
    image: str
    #: When it was created, in nanoseconds of virtual time.
    created: int
    #: The lines of its environment, ``NAME=value``.
    env: tuple[str, ...]
    labels: Mapping[str, str]
    #: The ports to publish, as ``80/tcp``, each with the bindings that were asked for: an address of the host (empty
    #: for all) and a port, which is None where the engine is to choose one.
    publish: Mapping[str, tuple[tuple[str, int | None], ...]]
    #: The ports that are exposed, the published ones included.
    exposed: tuple[str, ...]
    #: ``default``, ``host``, ``none``, ``container:<id>`` or the name of a network.
    network_mode: str
    healthcheck: bool
    #: The signal that stops it, as it was asked for; empty for TERM.
    stop_signal: str = ""
    #: The whole seconds that the engine gives it to end; None for 10, negative for no limit.
    stop_timeout: int | None = None
    #: Seconds after its stop signal until it ends by itself; infinity if it ignores the signal.
    ends_after: float = 0.0

    @property
    def shares_network(self) -> bool:
        """Whether it has the network of the host or of another container, so that no network can be joined or left."""
        return self.network_mode == "host" or self.network_mode.startswith("container:")


@frozen
class Life:
    """What changes in a container's life. Every change makes a new value."""

    name: str
    #: The endpoints by the names of their networks.
    networks: Mapping[str, Endpoint]
    #: ``created``, ``running``, ``paused``, ``restarting`` or ``exited``.
    status: str = "created"
    exit_code: int = 0
    #: The last start and the last end, in nanoseconds of virtual time; None where there was none.
    started: int | None = None
    finished: int | None = None
    #: ``starting``, ``healthy`` or ``unhealthy``; empty before the first start and without a HEALTHCHECK.
    health: str = ""
    #: The name of the network through which the ports are published; empty for none.
    gateway: str = ""
    #: The ports that the engine manages, with their bindings; none for a port that is not published. Empty while the
    #: container does not run, or is on no network.
    ports: Mapping[str, tuple[Binding, ...]] = field(factory=dict)


@frozen
class ContainerTruth:
    """A container as it really is at this moment, whatever the engine's list shows."""

    id: str
    name: str
    image: str
    #: When it was created, as inspect shows it.
    created: str
    env: tuple[str, ...]
    labels: Mapping[str, str]
    #: ``created``, ``running``, ``paused``, ``restarting`` or ``exited``.
    status: str
    #: Of the last end; 0 while it runs.
    exit_code: int
    #: ``starting``, ``healthy`` or ``unhealthy``; empty without a HEALTHCHECK.
    health: str
    #: The ports that are exposed, as ``80/tcp``.
    exposed: tuple[str, ...]
    #: The bindings of each port that the engine manages; none for a port that is not published.
    published: Mapping[str, tuple[Binding, ...]]
    #: ``default``, ``host``, ``none``, ``container:<id>`` or the name of a network.
    network_mode: str
    #: The IPv4 address on each network; empty where it has none.
    networks: Mapping[str, str]
    #: The first of these addresses that is not empty.
    address: str
    #: When it was started last, in seconds of virtual time; None before its first start.
    started: float | None
    #: The same, as inspect shows it.
    started_at: str
    #: The id of each network; empty until the container was started on it.
    network_ids: Mapping[str, str]
    #: The ports that are to be published, as ``80/tcp``.
    to_publish: tuple[str, ...]
    #: The number of the signal that stops it.
    stop_signal: int
    #: Seconds that the engine gives it to end; negative for no limit.
    stop_timeout: int

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return self.status == "paused"


@define(eq=False)
class SimulatedContainer:
    """A container, what the list shows of it, and its documents, which are made once for each change."""

    blueprint: Blueprint
    life: Life
    #: What the list shows until ``lags_until``.
    _shown: Life | None = None
    #: The virtual time, in seconds, until which the list shows the past and an inspect waits.
    lags_until: float = 0.0
    #: Whether an inspect never answers.
    hangs: bool = False
    #: What the engine does when the process has ended, because it was asked to stop or restart the container.
    on_end: list[Callable[[], object]] = field(factory=list)
    _inspect: tuple[Life, bytes] | None = None
    _truth: tuple[Life, ContainerTruth] | None = None
    _lines: dict[bool, tuple[Life, float, bytes]] = field(factory=dict)

    @property
    def id(self) -> str:
        """Its id."""
        return self.blueprint.id

    def become(self, life: Life, lags_until: float = 0.0) -> None:
        """Change its life. The list shows the life before until ``lags_until``, a virtual time in seconds."""
        self._shown, self.lags_until, self.life = self.life, lags_until, life

    def shown(self, now: float) -> Life:
        """Return what the list shows of it."""
        return self._shown if self._shown and now < self.lags_until else self.life

    def truth(self) -> ContainerTruth:
        """Return what is true of it."""
        if not self._truth or self._truth[0] is not self.life:
            self._truth = self.life, _truth(self.blueprint, self.life)
        return self._truth[1]

    def inspect(self, engine_name: str) -> bytes:
        """Return its inspect document. ``engine_name`` is the host name of containers on the host's network."""
        if not self._inspect or self._inspect[0] is not self.life:
            self._inspect = self.life, _encoded(inspect_document(self.blueprint, self.life, engine_name))
        return self._inspect[1]

    def line(self, now: float, *, ports_reversed: bool) -> bytes:
        """Return its line in the list."""
        shown, known = self.shown(now), self._lines.get(ports_reversed)
        if not known or known[0] is not shown or now >= known[1]:
            text, fresh_until = status_text(shown, now)
            line = list_line(self.blueprint, shown, text)
            if ports_reversed:
                line["Ports"].reverse()
            known = self._lines[ports_reversed] = shown, fresh_until, _encoded(line)
        return known[2]


def _encoded(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _truth(blueprint: Blueprint, life: Life) -> ContainerTruth:
    networks = {name: each.address for name, each in life.networks.items()}
    return ContainerTruth(
        id=blueprint.id,
        name=life.name,
        image=blueprint.image,
        created=timestamp(blueprint.created),
        env=blueprint.env,
        labels=blueprint.labels,
        status=life.status,
        exit_code=life.exit_code,
        health=life.health,
        exposed=blueprint.exposed,
        published=life.ports,
        network_mode=blueprint.network_mode,
        networks=networks,
        address=next(filter(None, networks.values()), ""),
        started=None if life.started is None else life.started / 1e9,
        started_at=timestamp(life.started),
        network_ids={name: each.network_id for name, each in life.networks.items()},
        to_publish=tuple(blueprint.publish),
        stop_signal=signal_number(blueprint.stop_signal),
        stop_timeout=STOP_TIMEOUT if blueprint.stop_timeout is None else blueprint.stop_timeout,
    )


def signal_number(name: str) -> int:
    """Return the number of a signal that is written as ``10``, ``USR1``, ``SIGUSR1`` or ``RTMIN+3``; that of TERM for
    an empty name."""
    base, _, offset = (name.upper().removeprefix("SIG") or "TERM").partition("+")
    return (int(base) if base.isdigit() else signal.Signals[f"SIG{base}"]) + int(offset or 0)


def timestamp(nanoseconds: int | None) -> str:
    """Return a virtual time as the engine writes it: without the zeros at the end of its fraction."""
    if nanoseconds is None:
        return _NEVER
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = datetime.fromtimestamp(EPOCH + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09}".rstrip("0").rstrip(".") + "Z"


def sortable(text: str) -> str:
    """Return a time as the engine writes it with all nine digits of its fraction, so that times sort as texts."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:0<9}Z"


def inspect_document(blueprint: Blueprint, life: Life, engine_name: str) -> Json:
    """Return the answer of ``GET /containers/<id>/json``."""
    short = blueprint.id[:12]
    state: Json = {
        "Status": life.status,
        "Running": life.status in UP,
        "Paused": life.status == "paused",
        "Restarting": life.status == "restarting",
        "ExitCode": life.exit_code,
        "StartedAt": timestamp(life.started),
        "FinishedAt": timestamp(life.finished),
    }
    if life.health:
        state["Health"] = {"Status": life.health, "FailingStreak": 0, "Log": []}
    kind, _, joined = blueprint.network_mode.partition(":")
    networks = {
        name: _endpoint(each) | {"Aliases": None if name in {"bridge", "host", "none"} else [short]}
        for name, each in life.networks.items()
    }
    bridge = life.networks.get("bridge", Endpoint())
    return {
        "Id": blueprint.id,
        "Created": timestamp(blueprint.created),
        "State": state,
        "Name": f"/{life.name}",
        "HostConfig": {
            "NetworkMode": blueprint.network_mode,
            "PortBindings": {
                port: [{"HostIp": address, "HostPort": str(number or "")} for address, number in asked]
                for port, asked in blueprint.publish.items()
            },
        },
        "Config": {
            "Hostname": {"host": engine_name, "container": joined[:12]}.get(kind, short),
            # The engine leaves this out when it is empty.
            **({"ExposedPorts": {port: {} for port in blueprint.exposed}} if blueprint.exposed else {}),
            "Env": list(blueprint.env),
            "Image": blueprint.image,
            "Labels": dict(blueprint.labels),
            # The engine leaves these out when nobody asked for them.
            **({"StopSignal": blueprint.stop_signal} if blueprint.stop_signal else {}),
            **({} if blueprint.stop_timeout is None else {"StopTimeout": blueprint.stop_timeout}),
        },
        "NetworkSettings": {
            "Ports": {
                port: [{"HostIp": each.host_ip, "HostPort": str(each.host_port)} for each in bindings] or None
                for port, bindings in sorted(life.ports.items())
            },
            "GlobalIPv6Address": bridge.address_ipv6,
            "IPAddress": bridge.address,
            "Networks": networks,
        },
    }


def list_line(blueprint: Blueprint, life: Life, status: str) -> Json:
    """Return the container's element of ``GET /containers/json``. ``status`` is the text that people read."""
    return {
        "Id": blueprint.id,
        "Names": [f"/{life.name}"],
        "Image": blueprint.image,
        "Created": EPOCH + blueprint.created // 1_000_000_000,
        "Ports": [each for port, bindings in life.ports.items() for each in _listed_ports(port, bindings)],
        "Labels": dict(blueprint.labels),
        "State": life.status,
        "Status": status,
        "HostConfig": {"NetworkMode": blueprint.network_mode},
        "NetworkSettings": {
            "Networks": {name: _endpoint(each) | {"Aliases": None} for name, each in life.networks.items()}
        },
    }


def _endpoint(endpoint: Endpoint) -> Json:
    return {
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.id,
        "IPAddress": endpoint.address,
        "GlobalIPv6Address": endpoint.address_ipv6,
    }


def _listed_ports(port: str, bindings: Sequence[Binding]) -> Iterator[Json]:
    number, _, protocol = port.partition("/")
    private: Json = {"PrivatePort": int(number), "Type": protocol}
    if not bindings:
        yield private
    for each in bindings:
        yield {"IP": each.host_ip, "PrivatePort": int(number), "PublicPort": each.host_port, "Type": protocol}


def status_text(life: Life, now: float) -> tuple[str, float]:
    """Return the list's text about a container's state, and the virtual time until which it stays the same."""
    since = life.started if life.status in CONNECTED else life.finished
    if life.status == "created" or since is None:
        return "Created", float("inf")
    age, changes_in = _human_duration(now - since / 1e9)
    text = {
        "running": f"Up {age}" + (f" ({_HEALTH_TEXT.get(life.health, life.health)})" if life.health else ""),
        "paused": f"Up {age} (Paused)",
        "restarting": f"Restarting ({life.exit_code}) {age} ago",
    }
    return text.get(life.status, f"Exited ({life.exit_code}) {age} ago"), now + changes_in


_HEALTH_TEXT = {"starting": "health: starting"}


def _human_duration(seconds: float) -> tuple[str, float]:
    """Return a duration in the engine's words, and the seconds for which these stay the same.

    It is HumanDuration of github.com/docker/go-units, which rounds hours and cuts everything else.
    """
    whole, hours = int(seconds), int(seconds / _HOUR + 0.5)
    to_next_minute = _MINUTE - seconds % _MINUTE
    # Hours change at the half hour, which is the beginning of a minute, too.
    rows: Sequence[tuple[bool, str, float]] = (
        (whole < 1, "Less than a second", 1 - seconds),
        (whole == 1, "1 second", 2 - seconds),
        (whole < _MINUTE, f"{whole} seconds", whole + 1 - seconds),
        (whole < 2 * _MINUTE, "About a minute", to_next_minute),
        (whole < _HOUR, f"{whole // _MINUTE} minutes", to_next_minute),
        (hours == 1, "About an hour", to_next_minute),
        (hours < 48, f"{hours} hours", to_next_minute),
        (hours < 24 * 7 * 2, f"{hours // 24} days", to_next_minute),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks", to_next_minute),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months", to_next_minute),
        (True, f"{int(seconds / _HOUR) // 24 // 365} years", to_next_minute),
    )
    return next((words, left) for applies, words, left in rows if applies)


class InvalidFilter(ValueError):
    """The engine refuses a filter. The message is the engine's."""


@frozen
class ListFilter:
    """The ``filters`` of a list. It knows label, name, id, network, health, status and exited, as an engine 20.10."""

    #: The values of each filter, by its name.
    values: Mapping[str, Sequence[str]]

    @classmethod
    def parse(cls, text: str) -> ListFilter:
        """Read the parameter ``filters``: JSON, with the values of each name in a list or as the keys of an object.

        Raises InvalidFilter, and NotImplementedError for a filter that a real engine has and this one has not.
        """
        try:
            values = {name: list(each) for name, each in json.loads(text).items()} if text else {}
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidFilter(f"invalid character in filters: {error}") from error
        for name in values:
            if name in _OTHER_FILTERS:
                raise NotImplementedError(f"the simulated engine has no filter {name!r}")
            if name not in _FILTERS:
                raise InvalidFilter(f"Invalid filter '{name}'")
        for value in values.get("status", ()):
            if value not in _STATUSES:
                raise InvalidFilter(f"Invalid filter 'status={value}'")
        for value in values.get("health", ()):
            if value not in _HEALTHS:
                raise InvalidFilter(f"Unrecognised filter value for health: {value}")
        return cls(values)

    @property
    def in_all_states(self) -> bool:
        """Whether the filter looks for states, so that the list has containers in every state without ``all``."""
        return "status" in self.values or "exited" in self.values

    def passes(self, container: SimulatedContainer, now: float) -> bool:
        """Return whether what the list shows of a container passes every filter."""
        shown = container.shown(now)
        return all(_FILTERS[name](values, container.blueprint, shown) for name, values in self.values.items())


def _label_passes(values: Sequence[str], blueprint: Blueprint, _: Life) -> bool:
    """Return whether all values match, each a label or ``label=value``."""
    wanted = [value.partition("=") for value in values]
    return all(
        name in blueprint.labels and (not equals or blueprint.labels[name] == value) for name, equals, value in wanted
    )


def _name_passes(values: Sequence[str], _: Blueprint, life: Life) -> bool:
    """Return whether one of the values is found in the name, as a regular expression."""
    return any(_found(value, f"/{life.name}") or _found(value, life.name) for value in values)


def _found(pattern: str, text: str) -> bool:
    """Return whether the pattern is found in the text. A pattern that is no regular expression has to be equal."""
    try:
        return text == pattern or re.search(pattern, text) is not None
    except re.error:
        return False


def _network_passes(values: Sequence[str], _: Blueprint, life: Life) -> bool:
    """Return whether the container is on one of the networks, which are given by name or by the start of the id."""
    return any(
        value == name or (value and each.network_id.startswith(value))
        for value in values
        for name, each in life.networks.items()
    )


_FILTERS: Mapping[str, Callable[[Sequence[str], Blueprint, Life], bool]] = {
    "label": _label_passes,
    "name": _name_passes,
    "network": _network_passes,
    "id": lambda values, blueprint, _: any(_found(value, blueprint.id) for value in values),
    "health": lambda values, _, life: (life.health or "none") in values,
    "status": lambda values, _, life: life.status in values,
    "exited": lambda values, _, life: life.status == "exited" and str(life.exit_code) in values,
}
