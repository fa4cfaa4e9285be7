"""The pass: read, decide, apply. Everything that changes the registry hangs off this one function.

It is level-triggered: it looks at what is, never at what happened, so it is safe to repeat, and to kill at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from controller.clock import Clock, Deadline
from controller.errors import EngineUnavailable, RegistryUnavailable
from controller.registry import Registry
from model.desired import Rules, Snapshot, desired
from model.layout import Layout
from model.plan import Change, Known, Lifetime, Ownership, in_apply_order, plan
from model.report import Outcome, PassReport, PassResult, Result, Stage, verdict

T = TypeVar("T")


class Source(Protocol):
    """Where the containers come from."""

    def name(self) -> str:
        """The host's name. Raises EngineUnavailable."""

    def read(self, deadline: Deadline) -> Snapshot:
        """The containers. Raises EngineUnavailable; an empty answer is an answer."""


@frozen
class Task:
    """What the operator wants of every pass. ``owner`` empty: the engine's name. ``guess_address`` gives the address
    of the interface through which this host reaches the registry, or an empty string."""

    rules: Rules
    layout: Layout
    lifetime: Lifetime = Lifetime()
    guess_address: Callable[[], str] = lambda: ""
    seconds: float = 10.0
    clock: Clock = field(factory=Clock)

    def rules_for(self, owner: str) -> Rules:
        """The rules with what only shows while the program runs: the owner, and this host's address where none was
        given."""
        address = self.rules.address
        guessed = "" if address.ip else self.guess_address()
        return evolve(self.rules, owner=owner, address=evolve(address, guessed=guessed))


def reconcile(task: Task, source: Source, registry: Registry, known: Mapping[str, Known]) -> PassReport:
    """One pass; never raises for what engine or registry do.

    The registry is read before the containers. What it held at that moment was put there by somebody who had seen its
    container before, so a key that no container backs now is an orphan, even when a second agent on this host has just
    written it; the other way round, that agent's fresh entry would look like one.
    """
    watch = _Stopwatch(task.clock)
    deadline = Deadline.after(task.seconds, task.clock)
    try:
        actual = watch.time(Stage.REGISTRY_READ, lambda: registry.read(deadline))
        owner, snapshot = watch.time(Stage.DOCKER, lambda: _look(task, source, deadline))
    except RegistryUnavailable as error:
        return PassReport(PassResult.REGISTRY_ERROR, problem=str(error), seconds=watch.seconds)
    except EngineUnavailable as error:
        return PassReport(PassResult.ENGINE_ERROR, problem=str(error), seconds=watch.seconds)
    ownership = Ownership(owner, task.layout, known)
    planned = watch.time(
        Stage.PLAN, lambda: plan(desired(snapshot, task.rules_for(owner)), actual, ownership, task.lifetime)
    )
    outcomes = watch.time(Stage.APPLY, lambda: _apply(planned.changes, registry, deadline))
    return PassReport(
        verdict(outcomes), owner, _first_problem(outcomes), planned, outcomes, snapshot.unknown, watch.seconds
    )


def _look(task: Task, source: Source, deadline: Deadline) -> tuple[str, Snapshot]:
    return task.rules.owner or source.name(), source.read(deadline)


def _apply(changes: tuple[Change, ...], registry: Registry, deadline: Deadline) -> tuple[Outcome, ...]:
    """Each change on its own: one that fails stops none of the others."""
    return tuple(
        Outcome(change, Result.SKIPPED, "the pass ran out of time")
        if deadline.passed
        else registry.apply(change, deadline)
        for change in in_apply_order(changes)
    )


def _first_problem(outcomes: tuple[Outcome, ...]) -> str:
    """In a word to the operator: what went wrong first, and how much more."""
    bad = [outcome for outcome in outcomes if outcome.result in {Result.FAILED, Result.SKIPPED}]
    if not bad:
        return ""
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"cannot {bad[0].change.action.value} {bad[0].change.key}: {bad[0].detail}{more}"


class _Stopwatch:
    """Times the stages of a pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.seconds: dict[Stage, float] = {}

    def time(self, stage: Stage, work: Callable[[], T]) -> T:
        start = self._clock.monotonic()
        try:
            return work()
        finally:
            self.seconds[stage] = self._clock.monotonic() - start
