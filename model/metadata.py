"""``SERVICE_…`` metadata: what a container's environment and labels say about one of its ports.

The rules are registrator's:

- labels override the environment, and a later environment line overrides an earlier one;
- ``SERVICE_<port>_<KEY>`` speaks for that port alone and beats ``SERVICE_<KEY>`` wherever each of them stands;
- a key is case-insensitive behind its ``SERVICE_``.

One is ours: ``SERVICE_<port>_<protocol>_<KEY>`` speaks for the port under that protocol alone, as where tcp and udp
have one number, and beats ``SERVICE_<port>_<KEY>`` in the same way.

Where registrator depends on the random order of a Go map (two labels that differ in case only), the last in sorted
order counts here.
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
    """Values by lower-case key; ``from_port`` names the keys that were given for the port itself, with its protocol or
    without."""

    values: Mapping[str, str] = field(converter=frozen_dict)
    from_port: frozenset[str] = frozenset()

    def get(self, key: str) -> str:
        """The value of ``key``, or an empty string."""
        return self.values.get(key, "")

    @property
    def attributes(self) -> dict[str, str]:
        """What is left besides name, id and tags."""
        return {key: value for key, value in self.values.items() if key not in {"name", "id", "tags"}}


def metadata_for(port: PortId, env: Sequence[str], labels: Mapping[str, str]) -> Metadata:
    """The metadata that counts for this port. Of what is said as closely the last counts."""
    values: dict[str, str] = {}
    closeness: dict[str, int] = {}
    for text, value in _pairs(env, labels):
        close, key = _meant(text, port)
        if key and close >= closeness.get(key, 0):
            values[key], closeness[key] = value, close
    return Metadata(values, frozenset(key for key, close in closeness.items() if close))


def _meant(text: str, port: PortId) -> tuple[int, str]:
    """How closely a key is about the port (0 for any port, 1 for its number, 2 for its protocol, too), and the key that
    is left of it; an empty one when it is about another port. A number or protocol without a key behind it is a key."""
    number, _, rest = text.partition("_")
    if not rest or not _INTEGER.fullmatch(number):
        return 0, text
    if number != str(port.number):
        return 0, ""
    protocol, _, key = rest.partition("_")
    if not key or protocol not in PROTOCOLS:
        return 1, rest
    return (2, key) if protocol == port.protocol else (0, "")


def _pairs(env: Sequence[str], labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Key (without ``SERVICE_``, in lower case) and value of each line that carries metadata, in order of reading."""
    lines = [line.partition("=") for line in env if "=" in line]
    for key, _, value in lines + [(key, "=", labels[key]) for key in sorted(labels)]:
        if key.startswith(PREFIX):
            yield key.removeprefix(PREFIX).lower(), value


def split_tags(*texts: str) -> tuple[str, ...]:
    """The tags of comma-separated texts, in order; an empty text has none."""
    return tuple(tag for text in texts if text for tag in text.split(","))
