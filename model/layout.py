"""How entries are written to a registry: an entry to its key and value, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, Protocol, Self, TypeGuard

from attrs import frozen

from model.entry import Entry
from model.keys import quoted
from model.refusal import RefusalReason, RefusedPort


@frozen
class Decoded:
    """What a key and its value say."""

    #: The service's name, which may hold slashes.
    name: str
    #: The entry's id, as far as the key tells it.
    id: str
    address: str
    port: int


@frozen
class Unreadable:
    """A key or value that is not of this layout: somebody else's, or damaged. It is never an exception."""

    #: What is wrong, for people.
    problem: str


class Layout(Protocol):
    """A way to write entries."""

    @property
    def prefix(self) -> str:
        """The part of the registry that the layout writes to: ``/services``, or an empty string for all of it."""

    @property
    def nesting_hides(self) -> bool:
        """Whether readers no longer see a key once there is another key below it."""

    def __hash__(self) -> int:
        """Return a hash. A layout is a value, under which answers about keys can be remembered."""

    def check(self, entry: Entry) -> None:
        """Raise RefusedPort if the entry cannot be written in this layout. Call ``key`` and ``value`` only after this
        raised nothing."""

    def key(self, entry: Entry) -> str:
        """Return the entry's key."""

    def value(self, entry: Entry) -> str:
        """Return the entry's value."""

    def id_of(self, key: str) -> str:
        """Return the id that the key was made of, as far as the key tells."""

    def decode(self, key: str, value: str) -> Decoded | Unreadable:
        """Read a key and its value; the inverse of ``key`` and ``value``, as far as there is one."""


class ValueFormat(Enum):
    """How the values of the plain layout look (``--value-format``)."""

    #: registrator's ``address:port``.
    HOSTPORT = "hostport"
    #: Everything that is known of the entry, as JSON.
    JSON = "json"


#: The longest JSON value, in bytes. A container's labels have no limit, and etcd takes about a megabyte in a request.
VALUE_LIMIT = 65536


@frozen(cache_hash=True)
class PlainLayout:
    """registrator's own layout: ``<prefix>/<name>/<id>`` = ``address:port`` with an IPv6 address in brackets; or the
    same keys with JSON values."""

    prefix: str
    form: ValueFormat = ValueFormat.HOSTPORT
    #: See Layout. Readers of plain values read each key by itself.
    nesting_hides: ClassVar[bool] = False

    @classmethod
    def under(cls, path: str, form: ValueFormat = ValueFormat.HOSTPORT) -> Self:
        """Make the layout for the path of a registry URI. A slash at its end is ignored."""
        return cls(path.rstrip("/"), form)

    def check(self, entry: Entry) -> None:
        """Raise RefusedPort if the JSON value is too long, or if the tags in it are not known. Other values have no
        tags."""
        if self.form is ValueFormat.JSON and entry.tags_problem:
            raise RefusedPort(RefusalReason.BAD_ATTRIBUTE, entry.tags_problem)
        if self.form is ValueFormat.JSON and (size := len(self.value(entry).encode())) > VALUE_LIMIT:
            detail = (
                f"its SERVICE_ attributes and tags make a value of {size} bytes, and {VALUE_LIMIT} are the most; "
                f"the longest is {_longest(entry)}"
            )
            raise RefusedPort(RefusalReason.BAD_ATTRIBUTE, detail)

    def key(self, entry: Entry) -> str:
        """Return ``<prefix>/<name>/<id>``."""
        return f"{self.prefix}/{entry.name}/{entry.id}"

    def value(self, entry: Entry) -> str:
        """Return ``address:port``, or JSON."""
        if self.form is ValueFormat.JSON:
            return compact_json(_document(entry), sort_keys=True)
        address = f"[{entry.address}]" if ":" in entry.address else entry.address
        return f"{address}:{entry.port}"

    def id_of(self, key: str) -> str:
        """Return the last part of the key. If the id has slashes, this is its last part, the only one that can name an
        owner."""
        return key.rpartition("/")[2]

    def decode(self, key: str, value: str) -> Decoded | Unreadable:
        """Read a key and its value, for ids without a slash. Both value formats are read, as the hosts of a fleet do
        not change over to another format at one moment."""
        name, _, entry_id = key.removeprefix(f"{self.prefix}/").rpartition("/")
        if not key.startswith(f"{self.prefix}/") or not name:
            return Unreadable(f"the key {quoted(key)} is not <prefix>/<name>/<id>")
        found = read_address(value, "address") if value.startswith("{") else _read_hostport(value)
        return found if isinstance(found, Unreadable) else Decoded(name, entry_id, *found)


def _longest(entry: Entry) -> str:
    """Return what sets the longest attribute of an entry, or its tags if they are longer."""
    sizes = {"tags": sum(map(len, entry.tags)), **{name: len(text) for name, text in entry.attributes.items()}}
    return entry.variables.get(max(sizes, key=lambda name: sizes[name]), "-tags")


def _document(entry: Entry) -> dict[str, object]:
    """Return everything that is known of an entry, as its JSON value shows it."""
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
    if not (port.isascii() and port.isdigit() and _is_port(int(port[:6]))):
        return Unreadable(f"the value {quoted(value)} has no port number at its end")
    return address[1:-1] if bracketed else address, int(port)


def read_address(value: str, address_field: str) -> tuple[str, int] | Unreadable:
    """Return the address and the port in a JSON value; ``address_field`` names the field that has the address."""
    document = json_object(value)
    if document is None:
        return Unreadable(f"the value {quoted(value)} is no JSON object")
    address, port = document.get(address_field), document.get("port")
    if not (isinstance(address, str) and address and _is_port(port)):
        return Unreadable(f"the value {quoted(value)} has no {address_field} and port")
    return address, port


def _is_port(number: object) -> TypeGuard[int]:
    return type(number) is int and 0 < number < 65536


_SURROGATE = re.compile("[\ud800-\udfff]")


def compact_json(document: Mapping[str, object], *, sort_keys: bool = False) -> str:
    """Return a document as JSON without spaces, in UTF-8's characters. A surrogate, which UTF-8 cannot hold, is
    escaped."""
    text = json.dumps(document, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False)
    return _SURROGATE.sub(lambda surrogate: f"\\u{ord(surrogate[0]):04x}", text)


def json_object(text: str) -> Mapping[str, Any] | None:
    """Return the JSON object that a text holds, or None."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
