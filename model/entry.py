"""Service entries, and the refusals that stand in their place when one cannot be had."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from ipaddress import ip_address
from typing import Self

from attrs import field, frozen

from model.container import Binding, PortId
from model.frozen import frozen_dict


@frozen(order=True)
class ContainerRef:
    """Which container something is about."""

    id: str
    name: str


@frozen
class Entry:
    """One service port of one container, as it should be registered.

    ``name`` and ``id`` together are its identity: two entries that share both want the same key. ``address`` and
    ``port`` are what a client dials; ``container_port`` is what the container listens on; ``image`` is what it was
    started from.
    """

    name: str
    id: str
    address: str
    port: int
    container: ContainerRef
    container_port: PortId
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    image: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.name, self.id

    @property
    def path(self) -> str:
        """Where it is registered, below the prefix. No two entries can share it, nor lie below each other."""
        return f"{self.name}/{self.id}"


class RefusalReason(Enum):
    """Why a port that should be registered is not. A closed list: metrics, log and docs share it."""

    BAD_NAME = "bad-name"
    BAD_ID = "bad-id"
    BAD_ADDRESS = "bad-address"
    BAD_ATTRIBUTE = "bad-attribute"
    NO_ADDRESS = "no-address"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@frozen
class Refusal:
    """A service port that is not registered, and why. ``detail`` is for people and names the culprit."""

    container: ContainerRef
    port: PortId
    reason: RefusalReason
    detail: str


_DEFAULT_ID = re.compile(
    r"(?P<owner>[^:]+):(?P<container>[^:]+):(?P<port>[0-9]+(?::udp)?(?::(?:(?P<address>[0-9A-Fa-f.-]+)-)?[0-9]{1,5})?)"
)


def binding_suffix(binding: Binding) -> str:
    """What stands behind an id, after a colon, to tell a port's further binding from its first: ``8081``, or with a
    concrete address ``10.0.0.2-8081`` and ``fd00--1-8081``, as a colon separates the parts of an id."""
    return str(binding.port) if binding.unspecified else f"{binding.address.replace(':', '-')}-{binding.port}"


def _is_marks(address: str) -> bool:
    """Whether a mark can have this address, that is, one that is read back as it was written."""
    try:
        ip_address(address.replace("-", ":"))
    except ValueError:
        return False
    return True


@frozen
class DefaultId:
    """An id in registrator's form, ``<owner>:<container>:<port>``, with ``:udp`` behind it for udp, and behind that a
    binding's mark for a further binding of the port."""

    owner: str
    container: str
    port: str

    @classmethod
    def of(cls, owner: str, container: str, port: PortId) -> Self:
        """The id of this container's port. Only udp leaves a mark, as with registrator."""
        suffix = ":udp" if port.protocol == "udp" else ""
        return cls(owner, container, f"{port.number}{suffix}")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The inverse of ``str``; None when ``text`` is some other kind of id."""
        match = _DEFAULT_ID.fullmatch(text)
        if not match or (match["address"] and not _is_marks(match["address"])):
            return None
        return cls(match["owner"], match["container"], match["port"])

    def __str__(self) -> str:
        return f"{self.owner}:{self.container}:{self.port}"


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

#: The longest part of a key, and the longest name or id, in bytes of UTF-8; and the most parts that one may have. No
#: name that people use comes near them; a reader of etcd's JSON must not be led hundreds of levels deep.
PART_LIMIT, LENGTH_LIMIT, DEPTH_LIMIT = 255, 1024, 32

#: So much of somebody's text is shown where one is complained of.
_SHOWN = 100


def quoted(text: str) -> str:
    """Text of others for a message: in quotes, escaped, and cut short where it is long."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}…"


def ancestors(path: str) -> Iterator[str]:
    """The directories that ``path`` lies in, the innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def key_part_problem(text: str) -> str | None:
    """Why ``text`` cannot be a name or id, or None when it can.

    Its parts become parts of an etcd key: an empty part, ``.`` and ``..`` would land elsewhere, and etcd's v2 API
    hides a part that begins with ``_`` from every listing.
    """
    if not text:
        return "is empty"
    parts = text.split("/")
    if len(parts) > DEPTH_LIMIT:
        return f"has more than {DEPTH_LIMIT} parts"
    if len(text.encode(errors="replace")) > LENGTH_LIMIT:
        return f"is longer than {LENGTH_LIMIT} bytes"
    return next(filter(None, map(_part_problem, parts)), None)


def _part_problem(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return f"has the path part {part!r}"
    if part.startswith("_"):
        return f"has a part that begins with '_', which etcd hides: {quoted(part)}"
    if _CONTROL.search(part):
        return f"has a control character: {quoted(part)}"
    if len(part.encode()) > PART_LIMIT:
        return f"has a part longer than {PART_LIMIT} bytes"
    return None
