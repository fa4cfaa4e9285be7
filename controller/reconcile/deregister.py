"""Removing the entries of one named owner from a registry, whoever runs this: a host is taken out of service."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Reader, Registry
from controller.registry.owner_records import record_in
from model.desired import Desired
from model.layout import Layout
from model.ownership import Ownership
from model.plan import Action, Change, Plan, Reason, plan
from model.record import RecordKeys, decode_all
from model.report import Outcome, Result

#: Seconds for one reading or writing of everything.
TIMEOUT = 30.0

#: Seconds between two looks at whether the agent has answered.
POLL_INTERVAL = 0.2


@frozen
class Owner:
    """The owner whose entries are to be removed."""

    name: str
    layout: Layout
    clock: Clock

    @property
    def deadline(self) -> Deadline:
        """A deadline for one reading or writing that begins now."""
        return Deadline.after(TIMEOUT, self.clock)


def removal_plan(owner: Owner, registry: Reader) -> Plan:
    """Return the plan that removes every entry that can be shown to be the owner's, by its id or by the owner's record.
    Raises RegistryUnavailable."""
    actual = registry.read(owner.name, owner.deadline, consistent=True)
    record = record_in(actual.record)
    others = decode_all(each.value for each in registry.other_records(owner.name, owner.deadline))
    ownership = Ownership(owner.name, owner.layout, record.claims).with_other_records(others, {}, actual)
    return plan(Desired(), actual, ownership)


def has_record(owner: Owner, registry: Reader) -> bool:
    """Return whether the owner has a record, with or without entries. Raises RegistryUnavailable."""
    return registry.read(owner.name, owner.deadline, consistent=True).record is not None


def is_alive(owner: Owner, registry: Registry, seconds: float) -> bool:
    """Return whether an agent of this owner is alive: whether somebody removes the liveness query within ``seconds``.

    The registry's lifetime should be a little longer than that, so that the query expires if this program is killed,
    and not before. Raises RegistryUnavailable.
    """
    key = RecordKeys(owner.layout.prefix).liveness_query(owner.name)
    query = Change(Action.CREATE, key, "is your agent alive?", None, Reason.ASKED)
    asked = registry.apply(owner.name, query, owner.deadline)
    if asked.result is Result.FAILED:
        raise RegistryUnavailable(f"cannot ask whether the agent is alive: {asked.detail}")
    until = Deadline.after(seconds, owner.clock)
    while not until.passed:
        if registry.read(owner.name, owner.deadline, consistent=True).liveness_query is None:
            return True
        owner.clock.sleep(POLL_INTERVAL)
    unanswered = registry.read(owner.name, owner.deadline, consistent=True).liveness_query
    if unanswered:
        registry.apply(owner.name, Change(Action.DELETE, key, "", unanswered, Reason.ASKED), owner.deadline)
    return unanswered is None


def remove(owner: Owner, registry: Registry, planned: Plan) -> Iterator[Outcome]:
    """Make the changes of the plan, and yield how each ended. The owner's record is removed last, and only if all the
    others are gone. Raises RegistryUnavailable."""
    outcomes = []
    for outcome in registry.apply_all(owner.name, planned.changes, owner.deadline):
        outcomes.append(outcome)
        yield outcome
    record = registry.read(owner.name, owner.deadline, consistent=True).record
    if record and all(outcome.result is Result.APPLIED for outcome in outcomes):
        registry.apply(owner.name, Change(Action.DELETE, record.key, "", record, Reason.GONE), owner.deadline)
