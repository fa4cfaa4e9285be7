"""Small honest stand-ins for what the program stands on: time, the engine's client, the containers' source."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import docker.errors
import requests

from controller.clock import Clock, Deadline
from controller.errors import EngineUnavailable
from model.container import Container
from model.report import PassReport
from model.snapshot import EngineIdentity, Snapshot, UnknownContainer

#: What a fake wall clock shows when it is made.
EPOCH = 1_700_000_000.0

#: The id of an engine.
ENGINE = "7TLU:ENGINE:ONE"

#: The filters that the fake engine knows; the real one has more.
FILTERS = frozenset({"label", "name", "network", "health"})

Json = dict[str, Any]


class FakeTime:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.passed = 0.0

    @property
    def clock(self) -> Clock:
        """The clock that shows it."""
        return Clock(wall=lambda: EPOCH + self.passed, monotonic=lambda: self.passed)

    def advance(self, seconds: float) -> None:
        """Let it pass."""
        self.passed += seconds


class FakeSource:
    """A host with these containers. Set ``problem`` to have it answer nothing; ``asked`` counts its questions."""

    def __init__(
        self,
        *containers: Container,
        unknown: tuple[UnknownContainer, ...] = (),
        name: str = "core-01",
        engine: str = ENGINE,
    ) -> None:
        self.containers = list(containers)
        self.unknown = unknown
        self.problem = ""
        self.asked: Counter[str] = Counter()
        self._identity = EngineIdentity(name, engine)

    def identity(self) -> EngineIdentity:
        """See Source."""
        self._ask("identity")
        return self._identity

    def read(self, deadline: Deadline) -> Snapshot:
        """See Source."""
        self._ask("read")
        return Snapshot(tuple(self.containers), self.unknown)

    def _ask(self, question: str) -> None:
        self.asked[question] += 1
        if self.problem:
            raise EngineUnavailable(self.problem)


class FakeDocker:
    """A Docker engine behind the face of its client library: a list that is made of the inspect documents it holds.

    ``asked`` holds every question in order. An exception in ``errors`` under a question is its answer. ``then`` is done
    after each list, for what happens between a list and an inspect, or between two lists.
    """

    def __init__(self, *documents: Json, name: object = "core-01", engine: object = ENGINE) -> None:
        self.documents: dict[str, Json] = {each["Id"]: each for each in documents}
        self.name = name
        self.engine = engine
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.then: Callable[[], object] = lambda: None
        self.open = 0
        self.timeout = 60

    def dial(self) -> FakeDocker:
        """Connect, as docker.APIClient does with ``version="auto"``."""
        self._ask("dial")
        self.open += 1
        return self

    def info(self) -> Any:
        """``GET /info``."""
        self._ask("info")
        return {"Name": self.name, "ID": self.engine}

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any:
        """``GET /containers/json``. The real one, too, lists a container's ports in another order each time."""
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
        """``GET /containers/<id>/json``."""
        self._ask(f"inspect {container}")
        if container not in self.documents:
            raise docker.errors.NotFound(f"No such container: {container}")
        return copy.deepcopy(self.documents[container])

    def close(self) -> None:
        """Let go of the connection."""
        self.open -= 1

    def inspects(self) -> list[str]:
        """The ids that were inspected since this was last asked, in order."""
        asked, self.asked = self.asked, []
        return [each.removeprefix("inspect ") for each in asked if each.startswith("inspect ")]

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if error := self.errors.get(question):
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
    """An inspect answer: a container on the default bridge whose ports are published on 8000 and up."""
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
    """The container's line in the list."""
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
    """What the list says of the state in words: of a paused container not its health."""
    if state["Status"] == "paused":
        return "Up 3 minutes (Paused)"
    if state["Status"] != "running":
        return f"{state['Status'].capitalize()} ({state['ExitCode']}) 3 minutes ago"
    health = (state.get("Health") or {}).get("Status", "none")
    marks = {"none": "", "starting": " (health: starting)"}
    return f"Up 3 minutes{marks.get(health, f' ({health})')}"


def passes(document: Json, filters: Mapping[str, list[str]]) -> bool:
    """Whether the container passes the filters: all labels have to fit, and one of the values under each other name."""
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


def refusal(code: int, words: str) -> docker.errors.APIError:
    """An error answer of the engine, as the client library raises it: behind a long URL."""
    response = requests.Response()
    response.status_code, response.reason = code, "Error"
    response.url = f"http+docker://localhost/v1.41/containers/json?limit=-1&filters={'x' * 300}"
    return docker.errors.APIError(f"{code} Error", response, words)


class Watcher:
    """An observer that keeps what it is told, and does ``then`` after each pass."""

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
