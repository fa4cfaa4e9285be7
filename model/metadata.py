"""``SERVICE_…`` metadata: what a container's environment and labels say about one of its ports.

The rules are registrator's:

- labels override the environment, and a later environment line overrides an earlier one;
- ``SERVICE_<port>_<KEY>`` applies to that port only and beats ``SERVICE_<KEY>``, wherever each of them stands;
- a key is case-insensitive behind its ``SERVICE_``.

One rule is ours: ``SERVICE_<port>_<protocol>_<KEY>`` applies to the port under that protocol only (tcp and udp can have
one number), and beats ``SERVICE_<port>_<KEY>`` in the same way.

Where registrator depends on the random order of a Go map (two labels that differ in case only), the last label in
sorted order counts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from model.container import PortId
from model.frozen import frozen_dict

PREFIX = "SERVICE_"

PROTOCOLS = frozenset({"tcp", "udp", "sctp"})

_INTEGER = re.compile(r"[+-]?[0-9]+")


@frozen
class Metadata:
    """What counts for one port."""

    #: The values by lower-case key.
    values: Mapping[str, str] = field(converter=frozen_dict)
    #: What set each value, for messages: ``label SERVICE_80_Name`` or ``environment variable SERVICE_80_Name``, as the
    #: container spells it. The keys are those of ``values``.
    variables: Mapping[str, str] = field(converter=frozen_dict)
    #: The keys that were given for the port itself, with its protocol or without.
    from_port: frozenset[str] = frozenset()

    def get(self, key: str) -> str:
        """Return the value of ``key``, or an empty string."""
        return self.values.get(key, "")

    @property
    def attributes(self) -> dict[str, str]:
        """Everything besides name, id and tags."""
        return {key: value for key, value in self.values.items() if key not in {"name", "id", "tags"}}


def metadata_for(port: PortId, env: Sequence[str], labels: Mapping[str, str]) -> Metadata:
    """Return the metadata that counts for this port. The closest key wins, and of equally close ones the last."""
    values: dict[str, str] = {}
    variables: dict[str, str] = {}
    closeness: dict[str, int] = {}
    for kind, name, value in _lines(env, labels):
        close, key = _closeness(name.removeprefix(PREFIX).lower(), port)
        if key and close >= closeness.get(key, 0):
            values[key], variables[key], closeness[key] = value, f"{kind} {name}", close
    return Metadata(values, variables, frozenset(key for key, close in closeness.items() if close))


def _closeness(text: str, port: PortId) -> tuple[int, str]:
    """Return how closely a key is about the port, and what is left of the key.

    The closeness is 0 for a key about all ports, 1 for one about the port's number, 2 for one about its protocol, too.
    An empty key is left of one about another port. A number or protocol with nothing behind it is itself a key.
    """
    number, _, rest = text.partition("_")
    if not rest or not _INTEGER.fullmatch(number):
        return 0, text
    if number != str(port.number):
        return 0, ""
    protocol, _, key = rest.partition("_")
    if not key or protocol not in PROTOCOLS:
        return 1, rest
    return (2, key) if protocol == port.protocol else (0, "")


def _lines(env: Sequence[str], labels: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and value of each environment variable and label with metadata, in the order of reading."""
    for line in env:
        name, equals, value = line.partition("=")
        if equals and name.startswith(PREFIX):
            yield "environment variable", name, value
    for name in sorted(labels):
        if name.startswith(PREFIX):
            yield "label", name, labels[name]


def split_tags(*texts: str) -> tuple[str, ...]:
    """Return the tags of comma-separated texts, in order. An empty text has none."""
    return tuple(tag for text in texts if text for tag in text.split(","))
