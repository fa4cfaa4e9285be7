"""The pass: read, decide, apply. Everything that changes the registry hangs off this one function.

It is level-triggered: it looks at what is, never at what happened, so it is safe to repeat, and to kill at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from controller.clock import Clock, Deadline
from controller.errors import EngineUnavailable, OwnerConflict, RegistryUnavailable
from controller.registry.base import Registry
from controller.source.docker import EngineIdentity
from model.desired import Desired, Rules, Snapshot, desired
from model.fit import fitted
from model.guard import GuardRule, guard
from model.layout import Layout
from model.ownership import Ownership
from model.plan import Action, Change, Plan, Reason, by_key, in_apply_order, plan, with_record
from model.record import OwnerRecord, decode_all
from model.report import Memory, Outcome, PassReport, PassResult, Result, Stage, verdict
from model.stored import FOREVER, Actual, Lifetime

#: So many passes in a row may read what lags behind. A consistent answer costs etcd a round of its quorum.
MAX_PASSES_WITHOUT_CONSISTENT_READ = 29

T = TypeVar("T")


class Source(Protocol):
    """Where the containers come from."""

    def identity(self) -> EngineIdentity:
        """The host's name and the engine's id. Raises EngineUnavailable."""

    def read(self, deadline: Deadline) -> Snapshot:
        """The containers. Raises EngineUnavailable; an empty answer is an answer."""


@frozen
class Task:
    """What the operator wants of every pass. ``rules.owner`` empty: the engine's name. ``guess_address`` gives the
    address of the interface through which this host reaches the registry, or an empty string. ``seconds`` is how long a
    pass may take. ``take_over``: whether the owner name may be taken from another engine. ``desired`` and ``fitted``
    are the model's, or some that remember."""

    rules: Rules
    layout: Layout
    lifetime: Lifetime = FOREVER
    guard: GuardRule = GuardRule()
    take_over: bool = False
    guess_address: Callable[[], str] = lambda: ""
    seconds: float = 10.0
    clock: Clock = field(factory=Clock)
    desired: Callable[[Snapshot, Rules], Desired] = desired
    fitted: Callable[[Desired, Layout], Desired] = fitted

    def rules_for(self, owner: str) -> Rules:
        """The rules with what only shows while the program runs: the owner, and this host's address where none was
        given."""
        address = self.rules.address
        guessed = "" if address.ip else self.guess_address()
        return evolve(self.rules, owner=owner, address=evolve(address, guessed=guessed))


def reconcile(task: Task, source: Source, registry: Registry, memory: Memory) -> PassReport:
    """One pass; never raises for what engine or registry do."""
    one = _Pass(task, source, registry, memory)
    try:
        return one.run()
    except RegistryUnavailable as error:
        return one.failed(PassResult.REGISTRY_ERROR, error)
    except EngineUnavailable as error:
        return one.failed(PassResult.ENGINE_ERROR, error)
    except OwnerConflict as error:
        return one.failed(PassResult.OWNER_CONFLICT, error)


@frozen
class _View:
    """What a pass saw: the registry first, and then the containers."""

    owner: str
    engine: str
    actual: Actual
    snapshot: Snapshot


class _Pass:
    """One pass, a step a method."""

    def __init__(self, task: Task, source: Source, registry: Registry, memory: Memory) -> None:
        self.task, self.source, self.registry, self.memory = task, source, registry, memory
        self.deadline = Deadline.after(task.seconds, task.clock)
        self.seconds: dict[Stage, float] = {}
        self.owner = task.rules.owner

    def run(self) -> PassReport:
        """What may lag behind decides no delete: before one, everything is read again, consistently. So it is now and
        then without one: a member that was cut off from the others goes on to answer, with what it knew."""
        sure = self.memory.passes_since_consistent_read >= MAX_PASSES_WITHOUT_CONSISTENT_READ
        planned, report = self._consider(consistent=sure)
        deletes = any(change.action is Action.DELETE for change in (*planned.changes, *planned.held_back))
        if not sure and (report.replaced or deletes):
            planned, report = self._consider(consistent=True)
        outcomes = self._time(Stage.APPLY, lambda: tuple(self._apply(planned)))
        problem = _first_problem(outcomes)
        return evolve(report, result=verdict(outcomes), problem=problem, outcomes=outcomes, seconds=self.seconds)

    def _consider(self, *, consistent: bool) -> tuple[Plan, PassReport]:
        view = self._look(consistent=consistent)
        planned, report = self._time(Stage.PLAN, lambda: self._decide(view))
        return planned, evolve(report, consistent=consistent)

    def failed(self, result: PassResult, error: Exception) -> PassReport:
        """The report of a pass that did not get as far as a plan."""
        return PassReport(result, self.owner, str(error), seconds=self.seconds)

    def _look(self, *, consistent: bool) -> _View:
        """The registry is read before the containers. What it held at that moment was put there by somebody who had
        seen its container before, so a key that no container backs now is an orphan, even when a second agent on this
        host has just written it; the other way round, that agent's fresh entry would look like one."""
        identity = self._time(Stage.DOCKER, self.source.identity)
        self.owner = self.task.rules.owner or identity.name
        if not self.owner:
            raise EngineUnavailable("the Docker engine does not know the host's name; give one with --hostname")
        read = self.registry.read
        actual = self._time(Stage.REGISTRY_READ, lambda: read(self.owner, self.deadline, consistent=consistent))
        self._answer(actual)
        snapshot = self._time(Stage.DOCKER, lambda: self.source.read(self.deadline))
        return _View(self.owner, identity.id, actual, snapshot)

    def _answer(self, actual: Actual) -> None:
        """Somebody asks whether this owner's agent is alive: removing the question says so."""
        if question := actual.liveness_query:
            change = Change(Action.DELETE, question.key, "", question, Reason.ASKED)
            self.registry.apply(self.owner, change, self.deadline)

    def _decide(self, view: _View) -> tuple[Plan, PassReport]:
        record = self._record(view)
        mark, before = view.actual.store_position, self.memory.store_position
        replaced = bool(mark and before and not mark.succeeds(before))
        memory = Memory() if replaced else self.memory
        wanted = self.task.desired(view.snapshot, self.task.rules_for(view.owner))
        wanted = self.task.fitted(wanted, self.task.layout)
        ownership = Ownership(view.owner, self.task.layout, record.claims, memory.known).with_remembered_claims(
            view.actual
        )
        entries = by_key(wanted, ownership)
        if ownership.keys_needing_other_records(entries, view.actual, {each.id for each in wanted.held}):
            ownership = ownership.with_other_records(self._others(), entries, view.actual)
        lifetime = self.task.lifetime
        planned = plan(wanted, view.actual, ownership, lifetime)
        planned, suspects = guard(planned, memory.held_delete_counts, self.task.guard, lifetime)
        record = OwnerRecord(view.engine or record.engine, ownership.next_claims(entries, view.actual))
        planned = with_record(planned, record, view.actual, ownership)
        report = PassReport(
            PassResult.SUCCESS,
            view.owner,
            plan=planned,
            unknown=view.snapshot.unknown,
            excluded=wanted.excluded,
            held_delete_counts=suspects,
            store_position=mark,
            replaced=replaced,
        )
        return planned, report

    def _record(self, view: _View) -> OwnerRecord:
        """This owner's record. One that another engine wrote is that engine's, unless the operator says otherwise; the
        word counts once a run, or two hosts with it would take the name from each other for ever."""
        stored = view.actual.record
        record = (OwnerRecord.decode(stored.value) if stored else None) or OwnerRecord()
        if record.belongs_to(view.engine) or (self.task.take_over and self.memory.store_position is None):
            return record
        raise OwnerConflict(
            f"the owner name {view.owner!r} belongs to the engine {record.engine} and this is {view.engine}: "
            "give this host a name of its own with --hostname, or, if it replaces that one, use --take-over once"
        )

    def _others(self) -> tuple[OwnerRecord, ...]:
        return decode_all(each.value for each in self.registry.other_records(self.owner, self.deadline))

    def _apply(self, planned: Plan) -> Iterator[Outcome]:
        """Each change stands for itself: one that fails stops none of the others. Only the owner record, which is
        written ahead, holds up what hangs on it."""
        ahead = [change for change in planned.changes if change.action is Action.RECORD]
        written = list(self.registry.apply_all(self.owner, ahead, self.deadline))
        yield from written
        going = []
        for change in in_apply_order(change for change in planned.changes if change.action is not Action.RECORD):
            if record := next((each for each in written if _holds_up(each, change)), None):
                yield Outcome(change, record.result, f"the owner record could not be written: {record.detail}")
            else:
                going.append(change)
        yield from self.registry.apply_all(self.owner, going, self.deadline)

    def _time(self, stage: Stage, work: Callable[[], T]) -> T:
        start = self.task.clock.monotonic()
        try:
            return work()
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self.task.clock.monotonic() - start


def _holds_up(record: Outcome, change: Change) -> bool:
    """Whether the owner record, having ended so, keeps the change from being made. One that somebody else has just
    written may be another engine's: then nothing that this pass has decided counts. One that could not be written keeps
    only what is about custom ids from it."""
    unwritten = record.result not in {Result.APPLIED, Result.PENDING}
    return record.result is Result.CONFLICT or (change.claimed and unwritten)


def _first_problem(outcomes: tuple[Outcome, ...]) -> str:
    """In a word to the operator: what went wrong first, and how much more."""
    bad = [outcome for outcome in outcomes if outcome.result in {Result.FAILED, Result.SKIPPED}]
    if not bad:
        return ""
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"cannot {bad[0].change.action.value} {bad[0].change.key}: {bad[0].detail}{more}"
