"""The layout that SkyDNS and CoreDNS read: records that they answer questions of the DNS from.

A key's path is a name of the DNS backwards: ``/skydns/local/cluster/redis/redis-1`` is ``redis-1.redis.cluster.local``.
So names and ids have to be made of labels. A value is a record of CoreDNS's ``plugin/etcd/msg``; one that it cannot
read breaks the answers to all who ask for a name above it, so none such is ever written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256

from attrs import frozen

from model.dns import NAME_LIMIT, label_problem
from model.entry import DefaultId, Entry, Refusal, RefusalReason, quoted
from model.layout import Decoded, Unreadable, compact_json, place_in
from model.stored import SKYDNS


def prefix_of(domain: str) -> str:
    """Where the records of a domain are: ``/skydns/local/cluster`` for ``cluster.local``. Source: registrator's
    ``domainPath``."""
    return "/".join([SKYDNS, *reversed(domain.split("."))])


@frozen
class SkyDnsLayout:
    """``<prefix>/<name>/<id>`` = ``{"host":"192.0.2.1","port":80}``, as registrator writes it; behind the port comes
    what CoreDNS knows more of, from ``SERVICE_PRIORITY`` and so on. The name is in small letters, as questions are."""

    prefix: str

    def refusal(self, entry: Entry) -> Refusal | None:
        """A name that the DNS cannot have, or an attribute that CoreDNS cannot read."""
        if problem := self._name_problem(entry):
            detail = f"the service's name {quoted(entry.name)} {problem}; give it one with SERVICE_NAME"
            return Refusal(entry.container, entry.container_port, RefusalReason.BAD_NAME, detail)
        try:
            _fields(entry.attributes)
        except ValueError as wrong:
            return Refusal(entry.container, entry.container_port, RefusalReason.BAD_ATTRIBUTE, str(wrong))
        return None

    def _name_problem(self, entry: Entry) -> str | None:
        for part in entry.name.split("/"):
            if problem := label_problem(part):
                return problem if part == entry.name else f"has the part {quoted(part)}, which {problem}"
        if (length := len(self.key(entry).removeprefix(f"{SKYDNS}/"))) > NAME_LIMIT:
            return f"makes a DNS name of {length} characters with id and domain, and {NAME_LIMIT} are the most"
        return None

    def key(self, entry: Entry) -> str:
        """The entry's key."""
        return f"{self.prefix}/{entry.name.lower()}/{label_of(entry.id)}"

    def value(self, entry: Entry) -> str:
        """The entry's value; raises ValueError for what ``refusal`` refuses."""
        return compact_json({"host": entry.address, "port": entry.port, **_fields(entry.attributes)})

    def id_of(self, key: str) -> str:
        """The id that tells whose the key is; of an id that became something else, what became of it."""
        return id_of_label(key.rpartition("/")[2])

    def decode(self, key: str, value: str) -> Decoded | Unreadable:
        """The inverse of ``key`` and ``value``, as far as there is one."""
        name, _, label = key.removeprefix(f"{self.prefix}/").rpartition("/")
        if not key.startswith(f"{self.prefix}/") or not name:
            return Unreadable(f"the key {quoted(key)} is not <prefix>/<name>/<id>")
        found = place_in(value, "host")
        return found if isinstance(found, Unreadable) else Decoded(name, id_of_label(label), *found)


# An id has to become one label, and no two ids the same one:
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
# So a label tells which row it is of. None begins with ``xn--``, which would make it an encoded one. The last row's
# does not tell its owner: whose such a key is says the owner record.

_DASHES = "--"
_HEX, _SLUG = 20, 41

#: A label in small letters without ``--``, and three to five of them with ``--`` between.
_PART = r"[a-z0-9]+(?:(?:_|-(?!-))+[a-z0-9]+)*"
_PLAIN = re.compile(rf"(?=.{{1,63}}\Z){_PART}")
_DEFAULT = re.compile(rf"(?=.{{1,63}}\Z)(?!xn--){_PART}(?:--{_PART}){{2,4}}")


def label_of(entry_id: str) -> str:
    """The label that an id becomes."""
    if _PLAIN.fullmatch(entry_id) and not label_problem(entry_id):
        return entry_id
    label = entry_id.replace(":", _DASHES)
    if _DASHES not in entry_id and _DEFAULT.fullmatch(label) and DefaultId.parse(entry_id):
        return label
    return f"{_slug(entry_id)}{_DASHES}{_digest(entry_id)}"


def id_of_label(label: str) -> str:
    """The id that a label was made of, where it is one that tells its owner; else the label."""
    entry_id = label.replace(_DASHES, ":")
    return entry_id if _DEFAULT.fullmatch(label) and DefaultId.parse(entry_id) else label


def _slug(entry_id: str) -> str:
    """As much of an id as a label can hold, to be read by people."""
    text = re.sub(r"[^a-z0-9_]+", "-", entry_id.lower()).strip("-_")[:_SLUG].rstrip("-_")
    return "id" if text in {"", "xn"} else text


def _digest(entry_id: str) -> str:
    return sha256(entry_id.encode(errors="surrogatepass")).hexdigest()[:_HEX]


#: Longer texts would not leave an answer of the DNS room for others.
TEXT_LIMIT = 4096

#: The words that Go's ``strconv.ParseBool`` knows.
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


#: What a record has besides host and port, in its order and with its types. Source: CoreDNS, ``plugin/etcd/msg``. A
#: priority and a weight are 16 bits of an SRV record (RFC 2782), a lifetime 31 (RFC 2181), and no name has more labels.
_FIELDS: Mapping[str, Callable[[str], object]] = {
    "priority": _number(65535),
    "weight": _number(65535),
    "text": _text,
    "mail": _boolean,
    "ttl": _number(2**31 - 1),
    "targetstrip": _number(127),
    "group": _text,
}


def _fields(attributes: Mapping[str, str]) -> dict[str, object]:
    """The attributes that CoreDNS knows, in its types; an empty one is one not given. Raises ValueError that names the
    first that is wrong."""
    fields = {}
    for name, read in _FIELDS.items():
        if word := attributes.get(name, ""):
            try:
                fields[name] = read(word)
            except ValueError as wrong:
                raise ValueError(f"SERVICE_{name.upper()} {quoted(word)} must be {wrong}") from None
    return fields
