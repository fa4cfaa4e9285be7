"""etcd's v3 store as a registry: guarded writes, many in one transaction, and one lease for all of a host's keys.

Source of what etcd does: https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from controller.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import overtaken, skipped
from controller.registry.etcd_v3.client import NOT_FOUND, PRECONDITION, Document, Refused
from controller.registry.etcd_v3.reader import EtcdV3Reader, coded, plain_text, seconds_in, store_position_in
from model.plan import Action, Change
from model.report import Outcome, Result

#: As many changes go into one transaction. etcd's limit is 128 operations (``--max-txn-ops``), and the one within each
#: of these counts on top.
BATCH = 127


class EtcdV3Registry(EtcdV3Reader):
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
        if renewals:
            yield from self._renew(owner, renewals, deadline)
        elif any(self._hangs(change) for change in writes) and not deadline.passed:
            self._revive(self._lease(owner), deadline)
        for start in range(0, len(writes), BATCH):
            yield from self._write(owner, writes[start : start + BATCH], deadline)

    def _hangs(self, change: Change) -> bool:
        """Whether what is written hangs on the lease. The owner record outlives the entries, as it says whose they
        were."""
        return self._lifetime.ttl > 0 and change.action in {Action.CREATE, Action.UPDATE}

    def _renew(self, owner: str, renewals: Sequence[Change], deadline: Deadline) -> Iterator[Outcome]:
        """Keep the lease alive for all that hangs on it. No key is written, and no watcher wakes."""
        ours: list[Change] = []
        for change in renewals:
            if change.before and change.before.renewable:
                ours.append(change)
            else:
                yield Outcome(change, Result.CONFLICT, "it does not hang on this host's lease")
        if ours and deadline.passed:
            yield from map(skipped, ours)
        elif ours:
            result, detail = self._renewed(self._lease(owner), deadline)
            yield from (Outcome(change, result, detail) for change in ours)

    def _renewed(self, lease: int, deadline: Deadline) -> tuple[Result, str]:
        try:
            left = self._keep_alive(lease, deadline)
        except (Refused, RegistryUnavailable) as error:
            return Result.FAILED, str(error)
        return (Result.APPLIED, "") if left > 0 else (Result.CONFLICT, "the lease has expired, and its keys with it")

    def _revive(self, lease: int, deadline: Deadline) -> None:
        """Have the whole of the lease before something is hung on it. While nothing does, nobody renews it, and what is
        left of it may be next to nothing. Where this fails, what is written says so, or the next renewal."""
        try:
            if self._keep_alive(lease, deadline) <= 0:
                self._grant(lease, deadline)
        except (Refused, RegistryUnavailable):
            return

    def _keep_alive(self, lease: int, deadline: Deadline) -> int:
        """Seconds that the lease has now; 0 if it is gone."""
        asked = {"ID": str(lease)}
        return self._gateway.call("lease/keepalive", asked, lambda answer: seconds_in(answer["result"]), deadline)

    def _write(self, owner: str, batch: Sequence[Change], deadline: Deadline) -> list[Outcome]:
        """One transaction. One that etcd refuses as a whole, for a part of it or for its size, is made in two halves,
        down to the change that it is about."""
        if deadline.passed:
            return [skipped(change) for change in batch]
        try:
            return self._transact(owner, batch, deadline)
        except RegistryUnavailable as error:
            return [Outcome(change, Result.FAILED, str(error)) for change in batch]
        except Refused as refused:
            parts = _parts(batch, refused)
            if len(parts) < 2:
                return [Outcome(change, Result.FAILED, refused.detail) for change in batch]
        return [outcome for part in parts for outcome in self._write(owner, part, deadline)]

    def _transact(self, owner: str, batch: Sequence[Change], deadline: Deadline) -> list[Outcome]:
        lease, record = self._lease(owner), self._record_guard(owner)
        guarded = [_guarded(change, lease if self._hangs(change) else 0, record) for change in batch]
        # Nothing is compared, so the second list is never carried out. It is there because etcd before 3.5.28 asks for
        # permission at this level alone (https://github.com/advisories/GHSA-rfx7-8w68-q57q), and for keys alone.
        asked = {
            "success": [{"request_txn": each} for each in guarded],
            "failure": [_permission(change) for change in batch],
        }

        def read(answer: Any) -> list[tuple[Outcome, int]]:
            revision = store_position_in(answer).index
            answers = (each["response_txn"] for each in answer["responses"])
            return [_outcome(change, each, revision) for change, each in zip(batch, answers, strict=True)]

        try:
            ended = self._gateway.call("kv/txn", asked, read, deadline)
        except Refused as refused:
            if not lease or refused.code != NOT_FOUND:
                raise
            self._grant(lease, deadline)
            ended = self._gateway.call("kv/txn", asked, read, deadline)
        self._note_record(owner, ended)
        return [outcome for outcome, _ in ended]

    def _record_guard(self, owner: str) -> Document | None:
        """That the owner record is as this registry read or wrote it last; None if it has not."""
        version = self._record_version.get(owner)
        return None if version is None else _unchanged(coded(self._shelf.record(owner)), version)

    def _note_record(self, owner: str, ended: Iterable[tuple[Outcome, int]]) -> None:
        for outcome, version in ended:
            if outcome.change.action is Action.RECORD and outcome.result is Result.APPLIED:
                self._record_version[owner] = version

    def _grant(self, lease: int, deadline: Deadline) -> None:
        """Have the lease again: it was never there, expired while this program stood still, or went with the store."""
        asked = {"ID": str(lease), "TTL": str(self._lifetime.ttl)}
        try:
            self._gateway.call("lease/grant", asked, lambda answer: None, deadline)
        except Refused as refused:
            # Another agent of this host was quicker.
            if refused.code != PRECONDITION:
                raise


def _parts(batch: Sequence[Change], refused: Refused) -> list[Sequence[Change]]:
    """What of a batch that was refused may be had by itself: halves of what was too much or not all permitted; the
    deletes, where etcd is full, as some versions take those."""
    if refused.full:
        deletes = [change for change in batch if change.action is Action.DELETE]
        others = [change for change in batch if change.action is not Action.DELETE]
        return [part for part in (others, deletes) if part]
    if refused.divisible and len(batch) > 1:
        return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return [batch]


def _unchanged(key: str, version: int) -> Document:
    """That a key is as it was read; one that is not there has revision 0."""
    return {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": str(version)}


def _guarded(change: Change, lease: int, record: Document | None) -> Document:
    """The change, if its key is as it was read; else what the key holds.

    A key that is not there now was not there before it was created either. So a create that etcd held up, and that was
    asked for again meanwhile, could come late, when its key has gone again. Under a custom id nobody would know it for
    ours then, unless the owner record still says so: such a create also asks for the record to be unchanged."""
    key = coded(change.key)
    compare = [_unchanged(key, change.before.version if change.before else 0)]
    if record and change.claimed and change.action is Action.CREATE:
        compare.append(record)
    if change.action is Action.DELETE:
        write: Document = {"request_delete_range": {"key": key}}
    else:
        write = {"request_put": {"key": key, "value": coded(change.value), **({"lease": str(lease)} if lease else {})}}
    return {"compare": compare, "success": [write], "failure": [{"request_range": {"key": key}}]}


def _permission(change: Change) -> Document:
    """A write of nothing, to the same key."""
    key = {"key": coded(change.key)}
    return {"request_delete_range": key} if change.action is Action.DELETE else {"request_put": key}


def _outcome(change: Change, answer: Document, revision: int) -> tuple[Outcome, int]:
    """How a change ended, and the revision at which its key was written."""
    if answer.get("succeeded"):
        return Outcome(change, Result.APPLIED), revision
    found = answer["responses"][0]["response_range"].get("kvs", ())
    if not found:
        return overtaken(change, None), 0
    return overtaken(change, plain_text(found[0].get("value", ""))), int(found[0]["mod_revision"])
