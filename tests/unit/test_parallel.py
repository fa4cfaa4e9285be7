"""Tasks that run at the same time."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from controller.commands.parallel import run_in_parallel
from controller.effects.background import Threads
from tests.support.processes import REPOSITORY, Child
from tests.support.waiting import wait_until

#: Seconds after which a machine has surely run another thread.
PATIENCE = 10.0


def test_results_are_in_the_order_of_the_tasks() -> None:
    """All tasks run at the same time: here each task ends only when the one after it has ended."""
    ended = [threading.Event() for _ in range(4)]
    ended[3].set()

    def wait_for_the_next(number: int) -> int:
        assert ended[number + 1].wait(PATIENCE)
        ended[number].set()
        return number

    assert run_in_parallel([partial(wait_for_the_next, number) for number in range(3)], Threads()) == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_the_error_of_the_first_task_is_raised(count: int) -> None:
    """The first in the order of the tasks, also when several fail."""
    ended: list[int] = []

    def fail(number: int) -> int:
        ended.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        run_in_parallel([partial(fail, number) for number in range(count)], Threads())
    assert sorted(ended) == list(range(count))


@pytest.mark.parametrize(("count", "here"), [(1, True), (2, False)])
def test_a_single_task_runs_in_the_calling_thread(count: int, here: bool) -> None:
    """Several tasks each run in a thread of their own."""
    tasks: list[Callable[[], threading.Thread]] = [threading.current_thread] * count
    assert [thread is threading.current_thread() for thread in run_in_parallel(tasks, Threads())] == [here] * count


#: A program with a task that never ends.
WAITING = """
import threading
from controller.effects.background import Threads
from controller.commands.parallel import run_in_parallel
run_in_parallel([lambda: print("one", flush=True), threading.Event().wait], Threads())
"""


def test_a_program_that_is_interrupted_does_not_wait_for_its_tasks(tmp_path: Path) -> None:
    """Ctrl-C ends the program even if a task hangs."""
    child = Child([sys.executable, "-c", WAITING], tmp_path / "log", cwd=REPOSITORY)
    child.start()
    wait_until(lambda: "one" in child.log(), what="the program to wait")
    child.signal(signal.SIGINT)
    wait_until(lambda: not child.running, what="the end of the program")
    assert "KeyboardInterrupt" in child.log()


def test_no_tasks_have_no_results() -> None:
    """An empty list of tasks returns at once."""
    assert run_in_parallel([], Threads()) == []
