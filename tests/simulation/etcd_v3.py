"""A simulation of the store behind the JSON gateway of etcd's v3 API, as far as the program uses it.

Its answers have been compared with those of etcd 3.5.1; see test_etcd_differential. What is left out raises
NotImplementedError: watches, users, sorting, ``prev_kv``, ``ignore_value`` and the other fields that no request of the
program has.

Source: https://etcd.io/docs/v3.5/learning/api/, and server/etcdserver and server/storage/mvcc of etcd 3.5.
"""

from __future__ import annotations

import binascii
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from attrs import frozen

from tests.simulation.etcd_change import Change, ChangeKind, Notify, expiry_tick, last_tick
from tests.simulation.messages import Response

#: The path under which the gateway serves its calls.
API = "/v3/"

#: Operations in one transaction at most (``--max-txn-ops``).
MAX_OPERATIONS = 128

#: Bytes of a request that writes at most (``--max-request-bytes``).
MAX_REQUEST = 3 * 1024 * 1024 // 2

#: Bytes of any request at most; gRPC refuses what is longer.
MAX_MESSAGE = MAX_REQUEST + 512 * 1024

#: The seconds of a lease at most.
_MAX_TTL = 9_000_000_000

#: The HTTP statuses that the gateway gives for gRPC's codes.
_STATUSES = {3: 400, 5: 404, 8: 429, 9: 400, 11: 400}

_RANGE_FIELDS = frozenset(
    {"key", "range_end", "limit", "revision", "serializable", "keys_only", "count_only", "min_mod_revision"}
)
_PUT_FIELDS = frozenset({"key", "value", "lease"})
_DELETE_FIELDS = frozenset({"key", "range_end"})
_TXN_FIELDS = frozenset({"compare", "success", "failure"})

Document = Mapping[str, Any]


class Refusal(Exception):
    """etcd refuses a request, with a gRPC code and a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def response(self) -> Response:
        """Return the response of the gateway."""
        document = {"error": self.message, "code": self.code, "message": self.message}
        return Response.of_json(document, _STATUSES[self.code])


def _empty_key() -> Refusal:
    return Refusal(3, "etcdserver: key is not provided")


def _duplicate_key() -> Refusal:
    return Refusal(3, "etcdserver: duplicate key given in txn request")


def _lease_not_found() -> Refusal:
    return Refusal(5, "etcdserver: requested lease not found")


def _compacted() -> Refusal:
    return Refusal(11, "etcdserver: mvcc: required revision has been compacted")


def _future_revision() -> Refusal:
    return Refusal(11, "etcdserver: mvcc: required revision is a future revision")


class KeyValue:
    """A key as it was after a write of it. A version of 0 stands for a key that was deleted."""

    __slots__ = ("create", "key", "lease", "mod", "text", "value", "version")

    def __init__(self, key: bytes, value: bytes, create: int, mod: int, version: int, lease: int) -> None:
        self.key = key
        self.value = value
        self.create = create
        self.mod = mod
        self.version = version
        self.lease = lease
        #: Its JSON, once it was needed.
        self.text = ""

    def shown(self) -> str:
        """Return its JSON."""
        if not self.text:
            value = f',"value":"{_base64(self.value)}"' if self.value else ""
            self.text = f"{self._head()}{value}{self._tail()}"
        return self.text

    def shown_without_value(self) -> str:
        """Return its JSON as in an answer of keys alone."""
        return f"{self._head()}{self._tail()}"

    def _head(self) -> str:
        return (
            f'{{"key":"{_base64(self.key)}","create_revision":"{self.create}","mod_revision":"{self.mod}",'
            f'"version":"{self.version}"'
        )

    def _tail(self) -> str:
        return f',"lease":"{self.lease}"}}' if self.lease else "}"


@frozen
class Header:
    """Who answers: what the header of each answer says beside the revision."""

    cluster_id: int
    member_id: int
    raft_term: int

    def shown(self, revision: int) -> str:
        """Return its JSON."""
        return (
            f'{{"cluster_id":"{self.cluster_id}","member_id":"{self.member_id}","revision":"{revision}",'
            f'"raft_term":"{self.raft_term}"}}'
        )


class Lease:
    """A lease, and the keys that hang on it."""

    __slots__ = ("expires", "keys", "number", "ttl")

    def __init__(self, number: int, ttl: int, expires: float) -> None:
        self.number = number
        #: Seconds.
        self.ttl = ttl
        #: The virtual time.
        self.expires = expires
        self.keys: set[bytes] = set()


class _Range(NamedTuple):
    """Keys from the first up to, and without, the last. An ``end`` of None is no limit."""

    start: bytes
    end: bytes | None

    @classmethod
    def of(cls, document: Document) -> _Range:
        """Return the range that a request asks for."""
        key = _bytes(document.get("key", ""))
        end = _bytes(document.get("range_end", ""))
        if not end:
            return cls(key, key + b"\0")
        return cls(key, None if end == b"\0" else end)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.start <= key and (self.end is None or key < self.end)

    def slice_of(self, keys: list[bytes]) -> list[bytes]:
        """Return those of some sorted keys that are in the range."""
        first = bisect_left(keys, self.start)
        return keys[first:] if self.end is None else keys[first : bisect_left(keys, self.end, first)]


def needs_quorum(call: str, document: Document) -> bool:
    """Return whether a member can carry out the call only together with a majority of the cluster's members. A
    transaction needs none if it has ranges alone, and they are serializable; also if it has compares alone."""
    if call == "kv/range":
        return not document.get("serializable")
    if call == "kv/txn":
        operations = [*document.get("success", ()), *document.get("failure", ())]
        return not all(each.get("request_range", {}).get("serializable") for each in operations)
    return call not in {"lease/leases", "maintenance/status"}


class EtcdV3Store:
    """The keys and leases of the v3 API, with the history of the keys."""

    def __init__(
        self,
        now: Callable[[], float],
        notify: Notify = lambda change: None,
        *,
        min_lease_ttl: int = 2,
        history: int = 10_000,
    ) -> None:
        """``now`` returns the virtual time in seconds; ``notify`` is told of each change of a key. ``min_lease_ttl`` is
        the shortest lifetime of a lease in seconds: one and a half election timeouts, rounded up. At least the last
        ``history`` revisions can be read."""
        self.revision = 1
        #: Whether a call, with its document, is refused because the store's space is used up.
        self.full: Callable[[str, Document], bool] = lambda call, document: False
        self._compacted = 0
        self._now = now
        self._notify = notify
        self._min_lease_ttl = min_lease_ttl
        self._history = history
        self._live: dict[bytes, KeyValue] = {}
        self._live_keys: list[bytes] = []
        #: What each key was after each write that has not been compacted; the keys are those of ``_all_keys``.
        self._past: dict[bytes, list[KeyValue]] = {}
        self._all_keys: list[bytes] = []
        self._leases: dict[int, Lease] = {}
        self._granted = 0
        #: The changes of the request that is being carried out.
        self._changes: list[Change] = []

    def copy(self, notify: Notify = lambda change: None) -> EtcdV3Store:
        """Return a copy that shares nothing with this store that changes."""
        twin = EtcdV3Store(self._now, notify, min_lease_ttl=self._min_lease_ttl, history=self._history)
        twin.revision = self.revision
        twin.full = self.full
        twin._compacted = self._compacted
        twin._live = dict(self._live)
        twin._live_keys = list(self._live_keys)
        twin._past = {key: list(writes) for key, writes in self._past.items()}
        twin._all_keys = list(self._all_keys)
        twin._granted = self._granted
        for lease in self._leases.values():
            copied = twin._leases[lease.number] = Lease(lease.number, lease.ttl, lease.expires)
            copied.keys = set(lease.keys)
        return twin

    def keys(self, prefix: str = "") -> dict[str, str]:
        """Return all keys that begin with a text, with their values."""
        return {_text(each.key): _text(each.value) for each in self._live_under(prefix)}

    def expiries(self, prefix: str = "") -> dict[str, float | None]:
        """Return the virtual time at which each key's lease ends, for the keys that begin with ``prefix``; None for a
        key without a lease."""
        leases = self._leases
        return {
            _text(each.key): leases[each.lease].expires if each.lease else None for each in self._live_under(prefix)
        }

    def _live_under(self, prefix: str) -> Iterator[KeyValue]:
        start = prefix.encode(errors="surrogateescape")
        for key in self._live_keys[bisect_left(self._live_keys, start) :]:
            if not key.startswith(start):
                break
            yield self._live[key]

    def next_expiry(self) -> float | None:
        """Return the virtual time at which the next lease is revoked as expired; None if there is no lease."""
        return expiry_tick(min(lease.expires for lease in self._leases.values())) if self._leases else None

    def expire(self) -> None:
        """Revoke the leases that have expired and were noticed by now, which deletes their keys."""
        if not self._leases:
            return
        cutoff = last_tick(self._now())
        due = [lease for lease in self._leases.values() if lease.expires <= cutoff]
        for lease in sorted(due, key=lambda lease: (lease.expires, lease.number)):
            self._revoke(lease, ChangeKind.EXPIRE)
            self._commit()

    def renew_leases(self, start: float) -> None:
        """Give each lease its full lifetime, counted from a virtual time."""
        for lease in self._leases.values():
            lease.expires = start + lease.ttl

    def put(self, key: str, value: str) -> None:
        """Write a key without a guard and without a lease."""
        self._put(key.encode(errors="surrogateescape"), value.encode(errors="surrogateescape"), 0)
        self._commit()

    def delete(self, key: str) -> bool:
        """Delete a key without a guard; return whether it was there."""
        return self._delete_and_commit([key.encode(errors="surrogateescape")])

    def delete_prefix(self, prefix: str) -> bool:
        """Delete all keys that begin with a text, in one revision; return whether there were any."""
        return self._delete_and_commit([key.encode(errors="surrogateescape") for key in self.keys(prefix)])

    def compact(self, revision: int) -> None:
        """Forget what was before a revision. Raises Refusal."""
        if revision <= self._compacted:
            raise _compacted()
        if revision > self.revision:
            raise _future_revision()
        self._compacted = revision
        for key, writes in list(self._past.items()):
            # What the key was at the revision can still be read, unless it was deleted then.
            first = bisect_right(writes, revision, key=_mod) - 1
            if first >= 0 and not writes[first].version:
                first += 1
            if first > 0:
                del writes[:first]
            if not writes:
                del self._past[key]
        self._all_keys = sorted(self._past)

    # Calls of the gateway.

    def refused(self, call: str, document: Document, size: int) -> Response | None:
        """Return the response to a call of the gateway that the member which gets it refuses by itself; None if it
        passes the call on. ``size`` is that of the request in bytes."""
        if call not in _CALLS:
            return Response(404, b"Not Found\n", {"Content-Type": "text/plain; charset=utf-8"})
        try:
            if size > MAX_REQUEST:
                _check_size(call, document)
            if self.full(call, document):
                raise Refusal(8, "etcdserver: mvcc: database space exceeded")
            if call in _CHECKS:
                _CHECKS[call](document)
        except Refusal as refusal:
            return refusal.response()
        return None

    def answer(self, call: str, document: Document, header: Header) -> Response:
        """Carry out a call of the gateway that is not ``refused``, and return the response."""
        try:
            body = _CALLS[call](self, document, header)
        except Refusal as refusal:
            return refusal.response()
        return Response(200, body.encode(), {"Content-Type": "application/json"})

    def _answer_range(self, document: Document, header: Header) -> str:
        return f'{{"header":{header.shown(self.revision)}{self._range(document, self.revision)}}}'

    def _answer_status(self, document: Document, header: Header) -> str:
        # A real etcd answers more. The program and its tests need only the header.
        return f'{{"header":{header.shown(self.revision)}}}'

    def _answer_put(self, document: Document, header: Header) -> str:
        self._check_lease(document)
        self._put_asked(document)
        self._commit()
        return f'{{"header":{header.shown(self.revision)}}}'

    def _answer_delete_range(self, document: Document, header: Header) -> str:
        deleted = self._delete_range(document)
        self._commit()
        return f'{{"header":{header.shown(self.revision)}{deleted}}}'

    def _answer_txn(self, document: Document, header: Header) -> str:
        path = self._chosen(document)
        for operation in path.operations():
            if "request_put" in operation:
                self._check_lease(operation["request_put"])
        for operation in path.operations():
            if "request_range" in operation:
                self._readable(int(operation["request_range"].get("revision", 0)), self.revision)
        results = self._carry_out(path)
        self._commit()
        return f'{{"header":{header.shown(self.revision)}{results}}}'

    def _answer_compaction(self, document: Document, header: Header) -> str:
        self.compact(int(document.get("revision", 0)))
        return f'{{"header":{header.shown(self.revision)}}}'

    def _answer_grant(self, document: Document, header: Header) -> str:
        number, ttl = int(document.get("ID", 0)), int(document.get("TTL", 0))
        if ttl > _MAX_TTL:
            raise Refusal(11, "etcdserver: too large lease TTL")
        if number in self._leases:
            raise Refusal(9, "etcdserver: lease already exists")
        while not number or number in self._leases:
            self._granted += 1
            number = 7_000_000_000_000_000_000 + self._granted
        ttl = max(ttl, self._min_lease_ttl)
        self._leases[number] = Lease(number, ttl, self._now() + ttl)
        return f'{{"header":{header.shown(self.revision)},"ID":"{number}","TTL":"{ttl}"}}'

    def _answer_keep_alive(self, document: Document, header: Header) -> str:
        number = int(document.get("ID", 0))
        lease = self._leases.get(number)
        alive = lease is not None and lease.expires > self._now()
        if lease and not alive:
            # A real etcd answers once it has revoked the lease, half a second later at most. Here that comes at once.
            self._revoke(lease, ChangeKind.EXPIRE)
            self._commit()
        if lease and alive:
            lease.expires = self._now() + lease.ttl
        ttl = f',"TTL":"{lease.ttl}"' if lease and alive else ""
        return f'{{"result":{{"header":{header.shown(self.revision)}{_lease_id(number)}{ttl}}}}}\n'

    def _answer_time_to_live(self, document: Document, header: Header) -> str:
        number = int(document.get("ID", 0))
        lease = self._leases.get(number)
        if lease is None:
            return f'{{"header":{header.shown(self.revision)}{_lease_id(number)},"TTL":"-1"}}'
        left = math.trunc(lease.expires - self._now())
        ttl = f',"TTL":"{left}"' if left else ""
        keys = ",".join(f'"{_base64(key)}"' for key in sorted(lease.keys)) if document.get("keys") else ""
        shown = f',"keys":[{keys}]' if keys else ""
        return f'{{"header":{header.shown(self.revision)}{_lease_id(number)}{ttl},"grantedTTL":"{lease.ttl}"{shown}}}'

    def _answer_revoke(self, document: Document, header: Header) -> str:
        lease = self._leases.get(int(document.get("ID", 0)))
        if lease is None:
            raise _lease_not_found()
        self._revoke(lease, ChangeKind.DELETE)
        self._commit()
        return f'{{"header":{header.shown(self.revision)}}}'

    def _answer_leases(self, document: Document, header: Header) -> str:
        leases = ",".join(f'{{"ID":"{number}"}}' for number in sorted(self._leases))
        shown = f',"leases":[{leases}]' if leases else ""
        return f'{{"header":{header.shown(self.revision)}{shown}}}'

    def _answer_authenticate(self, document: Document, header: Header) -> str:
        raise Refusal(9, "etcdserver: authentication is not enabled")

    # Reading.

    def _range(self, document: Document, current: int) -> str:
        """Return the fields of a range's answer behind its header. ``current`` is the store's revision then."""
        revision = int(document.get("revision", 0))
        self._readable(revision, current)
        found = self._found(_Range.of(document), revision if 0 < revision < current else 0)
        total = len(found)
        count = f',"count":"{total}"' if total else ""
        if document.get("count_only"):
            return count
        if since := int(document.get("min_mod_revision", 0)):
            found = [each for each in found if each.mod >= since]
        limit = int(document.get("limit", 0))
        more = ""
        if 0 < limit < len(found):
            found, more = found[:limit], ',"more":true'
        show = KeyValue.shown_without_value if document.get("keys_only") else KeyValue.shown
        shown = f',"kvs":[{",".join(map(show, found))}]' if found else ""
        return f"{shown}{more}{count}"

    def _found(self, keys: _Range, revision: int) -> list[KeyValue]:
        """Return what a range holds, or held at a revision that is not 0."""
        if not revision:
            live = self._live
            return [live[key] for key in keys.slice_of(self._live_keys)]
        found = []
        for key in keys.slice_of(self._all_keys):
            writes = self._past[key]
            at = bisect_right(writes, revision, key=_mod) - 1
            if at >= 0 and writes[at].version:
                found.append(writes[at])
        return found

    def _readable(self, revision: int, current: int) -> None:
        """Raise Refusal where a revision cannot be read."""
        if revision > current:
            raise _future_revision()
        if 0 < revision < self._compacted:
            raise _compacted()

    # Transactions.

    def _chosen(self, document: Document) -> _Path:
        """Return what a transaction does, by its compares. Those of nested transactions too are made before anything is
        written."""
        succeeded = all(map(self._holds, document.get("compare", ())))
        operations = document.get("success" if succeeded else "failure", ())
        nested = [self._chosen(each["request_txn"]) if "request_txn" in each else None for each in operations]
        return _Path(succeeded, operations, nested)

    def _holds(self, compare: Document) -> bool:
        """Return whether a compare holds for each key of its range."""
        target = compare.get("target", "VERSION")
        found = self._found(_Range.of(compare), 0)
        if not found:
            # etcd takes the absent key for one with zeros, but has no value for it.
            return target != "VALUE" and _compared(compare, target, KeyValue(b"", b"", 0, 0, 0, 0))
        return all(_compared(compare, target, each) for each in found)

    def _carry_out(self, path: _Path) -> str:
        """Carry out a transaction and return the fields of its answer behind its header."""
        responses = ",".join(map(self._carried_out, path.chosen, path.nested))
        succeeded = ',"succeeded":true' if path.succeeded else ""
        return f'{succeeded},"responses":[{responses}]' if responses else succeeded

    def _carried_out(self, operation: Document, nested: _Path | None) -> str:
        """Carry out one operation of a transaction and return its answer."""
        if nested is not None:
            return f'{{"response_txn":{{"header":{{}}{self._carry_out(nested)}}}}}'
        if "request_put" in operation:
            self._put_asked(operation["request_put"])
            return f'{{"response_put":{{"header":{{"revision":"{self.revision + 1}"}}}}}}'
        if "request_delete_range" in operation:
            deleted = self._delete_range(operation["request_delete_range"])
            return f'{{"response_delete_range":{{"header":{{"revision":"{self._next}"}}{deleted}}}}}'
        asked = operation["request_range"]
        return f'{{"response_range":{{"header":{{"revision":"{self._next}"}}{self._range(asked, self._next)}}}}}'

    @property
    def _next(self) -> int:
        """The revision that the store has with the changes that the present request has made so far."""
        return self.revision + 1 if self._changes else self.revision

    # Writing.

    def _check_lease(self, put: Document) -> None:
        lease = int(put.get("lease", 0))
        if lease and lease not in self._leases:
            raise _lease_not_found()

    def _put_asked(self, put: Document) -> None:
        self._put(_bytes(put["key"]), _bytes(put.get("value", "")), int(put.get("lease", 0)))

    def _put(self, key: bytes, value: bytes, lease: int) -> None:
        """Write a key. The revision is raised by ``_commit``."""
        before = self._live.get(key)
        revision = self.revision + 1
        if before:
            written = KeyValue(key, value, before.create, revision, before.version + 1, lease)
            self._detach(before)
        else:
            written = KeyValue(key, value, revision, revision, 1, lease)
            insort(self._live_keys, key)
        if lease:
            self._leases[lease].keys.add(key)
        self._live[key] = written
        self._remember(written)
        kind = ChangeKind.UPDATE if before else ChangeKind.CREATE
        self._changes.append(Change("v3", kind, _text(key), _text(value), _text(before.value) if before else None))

    def _delete(self, keys: Iterable[bytes], kind: ChangeKind = ChangeKind.DELETE) -> int:
        """Delete keys; return how many there were. The revision is raised by ``_commit``."""
        deleted = 0
        for key in keys:
            before = self._live.pop(key, None)
            if before is None:
                continue
            deleted += 1
            self._detach(before)
            del self._live_keys[bisect_left(self._live_keys, key)]
            self._remember(KeyValue(key, b"", 0, self.revision + 1, 0, 0))
            self._changes.append(Change("v3", kind, _text(key), None, _text(before.value)))
        return deleted

    def _delete_and_commit(self, keys: Iterable[bytes]) -> bool:
        deleted = self._delete(keys)
        self._commit()
        return deleted > 0

    def _delete_range(self, document: Document) -> str:
        """Delete a range and return the fields of the answer behind its header."""
        deleted = self._delete(_Range.of(document).slice_of(self._live_keys))
        return f',"deleted":"{deleted}"' if deleted else ""

    def _revoke(self, lease: Lease, kind: ChangeKind) -> None:
        self._delete(sorted(lease.keys), kind)
        del self._leases[lease.number]

    def _detach(self, before: KeyValue) -> None:
        if before.lease:
            self._leases[before.lease].keys.discard(before.key)

    def _remember(self, written: KeyValue) -> None:
        if written.key not in self._past:
            self._past[written.key] = []
            insort(self._all_keys, written.key)
        self._past[written.key].append(written)

    def _commit(self) -> None:
        """Give the changes of the current request their revision, and send them to the watchers."""
        if not self._changes:
            return
        self.revision += 1
        changes, self._changes = self._changes, []
        if self.revision - self._compacted > 2 * self._history:
            self.compact(self.revision - self._history)
        for change in changes:
            self._notify(change)


_CALLS: Mapping[str, Callable[[EtcdV3Store, Document, Header], str]] = {
    "kv/range": EtcdV3Store._answer_range,
    "kv/put": EtcdV3Store._answer_put,
    "kv/deleterange": EtcdV3Store._answer_delete_range,
    "kv/txn": EtcdV3Store._answer_txn,
    "kv/compaction": EtcdV3Store._answer_compaction,
    "lease/grant": EtcdV3Store._answer_grant,
    "lease/keepalive": EtcdV3Store._answer_keep_alive,
    "lease/timetolive": EtcdV3Store._answer_time_to_live,
    "lease/revoke": EtcdV3Store._answer_revoke,
    "lease/leases": EtcdV3Store._answer_leases,
    "auth/authenticate": EtcdV3Store._answer_authenticate,
    "maintenance/status": EtcdV3Store._answer_status,
}


class _Path(NamedTuple):
    """What a transaction does after its compares."""

    succeeded: bool
    chosen: Sequence[Document]
    #: For each operation the nested transaction that it is, or None.
    nested: Sequence[_Path | None]

    def operations(self) -> Iterator[Document]:
        """Return the operations, with those of nested transactions."""
        for operation, inner in zip(self.chosen, self.nested, strict=True):
            if inner is None:
                yield operation
            else:
                yield from inner.operations()


def _compared(compare: Document, target: str, found: KeyValue) -> bool:
    asked: Any
    actual: Any
    if target == "VALUE":
        actual, asked = found.value, _bytes(compare.get("value", ""))
    else:
        actual, field = {
            "VERSION": (found.version, "version"),
            "CREATE": (found.create, "create_revision"),
            "MOD": (found.mod, "mod_revision"),
            "LEASE": (found.lease, "lease"),
        }[target]
        asked = int(compare.get(field, 0))
    result = compare.get("result", "EQUAL")
    if result == "EQUAL":
        return bool(actual == asked)
    if result == "NOT_EQUAL":
        return bool(actual != asked)
    return bool(actual > asked) if result == "GREATER" else bool(actual < asked)


# What etcd checks of a request before it looks at the store.


def _check_fields(document: Document, known: frozenset[str]) -> None:
    if not document.keys() <= known:
        raise NotImplementedError(f"{sorted(document.keys() - known)} is not simulated")


def _check_range(document: Document) -> None:
    _check_fields(document, _RANGE_FIELDS)
    if not document.get("key"):
        raise _empty_key()


def _check_put(document: Document) -> None:
    _check_fields(document, _PUT_FIELDS)
    if not document.get("key"):
        raise _empty_key()


def _check_delete(document: Document) -> None:
    _check_fields(document, _DELETE_FIELDS)
    if not document.get("key"):
        raise _empty_key()


def _check_txn(document: Document, operations: int) -> None:
    """Raise Refusal for a transaction with more operations than are left to it. A nested one has what its outer one
    leaves."""
    _check_fields(document, _TXN_FIELDS)
    compares = document.get("compare", ())
    success, failure = document.get("success", ()), document.get("failure", ())
    used = max(len(compares), len(success), len(failure))
    if used > operations:
        raise Refusal(3, "etcdserver: too many operations in txn request")
    if not all(each.get("key") for each in compares):
        raise _empty_key()
    for operation in (*success, *failure):
        _check_operation(operation, operations - used)


def _check_transaction(document: Document) -> None:
    """Raise Refusal for a transaction that is malformed, too long, or may write a key twice."""
    _check_txn(document, MAX_OPERATIONS)
    _writes(document.get("success", ()))
    _writes(document.get("failure", ()))


def _check_operation(operation: Document, operations: int) -> None:
    if "request_range" in operation:
        _check_range(operation["request_range"])
    elif "request_put" in operation:
        _check_put(operation["request_put"])
    elif "request_delete_range" in operation:
        _check_delete(operation["request_delete_range"])
    elif "request_txn" in operation:
        _check_txn(operation["request_txn"], operations)
    else:
        raise Refusal(3, "etcdserver: key not found")


#: What a member checks of a call before it passes it on.
_CHECKS: Mapping[str, Callable[[Document], None]] = {
    "kv/range": _check_range,
    "kv/put": _check_put,
    "kv/deleterange": _check_delete,
    "kv/txn": _check_transaction,
}


def _writes(operations: Sequence[Document]) -> tuple[set[bytes], list[_Range]]:
    """Return the keys that operations may put, and the ranges that they may delete. Raises Refusal where one key may be
    written twice; etcd overlooks a delete that comes behind the put of another nested transaction."""
    deletes = [_Range.of(each["request_delete_range"]) for each in operations if "request_delete_range" in each]
    puts: set[bytes] = set()
    for each in operations:
        if "request_txn" in each:
            _add_nested_writes(each["request_txn"], puts, deletes)
    for each in operations:
        if "request_put" in each:
            key = _bytes(each["request_put"]["key"])
            if key in puts or any(key in deleted for deleted in deletes):
                raise _duplicate_key()
            puts.add(key)
    return puts, deletes


def _add_nested_writes(transaction: Document, puts: set[bytes], deletes: list[_Range]) -> None:
    """Add what a nested transaction may put and delete. Only one of its two lists is carried out."""
    puts_then, deletes_then = _writes(transaction.get("success", ()))
    puts_else, deletes_else = _writes(transaction.get("failure", ()))
    if puts & (puts_then | puts_else):
        raise _duplicate_key()
    if deletes and any(key in deleted for key in puts_then | puts_else for deleted in deletes):
        raise _duplicate_key()
    puts |= puts_then | puts_else
    deletes += deletes_then + deletes_else


def _check_size(call: str, document: Document) -> None:
    """Raise Refusal for a request that is too large. Its size in gRPC is less than that of its JSON; it is found by
    adding up the keys and values, with some bytes for each."""
    size = _size(document)
    if size > MAX_MESSAGE:
        raise Refusal(8, f"grpc: received message larger than max ({size} vs. {MAX_MESSAGE})")
    if size > MAX_REQUEST and call in {"kv/put", "kv/txn", "kv/deleterange"}:
        raise Refusal(3, "etcdserver: request is too large")


def _size(part: Any) -> int:
    if isinstance(part, Mapping):
        return sum(2 + (len(each) * 3 // 4 if isinstance(each, str) else _size(each)) for each in part.values())
    if isinstance(part, list):
        return sum(2 + _size(each) for each in part)
    return 2


def _mod(written: KeyValue) -> int:
    return written.mod


def _lease_id(number: int) -> str:
    return f',"ID":"{number}"' if number else ""


def _bytes(code: str) -> bytes:
    if not code:
        return b""
    try:
        return binascii.a2b_base64(code, strict_mode=True)
    except binascii.Error:
        raise Refusal(3, "illegal base64 data at input byte 0") from None


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
