"""The dependencies that setup.cfg names, and the releases of them that are locked."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

#: The exact versions of which the image is made, with the hashes of their files.
LOCK = ROOT / "requirements.lock"


def allowed() -> list[Requirement]:
    """Return the dependencies of the program, with the releases that setup.cfg allows."""
    config = ConfigParser()
    config.read_string((ROOT / "setup.cfg").read_text())
    return [Requirement(line) for line in config["options"]["install_requires"].split("\n") if line]


def oldest(requirement: Requirement) -> Requirement:
    """Return the requirement for the oldest release that is allowed. Raises ValueError if nothing says which it is."""
    floors = [each.version for each in requirement.specifier if each.operator in ("==", ">=", "~=")]
    if len(floors) != 1:
        raise ValueError(f"setup.cfg does not say which release of {requirement.name} is the oldest: {requirement}")
    return Requirement(f"{requirement.name}=={floors[0]}")


def locked(text: str) -> dict[str, str]:
    """Return the version of each package in a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
