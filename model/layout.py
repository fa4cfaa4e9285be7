"""How entries are written to a registry: entry to key and value, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Protocol, Self, TypeGuard

from attrs import frozen

from model.entry import Entry, Refusal, RefusalReason, quoted


@frozen
class Decoded:
    """What a key and its value say. ``name`` may hold slashes; ``id`` is the last part of the key, or what the layout
    made it of."""

    name: str
    id: str
    address: str
    port: int


@frozen
class Unreadable:
    """A key or value that is not of this layout: somebody else's, or damaged. Never an exception."""

    problem: str


class Layout(Protocol):
    """A way to write entries. ``prefix`` is the part of the registry that it speaks about: ``/services``, or an empty
    string for all of it."""

    @property
    def prefix(self) -> str: ...

    def refusal(self, entry: Entry) -> Refusal | None:
        """Why the entry cannot be written so, or None when it can. The others ask for an entry that can."""

    def key(self, entry: Entry) -> str: ...

    def value(self, entry: Entry) -> str: ...

    def id_of(self, key: str) -> str: ...

    def decode(self, key: str, value: str) -> Decoded | Unreadable: ...


class ValueFormat(Enum):
    """How the values of the plain layout look: registrator's ``address:port``, or all that is known as JSON."""

    HOSTPORT = "hostport"
    JSON = "json"


#: The longest JSON value, in bytes: a container's labels have no limit, and etcd takes about a megabyte for a request.
VALUE_LIMIT = 65536


@frozen
class PlainLayout:
    """registrator's own: ``<prefix>/<name>/<id>`` = ``address:port``, an IPv6 address in brackets; or as JSON."""

    prefix: str
    form: ValueFormat = ValueFormat.HOSTPORT

    @classmethod
    def under(cls, path: str, form: ValueFormat = ValueFormat.HOSTPORT) -> Self:
        """The layout for the path of a registry URI; a slash at its end counts for nothing."""
        return cls(path.rstrip("/"), form)

    def refusal(self, entry: Entry) -> Refusal | None:
        """Only what a container says at great length does not fit."""
        if self.form is ValueFormat.HOSTPORT or (size := len(self.value(entry).encode())) <= VALUE_LIMIT:
            return None
        detail = f"its SERVICE_ attributes and tags make a value of {size} bytes, and {VALUE_LIMIT} are the most"
        return Refusal(entry.container, entry.container_port, RefusalReason.BAD_ATTRIBUTE, detail)

    def key(self, entry: Entry) -> str:
        """The entry's key."""
        return f"{self.prefix}/{entry.name}/{entry.id}"

    def value(self, entry: Entry) -> str:
        """The entry's value."""
        if self.form is ValueFormat.JSON:
            return compact_json(_document(entry), sort_keys=True)
        address = f"[{entry.address}]" if ":" in entry.address else entry.address
        return f"{address}:{entry.port}"

    def id_of(self, key: str) -> str:
        """The part of the key that tells whose it is."""
        return key.rpartition("/")[2]

    def decode(self, key: str, value: str) -> Decoded | Unreadable:
        """The inverse of ``key`` and ``value``, for ids without a slash; of both forms, as the hosts do not change over
        to another in one moment."""
        name, _, entry_id = key.removeprefix(f"{self.prefix}/").rpartition("/")
        if not key.startswith(f"{self.prefix}/") or not name:
            return Unreadable(f"the key {quoted(key)} is not <prefix>/<name>/<id>")
        found = place_in(value, "address") if value.startswith("{") else _read_hostport(value)
        return found if isinstance(found, Unreadable) else Decoded(name, entry_id, *found)


def _document(entry: Entry) -> dict[str, object]:
    """All that is known of an entry."""
    return {
        "address": entry.address,
        "attributes": dict(entry.attributes),
        "container": {"id": entry.container.id, "image": entry.image, "name": entry.container.name},
        "id": entry.id,
        "name": entry.name,
        "port": entry.port,
        "protocol": entry.container_port.protocol,
        "tags": entry.tags,
    }


def _read_hostport(value: str) -> tuple[str, int] | Unreadable:
    address, colon, port = value.rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    if not colon or not address or (":" in address) != bracketed:
        return Unreadable(f"the value {quoted(value)} is not <address>:<port>")
    if not (port.isascii() and port.isdigit() and is_port(int(port[:6]))):
        return Unreadable(f"the value {quoted(value)} has no port number at its end")
    return address[1:-1] if bracketed else address, int(port)


def place_in(value: str, host: str) -> tuple[str, int] | Unreadable:
    """What a JSON value says of where to dial; ``host`` is the field that has the address."""
    document = json_object(value)
    if document is None:
        return Unreadable(f"the value {quoted(value)} is no JSON object")
    address, port = document.get(host), document.get("port")
    if not (isinstance(address, str) and address and is_port(port)):
        return Unreadable(f"the value {quoted(value)} has no {host} and port")
    return address, port


def is_port(number: object) -> TypeGuard[int]:
    """Whether it is the number of a port."""
    return type(number) is int and 0 < number < 65536


_SURROGATE = re.compile("[\ud800-\udfff]")


def compact_json(document: Mapping[str, object], *, sort_keys: bool = False) -> str:
    """A document as JSON without a space, in UTF-8's characters; half a character, which UTF-8 has not, is escaped."""
    text = json.dumps(document, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False)
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def json_object(text: str) -> Mapping[str, Any] | None:
    """The JSON object that a text is, or None."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
