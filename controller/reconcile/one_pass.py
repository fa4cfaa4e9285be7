"""The pass: read, decide, apply, report. The agent changes the registry only through ``reconcile``.

A pass is level-triggered: it depends on the present state of engine and registry, not on events. So it is safe to
repeat it, and to kill it at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from attrs import evolve, field, frozen

from controller.effects.clock import Clock, Deadline
from controller.errors import EngineUnavailable, OwnerConflict, RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.owner_records import has_record, record_in
from model.desired import Desired, desired
from model.guard import GuardRule, guard
from model.layout import Layout
from model.memory import Memory
from model.ownership import Ownership
from model.plan import Action, Change, Plan, Reason, in_apply_order, plan, with_record
from model.record import InnerPrefix, OwnerRecord, decode_all
from model.report import Outcome, PassReport, PassResult, Result, Stage, result_of, withdrawn_claims
from model.rules import Rules
from model.snapshot import EngineIdentity, Snapshot
from model.stored import FOREVER, Actual, Lifetime, Stored

#: Maximum consecutive passes with possibly stale reads. A consistent read costs etcd a round of its quorum.
MAX_PASSES_WITHOUT_CONSISTENT_READ = 29


class Source(Protocol):
    """Where the containers come from."""

    def identity(self) -> EngineIdentity:
        """Return the host's name and the engine's id. Raises EngineUnavailable."""

    def read(self, deadline: Deadline) -> Snapshot:
        """Return the containers; an empty snapshot means that none runs. Raises EngineUnavailable."""


@frozen
class PassSettings:
    """What the operator wants of every pass over one registry."""

    #: An empty ``rules.owner`` stands for the engine's name of its host.
    rules: Rules
    layout: Layout
    lifetime: Lifetime = FOREVER
    guard: GuardRule = GuardRule()
    #: Whether the owner name may be taken from another engine, until the first pass that writes the record.
    take_over: bool = False
    #: Whether keys under custom ids that hold the right value and that no host claims may be taken over, until the
    #: first pass that writes the record.
    adopt: bool = False
    #: Returns the address of this host that faces the registry, or an empty string. It is called where ``-ip`` is not
    #: given.
    local_address: Callable[[], str] = lambda: ""
    #: How long a pass may take, in seconds.
    seconds: float = 10.0
    clock: Clock = field(factory=Clock)
    #: The model's ``desired``, or one that remembers its last answer.
    desired: Callable[[Snapshot, Rules, Layout], Desired] = desired


def reconcile(settings: PassSettings, source: Source, registry: Registry, memory: Memory) -> PassReport:
    """Make one pass, and return what it saw and did. ``memory`` is what the last pass left.

    It never raises for what engine or registry do: the report's result says it. If the engine or the registry cannot be
    read, no entry and no owner record is written; only a liveness query may be removed. If one change fails, the others
    are made all the same.
    """
    one_pass = _Pass(settings, source, registry, memory)
    try:
        return one_pass.run()
    except RegistryUnavailable as error:
        return one_pass.failed(PassResult.REGISTRY_ERROR, error)
    except EngineUnavailable as error:
        return one_pass.failed(PassResult.ENGINE_ERROR, error)
    except OwnerConflict as error:
        return one_pass.failed(PassResult.OWNER_CONFLICT, error)


@frozen
class _View:
    """What a pass read."""

    engine_id: str
    actual: Actual
    snapshot: Snapshot
    #: Whether the registry was read consistently, so that what was read cannot be stale.
    consistent: bool


@frozen
class _Decision:
    """What a pass decided."""

    plan: Plan
    #: What the owner record has to be before the other changes are made.
    record: OwnerRecord
    held_delete_counts: Mapping[str, int]
    wanted: Desired
    #: The prefixes within this one that have agents of their own, if the plan needed to know them.
    inner: tuple[InnerPrefix, ...]
    #: Whether the store is not the one of the pass before.
    replaced: bool

    @property
    def needs_consistent_read(self) -> bool:
        """Whether it may be carried out only after a consistent read: it has deletes, or the store was replaced."""
        changes = (*self.plan.changes, *self.plan.held_back)
        return self.replaced or any(change.action is Action.DELETE for change in changes)


class _Pass:
    """One pass."""

    def __init__(self, settings: PassSettings, source: Source, registry: Registry, memory: Memory) -> None:
        self.settings, self.source, self.registry, self.memory = settings, source, registry, memory
        self.deadline = Deadline.after(settings.seconds, settings.clock)
        self.seconds: dict[Stage, float] = {}
        self.owner = settings.rules.owner

    def run(self) -> PassReport:
        """Read, decide, apply, report.

        Before a delete, registry and containers are read again, the registry consistently. Every thirtieth pass reads
        consistently in any case, as a member that is cut off from the others goes on to answer with old data.
        """
        view = self._read(consistent=self.memory.passes_since_consistent_read >= MAX_PASSES_WITHOUT_CONSISTENT_READ)
        decision = self._decide(view)
        if decision.needs_consistent_read and not view.consistent:
            view = self._read(consistent=True)
            decision = self._decide(view)
        outcomes = self._apply(view, decision)
        return self._report(view, decision, outcomes)

    def failed(self, result: PassResult, error: Exception) -> PassReport:
        """Return the report of a pass that did not get as far as a plan."""
        return PassReport(result, self.owner, str(error), seconds=self.seconds)

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        start = self.settings.clock.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self.settings.clock.monotonic() - start

    def _read(self, *, consistent: bool) -> _View:
        """Read the registry, and then the containers.

        An agent writes a key only after it has seen the container. So a key that was read first and that no container
        backs afterwards is an orphan, even if a second agent on this host had just written it. In the other order that
        agent's fresh entry would look like an orphan.
        """
        with self._timed(Stage.DOCKER):
            identity = self.source.identity()
        self.owner = self.settings.rules.owner or identity.name
        if not self.owner:
            raise EngineUnavailable("the Docker engine does not know the host's name; give one with --hostname")
        with self._timed(Stage.REGISTRY_READ):
            actual = self.registry.read(self.owner, self.deadline, consistent=consistent)
        self._answer_liveness_query(actual)
        with self._timed(Stage.DOCKER):
            snapshot = self.source.read(self.deadline)
        return _View(identity.id, actual, snapshot, consistent)

    def _answer_liveness_query(self, actual: Actual) -> None:
        """Remove the liveness query if there is one. Its removal tells who asked that the agent is alive."""
        if query := actual.liveness_query:
            change = Change(Action.DELETE, query.key, "", query, Reason.ASKED)
            self.registry.apply(self.owner, change, self.deadline)

    def _decide(self, view: _View) -> _Decision:
        """Decide what to change. Raises OwnerConflict, and RegistryUnavailable where the other hosts' records or the
        inner prefixes are needed and cannot be read.

        The inner prefixes matter only to a pass that would write something, so an idle pass does not ask for them.
        """
        with self._timed(Stage.PLAN):
            settings, actual = self.settings, view.actual
            record = self._owner_record(view)
            now, before = actual.store_position, self.memory.store_position
            replaced = bool(now and before and not now.succeeds(before))
            memory = Memory() if replaced else self.memory
            wanted = settings.desired(view.snapshot, self._rules(), settings.layout)
            ownership = self._ownership(record, memory, wanted, actual)
            engine_id = view.engine_id or record.engine
            planned, next_record = self._plan(wanted, actual, ownership, engine_id)
            if planned.changes:
                ownership = evolve(ownership, inner=self.registry.inner_prefixes(self.deadline))
            if ownership.inner:
                planned, next_record = self._plan(wanted, actual, ownership, engine_id)
            planned, counts = guard(planned, memory.held_delete_counts, settings.guard, settings.lifetime)
            return _Decision(planned, next_record, counts, wanted, ownership.inner, replaced)

    def _plan(self, wanted: Desired, actual: Actual, ownership: Ownership, engine_id: str) -> tuple[Plan, OwnerRecord]:
        """Return the plan, and the owner record that has to be written before its other changes are made."""
        record = OwnerRecord(engine_id, ownership.next_claims(wanted.by_key, actual))
        planned = plan(wanted, actual, ownership, self.settings.lifetime)
        return with_record(planned, record, actual, ownership), record

    def _owner_record(self, view: _View) -> OwnerRecord:
        """Return this owner's record. Raises OwnerConflict if another engine wrote it and --take-over does not apply.
        --take-over applies until the first pass that writes the record: two hosts that keep it would take the name from
        each other for ever."""
        record = record_in(view.actual.record)
        if record.belongs_to(view.engine_id) or (self.settings.take_over and self._unrecorded):
            return record
        raise OwnerConflict(
            f"the owner name {self.owner!r} belongs to the engine {record.engine} and this is {view.engine_id}: "
            "give this host a name of its own with --hostname, or, if it replaces that one, use --take-over once"
        )

    @property
    def _unrecorded(self) -> bool:
        """Whether no pass of this run has written the record yet, or found it as it should be."""
        return self.memory.store_position is None

    def _rules(self) -> Rules:
        """Return the rules with the owner, and with this host's address if -ip is not given."""
        rules = self.settings.rules
        guessed = "" if rules.address.ip else self.settings.local_address()
        return evolve(rules, owner=self.owner, address=evolve(rules.address, guessed=guessed))

    def _ownership(self, record: OwnerRecord, memory: Memory, wanted: Desired, actual: Actual) -> Ownership:
        """Return which keys are ours. The other hosts' records are read only where a key depends on them.

        A host without a record comes from registrator, or lost its record: what it wants and finds is taken for its
        own. From then on the record tells what is.
        """
        may_adopt = not has_record(actual.record) or (self.settings.adopt and self._unrecorded)
        ownership = Ownership(self.owner, self.settings.layout, record.claims, memory.known, may_adopt=may_adopt)
        ownership = ownership.with_remembered_claims(actual)
        held = {each.id for each in wanted.held}
        if not ownership.keys_needing_other_records(wanted.by_key, actual, held):
            return ownership
        others = decode_all(each.value for each in self.registry.other_records(self.owner, self.deadline))
        return ownership.with_other_records(others, wanted.by_key, actual)

    def _apply(self, view: _View, decision: _Decision) -> tuple[Outcome, ...]:
        """Make the changes, the owner record first. A change that fails does not stop the others, except that changes
        which need the owner record are not made without it."""
        with self._timed(Stage.APPLY):
            planned = decision.plan
            ahead = [change for change in planned.changes if change.action is Action.RECORD]
            outcomes = list(self.registry.apply_all(self.owner, ahead, self.deadline))
            record = outcomes[0] if outcomes else None
            going = []
            for change in in_apply_order(change for change in planned.changes if change.action is not Action.RECORD):
                if record and _stops(record, change):
                    detail = f"the owner record could not be written: {record.detail}"
                    outcomes.append(Outcome(change, record.result, detail))
                else:
                    going.append(change)
            outcomes += self.registry.apply_all(self.owner, going, self.deadline)
            if withdrawal := self._withdrawal(view.actual.record, decision.record, outcomes):
                outcomes.append(self.registry.apply(self.owner, withdrawal, self.deadline))
            return tuple(outcomes)

    def _withdrawal(self, before: Stored | None, record: OwnerRecord, outcomes: Sequence[Outcome]) -> Change | None:
        """Return the change that takes out of the owner record what it must not claim after these outcomes, or None.
        ``before`` is the record as it was read, and ``record`` the one that was to be written."""
        withdrawn = withdrawn_claims(outcomes, record_in(before).claims)
        claims = {key: claim for key, claim in record.claims.items() if key not in withdrawn}
        stored = _record_after(before, outcomes)
        if len(claims) == len(record.claims) or stored is None:
            return None
        return Change(Action.RECORD, stored.key, evolve(record, claims=claims).encode(), stored, Reason.CLAIMS)

    def _report(self, view: _View, decision: _Decision, outcomes: tuple[Outcome, ...]) -> PassReport:
        return PassReport(
            result_of(outcomes),
            self.owner,
            _first_problem(outcomes),
            decision.plan,
            outcomes,
            unknown=view.snapshot.unknown,
            excluded=decision.wanted.excluded,
            seconds=self.seconds,
            held_delete_counts=decision.held_delete_counts,
            store_position=view.actual.store_position,
            replaced=decision.replaced,
            inner=decision.inner,
            consistent=view.consistent,
        )


def _record_after(before: Stored | None, outcomes: Sequence[Outcome]) -> Stored | None:
    """Return the owner record as the registry holds it after these outcomes; None if it was to be written and was
    not."""
    written = next((each for each in outcomes if each.change.action is Action.RECORD), None)
    if written is None:
        return before
    applied = written.result is Result.APPLIED
    return Stored(written.change.key, written.change.value, written.version) if applied else None


def _stops(record: Outcome, change: Change) -> bool:
    """Return whether the outcome of the owner record's write forbids this change.

    After a conflict the record may be another engine's, so every change is forbidden. After a failure only the changes
    about custom ids are.
    """
    unwritten = record.result not in {Result.APPLIED, Result.PENDING}
    return record.result is Result.CONFLICT or (change.claimed and unwritten)


def _first_problem(outcomes: tuple[Outcome, ...]) -> str:
    """Return a message about the first change that failed or was skipped, and how many more did; empty if none did."""
    bad = [outcome for outcome in outcomes if outcome.result in {Result.FAILED, Result.SKIPPED}]
    if not bad:
        return ""
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"cannot {bad[0].change.action.value} {bad[0].change.key}: {bad[0].detail}{more}"
