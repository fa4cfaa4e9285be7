"""``SERVICE_…`` metadata: what a container's environment and labels say about one of its ports.

The rules are registrator's:

- labels override the environment, and a later environment line overrides an earlier one;
- ``SERVICE_<port>_<KEY>`` applies to that port only and beats ``SERVICE_<KEY>``, wherever each of them stands;
- a key is case-insensitive behind its ``SERVICE_``.

Two rules are ours:

- ``SERVICE_<port>_<protocol>_<KEY>`` applies to the port under that protocol only (tcp and udp can have one number),
  and beats ``SERVICE_<port>_<KEY>`` in the same way.
- ``SERVICE_<first>-<last>_<KEY>`` applies to the ports of that range, with a protocol behind it or without. The key
  that selects the fewest port numbers counts: a single port beats a range, a range beats a wider one, and any range
  beats ``SERVICE_<KEY>``. Of two equally wide ranges the one with the protocol counts, and otherwise the last one. A
  range that ends before it begins selects nothing.

Where registrator depends on the random order of a Go map (two labels that differ in case only), the last label in
sorted order counts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import inf

from attrs import field, frozen

from model.container import PROTOCOLS, ContainerPort
from model.frozen import frozen_dict

PREFIX = "SERVICE_"

_INTEGER = re.compile(r"[+-]?[0-9]+")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_RANGE = re.compile(r"(?P<first>[0-9]{1,9})-(?P<last>[0-9]{1,9})")

#: How far a key is from being about one port alone: how many port numbers it selects, and whether it selects every
#: protocol. The nearest key counts.
_Distance = tuple[float, bool]

#: The distance of a key about all ports.
_FARTHEST: _Distance = (inf, True)


@frozen
class Metadata:
    """What counts for one port."""

    #: The values by lower-case key.
    values: Mapping[str, str] = field(converter=frozen_dict)
    #: What set each value, for messages: ``label SERVICE_80_Name`` or ``environment variable SERVICE_80_Name``, as the
    #: container spells it. The keys are those of ``values``.
    variables: Mapping[str, str] = field(converter=frozen_dict)
    #: The keys that were given for the port itself or for a range, with the protocol or without.
    from_port: frozenset[str] = frozenset()

    def get(self, key: str) -> str:
        """Return the value of ``key``, or an empty string."""
        return self.values.get(key, "")

    @property
    def attributes(self) -> dict[str, str]:
        """Everything besides name, id and tags."""
        return {key: value for key, value in self.values.items() if key not in {"name", "id", "tags"}}


def metadata_for(port: ContainerPort, env: Sequence[str], labels: Mapping[str, str]) -> Metadata:
    """Return the metadata that counts for this port. The nearest key counts, and of equally near ones the last."""
    values: dict[str, str] = {}
    variables: dict[str, str] = {}
    distances: dict[str, _Distance] = {}
    for kind, name, value in _lines(env, labels):
        found = _applied(name.removeprefix(PREFIX).lower(), port)
        if found and found[1] <= distances.get(found[0], _FARTHEST):
            key, distances[key] = found
            values[key], variables[key] = value, f"{kind} {name}"
    from_port = frozenset(key for key, distance in distances.items() if distance < _FARTHEST)
    return Metadata(values, variables, from_port)


def value_for_container(key: str, env: Sequence[str], labels: Mapping[str, str]) -> str:
    """Return what a container says about itself and not about one of its ports: the value of ``SERVICE_<KEY>``; an
    empty string if it does not say it."""
    named = (value for _, name, value in _lines(env, labels) if name.removeprefix(PREFIX).lower() == key)
    return next(reversed([*named]), "")


def _applied(text: str, port: ContainerPort) -> tuple[str, _Distance] | None:
    """Return what is left of a key without the ports that it selects, and its distance; None if it does not select the
    port. Ports or a protocol with nothing behind them are themselves a key."""
    ports, _, rest = text.partition("_")
    selected = _selected(ports) if rest else None
    if selected is None:
        return text, _FARTHEST
    protocol, _, key = rest.partition("_")
    every_protocol = not key or protocol not in PROTOCOLS
    if not _contains(selected, port.numbers) or not (every_protocol or protocol == port.protocol):
        return None
    return rest if every_protocol else key, (len(selected), every_protocol)


def _selected(text: str) -> range | None:
    """Return the port numbers that the beginning of a key selects; None if it is no number and no range. As with
    registrator, a number that is not written as a port's selects none."""
    if limits := _RANGE.fullmatch(text):
        return range(int(limits["first"]), int(limits["last"]) + 1)
    if _PORT.fullmatch(text):
        return range(int(text), int(text) + 1)
    return range(0) if _INTEGER.fullmatch(text) else None


def _contains(outer: range, inner: range) -> bool:
    return bool(inner) and outer.start <= inner.start and inner.stop <= outer.stop


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
