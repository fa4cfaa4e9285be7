"""Change the drain order of one owner, and wait until the owner's agent has obeyed it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import evolve, frozen

from controller.effects.clock import Clock, Deadline
from controller.errors import OwnerConflict, RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.owner_records import record_in
from model.agent_note import SECONDS_WITHOUT_NOTE, note_in
from model.drain_order import DrainOrder, drain_order_in
from model.interest import Interest
from model.keys import by_number
from model.layout import Layout
from model.ownership import Ownership
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Result
from model.stored import Actual, Stored

#: Seconds that all requests for one change of the order, or for one look at the keys, may take.
TIMEOUT = 10.0

#: How many times a change is tried whose key was changed by others after it was read.
TRIES = 5

#: Seconds between two looks at the keys.
POLL_INTERVAL = 0.1

#: The most seconds to wait until the agent has obeyed.
MAX_WAIT = 60.0


@frozen
class DrainedOwner:
    """An owner whose containers the operator drains, in one registry."""

    name: str
    #: The id of its engine; empty where it is not known.
    engine_id: str
    layout: Layout
    registry: Registry
    clock: Clock

    def change_order(self, edit: Callable[[DrainOrder], DrainOrder]) -> DrainOrder:
        """Replace the drain order by what ``edit`` makes of it, and return that. An order that drains nothing has no
        key. ``edit`` gets the order without the parts that have ended, and is called again for each try.

        Raises OwnerConflict if another engine has the owner's name, and RegistryUnavailable.
        """
        deadline, key = self._deadline(), RecordKeys(self.layout.prefix).drain_order(self.name)
        for _ in range(TRIES):
            actual = self.registry.about_owner(self.name, deadline)
            self._check_engine(actual)
            order = edit(drain_order_in(actual.drain_order).at(self.clock.wall()))
            change = _change(key, actual.drain_order, order)
            if change is None:
                return order
            outcome = self.registry.apply(self.name, change, deadline)
            if outcome.result is Result.APPLIED:
                return order
            if outcome.result is not Result.CONFLICT:
                raise RegistryUnavailable(f"cannot change the drain order: {outcome.detail}")
        raise RegistryUnavailable(f"cannot change the drain order: others changed it {TRIES} times meanwhile")

    def keys_that_stay(self, containers: Collection[str] | None) -> tuple[str, ...]:
        """Wait until the keys of these containers, given by id and name, are gone, for as long as the agent may take to
        obey the order. Return the keys that are still there then, sorted. None stands for all containers of the owner.
        Raises RegistryUnavailable."""
        begun, inner = self.clock.monotonic(), self.registry.inner_prefixes(self._deadline())
        while True:
            actual = self._observed()
            claims = record_in(actual.record).claims
            left = Ownership(self.name, self.layout, claims, inner=inner).keys_written_for(containers, actual)
            if not left or self.clock.monotonic() - begun >= seconds_to_obey(actual.agent_note):
                return tuple(sorted(left, key=by_number))
            self.clock.sleep(POLL_INTERVAL)

    def _observed(self) -> Actual:
        """Read the owner's keys, those under custom ids included, and return them. Raises RegistryUnavailable."""
        deadline, interest = self._deadline(), Interest(self.name, self.layout)
        record = self.registry.observe(interest, deadline, consistent=True).actual.record
        claimed = frozenset(record_in(record).claims)
        return self.registry.look_up(evolve(interest, held=claimed), deadline).actual

    def _check_engine(self, actual: Actual) -> None:
        """Raise OwnerConflict if another engine wrote the owner record: its agent would obey the order."""
        record = record_in(actual.record)
        if not record.belongs_to(self.engine_id):
            raise OwnerConflict(
                f"the owner name {self.name!r} belongs to the engine {record.engine} and this is {self.engine_id}"
            )

    def _deadline(self) -> Deadline:
        return Deadline.after(TIMEOUT, self.clock)


def seconds_to_obey(stored: Stored | None) -> float:
    """Return how many seconds the agent whose note this is may take to obey a drain order: the wait between two passes,
    and a pass."""
    note = note_in(stored)
    return min(note.interval + note.pass_timeout if note else SECONDS_WITHOUT_NOTE, MAX_WAIT)


def _change(key: str, before: Stored | None, order: DrainOrder) -> Change | None:
    """Return the change that leaves this order at the key; None if it is there already."""
    value = "" if order.is_empty else order.encode()
    if value == (before.value if before else ""):
        return None
    action = (Action.UPDATE if before else Action.CREATE) if value else Action.DELETE
    return Change(action, key, value, before, Reason.ASKED)
