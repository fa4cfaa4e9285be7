"""The clock, and deadlines."""

from __future__ import annotations

import pytest

from controller.effects.clock import Clock, Deadline
from tests.support.fakes import FakeTime


@pytest.mark.parametrize(
    ("passed", "left", "is_over"),
    [(0.0, 10.0, False), (9.5, 0.5, False), (10.0, 0.0, True), (60.0, 0.0, True)],
    ids=["fresh", "nearly over", "over", "long over"],
)
def test_a_deadline_runs_out(passed: float, left: float, is_over: bool) -> None:
    """The time that is left shrinks as time passes, and is never negative."""
    time = FakeTime()
    deadline = Deadline.after(10, time.clock)
    time.advance(passed)
    assert (deadline.left, deadline.passed) == (left, is_over)


def test_the_default_clock_is_that_of_the_machine() -> None:
    """It tells the seconds since 1970, and seconds that never decrease."""
    clock = Clock()
    before = clock.monotonic()
    assert clock.monotonic() >= before
    assert clock.wall() > 1_700_000_000
