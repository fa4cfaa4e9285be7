"""The parity cases: what registrator 7.4.0 wrote, recorded from a real engine and a real etcd."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

#: What wharfinger writes in the cases in which it differs from registrator; see "Differences from registrator" in
#: docs/architecture.md.
DIFFERENT: Mapping[str, dict[str, str]] = {
    "bound-to-address-ip": {},
    "two-bindings": {"/services/nginx/core-01:xx:80": "172.17.8.101:8000"},
}

_FILE = Path(__file__).parent.parent / "parity" / "cases.json"


@frozen
class Case:
    """One set of containers and flags, with what the engine answered and what registrator wrote."""

    name: str
    #: What the case shows, for people.
    about: str
    #: The arguments of each ``docker run``.
    docker_run: tuple[str, ...]
    #: registrator's flags.
    flags: tuple[str, ...]
    #: registrator's registry URI.
    registry: str
    #: The name of the Docker host.
    hostname: str
    #: The docker commands that were given once registrator had registered the containers; mostly none.
    then: tuple[str, ...]
    #: The engine's list of containers at the end.
    containers_json: list[dict[str, Any]]
    #: The engine's inspect answer about each container at the end, by the container's id.
    inspect: dict[str, dict[str, Any]]
    #: etcd's keys and values before the commands of ``then``; empty where there are no such commands.
    before: dict[str, str]
    #: etcd's keys and values at the end.
    expect: dict[str, str]

    @property
    def wanted(self) -> dict[str, str]:
        """The keys and values that wharfinger has to leave at the end: registrator's, but for the known differences."""
        return DIFFERENT.get(self.name, self.expect)


@cache
def load_cases() -> tuple[Case, ...]:
    """Return all recorded cases, in the order of the file."""
    return tuple(_case(each) for each in json.loads(_FILE.read_text()))


def load_case(name: str) -> Case:
    """Return the recorded case with this name."""
    return next(case for case in load_cases() if case.name == name)


def _case(document: dict[str, Any]) -> Case:
    return Case(
        name=document["name"],
        about=document["about"],
        docker_run=tuple(document["docker_run"]),
        flags=tuple(document["flags"]),
        registry=document["registry"],
        hostname=document["hostname"],
        then=tuple(document["then"]),
        containers_json=document["containers_json"],
        inspect=document["inspect"],
        before=document.get("expect_before_then") or {},
        expect=document["expect"],
    )
