"""The pass: read, decide, apply, report. The agent changes the registry only through ``reconcile``.

A pass is level-triggered: it depends on the present state of engine and registry, not on events. So it is safe to
repeat it, and to kill it at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import inf
from typing import Protocol

from attrs import evolve, field, frozen

from controller.effects.clock import Clock, Deadline
from controller.errors import EngineUnavailable, OwnerConflict, RegistryUnavailable
from controller.reconcile.deciding import Deciding
from controller.reconcile.progress import Progress
from controller.reconcile.take_over import TakeOver
from controller.registry.base import Reading, Registry
from controller.registry.owner_records import has_record, record_in
from model.agent_note import AgentNote, disagreement, noted_kind
from model.desired import Desired
from model.drain_order import drain_order_in, is_unreadable
from model.evidence import Evidence
from model.guard import Guard, GuardRule, HeldDelete
from model.heartbeat import NO_HEARTBEAT, Heartbeat
from model.interest import Interest
from model.layout import Layout
from model.memory import Memory
from model.owner_conflict import Holder, all_point_at, holder_of, recorded_id
from model.ownership import Ownership
from model.plan import Action, Change, Plan, Reason, in_apply_order, with_note
from model.record import InnerPrefix, OwnerRecord, decode_all
from model.report import (
    Outcome,
    PassReport,
    PassResult,
    Result,
    Setback,
    Stage,
    problem_of,
    result_of,
    withdrawn_claims,
)
from model.rules import Rules
from model.setbacks import in_parts, setbacks_after, waiting
from model.snapshot import EngineIdentity, Presence, Snapshot
from model.stored import FOREVER, Actual, Lifetime, Stored, StorePosition

#: Maximum consecutive passes with possibly stale reads, by v2. A consistent read costs etcd a round of its quorum. By
#: v3 every read is consistent.
MAX_PASSES_WITHOUT_CONSISTENT_READ = 29

#: Seconds that renewing the heartbeat may take.
HEARTBEAT_SECONDS = 1.0


class Source(Protocol):
    """Where the containers come from."""

    def identity(self) -> EngineIdentity:
        """Return the host's name and the engine's id. Raises EngineUnavailable."""

    def read(self, deadline: Deadline, *, hurried: bool = False, full: bool = False) -> Snapshot:
        """Return the containers; an empty snapshot means that none runs. Raises EngineUnavailable.

        A ``hurried`` read asks nothing: it returns what was last observed, brought up to date for what hints named. A
        ``full`` one asks for all containers.
        """

    def presence(self, containers: Collection[str], deadline: Deadline) -> Mapping[str, Presence]:
        """Ask the engine about each of these containers, which are given by id or name, and return what it says.

        It raises nothing. It takes only a part of the time that is left of the pass; a container about which there is
        no answer by then is UNKNOWN.
        """


@frozen
class PassSettings:
    """What the operator wants of every pass over one registry."""

    #: An empty ``rules.owner`` stands for the engine's name of its host.
    rules: Rules
    layout: Layout
    lifetime: Lifetime = FOREVER
    guard: GuardRule = GuardRule()
    #: Whether the owner name may be taken from another engine whose agent is silent, until the first pass that writes
    #: the record.
    take_over: bool = False
    #: The agent note that the pass writes where it is missing; None for a pass that is not made by an agent.
    note: AgentNote | None = None
    #: The heartbeat that the pass renews.
    heartbeat: Heartbeat = NO_HEARTBEAT
    #: Whether keys under custom ids that hold the right value and that no host claims may be taken over, until the
    #: first pass that writes the record.
    adopt: bool = False
    #: Returns the address of this host that faces the registry, or an empty string. It is called where ``-ip`` is not
    #: given.
    local_address: Callable[[], str] = lambda: ""
    #: How long a pass may take, in seconds.
    seconds: float = 10.0
    clock: Clock = field(factory=Clock)
    #: The functions of the model, or ones that remember their last answers.
    deciding: Deciding = field(factory=Deciding)
    #: Told what a pass does at each moment, on the thread of the pass.
    on_progress: Callable[[Progress], object] = lambda progress: None


def reconcile(
    settings: PassSettings, source: Source, registry: Registry, memory: Memory, *, hurried: bool = False
) -> PassReport:
    """Make one pass, and return what it saw and did. ``memory`` is what the last pass left.

    A ``hurried`` pass is one that a hint made sooner. It takes what was last observed of engine and registry, brought
    up to date for what hints named and for what this agent wrote. All writes are guarded by what was observed.

    It never raises for what engine or registry do: the report's result says it. If the engine or the registry cannot be
    read, no entry and no owner record is written; only a liveness query may be removed, or written by --take-over. If
    one change fails, the others are made all the same.
    """
    one_pass = _Pass(settings, source, registry, memory, hurried=hurried)
    try:
        report = one_pass.run()
    except RegistryUnavailable as error:
        report = one_pass.failed(PassResult.REGISTRY_ERROR, error)
    except EngineUnavailable as error:
        report = one_pass.failed(PassResult.ENGINE_ERROR, error)
    except OwnerConflict as error:
        report = one_pass.failed(PassResult.OWNER_CONFLICT, error)
    return one_pass.with_heartbeat(report)


@frozen
class _View:
    """What a pass read."""

    engine: EngineIdentity
    #: The name that the engine gives its host now, if the owner name is an earlier one; empty otherwise.
    new_name: str
    actual: Actual
    #: The containers, those that the operator drains among them.
    snapshot: Snapshot
    #: The store position when the registry was last asked; None where it cannot tell.
    store_position: StorePosition | None
    #: Whether the registry was read consistently, so that what was read cannot be stale.
    consistent: bool


@frozen
class _Wish:
    """What this host should have."""

    #: What the pass read, with all keys that the other fields depend on.
    view: _View
    #: Which keys are ours, as far as this host's record and memory tell.
    ownership: Ownership
    #: The operator's rules, with what the pass found out.
    rules: Rules
    desired: Desired
    #: The keys that matter to this host.
    interest: Interest


@frozen
class _Decision:
    """What a pass decided."""

    plan: Plan
    #: The owner record that the registry has to hold before the changes that need it are made.
    record: OwnerRecord
    wanted: Desired
    #: The rules by which it was decided what is wanted, and which keys are this host's.
    rules: Rules
    ownership: Ownership
    #: The keys that matter to this host.
    interest: Interest
    #: The inner prefixes of this one; None if the pass did not need them.
    inner: tuple[InnerPrefix, ...] | None
    #: Whether the store is not the one of the pass before.
    replaced: bool
    #: The changes that were not made when they were last tried, by their keys.
    setbacks: Mapping[str, Setback]
    #: Those of the setbacks whose change is not tried in this pass.
    waiting: Mapping[str, Setback]
    #: The deletes that the guard holds back.
    held_deletes: Mapping[str, HeldDelete] = field(factory=dict)
    #: How the flags of another agent of this host differ; see PassReport.
    disagreement: str = ""

    def unsupported(self, confirmed: frozenset[str]) -> frozenset[str]:
        """Return the keys that may be deleted only after engine and registry were read again. These are the deletes
        that do not wait, and are not supported or are called for by the drain order, which may be an old one."""
        by_operator = [each for each, why in self.wanted.draining.items() if why.by_operator]
        ordered = {text for each in by_operator for text in (each.id, each.name)}
        deletes = (
            each
            for each in self.plan.deletes
            if not (each.is_supported(confirmed) and ordered.isdisjoint((each.container_id, each.container_name)))
        )
        return frozenset(each.key for each in deletes if each.key not in self.waiting)


class _Pass:
    """One pass."""

    def __init__(
        self, settings: PassSettings, source: Source, registry: Registry, memory: Memory, *, hurried: bool
    ) -> None:
        self.settings, self.source, self.registry, self.memory = settings, source, registry, memory
        # An answer to a liveness query shows in the registry alone.
        self.hurried = hurried and memory.take_over is None
        #: Whether the inner prefixes that were read last will do.
        self.inner_will_do = self.hurried
        self.began = settings.clock.monotonic()
        self.deadline = Deadline.after(settings.seconds, settings.clock)
        self.seconds: dict[Stage, float] = {}
        self.owner = settings.rules.owner or memory.owner
        #: What is known of the engine.
        self.engine = EngineIdentity(memory.owner, memory.engine_id, kind=memory.engine_kind)
        self.take_over = memory.take_over
        #: The engine of another kind from which this pass takes the owner name.
        self.replaced_kind: Holder | None = None
        #: How many changes have been tried.
        self.tried = 0

    def run(self) -> PassReport:
        """Read, decide, apply, report.

        Before a delete that is not supported, or that the drain order calls for, its key, the order and then the
        containers are read again, the registry consistently, and the guard decides which deletes wait. By v2, every
        thirtieth pass reads consistently in any case, because a member that is cut off from the others goes on to
        answer with old data. A pass that looks for the answer to a liveness query also reads consistently.
        """
        due = self.memory.passes_since_consistent_read >= MAX_PASSES_WITHOUT_CONSISTENT_READ
        view = self._read(consistent=due or self.memory.take_over is not None)
        decision, view = self._decide(view)
        unsupported = decision.unsupported(view.snapshot.confirmed)
        if unsupported or (decision.replaced and not view.consistent):
            view = self._read_again(decision.interest, unsupported)
            decision, view = self._decide(view)
        decision = self._guard(view, decision)
        outcomes = self._apply(view, decision)
        self._remove_note_of_other_kind(view.actual)
        return self._report(view, decision, outcomes)

    def failed(self, result: PassResult, error: Exception) -> PassReport:
        """Return the report of a pass that did not get as far as a plan. If the registry could not be read, the wait
        for a sign of life begins anew: perhaps the other agent cannot read or write the registry either."""
        take_over = None if result is PassResult.REGISTRY_ERROR else self.take_over
        return PassReport(
            result,
            self.owner,
            str(error),
            seconds=self.seconds,
            duration=self._duration,
            engine_id=self.engine.id,
            engine_kind=self.engine.kind,
            take_over=take_over,
        )

    def with_heartbeat(self, report: PassReport) -> PassReport:
        """Renew the heartbeat if it is due, and return the report of the pass with how that went.

        It is renewed at the end, so that no change waits for it, and a pass does not fail because of it. It shows that
        the agent is alive also while the engine does not answer, once a pass has shown that the owner name is this
        engine's.
        """
        now = self.settings.clock.monotonic()
        ours = report.planned or (report.result is PassResult.ENGINE_ERROR and self.memory.heartbeat_at is not None)
        if self.hurried or not ours or not self.settings.heartbeat.is_due(self.memory.heartbeat_at, now):
            return report
        deadline, problem = Deadline.after(HEARTBEAT_SECONDS, self.settings.clock), ""
        try:
            self.registry.show_alive(self.owner, self.settings.heartbeat, deadline)
        except RegistryUnavailable as error:
            problem = str(error)
        return evolve(report, heartbeat_at=now, heartbeat_problem=problem)

    @property
    def _duration(self) -> float:
        """How long the pass has taken until now, in seconds."""
        return self.settings.clock.monotonic() - self.began

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        start = self.settings.clock.monotonic()
        self.settings.on_progress(Progress(stage))
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self.settings.clock.monotonic() - start

    def _read(self, *, consistent: bool) -> _View:
        """Read the registry, and then the containers.

        An agent writes a key only after it has seen the container. So a key that was read first and that no container
        backs afterwards is an orphan, even if a second agent on this host had just written it. In the other order that
        agent's fresh entry would look like an orphan.

        Once the owner is known, a liveness query is answered before the engine is asked, because an agent is alive even
        while its engine hangs.
        """
        identity = None if self.owner else self._identity()
        self.owner = identity.name if identity else self.owner
        if not self.owner:
            raise EngineUnavailable("the Docker engine does not know the host's name; give one with --hostname")
        interest = Interest(self.owner, self.settings.layout, frozenset(self.memory.known))
        with self._timed(Stage.REGISTRY_READ):
            reading = self.registry.observe(interest, self.deadline, consistent=consistent, hurried=self.hurried)
        return self._view(reading, identity)

    def _read_again(self, interest: Interest, keys: frozenset[str]) -> _View:
        """Read these keys again, consistently, and then all containers; without keys, everything. From now on the pass
        asks for the inner prefixes, too, although it is hurried."""
        with self._timed(Stage.REGISTRY_READ):
            if keys:
                reading = self.registry.look_up(interest, self.deadline, keys)
            else:
                reading = self.registry.observe(interest, self.deadline, consistent=True)
        self.inner_will_do = False
        return self._view(reading, full=True)

    def _view(self, reading: Reading, identity: EngineIdentity | None = None, *, full: bool = False) -> _View:
        """Return the view of a registry that was just read, and of the containers, which are read now."""
        self._answer_liveness_query(reading.actual)
        identity = identity or self._identity()
        with self._timed(Stage.DOCKER):
            snapshot = self.source.read(self.deadline, hurried=self.hurried and not full, full=full)
        order = drain_order_in(reading.actual.drain_order).at(self.settings.clock.wall())
        snapshot = self.settings.deciding.drained(snapshot, order)
        new_name = "" if self.settings.rules.owner else identity.new_name
        return _View(identity, new_name, reading.actual, snapshot, reading.store_position, reading.consistent)

    def _identity(self) -> EngineIdentity:
        """Return what the engine says about itself. Raises EngineUnavailable."""
        with self._timed(Stage.DOCKER):
            self.engine = self.source.identity()
        return self.engine

    def _answer_liveness_query(self, actual: Actual) -> None:
        """Remove the liveness query, if there is one.

        ``wharfinger deregister``, or an agent with --take-over, has written it to learn whether this owner's agent is
        alive, and its removal says that it is. If the owner record belongs to another engine than this one, the query
        is left: it is meant for the agent of that engine, and this agent may have written it itself.
        """
        query = actual.liveness_query
        if query and not holder_of(record_in(actual.record), noted_kind(actual.agent_note), self._known_engine()):
            change = Change(Action.DELETE, query.key, "", query, Reason.ASKED)
            self.registry.apply(self.owner, change, self.deadline)

    def _known_engine(self) -> EngineIdentity:
        """Return what is known of the engine. While nothing is, ask it first: this agent may have written the query
        itself, before it was restarted, and must not answer it."""
        if (self.settings.take_over or self.settings.note) and not (self.engine.id or self.engine.kind):
            with suppress(EngineUnavailable):
                self._identity()
        return self.engine

    def _decide(self, view: _View) -> tuple[_Decision, _View]:
        """Decide what to change. Return also the view with all keys that this depends on.

        Raises OwnerConflict, and RegistryUnavailable where keys, the other hosts' records or the inner prefixes are
        needed and cannot be read. The inner prefixes matter only to a pass that would write something, so an idle pass
        does not ask for them.
        """
        record = self._owner_record(view)
        now, before = view.store_position, self.memory.store_position
        replaced = bool(now and before and not now.succeeds(before))
        memory = Memory() if replaced else self.memory
        wish = self._wish(view, record, memory)
        with self._timed(Stage.PLAN):
            settings, deciding, view = self.settings, self.settings.deciding, wish.view
            wanted, actual = wish.desired, wish.view.actual
            ownership = self._with_other_records(wish.ownership, wanted, actual)
            engine_id = recorded_id(record, view.engine)
            planned, next_record = deciding.plan(wanted, actual, ownership, settings.lifetime, engine_id)
            moment = settings.clock.monotonic()
            inner = None
            if len(waiting(planned.changes, memory.setbacks, moment)) < len(planned.changes):
                inner = self._inner_prefixes()
            if inner:
                ownership = evolve(ownership, inner=inner)
                planned, next_record = deciding.plan(wanted, actual, ownership, settings.lifetime, engine_id)
            if note := settings.note and evolve(settings.note, engine=view.engine.kind):
                planned = with_note(planned, note, actual, ownership, noted=memory.replaced_note is not None)
            decision = _Decision(
                planned,
                next_record,
                wanted,
                wish.rules,
                ownership,
                wish.interest,
                inner,
                replaced,
                memory.setbacks,
                waiting(planned.changes, memory.setbacks, moment),
                disagreement=disagreement(note, actual.agent_note, memory.replaced_note) if note else "",
            )
        return decision, view

    def _wish(self, view: _View, record: OwnerRecord, memory: Memory) -> _Wish:
        """Return what this host should have. Keys that matter to it and were not looked at yet are looked up, and then
        it is decided again, because what they hold decides which of two containers gets a key."""
        rules, layout, deciding = self._rules(), self.settings.layout, self.settings.deciding
        while True:
            with self._timed(Stage.PLAN):
                ownership = self._own_ownership(record, memory, view.actual)
                holdings = deciding.holdings(ownership, view.actual)
                wanted = deciding.desired(view.snapshot, rules, layout, holdings)
                held = frozenset((*ownership.claims, *ownership.known))
                interest = Interest(self.owner, layout, held, wanted.considered, renews_unknown_keys=bool(wanted.held))
            with self._timed(Stage.REGISTRY_READ):
                reading = self.registry.look_up(interest, self.deadline)
            if reading.actual is view.actual:
                return _Wish(view, ownership, rules, wanted, interest)
            view = evolve(view, actual=reading.actual)

    def _inner_prefixes(self) -> tuple[InnerPrefix, ...]:
        """Return the inner prefixes; in a hurried pass those that were read last, if it need not read again."""
        if self.inner_will_do and self.memory.inner is not None:
            return self.memory.inner
        return self.registry.inner_prefixes(self.deadline)

    def _guard(self, view: _View, decision: _Decision) -> _Decision:
        """Return the decision without the deletes that have to wait. If the engine's list lacks the container of a
        delete, the engine is asked about that container."""
        settings, deletes = self.settings, decision.plan.deletes
        if not (deletes and settings.guard.on):
            return decision
        presences = dict(view.snapshot.presences)
        confirmed = view.snapshot.confirmed
        unsupported = (each for each in deletes if not each.is_supported(confirmed))
        unlisted = {each.container for each in unsupported if each.container} - presences.keys()
        if unlisted:
            with self._timed(Stage.DOCKER):
                presences |= self.source.presence(sorted(unlisted), self.deadline)
        now = settings.clock.monotonic()
        guard = Guard(settings.guard, presences, now, settings.lifetime, confirmed, counts=not self.hurried)
        held_before = {} if decision.replaced else self.memory.held_deletes
        planned, held_deletes = guard.hold_back(decision.plan, held_before)
        waits = waiting(planned.changes, decision.setbacks, now)
        return evolve(decision, plan=planned, held_deletes=held_deletes, waiting=waits)

    def _owner_record(self, view: _View) -> OwnerRecord:
        """Return this owner's record.

        Raises OwnerConflict if another engine wrote the record, unless --take-over applies and that engine's agent is
        silent. --take-over applies until the first pass that writes the record. Raises RegistryUnavailable if that
        engine's agent cannot be asked.
        """
        record = record_in(view.actual.record)
        holder = holder_of(record, noted_kind(view.actual.agent_note), view.engine)
        if holder is None:
            self.take_over = None
            return record
        conflict = f"the owner name {self.owner!r} {holder.says}"
        by_operator = self.settings.take_over and self._unwritten
        if not (by_operator or self._takes_back(holder, record, view.actual)):
            self.take_over = None
            raise OwnerConflict(
                f"{conflict}: give this host a name of its own with --hostname, or, if it replaces that one, use "
                "--take-over once"
            )
        settings = self.settings
        take_over = TakeOver(
            self.owner, settings.layout.prefix, self.registry, settings.clock, self.deadline, by_operator=by_operator
        )
        self.take_over, problem = take_over.step(self.memory.take_over, holder.engine, view.actual)
        if problem:
            raise OwnerConflict(f"{conflict}: {problem}")
        self.replaced_kind = holder if holder.other_kind else None
        return record

    def _remove_note_of_other_kind(self, actual: Actual) -> None:
        """Remove the agent note of an engine of another kind, if this pass has taken the owner name from that engine.
        If the pass writes a note of its own, that one replaces it."""
        if self.replaced_kind and actual.agent_note and not self.settings.note:
            note = actual.agent_note
            change = Change(Action.DELETE, note.key, "", note, Reason.STARTED)
            self.registry.apply(self.owner, change, self.deadline)

    def _takes_back(self, holder: Holder, record: OwnerRecord, actual: Actual) -> bool:
        """Return whether this agent may take the owner name by itself, once the agent that had it is silent: the engine
        seems to be the same host's, and has another id since it was started anew. An agent that has written the record
        never does, because it may have been led to another engine."""
        if holder.other_kind or not (self.settings.note and self._unrecorded):
            return False
        layout, address = self.settings.layout, self._rules().address
        ownership = Ownership(self.owner, layout)
        own = [each for each in actual.stored.values() if ownership.id_is_ours(each.key)]
        return all_point_at(address.ip or address.guessed, layout, own, record)

    @property
    def _unwritten(self) -> bool:
        """Whether no pass of this run has written the record and the agent note yet, or found them as they should
        be."""
        return self._unrecorded or (self.settings.note is not None and self.memory.replaced_note is None)

    @property
    def _unrecorded(self) -> bool:
        """Whether no pass of this run has written the record yet, or found it as it should be."""
        return self.memory.store_position is None

    def _rules(self) -> Rules:
        """Return the rules with the owner, and with this host's address if -ip is not given."""
        rules = self.settings.rules
        guessed = "" if rules.address.ip else self.settings.local_address()
        return evolve(rules, owner=self.owner, address=evolve(rules.address, guessed=guessed))

    def _own_ownership(self, record: OwnerRecord, memory: Memory, actual: Actual) -> Ownership:
        """Return which keys are ours, as far as this host's record and memory tell.

        A host without a record ran registrator before, or lost its record. So this pass may take over keys under custom
        ids that hold the wanted value. After it, the owner record says which of these keys are the host's.
        """
        may_adopt = not has_record(actual.record) or (self.settings.adopt and self._unrecorded)
        ownership = Ownership(self.owner, self.settings.layout, record.claims, memory.known, may_adopt=may_adopt)
        return self.settings.deciding.ownership(ownership, actual)

    def _with_other_records(self, ownership: Ownership, wanted: Desired, actual: Actual) -> Ownership:
        """Return which keys are ours, with the other hosts' records, which are read only where a key depends on
        them."""
        held = {each.id for each in wanted.held}
        if not self.settings.deciding.keys_needing_other_records(ownership, wanted.placed, actual, held):
            return ownership
        others = decode_all(each.value for each in self.registry.other_records(self.owner, self.deadline))
        return ownership.with_other_records(others, wanted.placed, actual)

    def _apply(self, view: _View, decision: _Decision) -> tuple[Outcome, ...]:
        """Make the changes: first the renewals, since those keys expire, then the owner record, then the others. A
        change that is not made does not stop the others; but changes that need the owner record are not made if it
        could not be written. At the end, claims to keys that did not become this host's are taken out of the record."""
        with self._timed(Stage.APPLY):
            planned = decision.plan.changes
            renewals = sorted((each for each in planned if each.action is Action.RENEW), key=_seconds_left)
            renewed = self._make(renewals, decision)
            recorded = self._make([each for each in planned if each.action is Action.RECORD], decision)
            others = (each for each in planned if each.action not in {Action.RENEW, Action.RECORD})
            stopped, going = _sorted_out(recorded, in_apply_order(others))
            outcomes = (*renewed, *recorded, *stopped, *self._make(going, decision))
            if withdrawal := self._withdrawal(view.actual.record, decision.record, outcomes):
                return (*outcomes, self.registry.apply(self.owner, withdrawal, self.deadline))
            return outcomes

    def _make(self, changes: Sequence[Change], decision: _Decision) -> tuple[Outcome, ...]:
        """Make the changes, except those that wait because of a setback, and return the outcomes of all."""
        waits = decision.waiting
        outcomes = [Outcome(each, Result.WAITING, waits[each.key].detail) for each in changes if each.key in waits]
        going = [change for change in changes if change.key not in waits]
        for part in in_parts(going, decision.setbacks):
            for outcome in self.registry.apply_all(self.owner, part, self.deadline):
                outcomes.append(outcome)
                self.tried += 1
                self.settings.on_progress(Progress(Stage.APPLY, self.tried, len(decision.plan.changes)))
        return tuple(outcomes)

    def _withdrawal(self, before: Stored | None, record: OwnerRecord, outcomes: Sequence[Outcome]) -> Change | None:
        """Return the change that takes claims out of the owner record which it must not have after these outcomes; None
        if there are none. ``before`` is the record as it was read, and ``record`` the one that was to be written."""
        withdrawn = withdrawn_claims(outcomes, record_in(before).claims)
        claims = {key: claim for key, claim in record.claims.items() if key not in withdrawn}
        stored = _record_after(before, outcomes)
        if len(claims) == len(record.claims) or stored is None:
            return None
        value = evolve(record, claims=claims).encode()
        deleted = (each.change.key for each in outcomes if each.ended(Action.DELETE, Result.APPLIED))
        absent = tuple(key for key in deleted if key in record.claims)
        return Change(Action.RECORD, stored.key, value, stored, Reason.CLAIMS, absent=absent)

    def _report(self, view: _View, decision: _Decision, outcomes: tuple[Outcome, ...]) -> PassReport:
        wanted, order = decision.wanted, view.actual.drain_order
        setbacks = setbacks_after(outcomes, decision.setbacks, self.settings.clock.monotonic())
        unaddressed = _missing_address(wanted)
        result = result_of(decision.plan, outcomes, setbacks, late=self.deadline.passed, unaddressed=bool(unaddressed))
        return PassReport(
            result,
            self.owner,
            unaddressed if result is PassResult.NO_ADDRESS else problem_of(result, outcomes, setbacks),
            decision.plan,
            outcomes,
            unknown=(*view.snapshot.unknown, *wanted.undecided),
            loopback=wanted.loopback,
            excluded=wanted.excluded,
            draining=wanted.draining,
            drain_order=view.snapshot.drain_order,
            unreadable_drain_order=order.key if order and is_unreadable(order) else "",
            containers=len(view.snapshot.containers),
            seconds=self.seconds,
            duration=self._duration,
            setbacks=setbacks,
            held_deletes=decision.held_deletes,
            store_position=view.store_position,
            replaced=decision.replaced,
            inner=decision.inner,
            consistent=view.consistent,
            engine_id=view.engine.id,
            engine_kind=view.engine.kind,
            take_over=self.take_over,
            disagreement=decision.disagreement,
            new_name=view.new_name,
            evidence=Evidence(
                view.snapshot, decision.rules, self.settings.layout, wanted, view.actual, decision.ownership
            ),
        )


def _seconds_left(renewal: Change) -> float:
    """Return the seconds that a key which is to be renewed has left; infinity if it does not expire."""
    left = renewal.before.ttl if renewal.before else None
    return inf if left is None else left


def _sorted_out(recorded: Iterable[Outcome], changes: Iterable[Change]) -> tuple[list[Outcome], list[Change]]:
    """Return the outcomes of the changes that the owner record's outcome forbids, and the changes that may be made."""
    stopped: list[Outcome] = []
    going: list[Change] = []
    record = next(iter(recorded), None)
    for change in changes:
        if record and _stops(record, change):
            detail = f"the owner record could not be written: {record.detail}"
            stopped.append(Outcome(change, Result.WAITING, detail))
        else:
            going.append(change)
    return stopped, going


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

    After a lost race the record may be another engine's, so every change is forbidden. If it was not written for
    another reason, only the changes about custom ids are.
    """
    unwritten = record.result not in {Result.APPLIED, Result.PENDING}
    return record.result is Result.CONFLICT or (change.claimed and unwritten)


def _missing_address(wanted: Desired) -> str:
    """Return a message if none of this host's ports could be given an address; an empty string otherwise."""
    return f"no port of this host can be registered: {wanted.host_address_problem}" if wanted.none_addressed else ""
