"""Taking a host out of service: remove the entries of one named owner, whoever runs this."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

from controller.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Reader, Registry
from model.desired import Desired
from model.layout import Layout
from model.ownership import Ownership
from model.plan import Action, Change, Plan, Reason, plan
from model.record import OwnerRecord, RecordKeys, decode_all
from model.report import Outcome, Result

#: Seconds for one reading or writing of everything.
PATIENCE = 30.0


@frozen
class Owner:
    """Whose entries are to go."""

    name: str
    layout: Layout
    clock: Clock

    @property
    def deadline(self) -> Deadline:
        """From now on."""
        return Deadline.after(PATIENCE, self.clock)


def leaving(owner: Owner, registry: Reader) -> Plan:
    """The plan that removes every entry that can be shown to be the owner's: by its id, or by the owner's record.
    Raises RegistryUnavailable."""
    actual = registry.read(owner.name, owner.deadline, consistent=True)
    record = (OwnerRecord.decode(actual.record.value) if actual.record else None) or OwnerRecord()
    others = decode_all(each.value for each in registry.other_records(owner.name, owner.deadline))
    return plan(
        Desired(), actual, Ownership(owner.name, owner.layout, record.claims).with_other_records(others, {}, actual)
    )


def has_record(owner: Owner, registry: Reader) -> bool:
    """Whether the owner has written anything down, entries or not. Raises RegistryUnavailable."""
    return registry.read(owner.name, owner.deadline, consistent=True).record is not None


def is_alive(owner: Owner, registry: Registry, wait: Callable[[float], None], seconds: float) -> bool:
    """Whether an agent of this owner removes a question that is put to it, within ``seconds``. ``wait`` sleeps. The
    registry's lifetime should be a little longer than that, so that the question goes by itself if this program is
    killed, and not before. Raises RegistryUnavailable."""
    key = RecordKeys(owner.layout.prefix).liveness_query(owner.name)
    question = Change(Action.CREATE, key, "is your agent alive?", None, Reason.ASKED)
    asked = registry.apply(owner.name, question, owner.deadline)
    if asked.result is Result.FAILED:
        raise RegistryUnavailable(f"cannot ask whether the agent is alive: {asked.detail}")
    until = Deadline.after(seconds, owner.clock)
    while not until.passed:
        if registry.read(owner.name, owner.deadline, consistent=True).liveness_query is None:
            return True
        wait(0.2)
    unanswered = registry.read(owner.name, owner.deadline, consistent=True).liveness_query
    if unanswered:
        registry.apply(owner.name, Change(Action.DELETE, key, "", unanswered, Reason.ASKED), owner.deadline)
    return unanswered is None


def remove(owner: Owner, registry: Registry, planned: Plan) -> Iterator[Outcome]:
    """Carry the plan out; the owner's record goes last, and only if nothing is left."""
    outcomes = []
    for outcome in registry.apply_all(owner.name, planned.changes, owner.deadline):
        outcomes.append(outcome)
        yield outcome
    record = registry.read(owner.name, owner.deadline, consistent=True).record
    if record and all(outcome.result is Result.APPLIED for outcome in outcomes):
        registry.apply(owner.name, Change(Action.DELETE, record.key, "", record, Reason.GONE), owner.deadline)
