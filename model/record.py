"""The owner record: what a host writes down in the registry about itself, outside the service prefix.

An id in the form ``<owner>:<container>:<port>`` says whose entry it is; a custom ``SERVICE_ID`` does not. So the host
writes down which keys it holds under custom ids, and with which values, before it writes such an entry. It also writes
down its engine's id, which tells two hosts with one name apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self
from urllib.parse import quote

from attrs import field, frozen

from model.frozen import frozen_dict

#: Where records live. etcd's v2 API hides a part that begins with ``_`` from every listing.
ROOT = "/_wharfinger"


@frozen
class RecordKeys:
    """Where the records about one prefix are kept: ``/_wharfinger/<prefix, percent-encoded>``."""

    prefix: str

    @property
    def path(self) -> str:
        """The directory of all owners."""
        return f"{ROOT}/{quote(self.prefix or '/', safe='')}"

    def folder(self, owner: str) -> str:
        """The directory of one owner."""
        return f"{self.path}/{owner}"

    def record(self, owner: str) -> str:
        """The key of an owner's record."""
        return f"{self.folder(owner)}/record"

    def liveness_query(self, owner: str) -> str:
        """The key that somebody creates to learn whether the owner's agent is alive: a living one removes it."""
        return f"{self.folder(owner)}/question"


@frozen
class Claim:
    """A key under a custom id that this host holds: for which container, and the values that this host has written
    there, or was about to. A long value is told by its digest: the record has to stay small."""

    container_id: str
    values: tuple[str, ...]

    @classmethod
    def of(cls, container_id: str, values: Iterable[str]) -> Self:
        """Without repetitions, sorted, so that equal claims are written alike."""
        return cls(container_id, tuple(sorted(set(map(_inline_or_digest, values)))))

    def holds(self, value: str) -> bool:
        """Whether this host has written this value there, or was about to."""
        return _inline_or_digest(value) in self.values


#: A value of more characters in the record is told by its digest, which has fewer. An address with a port is shorter.
_TOLD_WHOLE = 80

#: What a claim has besides its key, at most: the container's id, two values, and what stands between.
_BESIDES = 64 + 2 * _TOLD_WHOLE + 50


def _inline_or_digest(value: str) -> str:
    """The value, or what tells it from every other one. What is told so already stays as it is."""
    if len(json.dumps(value)) <= _TOLD_WHOLE:
        return value
    return f"sha256:{hashlib.sha256(value.encode(errors='surrogatepass')).hexdigest()}"


def claim_size(key: str) -> int:
    """How many bytes of an owner record a claim of this key takes at most."""
    return len(json.dumps(key)) + _BESIDES


@frozen
class OwnerRecord:
    """What one host wrote down. ``engine`` is its engine's id, empty where the engine has none."""

    engine: str = ""
    claims: Mapping[str, Claim] = field(factory=dict, converter=frozen_dict)

    def encode(self) -> str:
        """The record as canonical JSON."""
        claims = {key: {"container": each.container_id, "values": each.values} for key, each in self.claims.items()}
        return json.dumps({"engine": self.engine, "claims": claims}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Self | None:
        """The inverse of ``encode``; None for what is no record."""
        try:
            return cls._decode(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    @classmethod
    def _decode(cls, document: Mapping[str, Any]) -> Self:
        claims = {
            str(key): Claim.of(str(each["container"]), map(str, each["values"]))
            for key, each in document["claims"].items()
        }
        return cls(str(document["engine"]), claims)

    def belongs_to(self, engine: str) -> bool:
        """Whether the engine with this id wrote it, as far as the ids tell."""
        return not self.engine or not engine or self.engine == engine


def decode_all(texts: Iterable[str]) -> tuple[OwnerRecord, ...]:
    """The records among these texts; what is none says nothing."""
    return tuple(filter(None, map(OwnerRecord.decode, texts)))


def claimed_keys(records: Iterable[OwnerRecord]) -> frozenset[str]:
    """Every key that one of these hosts holds, or was about to take, under a custom id."""
    return frozenset(key for record in records for key in record.claims)
