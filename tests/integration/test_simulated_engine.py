"""The simulated Docker engine beside a real one: the program reads the same of containers that live the same life."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller.source.engine_client import EngineClient
from controller.source.engine_connection import EngineSettings, connect
from model.container import from_inspect
from model.host_port import HostPort
from model.listing import agrees_with_list
from tests.simulation.engine import EPHEMERAL, Answer, OperationRefused, SimulatedEngine, connect_simulated
from tests.simulation.messages import Request, Response
from tests.simulation.transports import Timeouts
from tests.support.engine import DockerEngine, DockerError
from tests.support.waiting import wait_until

#: A step of a life: the docker command, and the same on the simulated engine.
Step = tuple[str, Callable[[SimulatedEngine], object]]

RUN = (
    "run -d --name web -p 18080:80 -p 443 -e SERVICE_NAME=front -l tier=1 "
    "--health-cmd 'exit 0' --health-interval 1s nginx"
)

#: A command that waits until the HEALTHCHECK has succeeded.
WAIT = "WAIT"

LIFE: list[Step] = [
    (
        RUN,
        lambda engine: engine.run(
            "web",
            "nginx",
            ports={"80/tcp": 18080, "443/tcp": None},
            env={"SERVICE_NAME": "front"},
            labels={"tier": "1"},
            healthcheck=True,
        ),
    ),
    ("network connect simulated web", lambda engine: engine.connect("web", "simulated")),
    ("rename web www", lambda engine: engine.rename("web", "www")),
    (f"{WAIT} www", lambda engine: engine.set_health("www", "healthy")),
    ("pause www", lambda engine: engine.pause("www")),
    ("unpause www", lambda engine: engine.unpause("www")),
    ("network disconnect bridge www", lambda engine: engine.disconnect("www", "bridge")),
    ("restart -t 0 www", lambda engine: engine.restart("www", 137)),
    ("network disconnect simulated www", lambda engine: engine.disconnect("www", "simulated")),
    ("kill www", lambda engine: engine.kill("www")),
    ("network connect bridge www", lambda engine: engine.connect("www", "bridge")),
    ("start www", lambda engine: engine.start("www")),
    (
        "run -d --name side --network container:www worker:1",
        lambda engine: engine.run("side", "worker:1", exposed=["9000/tcp"], network="container:www"),
    ),
    (
        "create --name late -p 18080:9000 worker:1",
        lambda engine: engine.create("late", "worker:1", ports={"9000/tcp": 18080}),
    ),
    ("start late", lambda engine: engine.start("late")),
    ("rm -f www", lambda engine: engine.remove("www", force=True)),
    ("start late", lambda engine: engine.start("late")),
    (
        "run -d --name alone --network none -p 18081:9000 worker:1",
        lambda engine: engine.run("alone", "worker:1", ports={"9000/tcp": 18081}, network="none"),
    ),
    (
        "run -d --name hosted --network host worker:1",
        lambda engine: engine.run("hosted", "worker:1", exposed=["9000/tcp"], network="host"),
    ),
    (
        "run -d --name two -p 18083:9000 -p 18082:9000 -p 127.0.0.1:18084:9000 worker:1",
        lambda engine: engine.run("two", "worker:1", ports={"9000/tcp": [18083, 18082, ("127.0.0.1", 18084)]}),
    ),
    ("pause alone", lambda engine: engine.pause("alone")),
    ("rename two late", lambda engine: engine.rename("two", "late")),
    ("unpause two", lambda engine: engine.unpause("two")),
    ("network connect simulated alone", lambda engine: engine.connect("alone", "simulated")),
    ("rm two", lambda engine: engine.remove("two")),
    ("network create --internal closed", lambda engine: engine.create_network("closed", internal=True)),
    (
        "run -d --name inside --network closed -p 18085:9000 worker:1",
        lambda engine: engine.run("inside", "worker:1", ports={"9000/tcp": 18085}, network="closed"),
    ),
    ("network connect simulated inside", lambda engine: engine.connect("inside", "simulated")),
    ("network disconnect simulated inside", lambda engine: engine.disconnect("inside", "simulated")),
    ("network disconnect closed inside", lambda engine: engine.disconnect("inside", "closed")),
]


@pytest.fixture
def client(engine: DockerEngine) -> Iterator[EngineClient]:
    """The program's client, connected to a real engine that has a network for the test."""
    engine.remove_all()
    engine.docker("network", "create", "simulated")
    client = connect(EngineSettings(engine.socket_url))
    yield client
    client.close()
    engine.remove_all()


def test_containers_that_live_the_same_life_are_read_alike(engine: DockerEngine, client: EngineClient) -> None:
    """After each step the program reads the same from a real and from a simulated engine, and both refuse the same
    steps. Their events are the same, too."""
    now = [0.0]
    simulated = SimulatedEngine("simulated", "E:1", lambda: now[0], "127.0.0.1")

    def deliver(endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
        answer = simulated.handle(request)
        assert isinstance(answer, Answer)
        return answer.response

    simulated_client = connect_simulated(deliver)
    began = engine.docker("info", "--format", "{{.SystemTime}}")
    for command, operation in LIFE:
        now[0] += 1
        refusals = refused(DockerError, run, engine, command), refused(OperationRefused, operation, simulated)
        assert refusals[0] == refusals[1], command
        assert shown(client) == shown(simulated_client), command
    ended = engine.docker("info", "--format", "{{.SystemTime}}")
    real = engine.docker("events", "--since", began, "--until", ended, "--format", "{{json .}}")
    answer = simulated.handle(Request("GET", "/events", {"since": "0", "until": "9999999999"}))
    assert isinstance(answer, Answer)
    assert events(real.splitlines()) == events(answer.response.body.decode().splitlines())


def run(engine: DockerEngine, command: str) -> None:
    """Run a command of a life."""
    if command.startswith(WAIT):
        name = command.split()[1]
        wait_until(lambda: engine.inspect(name)["State"]["Health"]["Status"] == "healthy", what="the HEALTHCHECK")
    else:
        engine.docker(*shlex.split(command))


def refused(error: type[Exception], operation: Callable[..., object], *args: object) -> bool:
    """Return whether an operation is refused with this error."""
    try:
        operation(*args)
    except error:
        return True
    return False


def shown(client: EngineClient) -> dict[str, Any]:
    """Return what the program reads of each container, by name, without what depends on the moment and on chance.

    List and inspect have to agree about all that were started.
    """
    found = {}
    for line in client.containers(all=True):
        each = from_inspect(client.inspect_container(line["Id"]))
        # After a start that failed, the list of a real engine shows the address that the container would have had.
        assert agrees_with_list(each, line) or each.status == "created"
        found[each.name] = {
            "image": each.image,
            "status": each.status,
            "exit code": each.exit_code,
            "health": each.health,
            "labels": dict(each.labels),
            "env": [line for line in each.env if line.startswith("SERVICE_")],
            "exposed": each.exposed,
            # Whether a port is listed for both families depends on how the engine was started.
            "published": {
                str(port): {"chosen" if binding.port in EPHEMERAL else binding.port for binding in bindings}
                for port, bindings in each.published.items()
            },
            "joins": bool(each.joined) or each.network_mode,
            "networks": {name: bool(address) for name, address in each.networks.items()},
            "told": {name: told(client, each.network_ids[name]) for name in each.network_ids if each.serving},
            "to publish": each.to_publish,
            "was started": each.serving and bool(each.started),
        }
    return found


def told(client: EngineClient, network_id: str) -> tuple[str, bool]:
    """Return what the engine says of a network: its driver, and whether it is internal."""
    document = client.inspect_network(network_id)
    return document["Driver"], document["Internal"]


def events(lines: list[str]) -> list[dict[str, Any]]:
    """Return the events of containers, and of networks that containers join and leave, without what depends on the
    moment and on chance. Containers and networks have numbers, in the order in which they are first told of.

    Left out are the runs of the HEALTHCHECK, the signals, as the test images have KILL as their stop signal, and the
    second of two equal events in a row, as the engine then sends KILL twice, and may tell twice of a network that a
    container leaves.
    """
    numbers: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    for line in lines:
        event = json.loads(line)
        of_container = event["Type"] == "container" and not event["Action"].startswith("exec_")
        if of_container or (event["Type"] == "network" and event["Action"] in {"connect", "disconnect"}):
            attributes = event["Actor"]["Attributes"]
            attributes.pop("signal", None)
            assert event["time"] == event["timeNano"] // 1_000_000_000
            for document, name in ((event, "id"), (event["Actor"], "ID"), (attributes, "container")):
                if name in document:
                    document[name] = numbers.setdefault(document[name], str(len(numbers)))
            event |= {"time": 0, "timeNano": 0}
            if found[-1:] != [event]:
                found.append(event)
    return found
