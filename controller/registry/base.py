"""What a pass needs of a registry, and the registry of a dry run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Protocol

from attrs import frozen

from controller.clock import Deadline
from model.plan import Action, Change
from model.report import Outcome, Result
from model.stored import Actual, Stored


class Reader(Protocol):
    """A registry that can be read and has no way to write."""

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """All keys under the prefix, and what is kept about the owner. A ``consistent`` answer shows every write that
        was made before; another one may lag behind. Raises RegistryUnavailable; an empty answer is an answer."""

    def others(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """The records of all other owners of entries under the prefix, consistent. Raises RegistryUnavailable."""


class Registry(Reader, Protocol):
    """A registry that a pass can bring in order."""

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """Make one change for this owner, if what it was decided on still holds. Never raises for what the registry
        answers: losing the race is ``conflict``, anything else that went wrong is ``failed``, each with a detail."""

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """Make several, no two of them about one key; in this order where order can be seen. Each stands for itself:
        one that fails or loses its race stops none of the others. What there is no time for is ``skipped``."""


def skipped(change: Change) -> Outcome:
    """How a change ends for which there was no time."""
    return Outcome(change, Result.SKIPPED, "the pass ran out of time")


def overtaken(change: Change, now: str | None) -> Outcome:
    """How a change ends whose key was not as it was read; ``now`` is the key's value, None where there is no key. It
    may be our own doing: the answer to an earlier try got lost, and the next one finds the change made."""
    wanted = None if change.action is Action.DELETE else change.value
    if now == wanted and change.action is not Action.RENEW:
        return Outcome(change, Result.APPLIED)
    return Outcome(change, Result.CONFLICT, "it changed after it was read")


class OneByOne(ABC):
    """Several changes, for a registry that makes each with a request of its own."""

    @abstractmethod
    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Registry."""

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """See Registry."""
        for change in changes:
            yield skipped(change) if deadline.passed else self.apply(owner, change, deadline)


@frozen
class DryRun:
    """A registry over a reader: it shows what is there and leaves every change pending."""

    reader: Reader

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        return self.reader.read(owner, deadline, consistent=consistent)

    def others(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        return self.reader.others(owner, deadline)

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        return Outcome(change, Result.PENDING)

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        return (self.apply(owner, change, deadline) for change in changes)
