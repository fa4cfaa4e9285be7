"""A simulated etcd cluster: members, faults and an operator over the stores of both APIs.

It is a state machine without sockets, threads, clock and chance: whoever drives it says what time it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from attrs import define, frozen

from tests.simulation import etcd_v2, etcd_v3
from tests.simulation.etcd_change import Change, expiry_tick
from tests.simulation.etcd_v2 import EtcdV2Store
from tests.simulation.etcd_v3 import EtcdV3Store, Header, Refusal
from tests.simulation.messages import Request, Response

#: The seconds that a new leader adds to each lease: etcd's default election timeout.
ELECTION_TIMEOUT = 1.0

#: The cluster id of the first cluster; each that follows it has the next one.
_FIRST_CLUSTER = 0xC1A5_7E50_0000_0001

#: The id of the first member; each that follows it has the next one.
_FIRST_MEMBER = 0x3E3B_E500_0000_0001


@frozen
class Backup:
    """What both stores held at one moment."""

    v2: EtcdV2Store
    v3: EtcdV3Store


@define
class _Member:
    """A member of the cluster."""

    member_id: int
    running: bool = True
    #: Whether nothing passes between it and the other members.
    isolated: bool = False
    #: Whether it is behind the others although it hears of them.
    lagging: bool = False
    #: What it knew when it was cut off or fell behind; None while it knows all.
    known: Backup | None = None


class EtcdCluster:
    """An etcd cluster with its members, by name.

    A member that is stopped, isolated or lagging answers plain reads (v2) and serializable reads (v3) from what it knew
    then. ``now`` never goes back.
    """

    def __init__(
        self,
        now: Callable[[], float],
        members: Sequence[str] = ("etcd-1",),
        *,
        election: float = 0.0,
        min_lease_ttl: int = 2,
        history: int = 10_000,
    ) -> None:
        """``now`` returns the virtual time in seconds. ``election`` is how many seconds the members take to find
        another leader. ``min_lease_ttl`` is the shortest lifetime of a lease in seconds; etcd's defaults make it 2. At
        least the last ``history`` revisions of the v3 store can be read."""
        self._now = now
        self._election = election
        self._min_lease_ttl = min_lease_ttl
        self._history = history
        self._members = {name: _Member(_FIRST_MEMBER + number) for number, name in enumerate(members)}
        self._cluster_id = _FIRST_CLUSTER
        self._clusters = 1
        self._raft_term = 2
        self._raft_index = 4
        self._leader: str | None = members[0]
        #: When the members will have found another leader; None while they have one, or are too few.
        self._elected_at: float | None = None
        #: Whether a v3 call is refused because the space is used up; None while there is space.
        self._full: Callable[[str, etcd_v3.Document], bool] | None = None
        #: Each is called with every change of a key, in the order of the changes, after the change was made. wipe() and
        #: restore() are no changes.
        self.on_change: list[Callable[[Change], None]] = []
        self._use(self._empty())

    # Requests.

    def handle(self, member: str, request: Request) -> Response | None:
        """Carry out a request to a member and return the response; None if the member does not answer: it is stopped,
        or it is waiting for other members. Whoever sent the request to a stopped member sees the connection refused;
        see ``running``. A real member waits for 7 s, by default, and answers with an error then: longer than the
        program does."""
        self.expire()
        at = self._members[member]
        if not at.running:
            return None
        if request.path.startswith(etcd_v2.KEYS):
            return self._handle_v2(member, at, request)
        if request.path.startswith(etcd_v3.API):
            return self._handle_v3(member, at, request)
        return Response(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})

    def _handle_v2(self, member: str, at: _Member, request: Request) -> Response | None:
        store = self._v2
        headers = {
            "X-Etcd-Cluster-Id": f"{self._cluster_id:x}",
            "X-Raft-Index": str(self._raft_index),
            "X-Raft-Term": str(self._raft_term),
        }
        if etcd_v2.needs_quorum(request):
            if not self._follows_leader(member):
                return etcd_v2.refused(request, headers)
            self._raft_index += 1
        elif at.known:
            store = at.known.v2
        return store.answer(request, headers)

    def _handle_v3(self, member: str, at: _Member, request: Request) -> Response | None:
        if request.method != "POST":
            return Response(405, b"Method Not Allowed\n", {"Content-Type": "text/plain; charset=utf-8"})
        try:
            document = request.json()
        except ValueError as error:
            return Refusal(3, str(error)).response()
        call = request.path[len(etcd_v3.API) :]
        if refusal := self._v3.refused(call, document, len(request.body)):
            return refusal
        store = self._v3
        if etcd_v3.needs_quorum(call, document):
            if not self._follows_leader(member):
                return None
        elif at.known:
            store = at.known.v3
        header = Header(self._cluster_id, at.member_id, self._raft_term)
        return store.answer(call, document, header)

    def _follows_leader(self, member: str) -> bool:
        return self._leader is not None and self._connected(self._members[member])

    # Faults.

    def running(self, member: str) -> bool:
        """Return whether a member is running."""
        return self._members[member].running

    @property
    def leader(self) -> str | None:
        """The name of the member that leads; None if no member does, so that nothing can be written."""
        self._elect()
        return self._leader

    @property
    def cluster_id(self) -> int:
        """The id of the cluster."""
        return self._cluster_id

    def stop(self, member: str) -> None:
        """Stop a member. Its data stay."""
        self._members[member].running = False
        self._settle()

    def start(self, member: str) -> None:
        """Start a stopped member with its data."""
        self._members[member].running = True
        self._settle()

    def isolate(self, member: str) -> None:
        """Cut a member off from the others. Clients still reach it."""
        self._members[member].isolated = True
        self._settle()

    def heal(self, member: str) -> None:
        """Connect an isolated member with the others again."""
        self._members[member].isolated = False
        self._settle()

    def lag(self, member: str) -> None:
        """Let a member fall behind the others: it goes on to take part in writes and in linearizable reads."""
        self._members[member].lagging = True
        self._settle()

    def catch_up(self, member: str) -> None:
        """Let a lagging member know what the others do."""
        self._members[member].lagging = False
        self._settle()

    def full(self, value: bool, *, deletes_pass: bool = False) -> None:
        """Say whether the space of the v3 store is used up. Puts, transactions and new leases are refused then, and
        everything else goes on. With ``deletes_pass``, transactions that put nothing go on as well, as they do while
        the database is somewhat smaller than its quota and the alarm is still on. The v2 store is never full."""
        if not value:
            self._full = None
        else:
            self._full = _puts_something if deletes_pass else _takes_space
        self._v3.full = self._full or _nothing

    def wipe(self, *, keep_id: bool = False) -> None:
        """Lose all data and found another cluster. With ``keep_id`` it has the same id, as a new cluster of the same
        members at the same URLs with the same token has."""
        self._replace(self._empty(), keep_id=keep_id)

    def backup(self) -> Backup:
        """Return what the stores hold now."""
        self.expire()
        return Backup(self._v2.copy(), self._v3.copy())

    def restore(self, backup: Backup, *, keep_id: bool = False) -> None:
        """Replace all data by those of a backup, which makes it another cluster; see ``wipe`` for ``keep_id``. A real
        ``etcdctl snapshot restore`` brings back the v3 store alone; this brings back both."""
        self._replace(backup, keep_id=keep_id)

    # For the oracle and the operator.

    def keys(self, api: str, prefix: str) -> dict[str, str]:
        """Return the keys of an API, ``v2`` or ``v3``, that begin with a text, sorted, with their values; hidden keys
        too. What has expired and was not noticed yet is still there."""
        return (self._v2 if api == "v2" else self._v3).keys(prefix)

    def expiries(self, api: str, prefix: str) -> dict[str, float | None]:
        """Return the virtual time at which each key expires, for the keys of an API that begin with ``prefix``; None
        for a key that does not expire."""
        return (self._v2 if api == "v2" else self._v3).expiries(prefix)

    def index(self, api: str) -> int:
        """Return the index of the v2 store, or the revision of the v3 store."""
        return self._v2.index if api == "v2" else self._v3.revision

    def next_expiry(self) -> float | None:
        """Return the virtual time at which ``expire`` has something to do next; None if nothing expires."""
        self._elect()
        if self._leader is None:
            return None if self._elected_at is None else expiry_tick(self._elected_at)
        due = [time for time in (self._v2.next_expiry(), self._v3.next_expiry()) if time is not None]
        return min(due, default=None)

    def expire(self) -> None:
        """Remove all keys and leases that have expired and were noticed by now. Nothing expires without a leader."""
        self._elect()
        if self._leader is not None:
            self._v2.expire()
            self._v3.expire()

    def put(self, api: str, key: str, value: str) -> bool:
        """Write a key without a guard or lifetime; return False if no member leads, or if v2 refuses it."""
        self.expire()
        if self._leader is None:
            return False
        if api == "v2":
            return self._v2.answer(_v2_request("PUT", key, {"value": value}), {}).status < 300
        self._v3.put(key, value)
        return True

    def delete(self, api: str, key: str) -> bool:
        """Delete a key without a guard; return False if no member leads, or if there is no such key."""
        self.expire()
        if self._leader is None:
            return False
        if api == "v2":
            return self._v2.answer(_v2_request("DELETE", key, {}), {}).status < 300
        return self._v3.delete(key)

    def delete_prefix(self, api: str, prefix: str) -> bool:
        """Delete all keys that begin with a text; return False if no member leads, or if there are none. In v2, a
        prefix that is a directory, with or without a slash at its end, is deleted with its directories."""
        self.expire()
        if self._leader is None:
            return False
        if api == "v3":
            return self._v3.delete_prefix(prefix)
        tree = _v2_request("DELETE", prefix.rstrip("/"), {"recursive": "true"})
        if self._v2.answer(tree, {}).status < 300:
            return True
        deleted = [self.delete("v2", key) for key in self._v2.keys(prefix)]
        return any(deleted)

    # How members agree.

    @staticmethod
    def _connected(member: _Member) -> bool:
        return member.running and not member.isolated

    def _settle(self) -> None:
        """Find out, after a change of the members, which of them know what the others do."""
        self._elect()
        connected = {name for name, member in self._members.items() if self._connected(member)}
        if 2 * len(connected) <= len(self._members):
            # Nobody can write, so what each member knows stays as it is.
            self._leader = self._elected_at = None
            return
        now_known: Backup | None = None
        for name, member in self._members.items():
            if name in connected and not member.lagging:
                member.known = None
            elif member.known is None:
                now_known = now_known or Backup(self._v2.copy(), self._v3.copy())
                member.known = now_known
        if self._leader not in connected:
            self._leader = None
            if self._elected_at is None:
                self._elected_at = self._now() + self._election
        self._elect()

    def _elect(self) -> None:
        """Have a leader where the members have had the time to find one. Leases have their full lifetime from then
        on."""
        if self._elected_at is None or self._now() < self._elected_at:
            return
        self._leader = next(name for name, member in self._members.items() if self._connected(member))
        self._raft_term += 1
        self._v3.renew_leases(self._elected_at + ELECTION_TIMEOUT)
        self._elected_at = None

    def _empty(self) -> Backup:
        v3 = EtcdV3Store(self._now, min_lease_ttl=self._min_lease_ttl, history=self._history)
        return Backup(EtcdV2Store(self._now), v3)

    def _replace(self, data: Backup, *, keep_id: bool) -> None:
        self._use(data)
        if not keep_id:
            self._cluster_id = _FIRST_CLUSTER + self._clusters
            self._clusters += 1
        self._raft_term = 1
        self._raft_index = 4
        for member in self._members.values():
            member.known = None
        self._leader = None
        self._settle()

    def _use(self, data: Backup) -> None:
        """Go on with a copy of these data."""
        self._v2 = data.v2.copy(self._tell)
        self._v3 = data.v3.copy(self._tell)
        self._v3.full = self._full or _nothing

    def _tell(self, change: Change) -> None:
        for each in self.on_change:
            each(change)


def _nothing(call: str, document: etcd_v3.Document) -> bool:
    return False


def _takes_space(call: str, document: etcd_v3.Document) -> bool:
    return call in {"kv/put", "kv/txn", "lease/grant"}


def _puts_something(call: str, document: etcd_v3.Document) -> bool:
    """Return whether etcd takes a call to need space. It looks at the puts of a transaction, and overlooks those of
    transactions in it."""
    if call != "kv/txn":
        return call in {"kv/put", "lease/grant"}
    return any("request_put" in each for each in (*document.get("success", ()), *document.get("failure", ())))


def _v2_request(method: str, key: str, params: dict[str, str]) -> Request:
    return Request(method, f"{etcd_v2.KEYS}{quote(key, safe='/:')}", params)
