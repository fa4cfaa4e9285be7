"""The scheduler of the simulation."""

from __future__ import annotations

import random

import pytest

from tests.simulation.scheduler import Process, Scheduler


def test_tasks_wait_in_virtual_time() -> None:
    """A wait of an hour takes no time, and tasks go on in the order in which their waits end."""
    scheduler = Scheduler(random.Random(1))
    process = Process(scheduler, "p")
    seen: list[tuple[str, float]] = []

    def work(name: str, pause: float) -> None:
        for _ in range(2):
            scheduler.wait(pause)
            seen.append((name, scheduler.now))

    process.start(lambda: work("slow", 3600.0), "slow")
    process.start(lambda: work("fast", 1000.0), "fast")
    scheduler.run_until(10_000.0)
    assert seen == [("fast", 1000.0), ("fast", 2000.0), ("slow", 3600.0), ("slow", 7200.0)]
    assert scheduler.now == 10_000.0
    assert not process.running
    scheduler.close()


def test_a_waker_ends_a_wait_before_its_time() -> None:
    """The one who waits goes on at the moment of the call."""
    scheduler = Scheduler(random.Random(1))
    process = Process(scheduler, "p")
    waker = process.waker()
    seen: list[tuple[bool, float]] = []

    def work() -> None:
        seen.append((waker.wait(100.0), scheduler.now))
        waker.clear()
        seen.append((waker.wait(100.0), scheduler.now))

    process.start(work, "work")
    scheduler.call_at(7.0, waker.set)
    scheduler.run_until(1000.0)
    assert seen == [(True, 7.0), (False, 107.0)]
    scheduler.close()


def test_a_killed_process_does_nothing_more() -> None:
    """Its task ends where it waits."""
    scheduler = Scheduler(random.Random(1))
    process = Process(scheduler, "p")
    seen: list[float] = []

    def work() -> None:
        while True:
            scheduler.wait(1.0)
            seen.append(scheduler.now)

    process.start(work, "work")
    scheduler.call_at(3.5, process.kill)
    scheduler.run_until(10.0)
    assert seen == [1.0, 2.0, 3.0]
    assert not process.running
    scheduler.close()


def test_a_frozen_process_goes_on_later() -> None:
    """What was due meanwhile is done when it thaws."""
    scheduler = Scheduler(random.Random(1))
    process = Process(scheduler, "p")
    seen: list[float] = []

    def work() -> None:
        for _ in range(3):
            scheduler.wait(1.0)
            seen.append(scheduler.now)

    process.start(work, "work")
    scheduler.call_at(1.5, lambda: setattr(process, "frozen_until", 6.0))
    scheduler.run_until(10.0)
    assert seen == [1.0, 6.0, 7.0]
    scheduler.close()


def test_an_error_of_a_task_or_a_call_ends_the_run() -> None:
    """The driver raises it."""
    scheduler = Scheduler(random.Random(1))

    def broken() -> None:
        raise RuntimeError("broken")

    scheduler.call_at(1.0, broken)
    with pytest.raises(RuntimeError, match="broken"):
        scheduler.run_until(2.0)
    scheduler.close()
