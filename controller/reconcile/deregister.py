"""Removing all entries of one owner, because its host is taken out of service. This may run on any host."""

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

#: Seconds that one read, or all writes together, may take.
TIMEOUT = 30.0

#: Seconds between two checks whether the liveness query is gone.
POLL_INTERVAL = 0.2


@frozen
class Owner:
    """The owner whose entries are to be removed."""

    name: str
    layout: Layout
    clock: Clock

    @property
    def deadline(self) -> Deadline:
        """A deadline for one read, or for all writes together, from now on."""
        return Deadline.after(TIMEOUT, self.clock)


def removal_plan(owner: Owner, registry: Reader) -> Plan:
    """Return the plan that removes every entry that can be shown to be the owner's, by its id or by the owner's record.
    Raises RegistryUnavailable."""
    actual = registry.read(owner.name, owner.deadline, consistent=True)
    record = record_in(actual.record)
    others = decode_all(each.value for each in registry.other_records(owner.name, owner.deadline))
    inner = registry.inner_prefixes(owner.deadline)
    ownership = Ownership(owner.name, owner.layout, record.claims, inner=inner).with_other_records(others, {}, actual)
    return plan(Desired(), actual, ownership)


def has_record(owner: Owner, registry: Reader) -> bool:
    """Return whether the owner has a record, with or without entries. Raises RegistryUnavailable."""
    return registry.read(owner.name, owner.deadline, consistent=True).record is not None


def is_alive(owner: Owner, registry: Registry, seconds: float) -> bool:
    """Return whether an agent of this owner is alive: whether somebody removes the liveness query within ``seconds``.

    The lifetime of the registry's keys should be a little longer than ``seconds``: then the query outlasts the wait,
    and expires if this program is killed. Raises RegistryUnavailable.
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
    """Make the changes of the plan while the result is iterated, and yield how each ended. The owner's record is
    removed last, and only if every delete succeeded. Raises RegistryUnavailable."""
    outcomes = []
    for outcome in registry.apply_all(owner.name, planned.changes, owner.deadline):
        outcomes.append(outcome)
        yield outcome
    record = registry.read(owner.name, owner.deadline, consistent=True).record
    if record and all(outcome.result is Result.APPLIED for outcome in outcomes):
        registry.apply(owner.name, Change(Action.DELETE, record.key, "", record, Reason.GONE), owner.deadline)
