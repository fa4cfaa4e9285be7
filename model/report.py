"""The report of a pass: the one value that log, metrics, dry-run and health read."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from model.desired import ExclusionReason, UnknownContainer
from model.entry import ContainerRef
from model.frozen import frozen_dict
from model.ownership import Known
from model.plan import Action, Change, Plan, remember
from model.stored import StorePosition


class Result(Enum):
    """How a change ended.

    ``applied``: it is done. ``conflict``: the key had changed since it was read, the next pass looks again.
    ``failed``: the registry refused it or did not answer. ``skipped``: the pass ran out of time. ``pending``: nobody
    was to apply it, as in a dry run.
    """

    APPLIED = "applied"
    CONFLICT = "conflict"
    FAILED = "failed"
    SKIPPED = "skipped"
    PENDING = "pending"


@frozen
class Outcome:
    """A change and how it ended; ``detail`` is for people."""

    change: Change
    result: Result
    detail: str = ""


class PassResult(Enum):
    """How a pass ended. Anything but ``success`` calls for back-off and makes the agent unready."""

    SUCCESS = "success"
    ENGINE_ERROR = "engine-error"
    REGISTRY_ERROR = "registry-error"
    OWNER_CONFLICT = "owner-conflict"
    OPERATION_ERROR = "operation-error"
    INTERNAL_ERROR = "internal-error"


class Stage(Enum):
    """The parts of a pass that take time."""

    REGISTRY_READ = "registry-read"
    DOCKER = "docker"
    PLAN = "plan"
    APPLY = "apply"


@frozen
class Memory:
    """What a pass hands to the next one. It tells drift from an ordinary change, counts what the guard holds back, and
    notices another store; a pass without it ends in the same place.

    ``known`` are the keys seen in order, ``suspects`` the passes in which a delete was held back, ``mark`` is the store
    that was read, ``unsure`` counts the passes in a row that read what may lag behind.
    """

    known: Mapping[str, Known] = field(factory=dict, converter=frozen_dict)
    held_delete_counts: Mapping[str, int] = field(factory=dict, converter=frozen_dict)
    store_position: StorePosition | None = None
    passes_since_consistent_read: int = 0


@frozen
class PassReport:
    """What one pass saw and did. ``seconds`` tells how long each stage took that was reached. ``replaced`` says that
    the registry is not the one of the pass before: another cluster, or one that was wiped or restored; ``consistent``
    that what it read cannot have lagged behind. ``passed_over`` are the containers that run, and are to have no
    entries."""

    result: PassResult
    owner: str = ""
    problem: str = ""
    plan: Plan = Plan()
    outcomes: tuple[Outcome, ...] = ()
    unknown: tuple[UnknownContainer, ...] = ()
    excluded: Mapping[ContainerRef, ExclusionReason] = field(factory=dict, converter=frozen_dict)
    seconds: Mapping[Stage, float] = field(factory=dict, converter=frozen_dict)
    held_delete_counts: Mapping[str, int] = field(factory=dict, converter=frozen_dict)
    store_position: StorePosition | None = None
    replaced: bool = False
    consistent: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether it did all it had to do."""
        return self.result is PassResult.SUCCESS

    @property
    def planned(self) -> bool:
        """Whether the pass saw enough to make a plan."""
        return self.result in {PassResult.SUCCESS, PassResult.OPERATION_ERROR}

    @property
    def pending(self) -> int:
        """How many visible changes were planned and are not in force."""
        done = {outcome.change.key for outcome in self.outcomes if outcome.result is Result.APPLIED}
        return sum(change.key not in done for change in self.plan.visible)

    def with_result(self, result: Result) -> tuple[Change, ...]:
        """The changes that ended so."""
        return tuple(outcome.change for outcome in self.outcomes if outcome.result is result)

    def memory_after(self, memory: Memory) -> Memory:
        """What the next pass shall remember, ``memory`` being what this one did. A pass that saw nothing leaves it. The
        store counts as seen once the owner record stands in it, so that a take-over that could not be written down is
        tried again."""
        if not self.planned:
            return memory
        known: Mapping[str, Known] = {} if self.replaced else memory.known
        applied = self.with_result(Result.APPLIED)
        left = [outcome.change for outcome in self.outcomes if outcome.result is not Result.APPLIED]
        recorded = all(change.action is not Action.RECORD for change in left)
        store_position = self.store_position if recorded else memory.store_position
        passes_since_consistent_read = 0 if self.consistent else memory.passes_since_consistent_read + 1
        return Memory(
            remember(known, self.plan, applied, left),
            self.held_delete_counts,
            store_position,
            passes_since_consistent_read,
        )


def summary(plan: Plan) -> str:
    """The plan in one line: ``Plan: 2 to create, 1 to update, 1 to delete, 12 in sync, 1 refused.``"""
    return (
        f"Plan: {plan.count(Action.CREATE)} to create, {plan.count(Action.UPDATE)} to update, "
        f"{plan.count(Action.DELETE)} to delete, {plan.in_sync} in sync, {len(plan.refusals)} refused"
        f"{f', {len(plan.held_back)} held back' if plan.held_back else ''}."
    )


def verdict(outcomes: tuple[Outcome, ...]) -> PassResult:
    """The result of a pass that got as far as applying: a lost race is the next pass's business, not a failure."""
    failed = any(outcome.result in {Result.FAILED, Result.SKIPPED} for outcome in outcomes)
    return PassResult.OPERATION_ERROR if failed else PassResult.SUCCESS
