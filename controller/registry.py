"""What a pass needs of a registry, and the registry of a dry run."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from controller.clock import Deadline
from model.plan import Change
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

    def apply(self, change: Change, deadline: Deadline) -> Outcome:
        """Make one change, if what it was decided on still holds. Never raises for what the registry answers: losing
        the race is ``conflict``, anything else that went wrong is ``failed``, each with a detail."""


@frozen
class DryRun:
    """A registry over a reader: it shows what is there and leaves every change pending."""

    reader: Reader

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        return self.reader.read(owner, deadline, consistent=consistent)

    def others(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        return self.reader.others(owner, deadline)

    def apply(self, change: Change, deadline: Deadline) -> Outcome:
        return Outcome(change, Result.PENDING)
