"""What a registry keeps of what it observed under one prefix."""

from __future__ import annotations

from abc import ABC, abstractmethod

from attrs import evolve

from controller.effects.clock import Deadline
from controller.registry.base import Reading
from model.interest import Interest
from model.own_writes import OwnWrites
from model.report import Outcome, Result
from model.stored import Actual, StorePosition


class Observed:
    """The last reading of one prefix for one owner, with what this program has written since."""

    def __init__(self, own_writes: OwnWrites) -> None:
        self._own_writes = own_writes
        self._reading: Reading | None = None
        #: The outcomes since the last reading, each with the owner that the change was made for.
        self._outcomes: list[tuple[str, Outcome]] = []
        self._trusted = False

    @property
    def trusted(self) -> bool:
        """Whether there is a reading, and nothing since has shown that it no longer holds."""
        return self._trusted

    def distrust(self) -> None:
        """Note that the reading may no longer hold."""
        self._trusted = False

    def reading(self) -> Reading | None:
        """Return the last reading with the changes that were made since; None if there was none."""
        if self._reading and self._outcomes:
            owner = self._outcomes[0][0]
            outcomes = [outcome for _, outcome in self._outcomes]
            taken = self._own_writes.taken_into(self._reading.actual, owner, outcomes)
            self._reading = evolve(self._reading, actual=taken, consistent=False)
            self._outcomes.clear()
        return self._reading

    def keep(self, actual: Actual, store_position: StorePosition | None, *, consistent: bool) -> Reading:
        """Keep a new reading, and return it. If it shows the same as the one before, it has the same ``actual``."""
        last = self.reading()
        if last and _same(last.actual, actual):
            actual = last.actual
        self._reading = Reading(actual, store_position, consistent)
        self._trusted = True
        return self._reading

    def take_in(self, owner: str, outcome: Outcome) -> None:
        """See Reader."""
        if outcome.result is Result.APPLIED:
            self._outcomes.append((owner, outcome))
        elif outcome.result is not Result.WAITING:
            self.distrust()


def _same(before: Actual, now: Actual) -> bool:
    """Return whether two readings show the same, whenever they were made."""
    return before is now or _shown(before) == _shown(now)


def _shown(actual: Actual) -> tuple[object, ...]:
    about_owner = actual.record, actual.liveness_query, actual.agent_note, actual.drain_order
    return (about_owner, actual.observed, actual.others, actual.others_unreadable, actual.stored)


class ObservedWhole(ABC):
    """The observing half of a reader that reads everything under the prefix each time."""

    def __init__(self, own_writes: OwnWrites) -> None:
        self._observed = Observed(own_writes)

    @abstractmethod
    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""

    def observe(
        self, interest: Interest, deadline: Deadline, *, consistent: bool = False, hurried: bool = False
    ) -> Reading:
        """See Reader."""
        last = self._observed.reading()
        if hurried and last and self._observed.trusted:
            return last
        self._observed.distrust()
        actual = self.read(interest.owner, deadline, consistent=consistent)
        return self._observed.keep(actual, actual.store_position, consistent=consistent)

    def look_up(self, interest: Interest, deadline: Deadline, again: frozenset[str] = frozenset()) -> Reading:
        """See Reader. Every key was looked at, so only ``again`` makes it read, unless that read was consistent."""
        last = self._observed.reading()
        if last and (last.consistent or not again):
            return last
        return self.observe(interest, deadline, consistent=True)

    def take_in(self, owner: str, outcome: Outcome) -> None:
        """See Reader."""
        self._observed.take_in(owner, outcome)
