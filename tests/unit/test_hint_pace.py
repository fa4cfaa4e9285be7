"""When hints make a pass, and which containers are in a crash loop."""

from __future__ import annotations

import pytest

from model.hint import Hint, HintKind
from model.hint_pace import QUIET, SHORT_RUN, Notice, Run


@pytest.mark.parametrize(
    ("changed_at", "last", "due"),
    [
        (None, 0.0, None),
        (10.0, 9.0, 10.0),
        (10.0, 10.0 - QUIET, 10.0),
        (10.0, 9.99, 9.99 + QUIET),
        (10.0, 10.0, 10.0 + QUIET),
    ],
)
def test_the_first_change_after_a_quiet_moment_acts_at_once(
    changed_at: float | None, last: float, due: float | None
) -> None:
    """Another one waits until the last hurried pass began 50 ms ago, and so never for longer than that."""
    assert Notice(changed_at).pass_due(last) == (due if due is None else pytest.approx(due))


def run_after(*events: tuple[str, float]) -> Run:
    """Return the run of a container after these events, given by the engine's word and the second."""
    run = Run()
    for word, second in events:
        run = run.after(Hint("abc", HintKind(word), round(second * 1e9)))
    return run


@pytest.mark.parametrize(
    "events",
    [
        [("start", 0), ("die", 1), ("start", 2), ("die", 3)],
        [("start", 0), ("die", SHORT_RUN), ("start", 20), ("", 20.5), ("die", 21), ("start", 22)],
        [("start", 0), ("start", 0), ("die", 1), ("die", 1), ("start", 2), ("die", 3), ("die", 3)],
    ],
)
def test_two_crashes_in_a_row_are_a_crash_loop(events: list[tuple[str, float]]) -> None:
    """A crash is a run that ends by itself within ten seconds. Doubled events do not count twice."""
    assert run_after(*events).in_crash_loop


@pytest.mark.parametrize(
    "events",
    [
        [],
        [("die", 1), ("die", 2), ("die", 3)],
        [("start", 0), ("die", 1), ("start", 2)],
        [("start", 0), ("die", 1), ("die", 1), ("die", 1)],
        [("start", 0), ("die", 1), ("start", 2), ("die", 2 + SHORT_RUN + 1)],
        [("start", 0), ("die", 1), ("start", 2), ("kill", 3), ("die", 3)],
        [("start", 0), ("kill", 1), ("die", 1), ("start", 2), ("kill", 3), ("die", 3), ("start", 4)],
        [("start", 0), ("die", 1), ("start", 5), ("die", 4)],
    ],
)
def test_a_container_that_runs_for_longer_or_is_ended_by_somebody_is_in_none(events: list[tuple[str, float]]) -> None:
    """Neither is one that ended before it started, as after the clock was set back."""
    assert not run_after(*events).in_crash_loop
