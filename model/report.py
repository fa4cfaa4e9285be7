"""The report of a pass: the one value that log, metrics, output and health read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import field, frozen

from model.container import ContainerRef
from model.described import DescribedEnum
from model.desired import ExclusionReason
from model.frozen import frozen_dict
from model.plan import Action, Change, Plan
from model.record import InnerPrefix
from model.snapshot import UnknownContainer
from model.stored import StorePosition


class Result(DescribedEnum):
    """How a change ended."""

    APPLIED = "applied", "The change is made."
    CONFLICT = "conflict", "The key changed after it was read, so nothing was written. The next pass decides again."
    FAILED = "failed", "The registry refused the change or did not answer."
    SKIPPED = "skipped", "The pass ran out of time before the change."
    PENDING = "pending", "The change was not to be made, as in a dry run."


@frozen
class Outcome:
    """A change and how it ended."""

    change: Change
    result: Result
    #: More about the result, for people; empty where there is nothing to say.
    detail: str = ""
    #: The version, as in ``Stored``, that an ``applied`` change gave the key, or that a change in ``conflict`` found it
    #: to have; 0 where the key is absent or nothing is known of it.
    version: int = 0

    def ended(self, action: Action, result: Result) -> bool:
        """Return whether this is the outcome of such a change, and this is its result."""
        return self.change.action is action and self.result is result


class PassResult(DescribedEnum):
    """How a pass ended. Every result but ``success`` leads to back-off and makes the agent unready."""

    SUCCESS = "success", "The pass did everything that it had to do."
    ENGINE_ERROR = "engine-error", "The Docker engine gave no usable answer. No entry was written."
    REGISTRY_ERROR = "registry-error", "The registry could not be read. No entry was written."
    OWNER_CONFLICT = (
        "owner-conflict",
        "Another engine has written the owner record under this name. No entry was written.",
    )
    OPERATION_ERROR = "operation-error", "At least one change failed or was skipped."
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
    #: The containers that the engine would not describe.
    unknown: tuple[UnknownContainer, ...] = ()
    #: The containers that run and are to have no entries.
    excluded: Mapping[ContainerRef, ExclusionReason] = field(factory=dict, converter=frozen_dict)
    #: How long each stage took that was reached, in seconds.
    seconds: Mapping[Stage, float] = field(factory=dict, converter=frozen_dict)
    #: For each key whose delete is held back, in how many passes in a row it was.
    held_delete_counts: Mapping[str, int] = field(factory=dict, converter=frozen_dict)
    #: The store that was read; None where the registry cannot tell.
    store_position: StorePosition | None = None
    #: Whether the store is not the one of the pass before: another cluster, or one that was wiped or restored.
    replaced: bool = False
    #: The prefixes within this one that have agents of their own; empty where the pass did not need to know.
    inner: tuple[InnerPrefix, ...] = ()
    #: Whether what was read cannot have lagged behind.
    consistent: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the pass did everything that it had to do."""
        return self.result is PassResult.SUCCESS

    @property
    def planned(self) -> bool:
        """Whether the pass saw enough to make a plan."""
        return self.result in {PassResult.SUCCESS, PassResult.OPERATION_ERROR}

    @property
    def pending(self) -> int:
        """How many visible changes were planned and not made."""
        done = {outcome.change.key for outcome in self.outcomes if outcome.result is Result.APPLIED}
        return sum(change.key not in done for change in self.plan.visible)

    def with_result(self, result: Result) -> tuple[Change, ...]:
        """Return the changes that ended with this result."""
        return tuple(outcome.change for outcome in self.outcomes if outcome.result is result)


def summary(plan: Plan) -> str:
    """Return the plan in one line: ``Plan: 2 to create, 1 to update, 1 to delete, 12 in sync, 1 refused.``"""
    return (
        f"Plan: {plan.count(Action.CREATE)} to create, {plan.count(Action.UPDATE)} to update, "
        f"{plan.count(Action.DELETE)} to delete, {plan.in_sync} in sync, {len(plan.refusals)} refused"
        f"{f', {len(plan.held_back)} held back' if plan.held_back else ''}."
    )


def withdrawn_claims(outcomes: Collection[Outcome], claimed_before: Collection[str]) -> frozenset[str]:
    """Return the keys that the owner record must cease to claim after these outcomes.

    These are the keys that were deleted, as the next one to create such a key owns it; and the keys that this pass
    claimed to create them, and that somebody else had created by then. ``claimed_before`` are the keys that the record
    claimed earlier. Of those, a conflict proves nothing: this host may have created the key in an earlier pass.
    """
    deleted = {each.change.key for each in outcomes if each.ended(Action.DELETE, Result.APPLIED)}
    lost = {each.change.key for each in outcomes if each.ended(Action.CREATE, Result.CONFLICT) and each.version}
    return frozenset(deleted | lost.difference(claimed_before))


def result_of(outcomes: tuple[Outcome, ...]) -> PassResult:
    """Return the result of a pass that got as far as making changes. A lost race is no failure: the next pass decides
    again."""
    failed = any(outcome.result in {Result.FAILED, Result.SKIPPED} for outcome in outcomes)
    return PassResult.OPERATION_ERROR if failed else PassResult.SUCCESS
