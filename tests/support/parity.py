"""The parity cases: what registrator 7.4.0 really wrote, recorded from a real engine and a real etcd."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

_FILE = Path(__file__).parent.parent / "parity" / "cases.json"


@frozen
class Case:
    """One set of containers and flags. ``before`` and ``expect`` are etcd's keys before and after ``then``."""

    name: str
    about: str
    docker_run: tuple[str, ...]
    flags: tuple[str, ...]
    registry: str
    hostname: str
    then: tuple[str, ...]
    containers_json: list[dict[str, Any]]
    inspect: dict[str, dict[str, Any]]
    before: dict[str, str]
    expect: dict[str, str]


@cache
def load_cases() -> tuple[Case, ...]:
    """All recorded cases, in the order of the file."""
    return tuple(_case(each) for each in json.loads(_FILE.read_text()))


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
