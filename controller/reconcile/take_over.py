"""Ask whether another engine's agent is alive, before the owner name of that engine is taken (``--take-over``)."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import frozen

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import Writer
from model.agent_note import seconds_to_answer
from model.plan import Action, Change, Reason
from model.record import LIVENESS_QUESTION, RecordKeys
from model.report import Result
from model.stored import Actual
from model.take_over import LivenessWait, TakeOverStep, take_over_step


@frozen
class TakeOver:
    """What one pass does to take over an owner name."""

    owner: str
    prefix: str
    registry: Writer
    clock: Clock
    deadline: Deadline
    #: Whether the operator asks for it, and not the agent by itself.
    by_operator: bool = True

    def step(self, wait: LivenessWait | None, engine: str, actual: Actual) -> tuple[LivenessWait, str]:
        """Return the wait for a sign of life, for the next pass to continue, and why this pass does not take the name
        from ``engine``; the reason is empty if it takes the name.

        ``wait`` is the wait that the pass before returned. If it is not None, ``actual`` has to be from a consistent
        read. Raises RegistryUnavailable if the agent of ``engine`` cannot be asked.
        """
        seconds = seconds_to_answer(actual.agent_note)
        query_is_there = actual.liveness_query is not None
        step, wait = take_over_step(wait, engine, seconds, self.clock.monotonic(), query_is_there=query_is_there)
        if step is TakeOverStep.TAKE or (step is TakeOverStep.ASK and not self._ask(actual)):
            return wait, ""
        left = wait.since + seconds - self.clock.monotonic()
        end = datetime.fromtimestamp(self.clock.wall() + left, UTC)
        until = f"until {end:%H:%M:%S} UTC, {seconds:.0f} seconds in all"
        who = "--take-over" if self.by_operator else "this agent, as every entry under the name points at this host,"
        if step is TakeOverStep.YIELD:
            return wait, (
                f"the agent of that engine is alive, as it has answered; {who} waits {until}, before it asks "
                "again: stop that agent, or give this host a name of its own with --hostname"
            )
        return wait, (
            f"{who} waits for a sign of life {until}, and takes the name if that engine's agent gives none; if "
            "both hosts are to stay, give this one a name of its own with --hostname"
        )

    def _ask(self, actual: Actual) -> bool:
        """Write a liveness query that does not expire. Return whether it was written: a dry run writes nothing."""
        key = RecordKeys(self.prefix).liveness_query(self.owner)
        query = Change(Action.NOTE, key, LIVENESS_QUESTION, actual.liveness_query, Reason.ASKED)
        asked = self.registry.apply(self.owner, query, self.deadline)
        if asked.result not in {Result.APPLIED, Result.PENDING}:
            raise RegistryUnavailable(f"cannot ask whether the agent of {self.owner!r} is alive: {asked.detail}")
        return asked.result is not Result.PENDING
