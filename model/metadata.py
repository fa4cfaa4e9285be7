"""``SERVICE_…`` metadata: what a container's environment and labels say about one of its ports.

The rules are registrator's:

- labels override the environment, and a later environment line overrides an earlier one;
- ``SERVICE_<port>_<KEY>`` speaks for that port alone and beats ``SERVICE_<KEY>`` wherever each of them stands;
- a key is case-insensitive behind its ``SERVICE_``.

Where registrator depends on the random order of a Go map (two labels that differ in case only), the last in sorted
order counts here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from model.frozen import frozen_dict

PREFIX = "SERVICE_"

_INTEGER = re.compile(r"[+-]?[0-9]+")


@frozen
class Metadata:
    """Values by lower-case key; ``from_port`` names the keys that were given for the port itself."""

    values: Mapping[str, str] = field(converter=frozen_dict)
    from_port: frozenset[str] = frozenset()

    def get(self, key: str) -> str:
        """The value of ``key``, or an empty string."""
        return self.values.get(key, "")

    @property
    def attributes(self) -> dict[str, str]:
        """What is left besides name, id and tags."""
        return {key: value for key, value in self.values.items() if key not in {"name", "id", "tags"}}


def metadata_for(port: int, env: Sequence[str], labels: Mapping[str, str]) -> Metadata:
    """The metadata that counts for the port with this number."""
    values: dict[str, str] = {}
    from_port: set[str] = set()
    for key, value in _pairs(env, labels):
        number, _, rest = key.partition("_")
        if rest and _INTEGER.fullmatch(number):
            if number == str(port):
                values[rest] = value
                from_port.add(rest)
        elif key not in from_port:
            values[key] = value
    return Metadata(values, frozenset(from_port))


def _pairs(env: Sequence[str], labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Key (without ``SERVICE_``, in lower case) and value of each line that carries metadata, in order of reading."""
    lines = [line.partition("=") for line in env if "=" in line]
    for key, _, value in lines + [(key, "=", labels[key]) for key in sorted(labels)]:
        if key.startswith(PREFIX):
            yield key.removeprefix(PREFIX).lower(), value


def split_tags(*texts: str) -> tuple[str, ...]:
    """The tags of comma-separated texts, in order; an empty text has none."""
    return tuple(tag for text in texts if text for tag in text.split(","))
