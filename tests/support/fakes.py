"""Test doubles for the clock, the Docker client, the source of containers, and an observer of the loop."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from controller.effects.background import Waker
from controller.effects.clock import Clock, Deadline
from controller.errors import EngineUnavailable
from controller.source.engine_errors import ErrorAnswer, error_answer
from model.container import Container
from model.engine_kind import UNKNOWN_KIND
from model.hint import Hint, HintKind
from model.report import PassReport
from model.snapshot import EngineIdentity, Presence, Snapshot, UnknownContainer

#: What the wall clock of a new FakeTime shows, in seconds since 1970.
EPOCH = 1_700_000_000.0

#: The engine id of FakeSource and FakeDocker by default.
ENGINE = "7TLU:ENGINE:ONE"

#: The filters that FakeDocker supports. A real engine has more.
FILTERS = frozenset({"label", "name", "network", "health"})

Json = dict[str, Any]


class FakeTime:
    """Time that passes only when a test calls ``advance``."""

    def __init__(self) -> None:
        self.passed = 0.0

    @property
    def clock(self) -> Clock:
        """A clock that shows this time."""
        return Clock(wall=lambda: EPOCH + self.passed, monotonic=lambda: self.passed)

    def advance(self, seconds: float) -> None:
        """Let this many seconds pass."""
        self.passed += seconds


class Inline:
    """A background that does each piece of work in the caller's thread, before ``start`` returns."""

    def start(self, work: Callable[[], object], name: str) -> Inline:
        """See Background."""
        work()
        return self

    def join(self, timeout: float | None = None) -> None:
        """See Task."""

    def waker(self) -> Waker:
        """See Background."""
        return threading.Event()


class FakeSource:
    """A source of the given containers.

    Every request is noted in ``requests``. ``presences`` is what the engine says of containers that are not listed, by
    id or name; all others are absent. If ``problem`` is set, every request raises EngineUnavailable with that text.
    """

    def __init__(
        self,
        *containers: Container,
        unknown: tuple[UnknownContainer, ...] = (),
        name: str = "core-01",
        engine: str = ENGINE,
    ) -> None:
        self.containers = list(containers)
        self.unknown = unknown
        self.presences: dict[str, Presence] = {}
        self.problem = ""
        self.requests: list[str] = []
        self.told = EngineIdentity(name, engine)

    def identity(self) -> EngineIdentity:
        """See Source."""
        self._request("engine")
        return self.told

    def read(self, deadline: Deadline, *, hurried: bool = False, full: bool = False) -> Snapshot:
        """See Source."""
        self._request("containers")
        return Snapshot(tuple(self.containers), self.unknown)

    def presence(self, containers: Collection[str], deadline: Deadline) -> Mapping[str, Presence]:
        """See Source."""
        self.requests += [f"presence of {each}" for each in containers]
        return {each: self.presences.get(each, Presence.ABSENT) for each in containers}

    def _request(self, what: str) -> None:
        self.requests.append(what)
        if self.problem:
            raise EngineUnavailable(self.problem)


class FakeDocker:
    """A Docker engine with the interface of EngineClient. Its lists are made from the inspect documents in
    ``documents``.

    ``asked`` has every request in order. If ``errors`` has an exception for a request, the request raises it. ``then``
    is called after each list, so that a test can change something between a list and an inspect, or between two lists.
    ``open`` is the number of open connections.
    """

    def __init__(self, *documents: Json, name: object = "core-01", engine: object = ENGINE) -> None:
        self.documents: dict[str, Json] = {each["Id"]: each for each in documents}
        #: The answers about networks, by id.
        self.networks: dict[str, Json] = {}
        #: The events, the oldest first.
        self.happened: list[Json] = []
        self.name = name
        self.engine = engine
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.then: Callable[[], object] = lambda: None
        self.open = 0
        self.timeout = 60
        #: The kind of the engine, which its /version tells.
        self.kind = UNKNOWN_KIND

    def dial(self) -> FakeDocker:
        """Connect and return the client."""
        self._ask("dial")
        self.open += 1
        return self

    def info(self) -> Any:
        """Answer ``GET /info``."""
        self._ask("info")
        return {"Name": self.name, "ID": self.engine}

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
        """Answer ``GET /containers/json``. As with a real engine, the order of a container's ports changes from list to
        list."""
        self._ask(("list all" if all else "list") + (" filtered" if filters else ""))
        for unknown in (filters or {}).keys() - FILTERS:
            raise refusal(400, f"Invalid filter '{unknown}'")
        up = {"running", "paused", "restarting"}
        found = [each for each in self.documents.values() if all or each["State"]["Status"] in up]
        lines = [listed(each) for each in found if passes(each, filters or {})]
        for line in lines:
            line["Ports"] = line["Ports"][:: -1 if len(self.asked) % 2 else 1]
        self.then()
        return lines

    def inspect_container(self, container: str) -> Any:
        """Answer ``GET /containers/<id>/json``."""
        self._ask(f"inspect {container}")
        if container not in self.documents:
            raise refusal(404, f"No such container: {container}")
        return copy.deepcopy(self.documents[container])

    def inspect_network(self, net_id: str) -> Any:
        """Answer ``GET /networks/<id>``."""
        self._ask(f"network {net_id}")
        if net_id not in self.networks:
            raise refusal(404, f"network {net_id} not found")
        return copy.deepcopy(self.networks[net_id])

    def events(self, since: float, filters: dict[str, list[str]], silence: float) -> Iterator[Any]:
        """Answer ``GET /events``, and end the answer after what has happened."""
        self._ask("events")
        yield from copy.deepcopy(self.happened)

    def event_history(self, since: float, until: float, filters: dict[str, list[str]]) -> list[Any]:
        """Answer ``GET /events`` of a time that is over."""
        self._ask("event history")
        return copy.deepcopy(self.happened)

    def close(self) -> None:
        """Close the connection."""
        self.open -= 1

    def inspects(self) -> list[str]:
        """Return the ids that were inspected since the last call of this method, in order. It empties ``asked``."""
        asked, self.asked = self.asked, []
        return [each.removeprefix("inspect ") for each in asked if each.startswith("inspect ")]

    def _ask(self, request: str) -> None:
        self.asked.append(request)
        if error := self.errors.get(request):
            raise error


def inspected(
    container_id: str,
    *,
    status: str = "running",
    exit_code: int = 0,
    ports: tuple[int, ...] = (80,),
    labels: Mapping[str, str] | None = None,
    health: str = "",
    network: str = "default",
) -> Json:
    """Return an inspect document of a container on the default bridge. Each port is published on 8000 plus its
    number."""
    up = status in {"running", "paused"}
    bound = {f"{port}/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(8000 + port)}] for port in ports}
    return {
        "Id": container_id,
        "Name": f"/{container_id}",
        "Created": "2026-01-01T00:00:00.5Z",
        "State": {"Status": status, "ExitCode": exit_code} | ({"Health": {"Status": health}} if health else {}),
        "HostConfig": {"NetworkMode": network},
        "Config": {
            "Image": "nginx",
            "Env": None,
            "Labels": dict(labels or {}),
            "ExposedPorts": {port: {} for port in bound},
        },
        "NetworkSettings": {
            "IPAddress": "172.17.0.2" if up else "",
            "Ports": bound if up else {},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2" if up else ""}},
        },
    }


def listed(document: Json) -> Json:
    """Return the element of ``GET /containers/json`` for the container with this inspect document."""
    state, network = document["State"], document["NetworkSettings"]
    ports = [
        {
            "IP": each["HostIp"],
            "PrivatePort": int(port.split("/")[0]),
            "PublicPort": int(each["HostPort"]),
            "Type": port.split("/")[1],
        }
        for port, bindings in network["Ports"].items()
        for each in bindings
    ]
    return {
        "Id": document["Id"],
        "Names": [document["Name"]],
        "State": state["Status"],
        "Status": _status_text(state),
        "Ports": ports,
        "NetworkSettings": {"Networks": copy.deepcopy(network["Networks"])},
    }


def _status_text(state: Json) -> str:
    """Return the ``Status`` of the list. For a paused container it does not contain the health."""
    if state["Status"] == "paused":
        return "Up 3 minutes (Paused)"
    if state["Status"] != "running":
        return f"{state['Status'].capitalize()} ({state['ExitCode']}) 3 minutes ago"
    health = (state.get("Health") or {}).get("Status", "none")
    marks = {"none": "", "starting": " (health: starting)"}
    return f"Up 3 minutes{marks.get(health, f' ({health})')}"


def passes(document: Json, filters: Mapping[str, list[str]]) -> bool:
    """Return whether the filters select the container. All values of ``label`` must match, and one of the values of
    each other filter."""
    labels = document["Config"]["Labels"]
    health = (document["State"].get("Health") or {}).get("Status", "none")
    tests: Mapping[str, Callable[[list[str]], bool]] = {
        "label": lambda values: all(_has_label(labels, *value.split("=", 1)) for value in values),
        "name": lambda values: any(re.search(value, document["Name"]) for value in values),
        "network": lambda values: any(value in document["NetworkSettings"]["Networks"] for value in values),
        "health": lambda values: health in values,
    }
    return all(tests[name](values) for name, values in filters.items())


def _has_label(labels: Mapping[str, str], key: str, value: str | None = None) -> bool:
    return key in labels and value in {None, labels[key]}


def refusal(code: int, words: str) -> ErrorAnswer:
    """Return the exception that the engine's client raises for an error answer with this status and message."""
    return error_answer(code, words)


class RecordingObserver:
    """An observer of the loop that keeps what it receives. It calls ``then`` after each pass."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.begun_at: list[float] = []
        self.reports: list[PassReport] = []
        self.waits: list[float] = []
        self._then = then

    def begun(self, now: float) -> None:
        """See Observer."""
        self.begun_at.append(now)

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """See Observer."""
        self.reports.append(report)
        self.waits.append(wait)
        self._then()


class FakeHints:
    """The hints that a test gives, as a subscriber takes them."""

    def __init__(self) -> None:
        self.flows = True
        self.gap = False
        self.waiting: list[Hint] = []

    def give(self, container: str, kind: HintKind = HintKind.OTHER, second: float = 30.0, *, signal: int = 0) -> None:
        """Give a hint of something that happened at this second of the year 2026."""
        nanoseconds = round((datetime(2026, 1, 1, tzinfo=UTC).timestamp() + second) * 1e9)
        self.waiting.append(Hint(container, kind, nanoseconds, signal))

    def take(self) -> list[Hint]:
        """See Hints."""
        taken, self.waiting = self.waiting, []
        return taken

    def take_gap(self) -> bool:
        """See Hints."""
        gap, self.gap = self.gap, False
        return gap


class Postponed(Inline):
    """A background that does each piece of work at once, or while ``postpones`` is set, when ``go`` is called."""

    def __init__(self) -> None:
        self.postpones = False
        self._works: list[Callable[[], object]] = []

    def start(self, work: Callable[[], object], name: str) -> Inline:
        """See Background."""
        if self.postpones:
            self._works.append(work)
        else:
            work()
        return self

    def go(self) -> None:
        """Do the work that waits, and postpone no further work."""
        self.postpones = False
        works, self._works = self._works, []
        for work in works:
            work()
