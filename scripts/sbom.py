"""Print the parts of the Python environment that runs this, as CycloneDX JSON (https://cyclonedx.org/docs/1.6/json/).

The Dockerfile runs it in the image's environment, where nothing but the standard library can be counted on. The output
has neither a date nor a serial number, so that the same parts give the same document.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from typing import Any

#: The program itself, which the document is about.
PROGRAM = "wharfinger"

#: The name of a required distribution, and whether only one of its requirer's extras needs it.
_REQUIRED = re.compile(r"(?P<name>[\w.-]+)[^;]*(?:;.*?(?P<extra>\bextra\b))?")
_LICENSE = "License :: OSI Approved :: "


def document() -> dict[str, Any]:
    """Return the document of everything that is installed."""
    installed = {_normal(each.name): each for each in distributions()}
    parts = {name: _component(each) for name, each in sorted(installed.items())}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": parts.pop(PROGRAM) | {"type": "application"}},
        "components": [_python(), *(part | {"purl": f"pkg:pypi/{part['bom-ref']}"} for part in parts.values())],
        "dependencies": [
            {"ref": _reference(each), "dependsOn": sorted({_reference(part) for part in _required(each, installed)})}
            for _, each in sorted(installed.items())
        ],
    }


def _python() -> dict[str, Any]:
    version = platform.python_version()
    return {
        "type": "platform",
        "bom-ref": f"python@{version}",
        "name": "python",
        "version": version,
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }


def _component(installed: Distribution) -> dict[str, Any]:
    """Return what the document says of an installed distribution."""
    said = {"bom-ref": _reference(installed), "name": _normal(installed.name), "version": installed.version}
    return {"type": "library"} | said | {"licenses": [_license(installed)]}


def _license(installed: Distribution) -> dict[str, Any]:
    """Return the license of a distribution: the expression that it gives, else what its classifiers call it, else the
    first line of its own words."""
    told = installed.metadata
    if "License-Expression" in told:
        return {"expression": told["License-Expression"]}
    names = [each.removeprefix(_LICENSE) for each in told.get_all("Classifier", ()) if each.startswith(_LICENSE)]
    own_words = told["License"].partition("\n")[0] if "License" in told else ""
    return {"license": {"name": ", ".join(names) or own_words or "unknown"}}


def _required(by: Distribution, installed: Mapping[str, Distribution]) -> Iterator[Distribution]:
    """Yield what a distribution requires. What is required elsewhere only, as on another platform, is not installed."""
    for requirement in by.requires or ():
        found = _REQUIRED.match(requirement)
        if found and not found["extra"] and _normal(found["name"]) in installed:
            yield installed[_normal(found["name"])]


def _reference(installed: Distribution) -> str:
    return f"{_normal(installed.name)}@{installed.version}"


def _normal(name: str) -> str:
    """Return the name of a distribution in the spelling that tells whether two are the same."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1)
