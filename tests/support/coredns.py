"""What CoreDNS's etcd plugin makes of keys and values, for tests that have no CoreDNS to ask.

The fields of a record and their Go types are those of CoreDNS's ``plugin/etcd/msg``. Text is read as Go's
``encoding/json`` reads it: names of fields in any case, null like a missing field, no fraction or exponent in a whole
number, unknown fields ignored. The answers are those of ``plugin/backend_lookup.go``.
``tests/contract/test_coredns.py`` compares them with those of a real CoreDNS.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, NoReturn

from attrs import evolve, field, frozen

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


class _Number(str):
    """A number as it is written."""


#: The numbers that may be of a type: with a sign only where the type has one.
_INTEGER = {INT: re.compile(r"-?[0-9]{1,20}"), UINT32: re.compile(r"[0-9]{1,20}")}


class _Members(tuple[tuple[str, Any], ...]):
    """The members of a JSON object in the order of the text. Two members may have the same name."""


def read_service(value: str) -> Service:
    """Return the record in a value. Raises ValueError where CoreDNS would fail the whole query."""
    value.encode()
    document = json.loads(
        value, parse_constant=_no_constant, parse_int=_Number, parse_float=_Number, object_pairs_hook=_Members
    )
    if document is None:
        return Service()
    if not isinstance(document, _Members):
        raise ValueError(f"no object: {value!r}")
    said: dict[str, Any] = {}
    for name, each in document:
        # Go takes the long s for an s, too.
        plain = name.lower().replace("\u017f", "s")
        if (form := FIELDS.get(plain)) is not None and each is not None:
            said[plain] = _read(each, form)
    return Service(**said)


def _read(value: Any, form: type | range) -> Any:
    """Return the value of a field. Raises ValueError if it is of another type."""
    if isinstance(form, range):
        if type(value) is _Number and _INTEGER[form].fullmatch(value) and int(value) in form:
            return int(value)
    elif type(value) is form:
        return value
    raise ValueError(f"cannot unmarshal {value!r} into {form}")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


#: Values that CoreDNS can read, each with its record.
READABLE: Mapping[str, Service] = {
    '{"host":"192.0.2.1","port":80}': Service("192.0.2.1", 80),
    '{"HOST":"a","Port":1,"x":1.5,"ttl":4294967295}': Service("a", 1, ttl=4294967295),
    '{"host":null,"mail":true,"text":"a\\u00e9"}': Service(mail=True, text="aé"),
    '{"host":"192.0.2.1","x":[{"host":1}],"Mail":false}': Service("192.0.2.1"),
    '{"host":"192.0.2.1","port":-0,"ttl":0}': Service("192.0.2.1"),
    '{"host":"192.0.2.1","host":null,"priority":1,"Priority":2}': Service("192.0.2.1", priority=2),
    '{"ho\u017ft":"192.0.2.1"}': Service("192.0.2.1"),
    ' {"host" : "192.0.2.1"}\r\n': Service("192.0.2.1"),
    "{}": Service(),
    "null": Service(),
}

#: Values that CoreDNS cannot read.
UNREADABLE = (
    "",
    "192.0.2.1:80",
    "{",
    "[]",
    '"host"',
    "\ufeff{}",
    '{"host":1}',
    '{"host":1,"host":"a"}',
    '{"host":{}}',
    '{"port":"80"}',
    '{"port":80.0}',
    '{"port":8e1}',
    '{"port":true}',
    '{"port":[]}',
    '{"port":+1}',
    '{"port":01}',
    '{"priority":9223372036854775808}',
    '{"weight":1e400}',
    '{"ttl":-1}',
    '{"ttl":-0}',
    '{"ttl":4294967296}',
    '{"mail":"true"}',
    '{"mail":1}',
    '{"text":NaN}',
    '{"text":"a\nb"}',
    "{'host':'a'}",
    '{"host":"a",}',
    '{"host":"a"} ,',
)

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


#: What the plugin takes for a record without a priority, a TTL and a weight.
PRIORITY, TTL, WEIGHT = 10, 300, 100

#: The labels that stand for every label.
WILDCARDS = frozenset({"*", "any"})


def _texts(given: Iterable[str]) -> frozenset[str]:
    return frozenset(given)


@frozen
class Answer:
    """What a DNS server answers: records in the form of zone files, as in ``x.local. 30 IN A 192.0.2.1``."""

    rcode: str
    records: frozenset[str] = field(default=(), converter=_texts)
    additional: frozenset[str] = field(default=(), converter=_texts)


def answer(values: Mapping[str, str], name: str, kind: str) -> Answer:
    """Return CoreDNS's answer to a question of the kind A, AAAA or SRV about a name below its zone.

    The keys have no leases. No host is a name of the zone, and CoreDNS has nobody to ask for other names.
    """
    try:
        found = _group(_records(values, name))
    except KeyError:
        return Answer("NXDOMAIN")
    except ValueError:
        return Answer("SERVFAIL")
    return _servers(name, found) if kind == "SRV" else Answer("NOERROR", _addresses(name, found, kind))


_Record = tuple[str, Service]


def _records(values: Mapping[str, str], name: str) -> Sequence[_Record]:
    """Return the records from which a question is answered, each with its key, in the order of etcd. Raises KeyError if
    there are no keys, and ValueError if a record cannot be read."""
    labels = ["skydns", *reversed(name.lower().split("."))]
    fixed = next((number for number, label in enumerate(labels) if label in WILDCARDS), len(labels))
    path = "/" + "/".join(labels[:fixed])
    keys = [key for key in values if key.startswith(f"{path}/")] or [key for key in values if key == path]
    if not keys:
        raise KeyError(path)
    matching = [key for key in sorted(keys, key=str.encode) if fixed == len(labels) or _matches(key, labels)]
    read = [(key, read_service(values[key])) for key in matching]
    return [(key, _with_defaults(service)) for key, service in read if service.host]


def _matches(key: str, labels: Sequence[str]) -> bool:
    parts = key.removeprefix("/").split("/")
    alike = (label in WILDCARDS or label == part for label, part in zip(labels, parts, strict=False))
    return len(parts) >= len(labels) and all(alike)


def _with_defaults(service: Service) -> Service:
    """Return the record as it is answered. A TTL of more than 31 bits reads as 0 (RFC 2181, 8)."""
    ttl = service.ttl or TTL
    return evolve(service, priority=service.priority or PRIORITY, ttl=ttl if ttl < 2**31 else 0)


def _group(records: Sequence[_Record]) -> Sequence[_Record]:
    """Return the records of the group that the record with the shortest key sets, and those without a group. Source:
    ``Group`` in ``plugin/etcd/msg/service.go``."""
    if not records:
        return records
    depths = [key.count("/") for key, _ in records]
    depth, group = depths[0], records[0][1].group
    for number, (_, each) in enumerate(records):
        if depths[number] < depth:
            if not each.group:
                # The plugin stops here, and does not know the depth of the others.
                depths[number + 1 :] = [0] * (len(records) - number - 1)
                break
            depth, group = depths[number], each.group
    others = [each for number, (_, each) in enumerate(records) if depths[number] == depth and each.group != group]
    if not group or any(each.group for each in others):
        return records
    return [(key, each) for key, each in records if each.group in ("", group)]


def _addresses(name: str, records: Sequence[_Record], kind: str) -> Iterator[str]:
    """Yield the A or AAAA records. Of several records with one address, the first one counts. A record whose host is a
    name makes a CNAME, unless it has a text."""
    seen: set[str] = set()
    for _, each in records:
        found = _address(each.host)
        if found is None and not each.text:
            yield f"{name}. {each.ttl} IN CNAME {each.host}."
        elif found is not None and found[0] == kind and each.host not in seen:
            seen.add(each.host)
            yield f"{name}. {each.ttl} IN {kind} {found[1]}"


def _address(host: str) -> tuple[str, str] | None:
    """Return the type and the text of the address record of a host; None if the host is a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    plain = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    return ("A" if plain.version == 4 else "AAAA"), str(plain)


def _servers(name: str, records: Sequence[_Record]) -> Answer:
    """Return the SRV records, whose weights are shares of 100, and the addresses of their targets."""
    total: Counter[int] = Counter()
    for _, each in records:
        total[each.priority] += each.weight or WEIGHT
    servers: dict[tuple[str, int], str] = {}
    addresses: dict[tuple[str, str], str] = {}
    for key, each in records:
        share = max(1, math.floor(100.0 / total[each.priority] * (each.weight or WEIGHT)))
        found = _address(each.host)
        if found is None and each.text:
            continue
        target = _stripped(each.host if found is None else _domain(key), each.targetstrip)
        server = f"{name}. {each.ttl} IN SRV {each.priority} {share} {each.port} {target}."
        servers.setdefault((target, each.port), server)
        if found is not None:
            addresses.setdefault((target, each.host), f"{target}. {each.ttl} IN {found[0]} {found[1]}")
    return Answer("NOERROR", servers.values(), addresses.values())


def _domain(key: str) -> str:
    return ".".join(reversed(key.removeprefix("/skydns/").split("/")))


def _stripped(name: str, labels: int) -> str:
    """Return a name without so many labels at its beginning, or the name itself if nothing would be left."""
    return ".".join(name.split(".")[labels:]) or name
