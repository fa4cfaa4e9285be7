"""How entries are written to a registry: entry to key and value, and back."""

from __future__ import annotations

from typing import Protocol, Self

from attrs import frozen

from model.entry import Entry


@frozen
class Decoded:
    """What a key and its value say. ``name`` may hold slashes; ``id`` is the last part of the key."""

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

    def key(self, entry: Entry) -> str: ...

    def value(self, entry: Entry) -> str: ...

    def id_of(self, key: str) -> str: ...

    def decode(self, key: str, value: str) -> Decoded | Unreadable: ...


@frozen
class PlainLayout:
    """registrator's own: ``<prefix>/<name>/<id>`` = ``address:port``, an IPv6 address in brackets."""

    prefix: str

    @classmethod
    def under(cls, path: str) -> Self:
        """The layout for the path of a registry URI; a slash at its end counts for nothing."""
        return cls(path.rstrip("/"))

    def key(self, entry: Entry) -> str:
        """The entry's key."""
        return f"{self.prefix}/{entry.name}/{entry.id}"

    def value(self, entry: Entry) -> str:
        """The entry's value."""
        address = f"[{entry.address}]" if ":" in entry.address else entry.address
        return f"{address}:{entry.port}"

    def id_of(self, key: str) -> str:
        """The part of the key that tells whose it is."""
        return key.rpartition("/")[2]

    def decode(self, key: str, value: str) -> Decoded | Unreadable:
        """The inverse of ``key`` and ``value``, for ids without a slash."""
        name, _, entry_id = key.removeprefix(f"{self.prefix}/").rpartition("/")
        if not key.startswith(f"{self.prefix}/") or not name:
            return Unreadable(f"the key {key!r} is not <prefix>/<name>/<id>")
        address, colon, port = value.rpartition(":")
        bracketed = address.startswith("[") and address.endswith("]")
        if not colon or not address or (":" in address) != bracketed:
            return Unreadable(f"the value {value!r} is not <address>:<port>")
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            return Unreadable(f"the value {value!r} has no port number at its end")
        return Decoded(name, entry_id, address[1:-1] if bracketed else address, int(port))
