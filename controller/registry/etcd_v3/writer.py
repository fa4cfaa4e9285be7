"""Writing to etcd's v3 store: guarded writes, many in one transaction, and one lease for all service entries of a host.

Source of what etcd does: https://etcd.io/docs/v3.5/learning/api/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import evolve

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Found, overtaken, skipped
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error, GrpcStatus
from controller.registry.etcd_v3.documents import Document, decoded, encoded, hangs_on, is_unchanged, store_position_in
from controller.registry.etcd_v3.lease import Lease
from controller.registry.etcd_v3.record_guard import RecordGuard
from model.heartbeat import TEXT, Heartbeat
from model.plan import Action, Change
from model.record import RecordKeys
from model.report import Outcome, Result

#: The most changes in one transaction. etcd's limit is 128 operations (``--max-txn-ops``), and each change counts as
#: one operation with one more inside it.
BATCH = 127

#: The most keys of ``Change.absent`` that are checked; the others are not. etcd takes 128 operations, nested ones
#: included.
MAX_ABSENT = 100


class EtcdV3Writer:
    """Writes one prefix through etcd's v3 API. Each write is guarded by what was read, and can safely be repeated."""

    def __init__(self, client: EtcdV3Client, lease: Lease, record_guard: RecordGuard) -> None:
        """Service entries are written on ``lease``. ``record_guard`` knows at which revision the owner record was last
        read, and is told when it is written."""
        self._client = client
        self._lease = lease
        self._record_guard = record_guard

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Writer."""
        return next(self.apply_all(owner, [change], deadline))

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """See Writer. All renewals together are one request, as all keys hang on one lease; the other changes are made
        in as few transactions as possible."""
        renewals: list[Change] = []
        writes: list[Change] = []
        for change in changes:
            (renewals if change.action is Action.RENEW else writes).append(change)
        if renewals:
            yield from self._renew(owner, renewals, deadline)
        elif any(self._lease_for(owner, change) for change in writes) and not deadline.passed:
            self._lease.revive(owner, deadline)
        for start in range(0, len(writes), BATCH):
            yield from self._write(owner, writes[start : start + BATCH], deadline)

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """See Writer. The key hangs on a lease of its own. It is written if somebody removed it, and if it hangs on the
        lease of an earlier lifetime."""
        key = RecordKeys(self._lease.prefix).heartbeat(owner)
        lease = Lease(self._client, key, heartbeat.lifetime)
        put = {"key": encoded(key), "value": encoded(TEXT), "lease": str(lease.id(owner))}
        transaction = {"compare": [hangs_on(key, lease.id(owner))], "failure": [{"request_put": put}]}
        try:
            if not lease.keep_alive(owner, deadline):
                lease.grant(owner, deadline)
            self._client.call("kv/txn", transaction, store_position_in, deadline)
        except EtcdV3Error as error:
            raise RegistryUnavailable(error.detail) from error

    def _lease_for(self, owner: str, change: Change) -> int:
        """Return the id of the lease that a change puts its key on, 0 for none. Owner record and agent note hang on
        none: they outlive the entries."""
        return self._lease.id(owner) if change.action in {Action.CREATE, Action.UPDATE} else 0

    def _condition(self, owner: str, change: Change) -> Document | None:
        """Return the condition that the owner record is unchanged, if the change has it; see ``record_guard``. The
        guard of a write of the record itself says the same."""
        late = change.claimed and change.action is Action.CREATE
        hurried = self._record_guard.hurried and change.action is not Action.RECORD
        return self._record_guard.condition(owner) if late or hurried else None

    def _renew(self, owner: str, renewals: Sequence[Change], deadline: Deadline) -> Iterator[Outcome]:
        """Keep the lease alive for all keys that hang on it."""
        ours: list[Change] = []
        for change in renewals:
            if change.before and change.before.renewable:
                ours.append(change)
            else:
                yield Outcome(change, Result.CONFLICT, "it does not hang on this host's lease")
        if ours and deadline.passed:
            yield from map(skipped, ours)
        elif ours:
            result, detail = self._keep_alive(owner, deadline)
            yield from (Outcome(change, result, detail) for change in ours)

    def _keep_alive(self, owner: str, deadline: Deadline) -> tuple[Result, str]:
        """Keep the lease alive; return the result and the detail of every renewal."""
        try:
            alive = self._lease.keep_alive(owner, deadline)
        except EtcdV3Error as error:
            return Result.REJECTED, error.detail
        except RegistryUnavailable as error:
            return Result.FAILED, str(error)
        return (Result.APPLIED, "") if alive else (Result.CONFLICT, "the lease has expired, and its keys with it")

    def _write(self, owner: str, batch: Sequence[Change], deadline: Deadline) -> list[Outcome]:
        """Make a batch of changes in one transaction. If etcd refuses all of it because of some of its changes, or for
        its size, make it in parts, down to the change that is the cause."""
        if deadline.passed:
            return [skipped(change) for change in batch]
        try:
            return self._transact(owner, batch, deadline)
        except RegistryUnavailable as error:
            return [Outcome(change, Result.FAILED, str(error)) for change in batch]
        except EtcdV3Error as error:
            parts = _parts(batch, error)
            if parts == [batch]:
                return [Outcome(change, Result.REJECTED, error.detail) for change in batch]
        return [outcome for part in parts for outcome in self._write(owner, part, deadline)]

    def _transact(self, owner: str, batch: Sequence[Change], deadline: Deadline) -> list[Outcome]:
        """Make a batch of changes in one transaction, in which each change is a transaction with a guard of its own.
        Raises EtcdV3Error when etcd refuses all of it, and RegistryUnavailable."""
        record_revision = self._record_guard.revision(owner)
        guarded = [_guarded(change, self._lease_for(owner, change), self._condition(owner, change)) for change in batch]
        # The outer transaction compares nothing, so its "failure" list is never carried out. It is there because etcd
        # before 3.5.28 checks the permissions of this level alone, and of keys alone:
        # https://github.com/advisories/GHSA-rfx7-8w68-q57q
        transaction = {
            "success": [{"request_txn": each} for each in guarded],
            "failure": [_empty_write(change) for change in batch],
        }

        def read(answer: Any) -> list[Outcome]:
            revision = store_position_in(answer).index
            answers = (each["response_txn"] for each in answer["responses"])
            return [
                _outcome(change, each, revision, record_revision) for change, each in zip(batch, answers, strict=True)
            ]

        try:
            outcomes = self._client.call("kv/txn", transaction, read, deadline)
        except EtcdV3Error as error:
            if error.code != GrpcStatus.NOT_FOUND or not self._lease.id(owner):
                raise
            self._lease.grant(owner, deadline)
            outcomes = self._client.call("kv/txn", transaction, read, deadline)
        for outcome in outcomes:
            if outcome.ended(Action.RECORD, Result.APPLIED):
                self._record_guard.note(owner, outcome.version)
        return outcomes


def _parts(batch: Sequence[Change], error: EtcdV3Error) -> list[Sequence[Change]]:
    """Return the parts of a refused batch that may succeed by themselves; the batch alone where there are none.

    A batch that was too large, or of which not all is permitted, is halved. A single change is tried again without its
    condition that other keys are absent. If etcd is full, the deletes are tried by themselves, because some versions of
    etcd take these.
    """
    if error.full:
        deletes = [change for change in batch if change.action is Action.DELETE]
        others = [change for change in batch if change.action is not Action.DELETE]
        return [part for part in (others, deletes) if part]
    if error.divisible and len(batch) > 1:
        return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    if error.divisible and batch[0].absent:
        return [[evolve(batch[0], absent=())]]
    return [batch]


def _guarded(change: Change, lease: int, record_is_unchanged: Document | None) -> Document:
    """Return the transaction that makes a change if its key is as it was read, and otherwise reads what the key holds.
    If ``record_is_unchanged`` is given, it has to be true, too."""
    key = encoded(change.key)
    compare = [is_unchanged(change.key, change.before.version if change.before else 0)]
    compare += [is_unchanged(each, 0) for each in change.absent[:MAX_ABSENT]]
    if record_is_unchanged:
        compare.append(record_is_unchanged)
    if change.action is Action.DELETE:
        write: Document = {"request_delete_range": {"key": key}}
    else:
        on_lease = {"lease": str(lease)} if lease else {}
        write = {"request_put": {"key": key, "value": encoded(change.value), **on_lease}}
    return {"compare": compare, "success": [write], "failure": [{"request_range": {"key": key}}]}


def _empty_write(change: Change) -> Document:
    """Return a write to the change's key that needs the same permission as the change and carries no value."""
    key = {"key": encoded(change.key)}
    return {"request_delete_range": key} if change.action is Action.DELETE else {"request_put": key}


def _outcome(change: Change, answer: Document, revision: int, record_revision: int) -> Outcome:
    """Return the outcome of a change from the answer to its transaction. ``revision`` is the one that the answer was
    given at, and ``record_revision`` the one at which the owner record was last written."""
    if answer.get("succeeded"):
        return Outcome(change, Result.APPLIED, version=revision)
    pairs = answer["responses"][0]["response_range"].get("kvs", ())
    return overtaken(change, _found(pairs[0]) if pairs else None, record_revision)


def _found(pair: Document) -> Found:
    return Found(decoded(pair.get("value", "")), int(pair["mod_revision"]), int(pair["create_revision"]))
