"""A registry in memory. It passes the contract tests that the real ones pass."""

from __future__ import annotations

from attrs import evolve

from controller.clock import Deadline
from controller.errors import RegistryUnavailable
from model.plan import Action, Actual, Change, Lifetime, Stored
from model.report import Outcome, Result


class MemoryRegistry:
    """Keys in a dictionary, with etcd's versions and guards. Set ``down`` to have it answer nothing."""

    name = "memory"

    def __init__(self, prefix: str = "/services", lifetime: Lifetime = Lifetime()) -> None:
        self.stored: dict[str, Stored] = {}
        self.down = False
        self.version = 0
        self._prefix = prefix
        self._lifetime = lifetime

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Write as somebody else would, without a guard."""
        self.version += 1
        self.stored[key] = Stored(key, value, self.version, ttl)

    def remove(self, key: str) -> None:
        """Delete as somebody else would."""
        self.version += 1
        del self.stored[key]

    def keys(self) -> dict[str, str]:
        """Every key and its value."""
        return {key: stored.value for key, stored in self.stored.items()}

    def read(self, deadline: Deadline) -> Actual:
        """See Reader."""
        if self.down:
            raise RegistryUnavailable("it is down")
        under = {key: each for key, each in self.stored.items() if key.startswith(f"{self._prefix}/")}
        return Actual(under)

    def apply(self, change: Change, deadline: Deadline) -> Outcome:
        """See Registry."""
        if self.down:
            return Outcome(change, Result.FAILED, "it is down")
        now = self.stored.get(change.key)
        if (now and now.version) != (change.before and change.before.version):
            return self._overtaken(change, now)
        if change.action is Action.DELETE:
            self.remove(change.key)
        elif change.action is Action.RENEW and now:
            self.stored[change.key] = evolve(now, ttl=self._lifetime.ttl)
        else:
            self.put(change.key, change.value, self._lifetime.ttl or None)
        return Outcome(change, Result.APPLIED)

    def _overtaken(self, change: Change, now: Stored | None) -> Outcome:
        wanted = None if change.action is Action.DELETE else change.value
        if (now.value if now else None) == wanted and change.action is not Action.RENEW:
            return Outcome(change, Result.APPLIED)
        return Outcome(change, Result.CONFLICT, "it changed after it was read")
