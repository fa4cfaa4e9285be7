"""What engines of several kinds and versions answered about the same containers, and the entries of these.

Each engine has a file in tests/engines/, which `record.py` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.recorded_engine import Json

FOLDER = Path(__file__).parent.parent / "engines"

#: The names of all recordings: their files' names without ``.json``.
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))

#: The name of the recorded engines' host, and the address under which its entries are registered.
OWNER, IP = "core-01", "192.0.2.10"

#: The entries of the recorded containers that are registered by their published ports.
PUBLISHED = {
    "worker/core-01:both:9000": "192.0.2.10:18080",
    "worker/core-01:families:9000": "192.0.2.10:18081",
    "worker/core-01:bindings:9000": "192.0.2.10:18083",
    "dns-53/core-01:protocols:53": "192.0.2.10:5353",
    "dns-53/core-01:protocols:53:udp": "192.0.2.10:5353",
    "worker/core-01:checked:9000": "192.0.2.10:18086",
    "worker/core-01:halted:9000": "192.0.2.10:18087",
    "worker/core-01:outer:9000": "192.0.2.10:18089",
    "front/core-01:told:80": "192.0.2.10:18090",
    "nginx-443/secure": "192.0.2.10:18091",
    "fromimage/core-01:annotated:80": "192.0.2.10:18092",
    "labelimage/core-01:annotated:443": "192.0.2.10:18093",
}

#: The entries with `-ip`. A container's own address is written as its name.
WITH_IP = PUBLISHED | {"worker/core-01:hostly:9000": "192.0.2.10:9000", "side/core-01:joins:9000": "both:9000"}


#: The keys of containers of which Podman 4.3 does not show what they expose, as they use the network of the host or of
#: another container. It publishes none of their ports, so they have no entries there.
_NOT_SHOWN = {"podman-4.3": {"worker/core-01:hostly:9000", "side/core-01:joins:9000"}}


def shown_by(name: str, entries: Mapping[str, str]) -> dict[str, str]:
    """Return these entries without those of containers whose ports the engine with this name does not show."""
    return {key: value for key, value in entries.items() if key not in _NOT_SHOWN.get(name, ())}


def recording(name: str) -> Json:
    """Return the recording of the engine with this name."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def named_addresses(document: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Return these values of keys with the name of a container in place of its own address."""
    own = _own_addresses(document)
    places = {key: value.rpartition(":") for key, value in values.items()}
    return {key: f"{own.get(address, address)}:{port}" for key, (address, _, port) in places.items()}


def _own_addresses(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the name of the container that has each address, as the engine's inspect answers say. Podman shows a
    container that joins another's network with the other's addresses."""
    return {
        network["IPAddress"]: each["Name"].lstrip("/")
        for each in document["inspect"].values()
        if not each["HostConfig"]["NetworkMode"].startswith("container:")
        for network in each["NetworkSettings"]["Networks"].values()
        if network["IPAddress"]
    }
