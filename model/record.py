"""The owner record: what a host writes down in the registry about itself, outside the service prefix.

An id in the form ``<owner>:<container>:<port>`` tells whose entry it is. A custom ``SERVICE_ID`` does not. So a host
writes down which keys it holds under custom ids, and which values it has written there, before it writes such an entry.
It also writes down the id of its engine, which tells two hosts of one name apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Self
from urllib.parse import quote, unquote

from attrs import field, frozen

from model.frozen import frozen_dict

#: The directory of all records. etcd's v2 API hides a part that begins with ``_`` from every listing.
ROOT = "/_wharfinger"

#: The value of the key that is a liveness query.
LIVENESS_QUESTION = "is your agent alive?"


@frozen
class RecordKeys:
    """The keys of the records about one prefix: ``/_wharfinger/<prefix, percent-encoded>/…``."""

    prefix: str

    @property
    def path(self) -> str:
        """The directory of all owners."""
        return f"{ROOT}/{quote(self.prefix or '/', safe='')}"

    @property
    def inner_paths(self) -> str:
        """The text with which the record directories of all inner prefixes begin. If this prefix is empty, its own
        directory begins with it, too."""
        return f"{ROOT}/{quote(f'{self.prefix}/', safe='')}"

    def folder(self, owner: str) -> str:
        """Return the directory of one owner."""
        return f"{self.path}/{owner}"

    def record(self, owner: str) -> str:
        """Return the key of an owner's record."""
        return f"{self.folder(owner)}/record"

    def liveness_query(self, owner: str) -> str:
        """Return the key that somebody creates to learn whether the owner's agent is alive. A living agent removes
        it."""
        return f"{self.folder(owner)}/question"

    def agent_note(self, owner: str) -> str:
        """Return the key of the note that the owner's agent writes about itself. The note is not a part of the record,
        because version 0.1.0 drops unknown fields when it writes the record."""
        return f"{self.folder(owner)}/agent"

    def drain_order(self, owner: str) -> str:
        """Return the key of the drain order: which of the owner's containers the operator drains."""
        return f"{self.folder(owner)}/drain"

    def heartbeat(self, owner: str) -> str:
        """Return the key by which the owner's agent shows that it is alive (``--heartbeat``). It expires if the agent
        does not renew it."""
        return f"{self.folder(owner)}/alive"


@frozen
class InnerPrefix:
    """A prefix that lies within another one and has owner records of its own: its agents keep the keys below it."""

    prefix: str
    #: The owners that have a record there, sorted.
    owners: tuple[str, ...]

    def contains(self, key: str) -> bool:
        """Return whether the key lies below this prefix."""
        return key.startswith(f"{self.prefix}/")


def inner_prefixes(outer: str, record_keys: Iterable[str]) -> tuple[InnerPrefix, ...]:
    """Return the prefixes within ``outer`` that have owner records, sorted. ``record_keys`` are keys below the
    directory of all records. All other keys about an owner, and keys about other prefixes, are ignored."""
    owners: dict[str, list[str]] = {}
    for key in record_keys:
        directory, _, name = key.removeprefix(f"{ROOT}/").rpartition("/")
        encoded, _, owner = directory.partition("/")
        prefix = unquote(encoded)
        if name == "record" and prefix.startswith(f"{outer}/") and prefix != "/":
            owners.setdefault(prefix, []).append(owner)
    return tuple(InnerPrefix(prefix, tuple(sorted(names))) for prefix, names in sorted(owners.items()))


@frozen
class Claim:
    """One key under a custom id that this host holds."""

    container_id: str
    #: The values that this host has written there, or was about to write, sorted. A long value stands here as its
    #: digest, as the record has to stay small.
    values: tuple[str, ...]

    @classmethod
    def of(cls, container_id: str, values: Iterable[str]) -> Self:
        """Make a claim, so that equal claims are written alike."""
        return cls(container_id, tuple(sorted(set(map(_inline_or_digest, values)))))

    def covers(self, value: str) -> bool:
        """Return whether this host has written this value there, or was about to."""
        return _inline_or_digest(value) in self.values


#: Writes text as JSON, as json.dumps does, which makes an encoder first.
_encoded: Callable[[str], str] = json.JSONEncoder().encode

#: A value whose JSON is longer than this stands in the record as its digest, which is shorter. An address with a port
#: is shorter than this.
_MAX_INLINE = 80

#: The bytes of a claim besides its key, at most: the container's id, two values, and the JSON around them.
_CLAIM_OVERHEAD = 64 + 2 * _MAX_INLINE + 50


def _inline_or_digest(value: str) -> str:
    """Return the value itself where it is short, else its digest. A digest is short, so it is returned as it is."""
    if len(_encoded(value)) <= _MAX_INLINE:
        return value
    return f"sha256:{hashlib.sha256(value.encode(errors='surrogatepass')).hexdigest()}"


def claim_size(key: str) -> int:
    """Return how many bytes of an owner record a claim of this key takes at most."""
    return len(_encoded(key)) + _CLAIM_OVERHEAD


@frozen
class OwnerRecord:
    """What one host wrote down."""

    #: The id of its engine; empty where the engine has none.
    engine: str = ""
    #: The keys that it holds under custom ids.
    claims: Mapping[str, Claim] = field(factory=dict, converter=frozen_dict)

    def encode(self) -> str:
        """Return the record as canonical JSON."""
        claims = {key: {"container": each.container_id, "values": each.values} for key, each in self.claims.items()}
        return json.dumps({"engine": self.engine, "claims": claims}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> OwnerRecord | None:
        """Read a record; None for a text that is none."""
        return _decoded(text)

    def belongs_to(self, engine: str) -> bool:
        """Return whether the engine with this id wrote it. Also true if one of the two ids is unknown."""
        return not self.engine or not engine or self.engine == engine


#: How many records are remembered with the text that they were read from: an agent reads its own in each pass, from
#: each of its registries.
_REMEMBERED = 8


@lru_cache(maxsize=_REMEMBERED)
def _decoded(text: str) -> OwnerRecord | None:
    try:
        document = json.loads(text)
        claims = {
            str(key): Claim.of(str(each["container"]), map(str, each["values"]))
            for key, each in document["claims"].items()
        }
        return OwnerRecord(str(document["engine"]), claims)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def decode_all(texts: Iterable[str]) -> tuple[OwnerRecord, ...]:
    """Return the records among these texts."""
    return tuple(filter(None, map(OwnerRecord.decode, texts)))


def claimed_keys(records: Iterable[OwnerRecord]) -> frozenset[str]:
    """Return every key that one of these hosts holds under a custom id, or was about to take."""
    return frozenset(key for record in records for key in record.claims)
