"""The JSON documents of etcd's v3 gateway: what goes into a request, and what comes out of an answer.

Source: https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/. Keys and values are base64 there, and 64-bit numbers are
text. The gateway leaves out whatever is empty or 0.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Self

from attrs import frozen

from model.stored import Stored, StorePosition

#: A JSON object.
Document = Mapping[str, Any]


def encoded(text: str) -> str:
    """Return a key or value as the gateway takes it. A text from ``decoded`` becomes the same bytes again."""
    return base64.b64encode(text.encode(errors="surrogateescape")).decode()


def decoded(code: str) -> str:
    """Return a key or value from an answer. Bytes that are no UTF-8 become surrogates."""
    return base64.b64decode(code).decode(errors="surrogateescape")


def keys_below(path: str) -> Document:
    """Return the range of all keys below a path."""
    return keys_that_begin_with(f"{path}/")


def keys_that_begin_with(start: str) -> Document:
    """Return the range of all keys that begin with ``start``, whose last character has to be ASCII. The range ends
    before the text in which that character is replaced by the next one."""
    return {"key": encoded(start), "range_end": encoded(f"{start[:-1]}{chr(ord(start[-1]) + 1)}")}


def is_unchanged(key: str, revision: int) -> Document:
    """Return the condition that a key was last written at ``revision``; 0 stands for a key that is absent. A pass has
    one for each key, so it is as short as it can be: to be equal is what a condition asks for if it does not say."""
    return {"key": encoded(key), "target": "MOD", "mod_revision": revision}


def hangs_on(key: str, lease: int) -> Document:
    """Return the condition that a key is there and hangs on a lease."""
    return {"key": encoded(key), "target": "LEASE", "result": "EQUAL", "lease": str(lease)}


def below_is_absent(path: str) -> Document:
    """Return the condition that there is no key below a path."""
    return {**keys_below(path), "target": "VERSION", "result": "EQUAL", "version": "0"}


def range_of(place: str) -> Document:
    """Return the range of a place: a key, or, if the text ends in a slash, all keys that begin with it."""
    return keys_that_begin_with(place) if place.endswith("/") else {"key": encoded(place)}


def store_position_in(answer: Document) -> StorePosition:
    """Return which store gave an answer, and its revision then."""
    return StorePosition(str(answer["header"]["cluster_id"]), int(answer["header"]["revision"]))


def cluster_in(answer: Any) -> str:
    """Return the id of the cluster that gave an answer; empty if the answer does not have it. The answer may be any
    JSON value."""
    try:
        return str(answer.get("result", answer)["header"]["cluster_id"])
    except (AttributeError, KeyError, TypeError):
        return ""


@frozen
class Page:
    """The answer to a request for a range of keys, as of one moment."""

    #: Which store answered, and its revision then.
    store_position: StorePosition
    #: The keys that were asked for.
    stored: tuple[Stored, ...]
    #: How many keys the range has, including those that the request left out.
    count: int
    #: Whether the request's limit cut the answer short.
    more: bool = False

    @classmethod
    def read_from(cls, answer: Document, lease: int) -> Self:
        """Return what a range's answer says; ``lease`` is the id of this host's lease, 0 for none."""
        return cls.at(store_position_in(answer), answer, lease)

    @classmethod
    def at(cls, position: StorePosition, answer: Document, lease: int) -> Self:
        """Return what the answer to one range of a transaction says. Such an answer does not tell the store
        position."""
        stored = tuple(_stored(each, lease) for each in answer.get("kvs", ()))
        return cls(position, stored, int(answer.get("count", 0)), bool(answer.get("more", False)))


@frozen
class RangesAnswer:
    """The answer to a transaction that only reads."""

    #: Whether everything was as compared.
    succeeded: bool
    pages: tuple[Page, ...]

    @classmethod
    def read_from(cls, answer: Document, lease: int) -> Self:
        """Return what a transaction's answer says; ``lease`` is the id of this host's lease, 0 for none."""
        position = store_position_in(answer)
        ranges = (each["response_range"] for each in answer.get("responses", ()))
        return cls(bool(answer.get("succeeded", False)), tuple(Page.at(position, each, lease) for each in ranges))


def reading_transaction(ranges: Iterable[Document], compare: Iterable[Document] = ()) -> Document:
    """Return a transaction that reads some ranges, and tells whether everything is as compared."""
    reads = [{"request_range": each} for each in ranges]
    return {"compare": list(compare), "success": reads, "failure": reads}


def _stored(pair: Document, lease: int) -> Stored:
    """Return a key and what it holds. The answer does not say how long a lease still lasts. For this host's own lease
    the reader asks; for any other one the ``ttl`` is 0, as this host cannot renew it."""
    key_lease = int(pair.get("lease", 0))
    return Stored(
        decoded(pair["key"]),
        decoded(pair.get("value", "")),
        int(pair["mod_revision"]),
        ttl=0 if key_lease else None,
        renewable=bool(lease) and key_lease == lease,
    )
