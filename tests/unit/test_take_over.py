"""Tests of taking the owner name from another engine: the table of ``take_over_step``, row by row."""

from __future__ import annotations

import pytest

from model.take_over import LivenessWait, TakeOverStep, take_over_step

OLD = "ENGINE:OLD"
ASKED, ANSWERED = LivenessWait(OLD, 100.0), LivenessWait(OLD, 100.0, answered=True)


@pytest.mark.parametrize(
    ("wait", "query", "now", "step", "after"),
    [
        (None, False, 100.0, TakeOverStep.ASK, ASKED),
        (None, True, 100.0, TakeOverStep.ASK, ASKED),
        (LivenessWait("ENGINE:THIRD", 1.0), True, 100.0, TakeOverStep.ASK, ASKED),
        (LivenessWait("ENGINE:THIRD", 1.0, answered=True), False, 100.0, TakeOverStep.ASK, ASKED),
        (ASKED, True, 100.0, TakeOverStep.WAIT, ASKED),
        (ASKED, True, 140.9, TakeOverStep.WAIT, ASKED),
        (ASKED, True, 141.0, TakeOverStep.TAKE, ASKED),
        (ASKED, False, 101.0, TakeOverStep.YIELD, LivenessWait(OLD, 101.0, answered=True)),
        (ASKED, False, 999.0, TakeOverStep.YIELD, LivenessWait(OLD, 999.0, answered=True)),
        (ANSWERED, False, 140.9, TakeOverStep.YIELD, ANSWERED),
        (ANSWERED, True, 140.9, TakeOverStep.YIELD, ANSWERED),
        (ANSWERED, False, 141.0, TakeOverStep.ASK, LivenessWait(OLD, 141.0)),
    ],
)
def test_the_name_is_taken_only_after_the_other_agent_was_silent_for_long_enough(
    wait: LivenessWait | None, query: bool, now: float, step: TakeOverStep, after: LivenessWait
) -> None:
    """An answer counts even if it is seen only after the end of the wait. The wait in the result is handed to the next
    pass."""
    assert take_over_step(wait, OLD, 41.0, now, query_is_there=query) == (step, after)
