"""Short ways to make the model's values in tests."""

from __future__ import annotations

from collections.abc import Mapping

from model.container import Binding, Container, ContainerRef, PortId
from model.desired import Desired
from model.entry import Entry
from model.layout import Layout, PlainLayout
from model.plan import Action, Change, Reason
from model.rules import AddressRules, Rules
from model.stored import Stored

OWNER = "core-01"
HOST_IP = "172.17.8.101"

#: registrator's layout below the prefix of most tests.
PLAIN = PlainLayout.under("/services")


def port(text: str) -> PortId:
    """``80/tcp`` as a value."""
    return PortId.parse(text)


def container(
    name: str = "web", *, publish: Mapping[str, str] | None = None, expose: tuple[str, ...] = (), **more: object
) -> Container:
    """A running container; ``publish`` maps ``80/tcp`` to ``0.0.0.0:8000``, or to several of them with a space between
    them, or to an empty string for a port that is not published; ``expose`` lists further ports that the engine does
    not map."""
    published = {port(key): tuple(map(binding, value.split())) for key, value in (publish or {}).items()}
    values: dict[str, object] = {
        "id": f"id-{name}",
        "name": name,
        "image": "nginx",
        "created": "2026-01-01T00:00:00.000000000Z",
        "published": published,
        "exposed": tuple(sorted({*published, *map(port, expose)})),
        "address": "172.17.0.2",
        "networks": {"bridge": "172.17.0.2"},
    }
    return Container(**{**values, **more})  # type: ignore[arg-type] # a builder takes any of the fields


def binding(text: str) -> Binding:
    """``0.0.0.0:8000`` as a value."""
    address, _, number = text.rpartition(":")
    return Binding(address, int(number))


def rules(**address: object) -> Rules:
    """The rules of host core-01 with ``-ip 172.17.8.101`` unless told otherwise."""
    return Rules(OWNER, AddressRules(**{"ip": HOST_IP, **address}))  # type: ignore[arg-type] # as above


def entry(name: str = "nginx", entry_id: str = "core-01:web:80", address: str = HOST_IP, number: int = 8000) -> Entry:
    """An entry of container ``web``."""
    return Entry(name, entry_id, address, number, ContainerRef("id-web", "web"), PortId(80, "tcp"))


def wanting(*entries: Entry, layout: Layout = PLAIN) -> Desired:
    """A desired state with these entries and nothing else."""
    return Desired({layout.key(each): each for each in entries})


def create(key: str, value: str = "10.0.0.1:80") -> Change:
    """A create."""
    return Change(Action.CREATE, key, value, None, Reason.NEW)


def change(action: Action, before: Stored, value: str = "") -> Change:
    """An update, delete or renewal of what was read."""
    return Change(action, before.key, value, before, Reason.CHANGED)
