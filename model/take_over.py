"""Taking the owner name from another engine (``--take-over``), which waits until that engine's agent is silent."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class TakeOverStep(Enum):
    """What a pass does about the owner name of another engine."""

    #: Write a liveness query, unless there is one, and wait.
    ASK = "ask"
    #: Write nothing, and wait.
    WAIT = "wait"
    #: Write nothing, and leave the name to the other agent: it has answered, so it is alive.
    YIELD = "yield"
    #: Take the name: the other agent has not answered in time.
    TAKE = "take"


@frozen
class LivenessWait:
    """A wait for a sign of life of the agent that has the owner name. Each pass hands it to the next one."""

    #: The id of the engine that has the name.
    engine: str
    #: When the wait began, in seconds of the monotonic clock.
    since: float
    #: Whether the agent has answered. Then this is the wait until it is asked again.
    answered: bool = False

    def over(self, seconds: float, now: float) -> bool:
        """Return whether the wait has lasted for this many seconds."""
        return now - self.since >= seconds


def take_over_step(
    wait: LivenessWait | None, engine: str, seconds: float, now: float, *, query_is_there: bool
) -> tuple[TakeOverStep, LivenessWait]:
    """Return what a pass does about an owner name that ``engine`` has, and the wait that it hands to the next one:

    ======================  ==============  =====================  ====================================
    the wait so far         liveness query  waited for             result
    ======================  ==============  =====================  ====================================
    none, or another engine any             any                    ask, and begin to wait
    for an answer           there           less than ``seconds``  wait
    for an answer           there           ``seconds``            take the name
    for an answer           gone            any                    yield, and begin to wait
    until it is asked again any             less than ``seconds``  yield
    until it is asked again any             ``seconds``            ask, and begin to wait
    ======================  ==============  =====================  ====================================

    ``seconds`` is how long the other agent may take to answer. ``now`` is in seconds of the monotonic clock.
    ``query_is_there`` has to come from a consistent read.
    """
    if wait is None or wait.engine != engine:
        return TakeOverStep.ASK, LivenessWait(engine, now)
    over = wait.over(seconds, now)
    if wait.answered:
        return (TakeOverStep.ASK, LivenessWait(engine, now)) if over else (TakeOverStep.YIELD, wait)
    if not query_is_there:
        return TakeOverStep.YIELD, LivenessWait(engine, now, answered=True)
    return (TakeOverStep.TAKE if over else TakeOverStep.WAIT), wait
