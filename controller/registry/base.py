"""What the rest of the program asks of a registry, and the one class that puts a registry together.

A registry is a reader and a writer of one prefix. Each API of etcd brings one of each; a dry run has the same reader
and a writer that writes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from attrs import frozen

from controller.effects.clock import Deadline
from model.heartbeat import Heartbeat
from model.interest import Interest
from model.plan import Action, Change
from model.record import InnerPrefix
from model.report import Outcome, Result
from model.stored import Actual, Stored, StorePosition
from model.sweep import SweepRule


@frozen
class Reading:
    """What a registry observed."""

    #: The same object as in the reading before if nothing in it has changed.
    actual: Actual
    #: The store position when the registry was last asked; that of ``actual`` may be an earlier one. None where the
    #: registry cannot tell.
    store_position: StorePosition | None
    #: Whether it shows every write that was made before the registry was asked.
    consistent: bool


@frozen
class Sweeping:
    """When a reader reads all of a large prefix."""

    rule: SweepRule = SweepRule()
    #: Returns random numbers from 0 to 1, so that not all hosts sweep at one moment.
    jitter: Callable[[], float] = lambda: 0.0


class Reader(Protocol):
    """The half of a registry that reads. It has no way to write.

    It keeps what it observed for one owner. ``observe`` refreshes that, ``look_up`` adds to it, and ``take_in`` tells
    it what was written. ``read`` and ``about_owner`` have nothing to do with it.
    """

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """Return all keys under the prefix, and what is kept about this owner: its record, a liveness query to it, its
        agent's note, and the drain order.

        A ``consistent`` answer shows every write that was made before the call. Any other answer may lag behind. Raises
        RegistryUnavailable; an empty answer is an answer.
        """

    def about_owner(self, owner: str, deadline: Deadline) -> Actual:
        """Return what is kept about this owner alone, without any key under the prefix; the answer is always
        consistent. Raises RegistryUnavailable."""

    def observe(
        self, interest: Interest, deadline: Deadline, *, consistent: bool = False, hurried: bool = False
    ) -> Reading:
        """Refresh what was observed, and return it. It may have no more than the keys that matter to the owner.

        A ``hurried`` refresh asks nothing: it returns what was observed last, with the changes that were made since. It
        is an ordinary refresh if there is nothing to return, or if one of these changes was not ``applied``. Raises
        RegistryUnavailable.
        """

    def look_up(self, interest: Interest, deadline: Deadline, again: frozenset[str] = frozenset()) -> Reading:
        """Look at the places of ``interest`` that were not looked at yet, and once more at the keys ``again``, and
        return what was observed. It asks nothing if there are none. The answer shows every write to these places that
        was made before the call. Call it only after ``observe``. Raises RegistryUnavailable."""

    def take_in(self, owner: str, outcome: Outcome) -> None:
        """Note how a change ended that was made for this owner."""

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """Return the owner records of all other owners under the prefix; the answer is always consistent. Raises
        RegistryUnavailable."""

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """Return the prefixes within this one that have owner records of their own; the answer is always consistent.
        Raises RegistryUnavailable."""


class Writer(Protocol):
    """The half of a registry that writes."""

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """Make one change for this owner, provided that its key is still as it was read.

        Never raises for what the registry answers: the outcome is ``conflict`` where the key changed after it was read,
        ``rejected`` where the registry refuses the change for another reason, and ``failed`` where it gives no usable
        answer. All of them come with a detail.
        """

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """Make several changes, at most one for each key, and return one outcome for each.

        Where the order can be seen from outside, the changes are made in the given order. A change that fails or
        conflicts does not keep the others from being made. Changes that the deadline leaves no time for are
        ``skipped``.
        """

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """Give the key by which this owner's agent shows that it is alive its full lifetime again, without an event for
        watchers, and write it if it is missing. Raises RegistryUnavailable, also if the registry refuses it."""


class Registry(Reader, Writer, Protocol):
    """One prefix in one etcd, to be read and written."""


@frozen
class ReadWriteRegistry:
    """A registry that is put together from a reader and a writer of the same prefix. With a PendingWriter it is the
    registry of a dry run. The reader is told how each change ended."""

    reader: Reader
    writer: Writer

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        return self.reader.read(owner, deadline, consistent=consistent)

    def about_owner(self, owner: str, deadline: Deadline) -> Actual:
        """See Reader."""
        return self.reader.about_owner(owner, deadline)

    def observe(
        self, interest: Interest, deadline: Deadline, *, consistent: bool = False, hurried: bool = False
    ) -> Reading:
        """See Reader."""
        return self.reader.observe(interest, deadline, consistent=consistent, hurried=hurried)

    def look_up(self, interest: Interest, deadline: Deadline, again: frozenset[str] = frozenset()) -> Reading:
        """See Reader."""
        return self.reader.look_up(interest, deadline, again)

    def take_in(self, owner: str, outcome: Outcome) -> None:
        """See Reader."""
        self.reader.take_in(owner, outcome)

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        return self.reader.other_records(owner, deadline)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader."""
        return self.reader.inner_prefixes(deadline)

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Writer."""
        outcome = self.writer.apply(owner, change, deadline)
        self.reader.take_in(owner, outcome)
        return outcome

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """See Writer."""
        for outcome in self.writer.apply_all(owner, changes, deadline):
            self.reader.take_in(owner, outcome)
            yield outcome

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """See Writer."""
        self.writer.show_alive(owner, heartbeat, deadline)


class OneByOne(ABC):
    """The ``apply_all`` of a writer that makes each change with a request of its own."""

    @abstractmethod
    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Writer."""

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """See Writer."""
        for change in changes:
            yield skipped(change) if deadline.passed else self.apply(owner, change, deadline)


class PendingWriter:
    """The writer of a dry run: it writes nothing, and every outcome is ``pending``."""

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Writer."""
        return Outcome(change, Result.PENDING)

    def apply_all(self, owner: str, changes: Iterable[Change], deadline: Deadline) -> Iterator[Outcome]:
        """See Writer."""
        return (self.apply(owner, change, deadline) for change in changes)

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """See Writer. Nothing is written."""


def skipped(change: Change) -> Outcome:
    """Return the outcome of a change that was not tried because the deadline had passed: ``skipped``."""
    return Outcome(change, Result.SKIPPED, "the pass ran out of time")


@frozen
class Found:
    """What a writer finds at a key that is not as it was read."""

    value: str
    #: The key's version, as in ``Stored``.
    version: int
    #: The version that the key had when it was created.
    created: int


def overtaken(change: Change, found: Found | None, claimed: int = 0) -> Outcome:
    """Return the outcome of a change whose key was not as it was read; ``found`` is None where there is no key.

    The outcome is ``applied`` if the key is as the change was to leave it: then an earlier try was carried out, and its
    answer was lost. Otherwise the outcome is ``conflict``. A renewal is always a ``conflict``, because it leaves no
    value to compare.

    ``claimed`` is the version of the owner record. The record claims a key under a custom id before the key is created.
    So if such a key is older than this version of the record, somebody else created it, whatever its value.
    """
    version = found.version if found else 0
    wanted = None if change.action is Action.DELETE else change.value
    if found and change.claimed and change.action is Action.CREATE and found.created < claimed:
        return Outcome(change, Result.CONFLICT, "somebody else created it", version)
    if (found.value if found else None) == wanted and change.action is not Action.RENEW:
        return Outcome(change, Result.APPLIED, version=version)
    return Outcome(change, Result.CONFLICT, "it changed after it was read", version)
