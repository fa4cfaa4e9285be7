"""Service entries, and the default ids that name their owner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Self

from attrs import field, frozen

from model.container import Binding, ContainerRef, PortId
from model.frozen import frozen_dict


@frozen
class Entry:
    """One service port of one container, as it should be registered."""

    #: The service's name.
    name: str
    #: With ``name`` the entry's identity: two entries that share both want the same key.
    id: str
    #: What a client dials: an IP address or a host name, and the port below.
    address: str
    port: int
    container: ContainerRef
    #: The port that the container listens on.
    container_port: PortId
    tags: tuple[str, ...] = ()
    #: Why the tags are not known, for people; empty if they are.
    tags_problem: str = ""
    #: What else ``SERVICE_…`` says of the port, by lower-case name.
    attributes: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: The image that the container was started from.
    image: str = ""
    #: What sets each attribute, for messages: see ``Metadata.variables``.
    variables: Mapping[str, str] = field(factory=dict, converter=frozen_dict)
    #: The name and the id, each with what sets it, for messages: ``label SERVICE_80_NAME 'web'``.
    name_shown: str = ""
    id_shown: str = ""
    #: What gives the address, for messages; see ``Place.source``.
    address_source: str = field(default="", eq=False)

    @property
    def identity(self) -> tuple[str, str]:
        """Name and id. Two entries with the same ones want the same key."""
        return self.name, self.id


def binding_suffix(binding: Binding) -> str:
    """Return what stands behind an id, after a colon, to tell a further binding of a port from its first: ``8081``, or
    for a concrete address ``10.0.0.2-8081`` and ``fd00--1-8081``, as a colon separates the parts of an id."""
    return str(binding.port) if binding.unspecified else f"{binding.address.replace(':', '-')}-{binding.port}"


_DEFAULT_ID = re.compile(
    r"(?P<owner>[^:]+):(?P<container>[^:]+):"
    r"(?P<port>[0-9]+(?::(?:udp|sctp))?(?::(?:(?P<address>[0-9A-Fa-f.-]+)-)?[0-9]{1,5})?)"
)


@frozen
class DefaultId:
    """An id in registrator's form, ``<owner>:<container>:<port>``, with ``:udp`` or ``:sctp`` behind it for these
    protocols, and behind that a binding's suffix for a further binding of the port. Such an id tells by itself whose
    entry it is.

    registrator has no id of its own for sctp: it gives such a port the id of the same port by tcp."""

    owner: str
    container: str
    #: The port with everything behind it.
    port: str

    @classmethod
    def of(cls, owner: str, container: str, port: PortId) -> Self:
        """Return the id of this port of the container with this name. tcp adds no suffix."""
        suffix = "" if port.protocol == "tcp" else f":{port.protocol}"
        return cls(owner, container, f"{port.number}{suffix}")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an id; the inverse of ``str``. None when the text is another kind of id."""
        match = _DEFAULT_ID.fullmatch(text)
        if not match or (match["address"] and not _is_ip(match["address"].replace("-", ":"))):
            return None
        return cls(match["owner"], match["container"], match["port"])

    def is_of(self, port: PortId) -> bool:
        """Return whether this is an id of the port, whichever of the port's bindings it is for."""
        first = DefaultId.of(self.owner, self.container, port).port
        return re.fullmatch(rf"{first}(:(?!udp|sctp).+)?", self.port) is not None

    def __str__(self) -> str:
        return f"{self.owner}:{self.container}:{self.port}"


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
