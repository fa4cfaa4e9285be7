"""Answers of a Docker engine about containers that are made up for a test, in the form of recorded ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tests.support.builders import with_value
from tests.support.recorded_engine import RecordedEngine

Json = dict[str, Any]


def engine_of(*answers: tuple[Json, Json]) -> RecordedEngine:
    """Return an engine with these containers, each given by its line in the list and its inspect answer."""
    return RecordedEngine([listed for listed, _ in answers], {listed["Id"]: inspect for listed, inspect in answers})


def answers(
    name: str,
    number: int,
    *,
    ports: Mapping[str, int] | None = None,
    inspect: Mapping[str, object] | None = None,
    listed: Mapping[str, object] | None = None,
) -> tuple[Json, Json]:
    """Return the engine's line and its inspect answer about a running container of the image ``app``.

    ``number``, from 0 to 59, makes its id, its address and its second of creation. ``ports`` gives the host's port of
    each published port, as in ``80/tcp``. ``inspect`` has further values for paths of the inspect answer, as in
    ``Config.Env``, and ``listed`` further fields of the line.
    """
    container_id = f"{number:064x}"
    networks = {"bridge": {"IPAddress": f"172.17.0.{number + 2}", "GlobalIPv6Address": ""}}
    published = {port: [{"HostIp": "0.0.0.0", "HostPort": str(host_port)}] for port, host_port in (ports or {}).items()}
    document: Json = {
        "Id": container_id,
        "Created": f"2026-01-01T00:00:{number:02}Z",
        "Name": f"/{name}",
        "State": {"Status": "running", "Running": True, "ExitCode": 0, "StartedAt": "2026-01-01T00:01:00Z"},
        "Config": {"Image": "app:1", "Env": [], "Labels": {}, "ExposedPorts": {port: {} for port in published}},
        "HostConfig": {"NetworkMode": "default", "PortBindings": copy.deepcopy(published)},
        "NetworkSettings": {"Ports": published, "IPAddress": networks["bridge"]["IPAddress"], "Networks": networks},
    }
    for path, value in (inspect or {}).items():
        document = with_value(document, path, value)
    shown = [
        {
            "IP": "0.0.0.0",
            "PrivatePort": int(port.partition("/")[0]),
            "PublicPort": host_port,
            "Type": port.partition("/")[2],
        }
        for port, host_port in (ports or {}).items()
    ]
    line = {
        "Id": container_id,
        "Names": [f"/{name}"],
        "State": document["State"]["Status"] if isinstance(document["State"], dict) else "running",
        "Status": "Up 4 seconds",
        "Ports": shown,
        "NetworkSettings": {"Networks": networks},
        **(listed or {}),
    }
    return line, document


def exposing(*ports: str) -> dict[str, object]:
    """Return what an inspect answer shows of a container with host networking that exposes these ports."""
    return {"HostConfig.NetworkMode": "host", "Config.ExposedPorts": {port: {} for port in ports}}
