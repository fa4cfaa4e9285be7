"""Remove all entries of one owner, because its host is taken out of service. This may run on any host."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable, Stop
from controller.registry.base import Reader, Registry
from controller.registry.owner_records import record_in
from model.agent_note import seconds_to_answer
from model.desired import Desired
from model.entry import DefaultId
from model.layout import Layout
from model.ownership import Ownership
from model.plan import Action, Change, Plan, Reason, plan
from model.record import LIVENESS_QUESTION, RecordKeys, decode_all
from model.report import Outcome, Result
from model.stored import Actual, Lifetime, Stored

#: Seconds that one read, or all writes together, may take.
TIMEOUT = 30.0

#: Seconds between two checks whether the liveness query is gone.
POLL_INTERVAL = 0.2

#: The most seconds to wait for an agent's answer.
MAX_WAIT = 600.0

#: The lifetime of the liveness query. It is longer than the longest wait. If this program is killed while it waits, the
#: query expires by itself.
QUERY_LIFETIME = Lifetime(ttl=round(MAX_WAIT) + 60, refresh=60)


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


def leaves_traces(owner: Owner, registry: Reader) -> bool:
    """Return whether anything is kept about the owner, whether or not it has entries. Raises RegistryUnavailable."""
    return bool(_traces(registry.about_owner(owner.name, owner.deadline)))


def _traces(actual: Actual) -> tuple[Stored, ...]:
    """Return what is kept about the owner. All but the heartbeat stays there for ever."""
    return tuple(filter(None, (actual.record, actual.agent_note, actual.drain_order, actual.heartbeat)))


def other_owners(owner: Owner, registry: Reader) -> tuple[str, ...]:
    """Return the names of all other owners, sorted: those that have a record, and those that are named in the ids of
    entries. Raises RegistryUnavailable."""
    actual = registry.read(owner.name, owner.deadline, consistent=True)
    ids = [DefaultId.parse(owner.layout.id_of(key)) for key in actual.stored]
    records = registry.other_records(owner.name, owner.deadline)
    names = {each.owner for each in ids if each} | {each.key.split("/")[-2] for each in records}
    return tuple(sorted(names - {owner.name}))


def wait_for_answer(owner: Owner, registry: Reader, given: float | None) -> float:
    """Return how many seconds to wait for an answer of the owner's agent: ``given``, or, if that is None, as long as
    its note says that it may take. Raises RegistryUnavailable, and Stop if that is longer than MAX_WAIT."""
    return _wait(owner, registry.read(owner.name, owner.deadline, consistent=True), given)


def _wait(owner: Owner, actual: Actual, given: float | None) -> float:
    seconds = seconds_to_answer(actual.agent_note) if given is None else given
    if seconds > MAX_WAIT:
        raise Stop(
            f"the agent of {owner.name!r} may take {seconds:.0f} seconds to show that it is alive, and deregister "
            f"waits for {MAX_WAIT:.0f} at most; make sure that it has stopped, and then use --force"
        )
    return seconds


def is_alive(owner: Owner, registry: Registry, given: float | None) -> bool:
    """Return whether an agent of this owner is alive: whether somebody removes the liveness query within ``given``
    seconds, or, if that is None, within the time that the agent's note says that it may take.

    ``registry`` has to be one that writes keys with the lifetime QUERY_LIFETIME. Raises RegistryUnavailable, and Stop
    if the agent may take longer than MAX_WAIT to answer.
    """
    key = RecordKeys(owner.layout.prefix).liveness_query(owner.name)
    query = Change(Action.CREATE, key, LIVENESS_QUESTION, None, Reason.ASKED)
    asked = registry.apply(owner.name, query, owner.deadline)
    if asked.result in {Result.FAILED, Result.REJECTED}:
        raise RegistryUnavailable(f"cannot ask whether the agent is alive: {asked.detail}")
    start = owner.clock.monotonic()
    while (actual := registry.read(owner.name, owner.deadline, consistent=True)).liveness_query:
        # The time is read from the note each time: an agent that was started meanwhile has written another note.
        if owner.clock.monotonic() - start >= _wait(owner, actual, given):
            withdrawn = Change(Action.DELETE, key, "", actual.liveness_query, Reason.ASKED)
            registry.apply(owner.name, withdrawn, owner.deadline)
            return False
        owner.clock.sleep(POLL_INTERVAL)
    return True


def remove(owner: Owner, registry: Registry, planned: Plan) -> Iterator[Outcome]:
    """Make the changes of the plan while the result is iterated, and yield how each ended. What is kept
    about the owner is removed last, and only if every delete succeeded. Raises RegistryUnavailable."""
    outcomes = []
    for outcome in registry.apply_all(owner.name, planned.changes, owner.deadline):
        outcomes.append(outcome)
        yield outcome
    if any(outcome.result is not Result.APPLIED for outcome in outcomes):
        return
    for trace in _traces(registry.about_owner(owner.name, owner.deadline)):
        registry.apply(owner.name, Change(Action.DELETE, trace.key, "", trace, Reason.GONE), owner.deadline)
