"""Work in the background."""

from __future__ import annotations

import threading

from controller.effects.background import Threads

#: Seconds after which a machine has surely run another thread.
PATIENCE = 10.0


def test_work_runs_beside_the_caller() -> None:
    """It ends only after the caller has gone on, and ``join`` waits for it."""
    go_on, seen = threading.Event(), list[str]()

    def work() -> None:
        assert go_on.wait(PATIENCE)
        seen.append(threading.current_thread().name)

    task = Threads().start(work, name="a name")
    assert seen == []
    go_on.set()
    task.join(PATIENCE)
    assert seen == ["a name"]


def test_work_does_not_keep_the_program_alive() -> None:
    """Its thread is a daemon thread."""
    daemons = list[bool]()
    Threads().start(lambda: daemons.append(threading.current_thread().daemon), name="work").join(PATIENCE)
    assert daemons == [True]


def test_a_join_with_a_timeout_returns_though_the_work_goes_on() -> None:
    """The work is then left to itself."""
    waker = Threads().waker()
    task = Threads().start(lambda: waker.wait(PATIENCE), name="work")
    task.join(0.0)
    waker.set()
    task.join(PATIENCE)


def test_a_waker_ends_a_wait() -> None:
    """Also one that begins after ``set``, until ``clear`` is called."""
    waker = Threads().waker()
    assert not waker.wait(0.0)
    waker.set()
    assert waker.wait(PATIENCE)
    waker.clear()
    assert not waker.wait(0.0)
