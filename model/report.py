"""The report of a pass: the one value that log, metrics, output and health read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import field, frozen

from model.container import ContainerRef
from model.described import DescribedEnum
from model.desired import ExclusionReason
from model.drain_order import NO_DRAIN, DrainOrder
from model.draining import Draining
from model.engine_kind import UNKNOWN_KIND
from model.entry import Entry
from model.evidence import Evidence
from model.frozen import frozen_dict
from model.guard import HeldDelete
from model.plan import Action, Change, Plan
from model.record import InnerPrefix
from model.snapshot import UnknownContainer
from model.stored import StorePosition
from model.take_over import LivenessWait


class Result(DescribedEnum):
    """How a change ended."""

    APPLIED = "applied", "The change is made."
    CONFLICT = "conflict", "The key changed after it was read, so nothing was written. The next pass decides again."
    FAILED = "failed", "The registry did not answer, so it is not known whether the change was made."
    REJECTED = "rejected", "The registry answered that it does not make the change: no permission, no space, too large."
    WAITING = (
        "waiting",
        "The change was not tried in this pass: an earlier try failed, or the owner record that it needs could not be "
        "written.",
    )
    SKIPPED = "skipped", "The pass ran out of time before the change."
    PENDING = "pending", "The change was not to be made, as in a dry run."


#: The actions that write an entry.
_WRITES_OF_ENTRIES = frozenset({Action.CREATE, Action.UPDATE})


@frozen
class Outcome:
    """A change and how it ended."""

    change: Change
    result: Result
    #: More about the result, for people; empty where there is nothing to say.
    detail: str = ""
    #: The key's version, as in ``Stored``: the one that an ``applied`` change gave the key, or the one that a change in
    #: ``conflict`` found. 0 where the key is absent or its version is not known.
    version: int = 0

    def ended(self, action: Action, result: Result) -> bool:
        """Return whether the change has this action and ended with this result."""
        return self.change.action is action and self.result is result


@frozen
class Setback:
    """A change that was not made when it was last tried."""

    action: Action
    #: What the key was to hold; an empty string for a delete.
    value: str
    #: How the last try ended: ``failed``, ``rejected`` or ``conflict``.
    result: Result
    detail: str
    #: How many times in a row it was tried and not made.
    tries: int
    #: When it may be tried again, in seconds of the monotonic clock.
    due: float

    def is_of(self, change: Change) -> bool:
        """Return whether ``change``, which has the same key, is the change that was not made."""
        return (change.action, change.value) == (self.action, self.value)

    @property
    def lasting(self) -> bool:
        """Whether this is a problem to report. A single lost race is not: the next pass sorts it out."""
        return self.result is not Result.CONFLICT or self.tries > 1


class PassResult(DescribedEnum):
    """How a pass ended."""

    SUCCESS = "success", "The pass did everything that it had to do."
    INCOMPLETE = "incomplete", "The registry rejected at least one change. Everything else is in step."
    UNFINISHED = "unfinished", "The pass made changes until it ran out of time. The next one follows at once."
    ENGINE_ERROR = "engine-error", "The Docker engine gave no usable answer. No entry was written."
    REGISTRY_ERROR = "registry-error", "The registry could not be read. No entry was written."
    OWNER_CONFLICT = (
        "owner-conflict",
        "Another engine has written the owner record under this name. No entry was written.",
    )
    OPERATION_ERROR = (
        "operation-error",
        "A change got no answer, or nothing could be put in step at all, or time ran out before any change was made.",
    )
    NO_ADDRESS = (
        "no-address",
        "This host's address is not known, so no port could be registered. The keys of running containers were held.",
    )
    INTERNAL_ERROR = "internal-error", "The pass failed because of a bug in wharfinger. The log has the traceback."


class Stage(DescribedEnum):
    """The parts of a pass that take time."""

    REGISTRY_READ = "registry-read", "The registry is read."
    DOCKER = "docker", "The containers are read from the engine."
    PLAN = "plan", "The changes are decided on."
    APPLY = "apply", "The changes are made."


@frozen
class PassReport:
    """What one pass saw and did."""

    result: PassResult
    #: The owner of the entries; empty where the pass did not learn it.
    owner: str = ""
    #: What went wrong, for people; empty after a success.
    problem: str = ""
    plan: Plan = Plan()
    #: How each change of the plan ended.
    outcomes: tuple[Outcome, ...] = ()
    #: The containers that the engine would not describe, or whose networks it did not describe in time.
    unknown: tuple[UnknownContainer, ...] = ()
    #: The entries with a loopback address that nobody gave: only this host can dial them.
    loopback: tuple[Entry, ...] = ()
    #: The containers that run and are to have no entries.
    excluded: Mapping[ContainerRef, ExclusionReason] = field(factory=dict, converter=frozen_dict)
    #: Those of them that drain, and why.
    draining: Mapping[ContainerRef, Draining] = field(factory=dict, converter=frozen_dict)
    #: What the operator drains of the containers that run.
    drain_order: DrainOrder = NO_DRAIN
    #: The key of the drain order, if nobody can read what it holds; empty otherwise.
    unreadable_drain_order: str = ""
    #: How many containers the engine described.
    containers: int = 0
    #: How long each stage took that was reached, in seconds.
    seconds: Mapping[Stage, float] = field(factory=dict, converter=frozen_dict)
    #: How long the whole pass took, in seconds; None if it broke.
    duration: float | None = None
    #: The changes that were not made when they were last tried, by their keys.
    setbacks: Mapping[str, Setback] = field(factory=dict, converter=frozen_dict)
    #: The deletes that the guard holds back, by their keys: for how long, and what the engine said of the container.
    held_deletes: Mapping[str, HeldDelete] = field(factory=dict, converter=frozen_dict)
    #: The store that was read; None where the registry cannot tell.
    store_position: StorePosition | None = None
    #: Whether the store is not the one of the pass before: another cluster, or one that was wiped or restored.
    replaced: bool = False
    #: The inner prefixes of this one; None where the pass did not need them.
    inner: tuple[InnerPrefix, ...] | None = None
    #: Whether what was read cannot have lagged behind.
    consistent: bool = False
    #: The id of the engine; empty where the engine has none, or where no pass of this run has learned it.
    engine_id: str = ""
    #: The kind of the engine; see engine_kind.py.
    engine_kind: str = UNKNOWN_KIND
    #: The wait for a sign of life of another engine's agent, for the next pass to continue; None where --take-over does
    #: not wait.
    take_over: LivenessWait | None = None
    #: How the flags of another agent of this host differ from those of this one, for people; empty where no other agent
    #: is known, or it has the same flags.
    disagreement: str = ""
    #: The name that the engine gives this host now, if the owner name is an earlier one; empty otherwise.
    new_name: str = ""
    #: When the pass tried to renew the heartbeat, in seconds of the monotonic clock; None if it did not.
    heartbeat_at: float | None = None
    #: Why it could not renew the heartbeat; empty if it could, or did not try.
    heartbeat_problem: str = ""
    #: What the pass decided by; None if it made no plan.
    evidence: Evidence | None = field(default=None, eq=False, repr=False)

    @property
    def succeeded(self) -> bool:
        """Whether the pass did everything that it had to do."""
        return self.result is PassResult.SUCCESS

    @property
    def follows_host(self) -> bool:
        """Whether the entries follow the containers, except for changes that the registry rejects. The agent is ready
        while this is true."""
        return self.result in {PassResult.SUCCESS, PassResult.INCOMPLETE, PassResult.UNFINISHED}

    @property
    def outage(self) -> bool:
        """Whether the pass could do nothing, so that the loop waits longer before the next one. A pass that waits for
        --take-over is no outage: passes go on at their interval, to notice when the registry cannot be read."""
        if not self.planned:
            return not self.waits
        return not self.follows_host and bool(self.with_result(Result.SKIPPED))

    @property
    def waits(self) -> bool:
        """Whether the pass wrote nothing because --take-over waits for a sign of life."""
        waiting = self.take_over is not None and not self.take_over.answered
        return waiting and self.result is PassResult.OWNER_CONFLICT

    @property
    def planned(self) -> bool:
        """Whether the pass saw enough to make a plan."""
        return self.follows_host or self.result in {PassResult.OPERATION_ERROR, PassResult.NO_ADDRESS}

    @property
    def waiting(self) -> int:
        """How many changes were not made and are tried again less and less often, each with a wait of its own."""
        return sum(each.lasting for each in self.setbacks.values())

    @property
    def pending(self) -> int:
        """How many visible changes were planned and not made."""
        done = {outcome.change.key for outcome in self.outcomes if outcome.result is Result.APPLIED}
        return sum(change.key not in done for change in self.plan.visible)

    @property
    def not_registered(self) -> int:
        """How many ports are refused, and how many containers the engine would not describe, together."""
        return len(self.plan.refusals) + len(self.unknown)

    @property
    def in_step(self) -> int:
        """How many desired entries the registry holds after the pass as they should be."""
        held = {each.key for each in self.plan.held} | {each.key for each in self.plan.held_back}
        written = {each.key for each in self.with_result(Result.APPLIED) if each.action in _WRITES_OF_ENTRIES}
        return self.plan.in_sync + len(written - held)

    @property
    def state(self) -> str:
        """What the registry holds after the pass, in one line: ``13 of 14 entries in sync, 1 refused.``"""
        return (
            f"{self.in_step} of {self.plan.wanted} entries in sync, {_exceptions(self.plan)}"
            f"{f', {self.pending} changes not made yet' if self.pending else ''}"
            f"{f', {len(self.unknown)} containers unknown' if self.unknown else ''}."
        )

    def with_result(self, result: Result) -> tuple[Change, ...]:
        """Return the changes that ended with this result."""
        return tuple(outcome.change for outcome in self.outcomes if outcome.result is result)


def summary(plan: Plan) -> str:
    """Return the plan in one line: ``Plan: 2 to create, 1 to update, 1 to delete, 12 in sync, 1 refused.``"""
    return (
        f"Plan: {plan.count(Action.CREATE)} to create, {plan.count(Action.UPDATE)} to update, "
        f"{plan.count(Action.DELETE)} to delete, {plan.in_sync} in sync, {_exceptions(plan)}."
    )


def _exceptions(plan: Plan) -> str:
    """Return how many ports are refused, and how many entries and deletes are held, if there are any."""
    return (
        f"{len(plan.refusals)} refused"
        f"{f', {len(plan.held)} held' if plan.held else ''}"
        f"{f', {len(plan.held_back)} held back' if plan.held_back else ''}"
    )


def result_of(
    plan: Plan,
    outcomes: Collection[Outcome],
    setbacks: Mapping[str, Setback],
    *,
    late: bool = False,
    unaddressed: bool = False,
) -> PassResult:
    """Return the result of a pass that got as far as making changes. ``late`` says whether its time was over after
    that, and ``unaddressed`` whether no port could be given an address. The first row that is true decides:

    ==========================================================  ===================
    a pass in which                                             result
    ==========================================================  ===================
    time ran out, after changes were made                       ``unfinished``
    time ran out before any was made                            ``operation-error``
    a change got no answer when it was last tried               ``operation-error``
    a change was rejected, and no desired entry is in step      ``operation-error``
    no port could be given an address                           ``no-address``
    a change was rejected, or lost its race more than once      ``incomplete``
    anything else                                               ``success``
    ==========================================================  ===================
    """
    results = {outcome.result for outcome in outcomes}
    lasting = {each.result for each in setbacks.values() if each.lasting}
    if Result.SKIPPED in results or (late and Result.FAILED in results):
        return PassResult.UNFINISHED if Result.APPLIED in results else PassResult.OPERATION_ERROR
    nothing_in_step = plan.wanted > 0 and not plan.in_sync and Result.APPLIED not in results
    if Result.FAILED in lasting or (lasting and nothing_in_step):
        return PassResult.OPERATION_ERROR
    if unaddressed:
        return PassResult.NO_ADDRESS
    return PassResult.INCOMPLETE if lasting else PassResult.SUCCESS


def problem_of(result: PassResult, outcomes: Collection[Outcome], setbacks: Mapping[str, Setback]) -> str:
    """Return a message about a pass with this result; empty for a success. It names the first change that was not made
    and the number of the others, or says how many changes were made before the time ran out."""
    if result is PassResult.SUCCESS:
        return ""
    if result is PassResult.UNFINISHED:
        made = sum(outcome.result is Result.APPLIED for outcome in outcomes)
        return f"the pass ran out of time after {made} of {len(outcomes)} changes"
    bad = [outcome for outcome in outcomes if _is_problem(outcome, setbacks)]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"cannot {bad[0].change.action.value} {bad[0].change.key}: {bad[0].detail}{more}"


def _is_problem(outcome: Outcome, setbacks: Mapping[str, Setback]) -> bool:
    setback = setbacks.get(outcome.change.key)
    return outcome.result in {Result.SKIPPED, Result.WAITING} or bool(setback and setback.lasting)


def withdrawn_claims(outcomes: Collection[Outcome], claimed_before: Collection[str]) -> frozenset[str]:
    """Return the keys that the owner record must cease to claim after these outcomes.

    - The keys that were deleted: whoever creates such a key next owns it.
    - The keys that this pass claimed in order to create them, and that somebody else had created meanwhile. A key in
      ``claimed_before``, which the record claimed before this pass, is not among them: a conflict about it proves
      nothing, because this host may have created it in an earlier pass.
    """
    deleted = {each.change.key for each in outcomes if each.ended(Action.DELETE, Result.APPLIED)}
    lost = {each.change.key for each in outcomes if each.ended(Action.CREATE, Result.CONFLICT) and each.version}
    return frozenset(deleted | lost.difference(claimed_before))
