"""The bill of materials of the image, made of the environment that runs the tests."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from typing import Any

from scripts.requirements import ROOT, allowed
from scripts.sbom import document


@cache
def printed() -> dict[str, Any]:
    """Return the document as the image's build prints it: with the standard library alone."""
    argv = [sys.executable, str(ROOT / "scripts/sbom.py")]
    found: dict[str, Any] = json.loads(subprocess.run(argv, cwd="/", capture_output=True, check=True).stdout)
    return found


def test_the_same_environment_gives_the_same_document() -> None:
    """It has neither a date nor a serial number."""
    assert printed() == document()


def test_each_dependency_is_a_part_with_version_origin_and_license() -> None:
    """Scanners look up known faults by the purl, and by Python's cpe."""
    parts = {part["name"]: part for part in printed()["components"]}
    assert platform.python_version() in parts["python"]["cpe"]
    for each in allowed():
        part = parts[each.name]
        assert part["version"] == version(each.name)
        assert part["purl"] == f"pkg:pypi/{each.name}@{part['version']}"
        (told,) = part["licenses"]
        assert told.get("expression") or told["license"]["name"] != "unknown"


def test_what_depends_on_what_is_said_once_and_of_known_parts() -> None:
    """The format forbids that a part is named twice. Parts that only an extra needs are no dependencies."""
    program = printed()["metadata"]["component"]["bom-ref"]
    known = [program, *(part["bom-ref"] for part in printed()["components"])]
    needs = {each["ref"]: each["dependsOn"] for each in printed()["dependencies"]}
    assert len(set(known)) == len(known)
    assert all(len(set(parts)) == len(parts) and set(parts) < set(known) for parts in needs.values())
    assert {f"{each}@{version(each)}" for each in ("requests", "urllib3")} <= set(needs[f"docker@{version('docker')}"])
    assert f"pytest@{version('pytest')}" not in needs[program]
