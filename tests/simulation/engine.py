"""A simulated Docker engine: containers that start and end in virtual time, and the parts of the API that are read.

The engine does nothing by itself, except that it kills a container which does not end in time when it is stopped. A
scenario calls its methods as an operator would use the docker command, and a transport hands it the requests of the
program. The same calls at the same times give the same answers, byte for byte.

`running()` and the callbacks in `on_event` tell what is true, for an oracle. The list that the API returns may lag
behind, as that of the real engine does.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

from attrs import define, evolve, field, frozen

from controller.source.engine_client import EngineClient, negotiated
from controller.source.engine_connection import TIMEOUT
from model.host_port import HostPort
from tests.simulation.engine_documents import (
    CONNECTED,
    UP,
    Binding,
    Blueprint,
    ContainerTruth,
    Endpoint,
    InvalidFilter,
    Life,
    ListFilter,
    SimulatedContainer,
    signal_number,
)
from tests.simulation.engine_events import Asked, EventLog, InvalidTime, Occurrence
from tests.simulation.messages import Listener, Request, Response
from tests.simulation.transports import Deliver, Refused, SimulatedHttpClient

API_VERSION = "1.41"
VERSION = "20.10.24"

#: The signal that `docker kill` sends, and `docker stop` to a container that does not end in time.
KILL = 9

#: Seconds after which a frozen engine looks again whether it can kill a container that does not end.
_LATER = 1.0

#: The ports that the engine chooses from, in order.
EPHEMERAL = range(32768, 61000)

#: The endpoint that a transport sees in the requests for an engine: its socket has no host and no port.
ENDPOINT = HostPort("docker.sock", 0)

#: The exit code of a container that could not be started.
_START_FAILED = 128

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_VERSIONED = re.compile(r"/v1\.(\d+)(/.*)")
_INSPECT = re.compile(r"/containers/([^/]+)/json")
_NETWORK = re.compile(r"/networks/([^/]+)")
_FALSE = frozenset({"", "0", "no", "false", "none"})
_HEADERS = {
    "Content-Type": "application/json",
    "Api-Version": API_VERSION,
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Docker/{VERSION} (linux)",
}

#: A host port, None for one that the engine chooses, or a pair of an address of the host and one of these.
PortChoice = int | None | tuple[str, int | None]


class OperationRefused(RuntimeError):
    """The engine cannot do what a scenario asks of it. The message is the engine's, or says that it does not answer."""


@frozen
class Answer:
    """An answer to a request."""

    response: Response
    #: Seconds until the engine gives it. The transport lets them pass, or the client's time-out come first.
    delay: float = 0.0


class NoAnswer(enum.Enum):
    """What a client sees of an engine that does not answer."""

    #: The connection is refused: nothing listens.
    REFUSED = enum.auto()
    #: The engine takes the request and never answers.
    SILENT = enum.auto()


class EventAccess(enum.Enum):
    """What the engine's socket lets through of requests for events."""

    OPEN = enum.auto()
    #: Only answers that end at once: the past.
    HISTORY = enum.auto()
    NONE = enum.auto()


@frozen
class Event:
    """Something that happened to a container, at the moment when it did."""

    #: Seconds of virtual time.
    at: float
    #: The engine's word: create, start, kill, die, stop, restart, pause, unpause, rename, destroy, connect, disconnect,
    #: and ``health_status: healthy``.
    action: str
    id: str
    #: The container's name, after the event.
    name: str
    #: The engine's details: ``exitCode`` of die, ``signal`` of kill, ``oldName`` of rename, ``network``.
    details: Mapping[str, str] = field(factory=dict)


@define
class _Network:
    """A network."""

    id: str
    #: The first two bytes of its IPv4 subnet, as ``172.17``.
    subnet: str
    #: The first half of its IPv6 addresses; empty without IPv6.
    prefix_ipv6: str = ""
    driver: str = "bridge"
    internal: bool = False

    @property
    def maps_ports(self) -> bool:
        """Whether ports are published through it."""
        return self.driver == "bridge" and not self.internal

    def connect(self, taken: Iterable[Endpoint]) -> Endpoint:
        """Return an endpoint with the lowest address that nobody has. The first is the gateway's."""
        used = {each.address for each in taken if each.network_id == self.id}
        number = next(n for n in range(2, 65535) if self._address(n) not in used)
        address = self._address(number)
        if not self.prefix_ipv6:
            return Endpoint(self.id, address)
        a, b, c, d = map(int, address.split("."))
        return Endpoint(self.id, address, f"{self.prefix_ipv6}::242:{a:02x}{b:02x}:{(c << 8) + d:x}")

    def _address(self, number: int) -> str:
        return f"{self.subnet}.{number >> 8}.{number & 255}"


class SimulatedEngine:
    """A Docker engine 20.10 with its containers. Methods take a container's id, the start of its id, or its name."""

    def __init__(
        self,
        name: str,
        engine_id: str,
        now: Callable[[], float],
        host_address: str,
        *,
        bridge: str = "172.17",
        bridge_ipv6: str = "",
        userland_proxy: bool = True,
        call_at: Callable[[float, Callable[[], object]], None] = lambda moment, call: None,
    ) -> None:
        """The engine runs and has no container.

        ``name`` and ``engine_id`` are what ``docker info`` shows; both can be set later. ``now`` returns the virtual
        time in seconds. ``host_address`` is the address at which others reach the published ports. ``bridge`` is the
        first half of the default bridge's IPv4 subnet; ``bridge_ipv6`` that of its IPv6 subnet, empty for none. With
        ``userland_proxy`` a port that is published on all addresses is always listed for both families; without, only
        for a container on a network with IPv6. ``call_at`` has something happen at a virtual time; without it, a
        container that takes time to end never does.
        """
        self.name = name
        self.engine_id = engine_id
        self.host_address = host_address
        #: Called with each event, in the order of this list, after the change was made.
        self.on_event: list[Callable[[Event], None]] = []
        self._now = now
        self._call_at = call_at
        self._userland_proxy = userland_proxy
        self._seed = f"{name}/{engine_id}"
        self._containers: dict[str, SimulatedContainer] = {}
        self._networks = {"bridge": _Network(self._hex("network", "bridge"), bridge, bridge_ipv6)}
        self._created = 0
        self._last_nanosecond = -1
        #: The next ephemeral port for each address of the host and protocol.
        self._next_ports: dict[tuple[str, str], int] = {}
        self._lists = 0
        self._lag = 0.0
        self._list_empty_until = 0.0
        self._frozen = False
        self._log = EventLog()
        #: The events of a frozen engine, which it tells when it goes on: each gets the nanosecond of that moment.
        self._untold: list[Callable[[int], Occurrence]] = []
        #: What a frozen engine does when it goes on, because containers have ended meanwhile.
        self._undone: list[Callable[[], object]] = []
        #: What a socket proxy before the engine lets through.
        self._event_access = EventAccess.OPEN
        #: The virtual time from which connections are refused; None while the engine runs.
        self._refuses_from: float | None = None

    # What an operator does with containers.

    def create(
        self,
        name: str,
        image: str,
        *,
        ports: Mapping[str, PortChoice | list[PortChoice]] | None = None,
        exposed: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        network: str = "default",
        healthcheck: bool = False,
        stop_signal: str = "",
        stop_timeout: int | None = None,
        ends_after: float = 0.0,
    ) -> str:
        """Create a container and return its id.

        ``ports`` are to be published: ``{"80/tcp": 8080}``. The value may be a list of several bindings. The ports in
        ``exposed`` are exposed and not published. A network that does not exist is made. ``ends_after`` is how many
        seconds after its stop signal the container ends by itself; infinity if it ignores the signal. Raises
        OperationRefused.
        """
        self._check_operable()
        if not _NAME.fullmatch(name):
            raise OperationRefused(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        self._check_name_is_free(name)
        if network.startswith("container:"):
            network = f"container:{self._find(network.partition(':')[2]).id}"
        publish = {port: _bindings_asked(asked) for port, asked in (ports or {}).items()}
        self._created += 1
        blueprint = Blueprint(
            id=self._hex("container", str(self._created)),
            image=image,
            created=self._nanosecond(),
            env=tuple(f"{key}={value}" for key, value in (env or {}).items()),
            labels=dict(labels or {}),
            publish=publish,
            exposed=tuple(sorted({*publish, *exposed})),
            network_mode=network,
            healthcheck=healthcheck,
            stop_signal=stop_signal,
            stop_timeout=stop_timeout,
            ends_after=ends_after,
        )
        networks = {} if network.startswith("container:") else {_network_name(network): Endpoint()}
        container = SimulatedContainer(blueprint, Life(name, networks))
        self._containers[container.id] = container
        self._tell(container, "create")
        return container.id

    def run(self, name: str, image: str, **options: Any) -> str:
        """Create a container, start it, and return its id. The options are those of create."""
        container_id = self.create(name, image, **options)
        self.start(container_id)
        return container_id

    def start(self, ref: str) -> None:
        """Start a container. Nothing happens if it runs. Raises OperationRefused, for example when a port is taken: the
        container then has exit code 128, and its state is as it was."""
        self._start(self._operable(ref))

    def die(self, ref: str, exit_code: int = 0, *, restarting: bool = False) -> None:
        """Let a container's process end. With ``restarting`` the engine is to start it again; call `start` for that.

        This is possible while the engine does not answer, too. Nothing happens if the container does not run.
        """
        container = self._find(ref)
        if container.life.status in CONNECTED:
            self._end(container, exit_code, "restarting" if restarting else "exited", self._lag)

    def kill(self, ref: str, signal: int = KILL, *, dies: bool | None = None) -> None:
        """Send a signal to a container. It dies at KILL, and at other signals only if ``dies`` says so."""
        container = self._operable(ref)
        if container.life.status not in CONNECTED:
            raise OperationRefused(f"Cannot kill container: {ref}: Container {container.id} is not running")
        self._tell(container, "kill", signal=str(signal))
        if dies if dies is not None else signal == KILL:
            self._end(container, 128 + signal, "exited", self._lag)

    def stop(self, ref: str, exit_code: int = 0) -> None:
        """Send a container its stop signal, after which it ends with this exit code in its own time. It is killed if it
        takes longer than its stop timeout. Nothing happens if it does not run."""
        container = self._operable(ref)
        if container.life.status in UP:
            self._stop(container, exit_code, self._lag, container.blueprint.ends_after)

    def restart(self, ref: str, exit_code: int = 0) -> None:
        """Stop a container if it runs, with this exit code, and start it when it has ended, with new ports where the
        engine chooses."""
        container = self._operable(ref)
        if container.life.status in UP:
            self._stop(container, exit_code, 0.0, container.blueprint.ends_after, partial(self._start_again, container))
        else:
            self._start_again(container)

    def rename(self, ref: str, name: str) -> None:
        """Give a container another name. Raises OperationRefused if another container has it."""
        container = self._operable(ref)
        self._check_name_is_free(name)
        old = container.life.name
        container.become(evolve(container.life, name=name))
        self._tell(container, "rename", oldName=f"/{old}")

    def pause(self, ref: str) -> None:
        """Pause a container. Its health becomes unhealthy, as the engine stops checking it."""
        container = self._operable(ref)
        if container.life.status != "running":
            raise OperationRefused(f"Container {container.id} is not running, or is already paused")
        health = container.life.health and "unhealthy"
        container.become(evolve(container.life, status="paused", health=health))
        self._tell(container, "pause")

    def unpause(self, ref: str) -> None:
        """Let a paused container go on. It stays unhealthy until the next check, see `set_health`."""
        container = self._operable(ref)
        if container.life.status != "paused":
            raise OperationRefused(f"Container {container.id} is not paused")
        container.become(evolve(container.life, status="running"))
        self._tell(container, "unpause")

    def remove(self, ref: str, *, force: bool = False) -> None:
        """Remove a container. One that is up has to be killed first, which ``force`` does."""
        container = self._operable(ref)
        if container.life.status in UP:
            if not force:
                raise OperationRefused(f"You cannot remove a running container {container.id}.")
            container.on_end.clear()
            if container.life.status in CONNECTED:
                self._tell(container, "kill", signal=str(KILL))
                self._end(container, 128 + KILL, "exited", 0.0)
        del self._containers[container.id]
        self._tell(container, "destroy")

    def create_network(self, name: str, *, driver: str = "bridge", internal: bool = False) -> None:
        """Create a network. Raises OperationRefused if there is one of this name."""
        self._check_operable()
        if name in self._networks:
            raise OperationRefused(f"network with name {name} already exists")
        network = self._network(name)
        network.driver, network.internal = driver, internal

    def connect(self, ref: str, network: str) -> None:
        """Connect a container to a network, which is made if it does not exist.

        Ports are published through one network of a container that maps ports: the first one by name, of those with
        IPv6 if there are any. When this becomes another network, by `connect` or `disconnect`, the engine chooses
        ephemeral ports anew.
        """
        container = self._joinable(ref)
        networks = dict(container.life.networks)
        if network in networks:
            raise OperationRefused(f"endpoint with name {container.life.name} already exists in network {network}")
        if "none" in {network, *networks}:
            raise OperationRefused(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )
        networks[network] = Endpoint()
        if container.life.status in CONNECTED:
            networks[network] = self._network(network).connect(self._endpoints())
            networks[network] = evolve(networks[network], id=self._endpoint_id(container, network))
        self._change_networks(container, networks)
        self._notify(container, "connect", {"network": network})
        if container.life.status in CONNECTED:
            self._tell_of_network(container, "connect", network)

    def disconnect(self, ref: str, network: str) -> None:
        """Disconnect a container from a network."""
        container = self._joinable(ref)
        if network not in container.life.networks:
            raise OperationRefused(f"container {container.id} is not connected to network {network}")
        networks = {name: each for name, each in container.life.networks.items() if name != network}
        self._change_networks(container, networks)
        self._notify(container, "disconnect", {"network": network})
        self._tell_of_network(container, "disconnect", network)

    def set_health(self, ref: str, health: str) -> None:
        """Let the HEALTHCHECK of a running container find it ``starting``, ``healthy`` or ``unhealthy``."""
        container = self._operable(ref)
        if not (container.blueprint.healthcheck and container.life.status == "running"):
            raise OperationRefused(f"Container {container.id} has no HEALTHCHECK that runs")
        if health != container.life.health:
            container.become(evolve(container.life, health=health))
            self._tell(container, f"health_status: {health}")

    # What is wrong with the engine.

    def list_lag(self, seconds: float) -> None:
        """Let the list show each container that dies from now on as it was, for so long after its end.

        An inspect in that time answers at its end, and tells the truth. Any other operation on the container ends the
        lag, as it waits in the real engine for the same lock.
        """
        self._lag = seconds

    def empty_list(self, seconds: float) -> None:
        """Let the list be empty for this many seconds, whatever the containers do. An inspect still tells the truth."""
        self._list_empty_until = self._now() + seconds

    def hang_inspect(self, ref: str) -> None:
        """Let every inspect of this container hang until `heal`. The list still shows it."""
        self._find(ref).hangs = True

    def heal(self, ref: str | None = None) -> None:
        """Let inspects of this container, or of all, answer again."""
        for container in [self._find(ref)] if ref else self._containers.values():
            container.hangs = False

    def stop_engine(self, *, live_restore: bool, empty_list_for: float = 1.0, exit_code: int = 128 + KILL) -> None:
        """Stop the engine.

        With ``live_restore`` it refuses connections at once and its containers go on. It forgets that it was to stop
        or restart some of them. Otherwise they end with ``exit_code``, the list is empty for ``empty_list_for``
        seconds, and then it refuses connections.
        """
        self._check_operable()
        self._refuses_from = self._now() + (0.0 if live_restore else empty_list_for)
        for container in self._containers.values():
            container.on_end.clear()
        if not live_restore:
            self._stop_all(exit_code)
        self._log.end(self._refuses_from)

    def start_engine(self, *, containers_end: bool = False, exit_code: int = 128 + KILL) -> None:
        """Start the engine after `stop_engine`. Containers that ended stay so: there are no restart policies.

        With ``containers_end``, those that still run end with ``exit_code`` before the engine answers. An engine
        without live-restore that was killed does this: `stop_engine` with live-restore stands for the kill.
        """
        self._refuses_from = None
        self._log.forget()
        if containers_end:
            self._stop_all(exit_code)

    def _stop_all(self, exit_code: int) -> None:
        for container in self._containers.values():
            if container.life.status in UP:
                self._stop(container, exit_code, 0.0, 0.0)

    def freeze(self) -> None:
        """Let no request get an answer until `thaw`. The containers go on."""
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen engine answer again, and tell what happened meanwhile."""
        self._frozen = False
        untold, self._untold = self._untold, []
        for event in untold:
            self._log.add(event(self._nanosecond()))
        undone, self._undone = self._undone, []
        for each in undone:
            with suppress(OperationRefused):
                each()

    def let_events_through(self, access: EventAccess) -> None:
        """Let a socket proxy before the engine refuse requests for events from now on, or let them through."""
        self._event_access = access

    def false_event(self, action: str, container_id: str, at: float | None = None, signal: int = 0) -> bytes:
        """Return a line that tells of an event which did not happen, as if at a virtual time; None: now. There need not
        be such a container."""
        found = self._containers.get(container_id)
        image, name = (found.blueprint.image, found.life.name) if found else ("nowhere", "nobody")
        moment = self._nanosecond() if at is None else round(at * 1e9)
        attributes = {"name": name, "exitCode": "0", "signal": str(signal)}
        return Occurrence.of_container(moment, action, container_id, image, attributes).line

    @property
    def answers(self) -> bool:
        """Whether the engine runs and is not frozen. While it stops it still answers requests."""
        return not self._frozen and not self._refuses

    @property
    def _refuses(self) -> bool:
        return self._refuses_from is not None and self._now() >= self._refuses_from

    # What is true, for an oracle.

    def running(self) -> list[ContainerTruth]:
        """Return the containers that run or are paused at this moment, the oldest first."""
        return [each.truth() for each in self._containers.values() if each.life.status in CONNECTED]

    def containers(self) -> list[ContainerTruth]:
        """Return the containers in every state, the oldest first."""
        return [each.truth() for each in self._containers.values()]

    # The API.

    def handle(self, request: Request) -> Answer | NoAnswer:
        """Answer a request of the API, or say what the client sees instead."""
        if self._refuses:
            return NoAnswer.REFUSED
        if self._frozen:
            return NoAnswer.SILENT
        path, version = request.path, _VERSIONED.fullmatch(request.path)
        if version:
            if int(version[1]) > int(API_VERSION.partition(".")[2]):
                message = f"client version 1.{version[1]} is too new. Maximum supported API version is {API_VERSION}"
                return _error(400, message)
            path = version[2]
        return self._answer(path, request) if request.method in {"GET", "HEAD"} else _error(404, "page not found")

    def serve(self, request: Request) -> tuple[Response, float] | None:
        """Do as `handle`, for a transport: return response and delay, or None for an engine that never answers.

        Raises Refused.
        """
        answer = self.handle(request)
        if answer is NoAnswer.REFUSED:
            raise Refused
        return (answer.response, answer.delay) if isinstance(answer, Answer) else None

    def _answer(self, path: str, request: Request) -> Answer | NoAnswer:
        """Answer a request. ``path`` is its path without the API version."""
        if path == "/containers/json":
            return self._answer_list(request.params)
        if inspected := _INSPECT.fullmatch(path):
            return self._answer_inspect(inspected[1])
        if network := _NETWORK.fullmatch(path):
            return self._answer_network(network[1])
        if path == "/events":
            return self._answer_events(request.params)
        if path == "/_ping":
            return Answer(Response(200, b"OK", _HEADERS | {"Content-Type": "text/plain; charset=utf-8"}))
        documents = {"/version": lambda: _VERSION_DOCUMENT, "/info": self._info}
        return _document(documents[path]()) if path in documents else _error(404, "page not found")

    def _answer_list(self, params: Mapping[str, str]) -> Answer:
        try:
            filters = ListFilter.parse(params.get("filters", ""))
        except InvalidFilter as error:
            return _error(400, str(error))
        now = self._now()
        everything = filters.in_all_states or params.get("all", "").lower() not in _FALSE
        self._lists += 1
        # The order of a container's ports changes from list to list in the real engine, too.
        lines = [
            each.line(now, ports_reversed=self._lists % 2 == 0)
            for each in reversed(self._containers.values())
            if now >= self._list_empty_until
            and (everything or each.shown(now).status in UP)
            and filters.passes(each, now)
        ]
        return Answer(Response(200, b"[" + b",".join(lines) + b"]\n", _HEADERS))

    def _answer_inspect(self, ref: str) -> Answer | NoAnswer:
        found = self._look_up(ref)
        if not found:
            return _error(404, f"No such container: {ref}")
        if found.hangs:
            return NoAnswer.SILENT
        delay = max(0.0, found.lags_until - self._now())
        return Answer(Response(200, found.inspect(self.name), _HEADERS), delay)

    def _answer_network(self, network_id: str) -> Answer:
        special = {self._hex("network", name): (name, name.replace("none", "null")) for name in ("host", "none")}
        if found := special.get(network_id):
            return _document(_network_document(network_id, *found, internal=False))
        for name, each in self._networks.items():
            if each.id == network_id:
                return _document(_network_document(network_id, name, each.driver, internal=each.internal))
        return _error(404, f"network {network_id} not found")

    def _answer_events(self, params: Mapping[str, str]) -> Answer:
        try:
            asked = Asked.parse(params)
        except InvalidTime as error:
            return _error(400 if "cannot be after" in str(error) else 500, str(error))
        # What was told last may be some nanoseconds ahead of the time.
        now = max(round(self._now() * 1e9), self._last_nanosecond)
        past = self._log.past(asked, now)
        ends = asked.until is not None and asked.until <= now
        if self._event_access is EventAccess.NONE or (self._event_access is EventAccess.HISTORY and not ends):
            return Answer(Response(403, b"Forbidden", {"Content-Type": "text/plain"}))

        def feed(listener: Listener) -> Callable[[], None]:
            if self._refuses_from is not None:
                listener.end(self._refuses_from)
            return self._log.listen(asked, now, listener)

        return Answer(Response(200, past, _HEADERS, None if ends else feed))

    def _info(self) -> dict[str, Any]:
        statuses = [each.life.status for each in self._containers.values()]
        return {
            "ID": self.engine_id,
            "Containers": len(statuses),
            "ContainersRunning": sum(status in {"running", "restarting"} for status in statuses),
            "ContainersPaused": statuses.count("paused"),
            "ContainersStopped": sum(status not in UP for status in statuses),
            "Name": self.name,
            "ServerVersion": VERSION,
            "OSType": "linux",
        }

    # How containers change.

    def _start(self, container: SimulatedContainer) -> None:
        blueprint, life = container.blueprint, container.life
        if life.status in CONNECTED:
            return
        if mode_target := blueprint.network_mode.partition("container:")[2]:
            target = self._look_up(mode_target)
            if not target or target.life.status not in UP:
                raise OperationRefused(f"cannot join network of a non running container: {mode_target}")
        gateway = self._gateway(blueprint, life.networks)
        try:
            ports = self._assign_ports(container, gateway)
        except OperationRefused:
            container.become(evolve(life, exit_code=_START_FAILED))
            self._tell_of_network(container, "disconnect", gateway)
            raise
        networks = dict(life.networks)
        for name in networks:
            endpoint = (
                Endpoint(self._hex("network", name))
                if name in {"host", "none"}
                else self._network(name).connect([*self._endpoints(), *networks.values()])
            )
            networks[name] = evolve(endpoint, id=self._endpoint_id(container, name))
        container.become(
            evolve(
                life,
                status="running",
                exit_code=0,
                started=self._nanosecond(),
                health="starting" if blueprint.healthcheck else "",
                gateway=gateway,
                ports=ports,
                networks=networks,
            )
        )
        for name in networks:
            self._tell_of_network(container, "connect", name)
        self._tell(container, "start")

    def _change_networks(self, container: SimulatedContainer, networks: Mapping[str, Endpoint]) -> None:
        """Give a container other networks. Its ports are published anew if they have to be on another one of them. If
        none of the others maps ports, the engine goes on to show the ports as they were."""
        life = evolve(container.life, networks=networks)
        gateway = self._gateway(container.blueprint, networks)
        if life.status in CONNECTED and (gateway != life.gateway or not networks):
            ports = self._assign_ports(container, gateway) if gateway or not networks else life.ports
            life = evolve(life, gateway=gateway, ports=ports)
        container.become(life)

    def _gateway(self, blueprint: Blueprint, networks: Iterable[str]) -> str:
        """Return the name of the network through which a container's ports are published; empty for none."""
        names = [] if blueprint.shares_network else [name for name in networks if name != "none"]
        names = [name for name in names if self._network(name).maps_ports]
        return min(names, key=lambda name: (not self._network(name).prefix_ipv6, name), default="")

    def _start_again(self, container: SimulatedContainer) -> None:
        self._start(container)
        self._tell(container, "restart")

    def _stop(
        self,
        container: SimulatedContainer,
        exit_code: int,
        lag: float,
        after: float,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Stop a container that is up. Its process ends so many seconds after its stop signal, or when the engine kills
        it. ``then`` is called when it has ended."""
        container.on_end += [partial(self._tell, container, "stop", lag), then]
        if container.life.status not in CONNECTED:
            container.become(evolve(container.life, status="exited"))
            self._go_on(container)
            return
        self._tell(container, "kill", signal=str(signal_number(container.blueprint.stop_signal)))
        if not after:
            self._end(container, exit_code, "exited", lag)
            return
        run, timeout = container.life.started, container.truth().stop_timeout
        if after < inf:
            self._call_at(self._now() + after, lambda: self._end_run(container, run, exit_code, lag))
        if timeout >= 0:
            self._call_at(self._now() + timeout, lambda: self._kill_run(container, run, lag))

    def _end_run(self, container: SimulatedContainer, run: int | None, exit_code: int, lag: float) -> None:
        """End a container's process by itself, if it is the one that was started at this moment. A paused one goes
        on."""
        if container.life.started == run and container.life.status == "running":
            with suppress(OperationRefused):
                self._end(container, exit_code, "exited", lag)

    def _kill_run(self, container: SimulatedContainer, run: int | None, lag: float) -> None:
        """Kill a container that has not ended in time, if it is to be stopped all the same."""
        if container.life.started != run or container.life.status not in CONNECTED or not container.on_end:
            return
        if self._frozen:
            self._call_at(self._now() + _LATER, lambda: self._kill_run(container, run, lag))
            return
        self._tell(container, "kill", signal=str(KILL))
        with suppress(OperationRefused):
            self._end(container, 128 + KILL, "exited", lag)

    def _go_on(self, container: SimulatedContainer) -> None:
        """Do what was to be done when a container has ended. A frozen engine does it when it goes on."""
        due, container.on_end = container.on_end, []
        if self._frozen:
            self._undone += due
            return
        for each in due:
            each()

    def _end(self, container: SimulatedContainer, exit_code: int, status: str, lag: float) -> None:
        """End a container's process: it has no ports and no addresses from now on."""
        life = container.life
        ended = evolve(
            life,
            status=status,
            exit_code=exit_code,
            finished=self._nanosecond(),
            health=life.health and "unhealthy",
            ports={},
            gateway="",
            networks={name: Endpoint(each.network_id) for name, each in life.networks.items()},
        )
        container.become(ended, self._now() + lag)
        self._tell(container, "die", exitCode=str(exit_code))
        for name in life.networks:
            self._tell_of_network(container, "disconnect", name, lag)
        self._go_on(container)

    def _assign_ports(self, container: SimulatedContainer, gateway: str) -> dict[str, tuple[Binding, ...]]:
        """Return a container's ports, published through a network, with bindings that no other container has."""
        if not gateway:
            return {}
        taken = {
            (port.partition("/")[2], each)
            for other in self._containers.values()
            if other is not container
            for port, bindings in other.life.ports.items()
            for each in bindings
        }
        both = self._userland_proxy or self._network(gateway).prefix_ipv6
        unspecified = ["0.0.0.0", "::"] if both else ["0.0.0.0"]
        assigned: dict[str, tuple[Binding, ...]] = dict.fromkeys(container.blueprint.exposed, ())
        for port, asked in container.blueprint.publish.items():
            protocol = port.partition("/")[2]
            # An engine 20.10 lists first what was asked for last.
            for address, number in reversed(asked):
                for host_ip in [address] if address else unspecified:
                    binding = Binding(host_ip, number or self._choose_port(host_ip, protocol, taken))
                    if any(kind == protocol and _collide(binding, other) for kind, other in taken):
                        raise OperationRefused(f"Bind for {host_ip}:{number} failed: port is already allocated")
                    taken.add((protocol, binding))
                    assigned[port] += (binding,)
        return assigned

    def _choose_port(self, host_ip: str, protocol: str, taken: Iterable[tuple[str, Binding]]) -> int:
        """Return the next port of the host that no container has at this address.

        The engine counts for each address and protocol by itself. So the ports for 0.0.0.0 and for :: can differ.
        """
        used = [each for kind, each in taken if kind == protocol]
        while True:
            port = self._next_ports.get((host_ip, protocol), EPHEMERAL.start)
            self._next_ports[host_ip, protocol] = port + 1 if port + 1 in EPHEMERAL else EPHEMERAL.start
            if not any(_collide(Binding(host_ip, port), each) for each in used):
                return port

    def _network(self, name: str) -> _Network:
        """Return a network, which is made if it does not exist."""
        if name not in self._networks:
            # 172.17 is the default bridge's; the engine goes on from there, and then to 192.168. A simulated one may go
            # beyond what is private.
            taken = {each.subnet for each in self._networks.values()}
            subnets = (f"{172 + n // 256}.{n % 256}" for n in range(18, 65536))
            subnet = next(each for each in subnets if each not in taken)
            self._networks[name] = _Network(self._hex("network", name), subnet)
        return self._networks[name]

    def _endpoints(self) -> Iterator[Endpoint]:
        for each in self._containers.values():
            yield from each.life.networks.values()

    # Finding containers, and telling what happened.

    def _look_up(self, ref: str) -> SimulatedContainer | None:
        """Return the container with this id, name, or start of its id if only one has it; None if there is none."""
        if found := self._containers.get(ref):
            return found
        named = [each for each in self._containers.values() if each.life.name == ref.removeprefix("/")]
        begun = [each for each in self._containers.values() if ref and each.id.startswith(ref)]
        return named[0] if named else begun[0] if len(begun) == 1 else None

    def _find(self, ref: str) -> SimulatedContainer:
        if not (found := self._look_up(ref)):
            raise OperationRefused(f"No such container: {ref}")
        return found

    def _operable(self, ref: str) -> SimulatedContainer:
        self._check_operable()
        return self._find(ref)

    def _joinable(self, ref: str) -> SimulatedContainer:
        container = self._operable(ref)
        if container.blueprint.shares_network:
            raise OperationRefused(
                "container sharing network namespace with another container or host cannot be connected to any other "
                "network"
            )
        return container

    def _check_operable(self) -> None:
        if self._frozen or self._refuses_from is not None:
            raise OperationRefused(f"the engine {self.name} does not answer: it is stopped or frozen")

    def _check_name_is_free(self, name: str) -> None:
        for each in self._containers.values():
            if each.life.name == name:
                raise OperationRefused(f'Conflict. The container name "/{name}" is already in use by "{each.id}".')

    def _tell(self, container: SimulatedContainer, action: str, delay: float = 0.0, /, **details: str) -> None:
        """Tell what happened to a container. The engine's clients are told after a delay in seconds."""
        life, image = container.life, container.blueprint.image
        attributes = {**container.blueprint.labels, "name": life.name, **details}
        self._log_event(lambda at: Occurrence.of_container(at, action, container.id, image, attributes), delay)
        self._notify(container, action, details)

    def _notify(self, container: SimulatedContainer, action: str, details: Mapping[str, str]) -> None:
        """Tell who watches the truth what happened to a container."""
        event = Event(self._now(), action, container.id, container.life.name, details)
        for tell in self.on_event:
            tell(event)

    def _tell_of_network(self, container: SimulatedContainer, action: str, name: str, delay: float = 0.0) -> None:
        """Tell the engine's clients that a container joined or left a network."""
        if name in {"host", "none"}:
            network = self._hex("network", name), name, name.replace("none", "null")
        else:
            network = self._network(name).id, name, self._network(name).driver
        self._log_event(lambda at: Occurrence.of_network(at, action, network, container.id), delay)

    def _log_event(self, event: Callable[[int], Occurrence], delay: float) -> None:
        """Tell the engine's clients of an event, which is made from its moment in nanoseconds."""
        if self._frozen:
            self._untold.append(event)
        elif not self._refuses:
            self._log.add(event(self._nanosecond() + round(delay * 1e9)))

    def _nanosecond(self) -> int:
        """Return the virtual time in nanoseconds, later than every time before: no two of an engine's are the same."""
        self._last_nanosecond = max(round(self._now() * 1e9), self._last_nanosecond + 1)
        return self._last_nanosecond

    def _endpoint_id(self, container: SimulatedContainer, network: str) -> str:
        """Return the id of a new endpoint, which no endpoint had before."""
        return self._hex("endpoint", container.id, network, str(self._nanosecond()))

    def _hex(self, *what: str) -> str:
        """Return 64 hexadecimal digits that differ between engines and between things."""
        return hashlib.sha256("/".join((self._seed, *what)).encode()).hexdigest()


_VERSION_DOCUMENT = {
    "Platform": {"Name": ""},
    "Version": VERSION,
    "ApiVersion": API_VERSION,
    "MinAPIVersion": "1.12",
    "Os": "linux",
    "Arch": "amd64",
}


def _network_document(network_id: str, name: str, driver: str, *, internal: bool) -> dict[str, Any]:
    """Return the answer of ``GET /networks/<id>``, without what nobody reads."""
    return {"Name": name, "Id": network_id, "Scope": "local", "Driver": driver, "Internal": internal, "Ingress": False}


def _document(document: Any, status: int = 200) -> Answer:
    return Answer(Response.of_json(document, status, _HEADERS))


def _error(status: int, message: str) -> Answer:
    return _document({"message": message}, status)


def _bindings_asked(asked: PortChoice | list[PortChoice]) -> tuple[tuple[str, int | None], ...]:
    """Return the bindings of a port as pairs of address and port."""
    return tuple(
        each if isinstance(each, tuple) else ("", each) for each in (asked if isinstance(asked, list) else [asked])
    )


def _network_name(mode: str) -> str:
    """Return the name of the network that a container with this NetworkMode is on."""
    return "bridge" if mode == "default" else mode


def _collide(one: Binding, other: Binding) -> bool:
    """Return whether two bindings of one protocol cannot both be there."""
    if one.host_port != other.host_port or (":" in one.host_ip) != (":" in other.host_ip):
        return False
    return one.host_ip == other.host_ip or not {one.host_ip, other.host_ip}.isdisjoint({"0.0.0.0", "::"})


def connect_simulated(deliver: Deliver, timeout: int = TIMEOUT) -> EngineClient:
    """Return the program's client of the engine, connected to a simulated engine as the program connects to a real one.

    ``deliver`` carries each request, beginning with the one for the API version.
    """
    return negotiated(SimulatedHttpClient(deliver, ENDPOINT), timeout)
