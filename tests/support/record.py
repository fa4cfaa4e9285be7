"""Record what engines of several kinds and versions answer about the same containers.

`python -m tests.support.record NAME...` starts each of these engines (see engines.py), runs CONTAINERS on it, and
writes its answers to `tests/engines/NAME.json`, in the form that recorded_engine.py serves. It needs root.
`docker-20.10-upgraded-to-forky` is the engine of forky with the containers that Docker 20.10 made.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docker

from tests.support.engine import DockerEngine, Unavailable
from tests.support.engine_recordings import FOLDER, OWNER
from tests.support.engine_tree import engine_tree
from tests.support.engines import engine_named
from tests.support.images import build_test_images
from tests.support.podman_engine import PodmanEngine
from tests.support.private_engine import PrivateEngine
from tests.support.recorded_engine import Json
from tests.support.waiting import wait_until

_CHECKED = "--health-cmd 'ls /tmp' --health-interval 200ms --health-retries 1"

#: The containers, as lines of `docker run -d`, or other docker commands after a `!`.
CONTAINERS = (
    "!network create --subnet 172.28.0.0/16 backend",
    "--name both -p 18080:9000 worker:1",
    "--name families -p 0.0.0.0:18081:9000 -p [::]:18082:9000 worker:1",
    "--name bindings -p 18084:9000 -p 18083:9000 worker:1",
    "--name loopback -p 127.0.0.1:18085:9000 worker:1",
    "--name protocols -p 5353:53/udp -p 5353:53/tcp dns:1",
    "--name unpublished worker:1",
    "--name hostly --network host worker:1",
    "--name apart --network none worker:1",
    "--name joins --network container:both -e SERVICE_NAME=side worker:1",
    f"--name checked -p 18086:9000 {_CHECKED} worker:1",
    "--name halted -p 18087:9000 worker:1",
    "!pause halted",
    "--name ended -p 18088:9000 worker:1",
    "!kill ended",
    "--name inner --network backend --ip 172.28.0.10 worker:1",
    "--name outer --network backend --ip 172.28.0.11 -p 18089:9000 worker:1",
    "--name told -p 18090:80 -p 18091:443 -e SERVICE_443_ID=secure -e SERVICE_TAGS=a,b -l SERVICE_80_NAME=front nginx",
    "--name annotated -p 18092:80 -p 18093:443 annotated:2",
)

#: A short life of another container, whose events are recorded.
BIRTH = "--name mortal -p 18094:9000 worker:1"
LIFE = (
    "pause mortal",
    "unpause mortal",
    "rename mortal dying",
    "kill --signal HUP dying",
    "stop dying",
    "start dying",
    "rm --force dying",
)

#: What is kept of the answers: enough of their shape, and nothing that tells of the machine.
_OF_VERSION = ("Version", "ApiVersion", "MinAPIVersion", "Os", "Arch")
_OF_INFO = ("ID", "Name", "ServerVersion", "OSType")
_OF_INSPECT = ("Id", "Created", "Name", "Image", "RestartCount", "State", "Config", "HostConfig", "NetworkSettings")
_OF_HOST_CONFIG = ("NetworkMode", "PortBindings", "PublishAllPorts", "RestartPolicy", "AutoRemove")
_OF_CONFIG = ("Hostname", "ExposedPorts", "Env", "Cmd", "Image", "Labels", "Healthcheck", "StopSignal", "StopTimeout")
_OF_NETWORK = ("Id", "Name", "Driver", "Scope", "Internal", "Ingress", "ConfigOnly", "EnableIPv6")


def record(engine: DockerEngine) -> Json:
    """Run the containers on an empty engine, and return its answers about them."""
    build_test_images(engine)
    events = _events_of_life(engine)
    for line in CONTAINERS:
        engine.replay(line)
    return _answers(engine) | {"events": events}


def record_upgraded(engine: PrivateEngine, tree: Path) -> Json:
    """Run the containers on an empty engine, upgrade it to that of a tree, start them again, and return its answers."""
    record(engine)
    running = engine.docker("ps", "--format", "{{.Names}}").split()
    engine.upgrade(tree)
    for name in reversed(running):
        engine.docker("start", name)
    engine.docker("pause", "halted")
    return _answers(engine) | {"events": _events_of_life(engine)}


def _events_of_life(engine: DockerEngine) -> list[Json]:
    """Let a container live, and return the events that are about it."""
    since = int(time.time())
    container = engine.run(BIRTH)
    for command in LIFE:
        engine.docker(*command.split())
    events = _client(engine).events(since=since, until=int(time.time()) + 1, decode=True)
    return [event for event in events if container in json.dumps(event)]


def _client(engine: DockerEngine) -> docker.APIClient:
    return docker.APIClient(base_url=engine.socket_url, version="auto")


def _answers(engine: DockerEngine) -> Json:
    """Return what the engine answers about everything that is there."""
    if isinstance(engine, PodmanEngine):
        # Podman leaves health checks to systemd.
        engine.docker("healthcheck", "run", "checked")
    wait_until(lambda: _health(engine, "checked") == "healthy", 20, "a healthy container")
    client = _client(engine)
    listed = client.containers(all=True)
    return {
        "version": _version(client.version()),
        "info": _part(client.info(), _OF_INFO),
        "hostname": OWNER,
        "containers_json": listed,
        "inspect": {each["Id"]: _inspected(client.inspect_container(each["Id"])) for each in listed},
        "networks": {each["Id"]: _part(client.inspect_network(each["Id"]), _OF_NETWORK) for each in client.networks()},
    }


def _health(engine: DockerEngine, container: str) -> str:
    return str((engine.inspect(container)["State"].get("Health") or {}).get("Status"))


def _version(document: Json) -> Json:
    """Return the part of a version answer that is kept."""
    components = [_part(each, ("Name", "Version")) for each in document.get("Components") or ()]
    return _part(document, _OF_VERSION) | {"Components": components}


def _inspected(document: Json) -> Json:
    """Return the part of an inspect answer that is kept. The log of the health check has times of each run."""
    kept = _part(document, _OF_INSPECT)
    kept["HostConfig"] = _part(kept["HostConfig"], _OF_HOST_CONFIG)
    kept["Config"] = _part(kept["Config"], _OF_CONFIG)
    if health := kept["State"].get("Health"):
        health["Log"] = []
    return kept


def _part(document: Mapping[str, Any], names: Sequence[str]) -> Json:
    return {name: document[name] for name in names if name in document}


def main() -> None:
    """Record the engines that are named on the command line."""
    for name in sys.argv[1:]:
        older, _, suite = name.partition("-upgraded-to-")
        engine = engine_named(older)
        if isinstance(engine, Unavailable):
            sys.exit(engine.reason)
        try:
            if suite:
                assert isinstance(engine, PrivateEngine), name
                answers = record_upgraded(engine, engine_tree(suite))
            else:
                answers = record(engine)
        finally:
            engine.close()
        (FOLDER / f"{name}.json").write_text(json.dumps(answers, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
