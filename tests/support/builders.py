"""Short ways to make values of the model in tests."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from model.container import Binding, Container, ContainerPort, ContainerRef, PortId, port_order, ports_in
from model.desired import Desired
from model.entry import Entry
from model.layout import Layout, PlainLayout
from model.plan import Action, Change, Reason
from model.rules import AddressRules, Rules
from model.stored import Stored

#: The host that most tests are about.
OWNER = "core-01"
HOST_IP = "172.17.8.101"

#: registrator's layout under the prefix of most tests.
PLAIN = PlainLayout.under("/services")


def port(text: str) -> PortId:
    """Return the port that ``80/tcp`` stands for."""
    return PortId.parse(text)


def container(
    name: str = "web", *, publish: Mapping[str, str] | None = None, expose: tuple[str, ...] = (), **more: object
) -> Container:
    """Make a running container, with any other fields in ``more``.

    ``publish`` maps a port such as ``80/tcp`` to its binding ``0.0.0.0:8000``, to several bindings with a space between
    them, or to an empty string if the port is not published. ``expose`` lists further ports that the engine does not
    map. Both may have ranges and bad ports.
    """
    published = {
        each: tuple(map(binding, value.split())) for key, value in (publish or {}).items() for each in ports_in(key)
    }
    exposed: set[ContainerPort] = {*published, *(each for text in expose for each in ports_in(text))}
    values: dict[str, object] = {
        "id": f"id-{name}",
        "name": name,
        "image": "nginx",
        "created": "2026-01-01T00:00:00.000000000Z",
        "published": published,
        "exposed": tuple(sorted(exposed, key=port_order)),
        "address": "172.17.0.2",
        "networks": {"bridge": "172.17.0.2"},
    }
    return Container(**{**values, **more})  # type: ignore[arg-type] # a builder takes any of the fields


def container_with_metadata(name: str, created: int, metadata: str, *ports: str, **more: Any) -> Container:
    """Make a running container with ``SERVICE_`` metadata, and with any other fields in ``more``.

    ``created`` is its creation time, in seconds from 0 to 59: a smaller number makes an older container. ``metadata``
    such as ``NAME=web ID=x`` stands for ``SERVICE_NAME=web`` and ``SERVICE_ID=x`` in its environment. Its ports, 80/tcp
    if none are given, are published on all IPv4 addresses: the first as 8000, the next as 8001, and so on.
    """
    return container(
        name,
        publish={each: f"0.0.0.0:{8000 + number}" for number, each in enumerate(ports or ("80/tcp",))},
        env=tuple(f"SERVICE_{each}" for each in metadata.split()),
        created=f"2026-01-01T00:00:{created:02}.000000000Z",
        **more,
    )


def binding(text: str) -> Binding:
    """Return the binding that ``0.0.0.0:8000`` stands for."""
    address, _, number = text.rpartition(":")
    return Binding(address, int(number))


def rules(**address: object) -> Rules:
    """Return the rules of host core-01. Its address rules have ``-ip 172.17.8.101`` unless ``address`` says
    otherwise."""
    return Rules(OWNER, AddressRules(**{"ip": HOST_IP, **address}))  # type: ignore[arg-type] # as above


def entry(name: str = "nginx", entry_id: str = "core-01:web:80", address: str = HOST_IP, number: int = 8000) -> Entry:
    """Make an entry of container ``web``; ``number`` is its port."""
    return Entry(name, entry_id, address, number, ContainerRef("id-web", "web"), PortId(80, "tcp"))


def wanting(*entries: Entry, layout: Layout = PLAIN) -> Desired:
    """Return a desired state with these entries and nothing else."""
    return Desired(
        {layout.key(each): each for each in entries}, values={layout.key(each): layout.value(each) for each in entries}
    )


def create(key: str, value: str = "10.0.0.1:80") -> Change:
    """Make a change that creates a key."""
    return Change(Action.CREATE, key, value, None, Reason.NEW)


def change(action: Action, before: Stored, value: str = "") -> Change:
    """Make an update, a delete or a renewal of a key that was read."""
    return Change(action, before.key, value, before, Reason.CHANGED)


def with_value(document: Mapping[str, Any], path: str | tuple[str | int, ...], value: object) -> dict[str, Any]:
    """Return a copy of a JSON document with another value at ``path``: ``State.Status``, or a tuple of field names and
    list indexes."""
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    *parents, last = path.split(".") if isinstance(path, str) else path
    place: Any = changed
    for parent in parents:
        place = place[parent]
    place[last] = value
    return changed
