"""The loop: a pass, a wait, and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from structlog.testing import capture_logs

from controller.background import Threads
from controller.clock import Clock
from controller.reconcile.loop import Loop, Pace
from model.memory import Memory
from model.ownership import Known
from model.plan import Plan
from model.report import PassReport, PassResult
from model.stored import StorePosition
from tests.support.fakes import EPOCH, FakeTime, Watcher
from tests.support.reports import failed, planned

#: Longer than any test takes: a loop that waits so long has to be woken.
HOUR = 3600.0

#: Long enough for any machine to get to a thread.
PATIENCE = 10.0

GOOD, BAD = planned(), failed()


class Script:
    """Passes that end as it is written, one after the other; the last one stops the loop.

    ``memories`` are what each pass was given. The loop need not wait between them, it is woken.
    """

    def __init__(self, *reports: PassReport | Exception, interval: float = HOUR, jitter: float = 0.0) -> None:
        self.memories: list[Memory] = []
        self.time = FakeTime()
        self._reports: Iterator[PassReport | Exception] = iter(reports)
        self._left = len(reports)
        self.watcher = Watcher(then=self._wake)
        pace = Pace(interval, self.time.clock, lambda: jitter, Threads().waker())
        self.loop = Loop(self._pass, pace, (self.watcher,))

    def run(self) -> Script:
        """Run the loop to its end."""
        self.loop.run()
        return self

    def _wake(self) -> None:
        self.loop.wake()

    def _pass(self, memory: Memory) -> PassReport:
        self.memories.append(memory)
        self.time.advance(5)
        self._left -= 1
        if not self._left:
            self.loop.stop()
        report = next(self._reports)
        if isinstance(report, Exception):
            raise report
        return report


class Running:
    """A loop in a thread; ``passes`` receives something for each pass."""

    def __init__(self) -> None:
        self.passes: SimpleQueue[str] = SimpleQueue()
        self.may_end = threading.Event()
        self.may_end.set()
        self.loop = Loop(self._pass, Pace(HOUR, Clock(), lambda: 0.0, Threads().waker()))
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def next_pass(self) -> str:
        """Wait for the next pass to begin."""
        return self.passes.get(timeout=PATIENCE)

    def _pass(self, memory: Memory) -> PassReport:
        self.passes.put("begun")
        assert self.may_end.wait(PATIENCE)
        return GOOD


@pytest.fixture
def running() -> Iterator[Running]:
    """A loop that runs, with an hour between its passes."""
    running = Running()
    yield running
    running.may_end.set()
    running.loop.stop()
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()


def test_the_first_pass_comes_at_once(running: Running) -> None:
    """Nobody waits an interval for it."""
    assert running.next_pass()


def test_waking_cuts_the_wait(running: Running) -> None:
    """As often as it is asked for."""
    for _ in range(3):
        assert running.next_pass()
        running.loop.wake()
    assert running.next_pass()


def test_waking_during_a_pass_makes_another_right_after_it(running: Running) -> None:
    """The pass that runs may have looked already."""
    running.may_end.clear()
    running.next_pass()
    running.loop.wake()
    assert running.passes.empty()
    running.may_end.set()
    assert running.next_pass()


def test_stopping_cuts_the_wait(running: Running) -> None:
    """Nobody waits for the interval to be over."""
    running.next_pass()
    running.loop.stop()
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()


def test_stopping_lets_the_pass_that_runs_end(running: Running) -> None:
    """It is not cut short, and no other comes after it."""
    running.may_end.clear()
    running.next_pass()
    running.loop.stop()
    assert running.thread.is_alive()
    running.may_end.set()
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()
    assert running.passes.empty()


def test_a_loop_that_was_stopped_before_does_nothing() -> None:
    """Not even one pass."""
    script = Script(GOOD)
    script.loop.stop()
    assert script.run().memories == []


def test_after_a_success_it_waits_the_interval() -> None:
    """However often."""
    assert Script(GOOD, GOOD, GOOD, interval=2.0).run().watcher.waits == [2.0, 2.0, 2.0]


def test_after_failures_it_waits_longer_and_longer() -> None:
    """Up to half a minute; a success puts an end to it."""
    script = Script(*[BAD] * 8, GOOD, BAD, interval=1.0).run()
    assert script.watcher.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 1.0, 1.0]


@pytest.mark.parametrize("result", [each for each in PassResult if each is not PassResult.SUCCESS])
def test_every_kind_of_failure_backs_off(result: PassResult) -> None:
    """Whatever went wrong."""
    assert Script(*[failed(result)] * 3, interval=1.0).run().watcher.waits == [1.0, 2.0, 4.0]


def test_jitter_takes_up_to_a_quarter_off_a_back_off() -> None:
    """And nothing off the interval."""
    assert Script(BAD, BAD, GOOD, interval=0.5, jitter=1.0).run().watcher.waits == [0.75, 1.5, 0.5]


def test_observers_are_told_of_each_pass() -> None:
    """When it began, by the wall clock, and what it ended in."""
    watcher = Script(GOOD, BAD).run().watcher
    assert watcher.begun_at == [EPOCH, EPOCH + 5]
    assert watcher.reports == [GOOD, BAD]


def test_a_mistake_in_a_pass_does_not_end_the_loop() -> None:
    """It is logged with its traceback, counts as a failure, and the next pass comes."""
    with capture_logs() as lines:
        script = Script(ZeroDivisionError("a mistake\nof ours"), GOOD, interval=1.0).run()
    broken, good = script.watcher.reports
    assert (broken.result, broken.problem) == (PassResult.INTERNAL_ERROR, "ZeroDivisionError: a mistake of ours")
    assert good.succeeded
    assert [(line["event"], line["log_level"]) for line in lines] == [("pass broke, please report this", "error")]
    assert lines[0]["exc_info"]


SETTLED = {"/services/web/core-01:web:80": Known("10.0.0.1:80", "id-web")}
SUSPECTS = {"/services/db/core-01:db:80": 1}
MARK = StorePosition("c1", 7)
SAW_IT = PassReport(PassResult.SUCCESS, plan=Plan(settled=SETTLED), held_delete_counts=SUSPECTS, store_position=MARK)


@pytest.mark.parametrize("between", [BAD, failed(PassResult.ENGINE_ERROR), ValueError()], ids=repr)
def test_what_a_pass_saw_is_given_to_the_next(between: PassReport | Exception) -> None:
    """A pass that saw nothing, or broke, leaves it as it was; one that saw otherwise replaces it."""
    with capture_logs():
        script = Script(SAW_IT, between, GOOD, GOOD).run()
    seen = Memory(SETTLED, SUSPECTS, MARK, passes_since_consistent_read=1)
    assert script.memories == [Memory(), seen, seen, Memory(passes_since_consistent_read=2)]
