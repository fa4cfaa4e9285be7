"""The layout that SkyDNS and CoreDNS read: records from which they answer DNS queries.

The path of a key is a DNS name backwards: ``/skydns/local/cluster/redis/redis-1`` is ``redis-1.redis.cluster.local``.
So names and ids have to consist of DNS labels. A value is a record of CoreDNS's ``plugin/etcd/msg``. A record that
CoreDNS cannot read breaks the answers to all queries for a name above it, so none such is ever written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import ClassVar

from attrs import frozen

from model.dns import NAME_LIMIT, label_problem
from model.entry import DefaultId, Entry
from model.keys import quoted
from model.layout import Decoded, Unreadable, compact_json, read_address
from model.refusal import RefusalReason, RefusedPort

#: The label directly below a zone under which DNS servers look for records about the zone itself, and what they take
#: from there. Source: ``NS`` and ``checkForApex`` in CoreDNS's ``plugin/backend_lookup.go``; SkyDNS's name servers and
#: stub zones.
_ZONE_LABEL = "dns"
_ZONE_PLACES: Mapping[str, str] = {
    "ns": "the name servers of a zone",
    "apex": "the addresses of a zone itself",
    "stub": "the name servers to which they forward queries for other domains",
}

#: Where SkyDNS and CoreDNS look for records. Source: CoreDNS's etcd plugin, ``path``.
SKYDNS = "/skydns"


def prefix_of(domain: str) -> str:
    """Return where the records of a domain are: ``/skydns/local/cluster`` for ``cluster.local``. Source: registrator's
    ``domainPath``."""
    return "/".join([SKYDNS, *reversed(domain.split("."))])


@frozen(cache_hash=True)
class SkyDnsLayout:
    """``<prefix>/<name>/<id>`` = ``{"host":"192.0.2.1","port":80}``, as registrator writes it. Behind the port come the
    other fields that CoreDNS knows, from ``SERVICE_PRIORITY`` and so on. The name is in small letters, as DNS servers
    put queries into small letters."""

    prefix: str
    #: Seconds for which an answer is valid if SERVICE_TTL does not say (``--record-ttl``). 0: the DNS server decides.
    ttl: int = 0
    #: See Layout. CoreDNS answers a query for a name from the keys below it, and from its own key only if there are
    #: none. Source: ``get`` in CoreDNS's ``plugin/etcd``.
    nesting_hides: ClassVar[bool] = True

    def check(self, entry: Entry) -> None:
        """Raise RefusedPort for a name that DNS cannot have, for a place that DNS servers read in order to serve the
        zone itself, and for an attribute that CoreDNS cannot read."""
        if problem := self._name_problem(entry):
            variable = entry.variables.get("name", "SERVICE_NAME or SERVICE_<port>_NAME")
            detail = f"{entry.name_shown} {problem}; give the service another name with {variable}"
            raise RefusedPort(RefusalReason.BAD_NAME, detail)
        self._check_place(entry)
        try:
            _fields(entry, self.ttl)
        except ValueError as wrong:
            raise RefusedPort(RefusalReason.BAD_ATTRIBUTE, str(wrong)) from None

    def _name_problem(self, entry: Entry) -> str | None:
        for part in entry.name.split("/"):
            if problem := label_problem(part):
                return problem if part == entry.name else f"has the part {quoted(part)}, which {problem}"
        if (length := len(self.key(entry).removeprefix(f"{SKYDNS}/"))) > NAME_LIMIT:
            return f"makes a DNS name of {length} characters with id and domain, and {NAME_LIMIT} are the most"
        return None

    def _check_place(self, entry: Entry) -> None:
        """Raise RefusedPort for a key at or below a place of ``_ZONE_PLACES``. The zone may be any part of the path, as
        it need not be the domain of the registry's URI."""
        labels, outer = self.key(entry).split("/"), self.prefix.split("/")
        for number in range(len(outer), len(labels)):
            above, label = labels[number - 1], labels[number]
            if above != _ZONE_LABEL or label not in _ZONE_PLACES:
                continue
            in_id = number == len(labels) - 1
            reason = RefusalReason.BAD_ID if in_id else RefusalReason.BAD_NAME
            shown = f"{entry.id_shown} under the name {quoted(entry.name)}" if in_id else entry.name_shown
            place = f"'{above}/{label}', from which DNS servers take {_ZONE_PLACES[label]}"
            raise RefusedPort(reason, f"{shown} lies at {place}; choose another {'id' if in_id else 'name'}")

    def key(self, entry: Entry) -> str:
        """Return the entry's key."""
        return f"{self.prefix}/{entry.name.lower()}/{label_of(entry.id)}"

    def value(self, entry: Entry) -> str:
        """Return the entry's record. Raises ValueError for attributes that ``check`` refuses."""
        return compact_json({"host": entry.address, "port": entry.port, **_fields(entry, self.ttl)})

    def id_of(self, key: str) -> str:
        """Return the id that the key was made of, where its label tells; else the label."""
        return id_of_label(key.rpartition("/")[2])

    def decode(self, key: str, value: str) -> Decoded | Unreadable:
        """Read a key and its record."""
        name, _, label = key.removeprefix(f"{self.prefix}/").rpartition("/")
        if not key.startswith(f"{self.prefix}/") or not name:
            return Unreadable(f"the key {quoted(key)} is not <prefix>/<name>/<id>")
        found = read_address(value, "host")
        return found if isinstance(found, Unreadable) else Decoded(name, id_of_label(label), *found)


# An id has to become one label, and no two ids may become the same one:
#
# =============================================  ==========================================  =========
# id                                             label                                       ``--``
# =============================================  ==========================================  =========
# a label in small letters without ``--``        itself                                      none
# (but not ``any``, which asks for all of them)
# ``<owner>:<container>:<port>``, of such parts  ``<owner>--<container>--<port>``            two to four
# anything else                                  ``<what is readable>--<20 hex of SHA-256>`` one
# =============================================  ==========================================  =========
#
# So a label tells which row it comes from. None begins with ``xn--``, which would make it an encoded one. A label of
# the last row does not tell its owner; for those the owner record does.

_DASHES = "--"
_HEX_DIGITS, _READABLE_CHARACTERS = 20, 41

#: A label in small letters without ``--``.
_PART = r"[a-z0-9]+(?:(?:_|-(?!-))+[a-z0-9]+)*"
_PLAIN_LABEL = re.compile(rf"(?=.{{1,63}}\Z){_PART}")
#: Three to five such parts with ``--`` between them.
_DEFAULT_ID_LABEL = re.compile(rf"(?=.{{1,63}}\Z)(?!xn--){_PART}(?:--{_PART}){{2,4}}")


def label_of(entry_id: str) -> str:
    """Return the DNS label that an id becomes."""
    if _PLAIN_LABEL.fullmatch(entry_id) and not label_problem(entry_id):
        return entry_id
    label = entry_id.replace(":", _DASHES)
    if _DASHES not in entry_id and _DEFAULT_ID_LABEL.fullmatch(label) and DefaultId.parse(entry_id):
        return label
    digest = sha256(entry_id.encode(errors="surrogatepass")).hexdigest()[:_HEX_DIGITS]
    return f"{_readable(entry_id)}{_DASHES}{digest}"


def id_of_label(label: str) -> str:
    """Return the id that a label was made of, where that id tells its owner; else the label."""
    entry_id = label.replace(_DASHES, ":")
    return entry_id if _DEFAULT_ID_LABEL.fullmatch(label) and DefaultId.parse(entry_id) else label


def _readable(entry_id: str) -> str:
    """Return as much of an id as a label can hold, for people to recognise it."""
    text = re.sub(r"[^a-z0-9_]+", "-", entry_id.lower()).strip("-_")[:_READABLE_CHARACTERS].rstrip("-_")
    return "id" if text in {"", "xn"} else text


#: The longest text of a record, in bytes. A longer one would leave no room for others in a DNS answer.
TEXT_LIMIT = 4096

#: The words that Go's ``strconv.ParseBool`` accepts.
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def _number(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most):
            raise ValueError(f"a whole number from 0 to {most}")
        return int(text)

    return read


def _text(text: str) -> str:
    if len(text.encode(errors="replace")) > TEXT_LIMIT:
        raise ValueError(f"no longer than {TEXT_LIMIT} bytes")
    return text


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError("true or false")
    return _BOOLEANS[text]


#: The longest TTL of a record, in seconds. Source: RFC 2181, 8.
MAX_TTL = 2**31 - 1

#: The fields of a record besides host and port, in its order, each with what reads its text. Source: CoreDNS,
#: ``plugin/etcd/msg``. A priority and a weight have 16 bits in an SRV record (RFC 2782), and no
#: name has more than 127 labels.
RECORD_FIELDS: Mapping[str, Callable[[str], object]] = {
    "priority": _number(65535),
    "weight": _number(65535),
    "text": _text,
    "mail": _boolean,
    "ttl": _number(MAX_TTL),
    "targetstrip": _number(127),
    "group": _text,
}


def _fields(entry: Entry, ttl: int) -> dict[str, object]:
    """Return the attributes that CoreDNS knows, converted to the types of a record. An empty attribute counts as not
    given. ``ttl`` is the TTL for an entry without one, in seconds; 0 means none. Raises ValueError with the name of the
    first variable that is wrong."""
    fields: dict[str, object] = {}
    for name, read in RECORD_FIELDS.items():
        if word := entry.attributes.get(name, ""):
            try:
                fields[name] = read(word)
            except ValueError as wrong:
                raise ValueError(f"{entry.variables[name]} {quoted(word)} must be {wrong}") from None
        elif name == "ttl" and ttl:
            fields[name] = ttl
    return fields
