"""A registry in memory. It passes the same contract tests as the real ones."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Found, OneByOne, overtaken
from controller.registry.observed import ObservedWhole
from controller.registry.owner_records import records_of_others
from model.heartbeat import TEXT, Heartbeat
from model.own_writes import OwnWrites
from model.plan import Action, Change
from model.record import InnerPrefix, RecordKeys, inner_prefixes
from model.report import Outcome, Result
from model.stored import FOREVER, Actual, Lifetime, Stored, StorePosition
from model.survey import Survey


class MemoryRegistry(ObservedWhole, OneByOne):
    """Keys in a dictionary, with versions and guards like those of etcd's v2 API. While ``down`` is set, it answers
    nothing."""

    def __init__(self, prefix: str = "/services", lifetime: Lifetime = FOREVER) -> None:
        self.stored: dict[str, Stored] = {}
        #: The version at which each key was created.
        self.created: dict[str, int] = {}
        self.down = False
        self.version = 0
        self.cluster = "memory"
        self._prefix = prefix
        self._record_keys = RecordKeys(prefix)
        self._lifetime = lifetime
        super().__init__(OwnWrites(self._record_keys, lifetime.ttl))

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Write a key without a guard, as somebody else would."""
        self.version += 1
        if key not in self.stored:
            self.created[key] = self.version
        self.stored[key] = Stored(key, value, self.version, ttl)

    def remove(self, key: str) -> None:
        """Delete a key without a guard, as somebody else would."""
        self.version += 1
        del self.stored[key]

    def keys(self) -> dict[str, str]:
        """Every key under the prefix and its value."""
        return {key: each.value for key, each in self._under(self._prefix).items()}

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        return evolve(self.about_owner(owner, deadline), stored=self._under(self._prefix), observed=None)

    def about_owner(self, owner: str, deadline: Deadline) -> Actual:
        """See Reader."""
        self._answer()
        keys = self._record_keys
        return Actual(
            record=self.stored.get(keys.record(owner)),
            liveness_query=self.stored.get(keys.liveness_query(owner)),
            agent_note=self.stored.get(keys.agent_note(owner)),
            drain_order=self.stored.get(keys.drain_order(owner)),
            heartbeat=self.stored.get(keys.heartbeat(owner)),
            store_position=StorePosition(self.cluster, self.version),
            observed=frozenset(),
        )

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        self._answer()
        return records_of_others(self._under(self._record_keys.path).values(), self._record_keys, owner)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader."""
        self._answer()
        return inner_prefixes(self._prefix, self.stored)

    def survey(self, deadline: Deadline) -> Survey:
        """See Surveyor."""
        inner, position = self.inner_prefixes(deadline), self.store_position(deadline)
        return Survey(self._under(self._prefix), self._under(self._record_keys.path), inner, position, 1)

    def store_position(self, deadline: Deadline) -> StorePosition | None:
        """See Surveyor."""
        self._answer()
        return StorePosition(self.cluster, self.version)

    def _answer(self) -> None:
        if self.down:
            raise RegistryUnavailable("it is down")

    def _under(self, path: str) -> dict[str, Stored]:
        """Return the keys below a path. As in etcd's v2 API, a part that begins with ``_`` is hidden unless it is in
        the path."""
        return {
            key: each
            for key, each in self.stored.items()
            if key.startswith(f"{path}/") and "/_" not in key.removeprefix(path)
        }

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Writer."""
        outcome = self._made(owner, change)
        self.take_in(owner, outcome)
        return outcome

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """See Writer."""
        self._answer()
        key = self._record_keys.heartbeat(owner)
        if key in self.stored:
            self.stored[key] = evolve(self.stored[key], ttl=heartbeat.lifetime)
        else:
            self.put(key, TEXT, heartbeat.lifetime)

    def _made(self, owner: str, change: Change) -> Outcome:
        if self.down:
            return Outcome(change, Result.FAILED, "it is down")
        now = self.stored.get(change.key)
        overtook = (now and now.version) != (change.before and change.before.version)
        if overtook or any(each in self.stored for each in change.absent):
            found = Found(now.value, now.version, self.created[now.key]) if now else None
            record = self.stored.get(self._record_keys.record(owner))
            return overtaken(change, found, record.version if record else 0)
        if change.action is Action.DELETE:
            self.remove(change.key)
        elif change.action is Action.RENEW and now:
            self.stored[change.key] = evolve(now, ttl=self._lifetime.ttl)
            return Outcome(change, Result.APPLIED, version=now.version)
        else:
            expires = change.action not in {Action.RECORD, Action.NOTE}
            ttl = self._lifetime.ttl or None if expires else None
            self.put(change.key, change.value, ttl)
        return Outcome(change, Result.APPLIED, version=self.version)


class Killed(BaseException):
    """The agent's process was killed at this instruction."""


class RecordingRegistry(MemoryRegistry):
    """A registry that notes every request.

    ``requests`` has all reads and writes in their order, ``reads`` only the reads, and ``writes`` only the writes.
    Changes for which ``failing`` is true get no answer, and those for which ``rejecting`` is true are refused.
    ``before_write`` is called before each write. If ``die_at`` is set, the agent is killed before its write with that
    number, counted from 0.
    """

    def __init__(self, prefix: str = "/services", lifetime: Lifetime = FOREVER) -> None:
        super().__init__(prefix, lifetime)
        self.requests: list[str] = []
        self.before_write: Callable[[], object] = lambda: None
        self.reads: list[str] = []
        self.writes: list[str] = []
        self.failing: Callable[[Change], bool] = lambda change: False
        self.rejecting: Callable[[Change], bool] = lambda change: False
        self.die_at: int | None = None

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        self.requests.append("keys, consistent" if consistent else "keys")
        self.reads.append("consistent" if consistent else "any")
        return super().read(owner, deadline, consistent=consistent)

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        self.requests.append("other records")
        self.reads.append("others")
        return super().other_records(owner, deadline)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader."""
        self.requests.append("inner prefixes")
        self.reads.append("inner prefixes")
        return super().inner_prefixes(deadline)

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Writer."""
        if len(self.writes) == self.die_at:
            self.die_at = None
            raise Killed
        self.requests.append(f"{change.action.value} {change.key}")
        self.before_write()
        self.writes.append(f"{change.action.value} {change.key}")
        return super().apply(owner, change, deadline)

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """See Writer."""
        self.requests.append("heartbeat")
        super().show_alive(owner, heartbeat, deadline)

    def _made(self, owner: str, change: Change) -> Outcome:
        if self.failing(change):
            return Outcome(change, Result.FAILED, "no")
        if self.rejecting(change):
            return Outcome(change, Result.REJECTED, "permission denied")
        return super()._made(owner, change)
