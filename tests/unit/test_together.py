"""Several things at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from controller.commands.parallel import side_by_side
from tests.support.processes import REPOSITORY, Child
from tests.support.waiting import wait_until

#: Long enough for any machine to get to a thread.
PATIENCE = 10.0


def test_what_they_gave_is_in_their_order() -> None:
    """None waits for another: here each ends only when the one after it has."""
    ended = [threading.Event() for _ in range(4)]
    ended[3].set()

    def wait_for_the_next(number: int) -> int:
        assert ended[number + 1].wait(PATIENCE)
        ended[number].set()
        return number

    assert side_by_side([partial(wait_for_the_next, number) for number in range(3)]) == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_the_first_mistake_is_raised(count: int) -> None:
    """In the order in which they were given, when all have ended."""
    ended: list[int] = []

    def fail(number: int) -> int:
        ended.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        side_by_side([partial(fail, number) for number in range(count)])
    assert sorted(ended) == list(range(count))


@pytest.mark.parametrize(("count", "here"), [(1, True), (2, False)])
def test_one_alone_is_done_right_here(count: int, here: bool) -> None:
    """It needs no thread."""
    tasks: list[Callable[[], threading.Thread]] = [threading.current_thread] * count
    assert [thread is threading.current_thread() for thread in side_by_side(tasks)] == [here] * count


#: A program that waits for what never ends.
WAITING = """
import threading
from controller.commands.parallel import side_by_side
side_by_side([lambda: print("one", flush=True), threading.Event().wait])
"""


def test_a_program_that_is_interrupted_does_not_wait_for_them(tmp_path: Path) -> None:
    """Ctrl-C ends it though one of them hangs."""
    child = Child([sys.executable, "-c", WAITING], tmp_path / "log", cwd=REPOSITORY)
    child.start()
    wait_until(lambda: "one" in child.log(), what="the program to wait")
    child.signal(signal.SIGINT)
    wait_until(lambda: not child.running, what="its end")
    assert "KeyboardInterrupt" in child.log()


def test_nothing_to_do_is_done() -> None:
    """At once."""
    assert side_by_side([]) == []
