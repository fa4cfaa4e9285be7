"""What CoreDNS's etcd plugin makes of a key and a value, said anew and strictly: no CoreDNS is at hand to ask.

The record's fields and their Go types are those of its ``plugin/etcd/msg``; how text becomes them is that of Go's
``encoding/json``: names in any case, null for nothing said, no fraction or exponent in a whole number, unknown fields
passed over.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from attrs import frozen

INT = range(-(2**63), 2**63)
UINT32 = range(2**32)

#: Field -> its type, or the range of its whole numbers.
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
    """One record."""

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
    """The record that a value is; raises ValueError where CoreDNS would give up the whole answer."""
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
    """The name under which the record of a key is found; raises ValueError where nobody could ask for it: questions
    come in small letters, and have no label over 63 characters and 253 in all; and ``any`` asks for all of them."""
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
