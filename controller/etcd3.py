"""etcd's v3 store as a registry: a flat space of keys, with transactions and leases.

Source of what etcd does: https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from controller.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.gateway import NOT_FOUND, PRECONDITION, Document, Gateway, Refused
from controller.registry import overtaken, skipped
from model.frozen import frozen_dict
from model.plan import Action, Change
from model.record import ROOT, Shelf
from model.report import Outcome, Result
from model.stored import Actual, Lifetime, Mark, Stored

#: As many changes go into one transaction. etcd's limit is 128 operations (``--max-txn-ops``), and the one within each
#: of these counts on top.
BATCH = 127


@frozen
class _Page:
    """What etcd said of a range of keys at one moment. ``count`` is how many there are, shown or not."""

    mark: Mark
    kvs: tuple[Stored, ...]
    count: int


@frozen
class _Seen:
    """Everything under the prefix at one moment. ``leased`` are the keys that hang on our lease."""

    mark: Mark
    lease: int
    stored: Mapping[str, Stored] = field(converter=frozen_dict)
    leased: tuple[str, ...]


class Etcd3Reader:
    """Reads one prefix through etcd's v3 API. It has no way to write.

    Every answer comes through the quorum, which costs little here: a member that was cut off from it misleads nobody.
    While nobody writes to etcd, a pass asks about the owner alone; once somebody did, for what is newer than the last
    answer. Who wants it ``consistent`` gets everything read anew.
    """

    def __init__(self, gateway: Gateway, prefix: str, lifetime: Lifetime) -> None:
        """``prefix`` begins with a slash and does not end in one; an empty one is all of etcd. By ``lifetime`` this
        host's lease is known."""
        self._gateway = gateway
        self._prefix = prefix
        self._lifetime = lifetime
        self._shelf = Shelf(prefix)
        self._seen: _Seen | None = None

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """All keys under the prefix, and what is kept about the owner."""
        lease = self._lease(owner)
        if consistent or (self._seen and self._seen.lease != lease):
            self._seen = None
        try:
            about, self._seen = self._look(owner, lease, deadline)
            return self._actual(owner, about, self._seen, deadline)
        except Refused as refused:
            self._seen = None
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

    def _look(self, owner: str, lease: int, deadline: Deadline) -> tuple[_Page, _Seen]:
        """What is kept about the owner, and everything under the prefix at the same moment, with as little reading as
        will do."""
        about = self._range(_below(self._shelf.folder(owner)), lease, deadline)
        before = self._seen
        if before and about.mark == before.mark:
            return about, before
        if before and about.mark.succeeds(before.mark) and (seen := self._newer(about.mark, before, deadline)):
            return about, seen
        everything = self._at(about.mark, {}, lease, deadline)
        return about, _seen(about.mark, lease, everything.kvs)

    def _newer(self, mark: Mark, before: _Seen, deadline: Deadline) -> _Seen | None:
        """All keys, from those seen before and those written since; None if keys went, as their number tells."""
        newer = {"min_mod_revision": str(before.mark.index + 1)}
        changed = self._at(mark, newer, before.lease, deadline)
        stored = {**before.stored, **{each.key: each for each in changed.kvs}}
        return _seen(mark, before.lease, stored.values()) if len(stored) == changed.count else None

    def _at(self, mark: Mark, which: Document, lease: int, deadline: Deadline) -> _Page:
        """The keys under the prefix as they were then. Two ranges in a transaction would do as well, but an etcd
        that is full takes none."""
        return self._range({**_below(self._prefix), **which, "revision": str(mark.index)}, lease, deadline)

    def _actual(self, owner: str, about: _Page, seen: _Seen, deadline: Deadline) -> Actual:
        """What a pass gets to see, with what is left of the lease where something hangs on it."""
        stored, kept = seen.stored, {each.key: each for each in about.kvs}
        if seen.leased or any(each.renewable for each in about.kvs):
            left = self._left(seen.lease, deadline)
            stored = {**stored, **{key: evolve(stored[key], ttl=left) for key in seen.leased}}
            kept = {key: evolve(each, ttl=left) if each.renewable else each for key, each in kept.items()}
        if not self._prefix:
            stored = {key: each for key, each in stored.items() if not key.startswith(f"{ROOT}/")}
        record, question = kept.get(self._shelf.record(owner)), kept.get(self._shelf.question(owner))
        return Actual(stored, record, question, about.mark, flat=True)

    def _left(self, lease: int, deadline: Deadline) -> int:
        """Seconds that are left of the lease, 0 if it is gone. It can be more than was asked for: etcd gives no less
        than its members need to elect a leader."""
        left = self._gateway.call("lease/timetolive", {"ID": str(lease)}, lambda answer: int(answer["TTL"]), deadline)
        return min(max(left, 0), self._lifetime.ttl)

    def _range(self, keys: Document, lease: int, deadline: Deadline) -> _Page:
        return self._gateway.call("kv/range", keys, lambda answer: _page(_mark(answer), answer, lease), deadline)


def _below(path: str) -> dict[str, str]:
    """The range of all keys below a path: up to the character that follows the slash."""
    return {"key": _coded(f"{path}/"), "range_end": _coded(f"{path}0")}


def _coded(text: str) -> str:
    """As the gateway wants its bytes. What was no UTF-8 when it was read is the same again."""
    return base64.b64encode(text.encode(errors="surrogateescape")).decode()


def _plain(coded: str) -> str:
    return base64.b64decode(coded).decode(errors="surrogateescape")


def _mark(answer: Document) -> Mark:
    return Mark(str(answer["header"]["cluster_id"]), int(answer["header"]["revision"]))


def _page(mark: Mark, answer: Document, lease: int) -> _Page:
    # The gateway leaves out what is empty or 0.
    return _Page(mark, tuple(_stored(each, lease) for each in answer.get("kvs", ())), int(answer.get("count", 0)))


def _stored(document: Document, lease: int) -> Stored:
    """A key; what is left of our lease is another question, and of a lease that is not ours nobody's business."""
    hangs_on = int(document.get("lease", 0))
    return Stored(
        _plain(document["key"]),
        _plain(document.get("value", "")),
        int(document["mod_revision"]),
        ttl=0 if hangs_on else None,
        renewable=bool(lease) and hangs_on == lease,
    )


def _seen(mark: Mark, lease: int, stored: Iterable[Stored]) -> _Seen:
    by_key = {each.key: each for each in stored}
    return _Seen(mark, lease, by_key, tuple(key for key, each in by_key.items() if each.renewable))


class Etcd3Registry(Etcd3Reader):
    """Reads and writes one prefix. Each write is guarded by what was read, and can safely be made twice."""

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """Make one change; see Registry."""
        return next(self.apply_all(owner, [change], deadline))

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """Make several, a batch in one transaction; see Registry. All renewals together are one of the lease."""
        renewals: list[Change] = []
        writes: list[Change] = []
        for change in changes:
            (renewals if change.action is Action.RENEW else writes).append(change)
        yield from self._renew(owner, renewals, deadline)
        for start in range(0, len(writes), BATCH):
            yield from self._write(owner, writes[start : start + BATCH], deadline)

    def _renew(self, owner: str, renewals: Sequence[Change], deadline: Deadline) -> Iterator[Outcome]:
        """Keep the lease alive for all that hangs on it. No key is written, and no watcher wakes."""
        ours = [change for change in renewals if change.before and change.before.renewable]
        for change in renewals:
            if change not in ours:
                yield Outcome(change, Result.CONFLICT, "it does not hang on this host's lease")
        if ours and deadline.passed:
            yield from map(skipped, ours)
        elif ours:
            result, detail = self._keep_alive(owner, deadline)
            yield from (Outcome(change, result, detail) for change in ours)

    def _keep_alive(self, owner: str, deadline: Deadline) -> tuple[Result, str]:
        def read(answer: Any) -> int:
            return int(answer["result"].get("TTL", 0))

        try:
            left = self._gateway.call("lease/keepalive", {"ID": str(self._lease(owner))}, read, deadline)
        except (Refused, RegistryUnavailable) as error:
            return Result.FAILED, str(error)
        return (Result.APPLIED, "") if left > 0 else (Result.CONFLICT, "the lease has expired, and its keys with it")

    def _write(self, owner: str, batch: Sequence[Change], deadline: Deadline) -> Iterable[Outcome]:
        """One transaction. One that etcd refuses as a whole is made in two halves, down to the change that it is about:
        a key that the user may not write, or more at once than this etcd takes."""
        if deadline.passed:
            return map(skipped, batch)
        try:
            return self._transact(owner, batch, deadline)
        except RegistryUnavailable as error:
            return [Outcome(change, Result.FAILED, str(error)) for change in batch]
        except Refused as refused:
            if len(batch) == 1 or refused.full:
                return [Outcome(change, Result.FAILED, refused.detail) for change in batch]
        half = len(batch) // 2
        return [*self._write(owner, batch[:half], deadline), *self._write(owner, batch[half:], deadline)]

    def _transact(self, owner: str, batch: Sequence[Change], deadline: Deadline) -> list[Outcome]:
        lease = self._lease(owner)
        guarded = [_guarded(change, lease) for change in batch]
        # Nothing is compared, so the second list is never carried out. It is there because etcd before 3.5.28 asks for
        # permission at this level alone (https://github.com/advisories/GHSA-rfx7-8w68-q57q).
        asked = {
            "success": [{"request_txn": each} for each in guarded],
            "failure": [write for each in guarded for write in each["success"]],
        }

        def read(answer: Any) -> list[Outcome]:
            answers = (each["response_txn"] for each in answer["responses"])
            return [_outcome(change, each) for change, each in zip(batch, answers, strict=True)]

        try:
            return self._gateway.call("kv/txn", asked, read, deadline)
        except Refused as refused:
            if not lease or refused.code != NOT_FOUND:
                raise
        self._grant(lease, deadline)
        return self._gateway.call("kv/txn", asked, read, deadline)

    def _grant(self, lease: int, deadline: Deadline) -> None:
        """Have the lease again: it was never there, expired while this program stood still, or went with the store."""
        asked = {"ID": str(lease), "TTL": str(self._lifetime.ttl)}
        try:
            self._gateway.call("lease/grant", asked, lambda answer: None, deadline)
        except Refused as refused:
            # Another agent of this host was quicker.
            if refused.code != PRECONDITION:
                raise


def _guarded(change: Change, lease: int) -> Document:
    """The change, if its key is as it was read; else what the key holds. A key that is not there has revision 0."""
    key, version = _coded(change.key), change.before.version if change.before else 0
    compare = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": str(version)}
    if change.action is Action.DELETE:
        write: Document = {"request_delete_range": {"key": key}}
    else:
        # The owner record outlives the entries: it says whose they were.
        hangs = {"lease": str(lease)} if lease and change.action is not Action.RECORD else {}
        write = {"request_put": {"key": key, "value": _coded(change.value), **hangs}}
    return {"compare": [compare], "success": [write], "failure": [{"request_range": {"key": key}}]}


def _outcome(change: Change, answer: Document) -> Outcome:
    if answer.get("succeeded"):
        return Outcome(change, Result.APPLIED)
    found = answer["responses"][0]["response_range"].get("kvs", ())
    return overtaken(change, _plain(found[0].get("value", "")) if found else None)
