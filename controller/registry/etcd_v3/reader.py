"""Reading etcd's v3 store: a flat space of keys, each with the revision at which it was written.

Source of what etcd does: https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from attrs import evolve, field, frozen

from controller.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v3.client import Document, EtcdV3Client, Refused
from model.frozen import frozen_dict
from model.record import ROOT, RecordKeys
from model.stored import Actual, Lifetime, Stored, StorePosition


@frozen
class _Page:
    """What etcd said of a range of keys at one moment. ``count`` is how many there are, shown or not."""

    store_position: StorePosition
    kvs: tuple[Stored, ...]
    count: int


@frozen
class _Seen:
    """Everything under the prefix at one moment. ``leased`` are the keys that hang on our lease. ``record`` is the
    version of the owner record then, 0 for none, and ``failures`` how many requests had failed by then."""

    store_position: StorePosition
    lease: int
    record: int
    failures: int
    stored: Mapping[str, Stored] = field(converter=frozen_dict)
    leased: tuple[str, ...]


class EtcdV3Reader:
    """Reads one prefix through etcd's v3 API. It has no way to write.

    Every answer comes through the quorum, which costs little here: a member that was cut off from it misleads nobody.
    While nobody writes to etcd, a pass asks about the owner alone; once somebody did, for what is newer than the last
    answer. Who wants it ``consistent`` gets everything read anew.
    """

    def __init__(self, gateway: EtcdV3Client, prefix: str, lifetime: Lifetime) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. By ``lifetime`` this
        host's lease is known."""
        self._gateway = gateway
        self._prefix = prefix
        self._lifetime = lifetime
        self._shelf = RecordKeys(prefix)
        self._seen: _Seen | None = None
        self._record_version: dict[str, int] = {}

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """All keys under the prefix, and what is kept about the owner."""
        before, self._seen = None if consistent else self._seen, None
        try:
            about, self._seen = self._look(owner, before, deadline)
            return self._actual(owner, about, self._seen, deadline)
        except Refused as refused:
            raise RegistryUnavailable(f"cannot read {self._prefix or '/'}: {refused.detail}") from refused

    def others(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """The records of all other owners."""
        try:
            page = self._range(_below(self._shelf.path), 0, deadline)
        except Refused as refused:
            raise RegistryUnavailable(f"cannot read {self._shelf.path}: {refused.detail}") from refused
        own = self._shelf.record(owner)
        return tuple(each for each in page.kvs if each.key.endswith("/record") and each.key != own)

    def _lease(self, owner: str) -> int:
        """The owner's lease; 0 where keys do not expire."""
        return self._lifetime.lease_id(self._prefix, owner) if self._lifetime.ttl else 0

    def _look(self, owner: str, before: _Seen | None, deadline: Deadline) -> tuple[_Page, _Seen]:
        """What is kept about the owner, and everything under the prefix at the same moment, with as little reading as
        will do."""
        lease = self._lease(owner)
        about = self._range(_below(self._shelf.folder(owner)), lease, deadline)
        record = next((each.version for each in about.kvs if each.key == self._shelf.record(owner)), 0)
        self._record_version[owner] = record
        now = _Seen(about.store_position, lease, record, self._gateway.failures, {}, ())
        if not (before and _is_later(now, before)):
            return about, _with(now, self._at(now, {}, deadline).kvs)
        if now.store_position == before.store_position:
            return about, before
        return about, self._newer(now, before, deadline) or _with(now, self._at(now, {}, deadline).kvs)

    def _newer(self, now: _Seen, before: _Seen, deadline: Deadline) -> _Seen | None:
        """All keys, from those seen before and those written since; None if keys went, as their number tells."""
        changed = self._at(now, {"min_mod_revision": str(before.store_position.index + 1)}, deadline)
        stored = {**before.stored, **{each.key: each for each in changed.kvs}}
        return _with(now, stored.values()) if len(stored) == changed.count else None

    def _at(self, now: _Seen, which: Document, deadline: Deadline) -> _Page:
        """The keys under the prefix as they were at that moment. Two ranges in a transaction would do as well, but an
        etcd that is full takes none."""
        asked = {**_below(self._prefix), **which, "revision": str(now.store_position.index)}
        page = self._range(asked, now.lease, deadline)
        if not page.store_position.succeeds(now.store_position):
            raise RegistryUnavailable("different stores answered one read; are all endpoints of one cluster?")
        return page

    def _actual(self, owner: str, about: _Page, seen: _Seen, deadline: Deadline) -> Actual:
        """What a pass gets to see, with what is left of the lease where something hangs on it."""
        stored, kept = seen.stored, {each.key: each for each in about.kvs}
        if seen.leased or any(each.renewable for each in about.kvs):
            left = self._left(seen.lease, deadline)
            stored = {**stored, **{key: evolve(stored[key], ttl=left) for key in seen.leased}}
            kept = {key: evolve(each, ttl=left) if each.renewable else each for key, each in kept.items()}
        if not self._prefix:
            stored = {key: each for key, each in stored.items() if not key.startswith(f"{ROOT}/")}
        record, question = kept.get(self._shelf.record(owner)), kept.get(self._shelf.liveness_query(owner))
        return Actual(stored, record, question, about.store_position, has_directories=False)

    def _left(self, lease: int, deadline: Deadline) -> int:
        """Seconds that are left of the lease, 0 in its last one or if it is gone. It can be more than was asked for:
        etcd gives no less than its members need to elect a leader."""
        left = self._gateway.call("lease/timetolive", {"ID": str(lease)}, seconds_in, deadline)
        return min(max(left, 0), self._lifetime.ttl)

    def _range(self, keys: Document, lease: int, deadline: Deadline) -> _Page:
        return self._gateway.call(
            "kv/range", keys, lambda answer: _page(store_position_in(answer), answer, lease), deadline
        )


def _below(path: str) -> dict[str, str]:
    """The range of all keys below a path: up to the character that follows the slash."""
    return {"key": coded(f"{path}/"), "range_end": coded(f"{path}0")}


def coded(text: str) -> str:
    """As the gateway wants its bytes. What was no UTF-8 when it was read is the same again."""
    return base64.b64encode(text.encode(errors="surrogateescape")).decode()


def plain_text(code: str) -> str:
    return base64.b64decode(code).decode(errors="surrogateescape")


def store_position_in(answer: Document) -> StorePosition:
    return StorePosition(str(answer["header"]["cluster_id"]), int(answer["header"]["revision"]))


def seconds_in(answer: Document) -> int:
    """What an answer about a lease says is left of it; the gateway leaves out a 0."""
    return int(answer.get("TTL", 0))


def _page(mark: StorePosition, answer: Document, lease: int) -> _Page:
    # The gateway leaves out what is empty or 0.
    return _Page(mark, tuple(_stored(each, lease) for each in answer.get("kvs", ())), int(answer.get("count", 0)))


def _stored(document: Document, lease: int) -> Stored:
    """A key; what is left of our lease is another question, and of a lease that is not ours nobody's business."""
    hangs_on = int(document.get("lease", 0))
    return Stored(
        plain_text(document["key"]),
        plain_text(document.get("value", "")),
        int(document["mod_revision"]),
        ttl=0 if hangs_on else None,
        renewable=bool(lease) and hangs_on == lease,
    )


def _is_later(now: _Seen, before: _Seen) -> bool:
    """Whether what was seen before can be believed to be the same store's, and with the same lease. A store that was
    wiped or restored was stopped in between, which a request that failed may tell, or the owner record."""
    same_store = (
        now.store_position.succeeds(before.store_position)
        and now.record >= before.record
        and now.failures == before.failures
    )
    return same_store and now.lease == before.lease


def _with(now: _Seen, stored: Iterable[Stored]) -> _Seen:
    by_key = {each.key: each for each in stored}
    return evolve(now, stored=by_key, leased=tuple(key for key, each in by_key.items() if each.renewable))
