"""What CoreDNS's etcd plugin makes of a key and a value, for tests that have no CoreDNS to ask.

The fields of a record and their Go types are those of CoreDNS's ``plugin/etcd/msg``. Text is read as Go's
``encoding/json`` reads it: names of fields in any case, null like a missing field, no fraction or exponent in a whole
number, unknown fields ignored.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from attrs import frozen

INT = range(-(2**63), 2**63)
UINT32 = range(2**32)

#: The type of each field; for whole numbers their range.
FIELDS: dict[str, type | range] = {
    "host": str,
    "port": INT,
    "priority": INT,
    "weight": INT,
    "text": str,
    "mail": bool,
    "ttl": UINT32,
    "targetstrip": INT,
    "group": str,
}


@frozen
class Service:
    """One record of CoreDNS."""

    host: str = ""
    port: int = 0
    priority: int = 0
    weight: int = 0
    text: str = ""
    mail: bool = False
    ttl: int = 0
    targetstrip: int = 0
    group: str = ""


def read_service(value: str) -> Service:
    """Return the record in a value. Raises ValueError where CoreDNS would fail the whole query."""
    value.encode()
    document = json.loads(value, parse_constant=_no_constant)
    if not isinstance(document, dict):
        raise ValueError(f"no object: {value!r}")
    said = {name.lower(): each for name, each in document.items() if each is not None}
    for name, form in FIELDS.items():
        if name in said and not _fits(said[name], form):
            raise ValueError(f"cannot unmarshal {said[name]!r} into {name}")
    return Service(**{name: said[name] for name in FIELDS.keys() & said.keys()})


def _fits(value: Any, form: type | range) -> bool:
    return type(value) is int and value in form if isinstance(form, range) else type(value) is form


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")


def dns_name(key: str) -> str:
    """Return the DNS name of a key's record. Raises ValueError where no query could name it: CoreDNS looks names up in
    small letters, a label has at most 63 characters and a name 253, and ``any`` stands for all labels."""
    root, *labels = key.removeprefix("/").split("/")
    if root != "skydns" or not labels:
        raise ValueError(f"CoreDNS does not look at {key!r}")
    for label in labels:
        if not (_LABEL.fullmatch(label) and len(label) <= 63) or label == "any":
            raise ValueError(f"no label: {label!r} in {key!r}")
    name = ".".join(reversed(labels))
    if len(name) > 253:
        raise ValueError(f"too long: {name!r}")
    return name
