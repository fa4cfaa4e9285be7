"""The loop: its waits, waking and stopping it, its observers, and the memory that it passes on."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from attrs import evolve

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.reconcile.loop import Loop, Pace
from model.guard import HeldDelete
from model.hint_pace import Notice
from model.memory import Memory
from model.ownership import Known
from model.plan import Plan
from model.report import PassReport, PassResult, Result
from model.snapshot import Presence
from model.stored import StorePosition
from model.take_over import LivenessWait
from tests.simulation.scheduler import Process, Scheduler
from tests.support.captured_logs import capture_logs
from tests.support.fakes import EPOCH, FakeTime, RecordingObserver
from tests.support.reports import added, failed, planned

#: An interval in seconds that is longer than any test: a loop that waits for it has to be woken.
HOUR = 3600.0

#: Seconds to wait for a thread. It is long enough for a slow machine.
PATIENCE = 10.0

GOOD, BAD = planned(), failed()


class ScriptedLoop:
    """A loop whose passes end with the given reports, or raise the given exceptions. The last pass stops it.

    ``memories`` has the memory that each pass was given. The loop is woken after each pass, so it never waits.
    """

    def __init__(
        self, *reports: PassReport | Exception, interval: float = HOUR, jitter: float = 0.0, longest: float = 30.0
    ) -> None:
        self.memories: list[Memory] = []
        self.time = FakeTime()
        self._reports: Iterator[PassReport | Exception] = iter(reports)
        self._left = len(reports)
        self.observer = RecordingObserver(then=self._wake)
        pace = Pace(interval, self.time.clock, lambda: jitter, Threads().waker(), longest)
        self.loop = Loop(self._pass, pace, (self.observer,))

    def run(self) -> ScriptedLoop:
        """Run the loop to its end."""
        self.loop.run()
        return self

    def _wake(self) -> None:
        self.loop.wake()

    def _pass(self, memory: Memory, hurried: bool) -> PassReport:
        self.memories.append(memory)
        self.time.advance(5)
        self._left -= 1
        if not self._left:
            self.loop.stop()
        report = next(self._reports)
        if isinstance(report, Exception):
            raise report
        return report


class RunningLoop:
    """A loop in a thread. A pass ends only while ``may_end`` is set."""

    def __init__(self) -> None:
        #: Receives an element when a pass begins.
        self.passes: SimpleQueue[str] = SimpleQueue()
        self.may_end = threading.Event()
        self.may_end.set()
        self.loop = Loop(self._pass, Pace(HOUR, Clock(), lambda: 0.0, Threads().waker()))
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def next_pass(self) -> str:
        """Wait until the next pass begins."""
        return self.passes.get(timeout=PATIENCE)

    def _pass(self, memory: Memory, hurried: bool) -> PassReport:
        self.passes.put("begun")
        assert self.may_end.wait(PATIENCE)
        return GOOD


@pytest.fixture
def running() -> Iterator[RunningLoop]:
    """Run a loop with an hour between its passes."""
    running = RunningLoop()
    yield running
    running.may_end.set()
    running.loop.stop()
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()


# Waking and stopping.


def test_the_first_pass_begins_at_once(running: RunningLoop) -> None:
    """It does not wait for the interval."""
    assert running.next_pass()


def test_waking_ends_the_wait_each_time(running: RunningLoop) -> None:
    """The next pass begins at once, as often as the loop is woken."""
    for _ in range(3):
        assert running.next_pass()
        running.loop.wake()
    assert running.next_pass()


def test_waking_during_a_pass_starts_another_pass_right_after_it(running: RunningLoop) -> None:
    """The running pass may already have read what has changed since."""
    running.may_end.clear()
    running.next_pass()
    running.loop.wake()
    assert running.passes.empty()
    running.may_end.set()
    assert running.next_pass()


def test_stopping_ends_the_wait(running: RunningLoop) -> None:
    """The loop ends without waiting for the rest of the interval."""
    running.next_pass()
    running.loop.stop()
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()


def test_stopping_lets_the_running_pass_end(running: RunningLoop) -> None:
    """No other pass begins after it."""
    running.may_end.clear()
    running.next_pass()
    running.loop.stop()
    assert running.thread.is_alive()
    running.may_end.set()
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()
    assert running.passes.empty()


def test_a_loop_that_was_stopped_before_it_ran_makes_no_pass() -> None:
    """``run`` returns at once."""
    script = ScriptedLoop(GOOD)
    script.loop.stop()
    assert script.run().memories == []


# The wait after a pass.


def test_the_wait_after_a_success_is_the_interval() -> None:
    """It does not depend on how many passes have succeeded."""
    assert ScriptedLoop(GOOD, GOOD, GOOD, interval=2.0).run().observer.waits == [2.0, 2.0, 2.0]


def test_the_wait_grows_with_each_failure_in_a_row_up_to_thirty_seconds() -> None:
    """A success brings it back to the interval."""
    script = ScriptedLoop(*[BAD] * 8, GOOD, BAD, interval=1.0).run()
    assert script.observer.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 1.0, 1.0]


#: The results of passes that did what they could, so that the next pass need not come later.
DONE = (PassResult.SUCCESS, PassResult.INCOMPLETE, PassResult.UNFINISHED, PassResult.NO_ADDRESS)


@pytest.mark.parametrize("result", [each for each in PassResult if each not in (*DONE, PassResult.OPERATION_ERROR)])
def test_the_wait_grows_after_every_pass_that_could_not_make_a_plan(result: PassResult) -> None:
    """In such a pass, the engine or the registry could not be read, another engine had the owner name, or the pass
    broke."""
    assert ScriptedLoop(*[failed(result)] * 3, interval=1.0).run().observer.waits == [1.0, 2.0, 4.0]


def test_the_wait_is_the_interval_while_the_hosts_address_is_missing() -> None:
    """Engine and registry answer, so passes go on to delete the entries of containers that end as soon as ever."""
    assert ScriptedLoop(*[failed(PassResult.NO_ADDRESS)] * 3, interval=1.0).run().observer.waits == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("ended", [Result.FAILED, Result.REJECTED, Result.CONFLICT], ids=lambda each: each.value)
@pytest.mark.parametrize("result", [PassResult.INCOMPLETE, PassResult.OPERATION_ERROR], ids=lambda each: each.value)
def test_a_change_that_is_not_made_does_not_make_the_loop_wait(ended: Result, result: PassResult) -> None:
    """Only that change waits until it is tried again. All other changes go on at the interval."""
    report = planned(added(), ended=ended, result=result)
    assert ScriptedLoop(*[report] * 3, interval=1.0).run().observer.waits == [1.0] * 3


def test_a_pass_that_ran_out_of_time_is_followed_at_once_if_it_made_changes() -> None:
    """If the pass made no change, the wait grows, because nothing shows that the next pass would do better."""
    progress = planned(added(), ended=Result.SKIPPED, result=PassResult.UNFINISHED)
    none = planned(added(), ended=Result.SKIPPED, result=PassResult.OPERATION_ERROR)
    assert ScriptedLoop(progress, progress, none, none, interval=0.5).run().observer.waits == [0.0, 0.0, 1.0, 2.0]


def test_no_wait_is_longer_than_keys_with_a_lifetime_allow() -> None:
    """But no wait is shorter than the interval."""
    assert ScriptedLoop(*[BAD] * 4, interval=1.0, longest=3.0).run().observer.waits == [1.0, 2.0, 3.0, 3.0]
    assert ScriptedLoop(BAD, interval=5.0, longest=3.0).run().observer.waits == [5.0]


def test_a_loop_that_is_woken_tries_every_change() -> None:
    """Whoever sends SIGHUP has mended something, and need not wait until the changes are tried again."""
    script = ScriptedLoop(planned(added(), ended=Result.REJECTED, result=PassResult.INCOMPLETE), GOOD).run()
    assert [each.due for each in script.memories[1].setbacks.values()] == [0.0]


def test_jitter_shortens_only_the_wait_after_a_failure_by_up_to_a_quarter() -> None:
    """The wait after a success is the whole interval."""
    # A wait of 1 s less a quarter, one of 2 s less a quarter, and the interval.
    assert ScriptedLoop(BAD, BAD, GOOD, interval=0.5, jitter=1.0).run().observer.waits == [0.75, 1.5, 0.5]


# Observers, mistakes, and the memory.


def test_observers_learn_when_each_pass_begins_and_how_it_ends() -> None:
    """The begin is given by the wall clock."""
    observer = ScriptedLoop(GOOD, BAD).run().observer
    assert observer.begun_at == [EPOCH, EPOCH + 5]
    assert observer.reports == [GOOD, BAD]


def test_an_exception_in_a_pass_does_not_end_the_loop() -> None:
    """It is logged with its traceback, the pass has the result internal-error, and the next pass begins."""
    with capture_logs() as lines:
        script = ScriptedLoop(ZeroDivisionError("a mistake\nof ours"), GOOD, interval=1.0).run()
    broken, good = script.observer.reports
    assert (broken.result, broken.problem) == (PassResult.INTERNAL_ERROR, "ZeroDivisionError: a mistake of ours")
    assert good.succeeded
    assert [(line["event"], line["log_level"]) for line in lines] == [("pass broke, please report this", "error")]
    assert lines[0]["exc_info"]


SETTLED = {"/services/web/core-01:web:80": Known("10.0.0.1:80", "id-web")}
HELD_DELETES = {"/services/db/core-01:db:80": HeldDelete(Presence.ABSENT, 1, 5.0)}
STORE_POSITION = StorePosition("c1", 7)
WITH_A_PLAN = PassReport(
    PassResult.SUCCESS,
    plan=Plan(settled=SETTLED),
    held_deletes=HELD_DELETES,
    store_position=STORE_POSITION,
)


@pytest.mark.parametrize("between", [BAD, failed(PassResult.ENGINE_ERROR), ValueError()], ids=repr)
def test_a_pass_is_given_the_memory_of_the_last_pass_that_made_a_plan(between: PassReport | Exception) -> None:
    """A pass that failed before its plan, or raised an exception, leaves the memory as it was, except that the guard
    forgets the deletes that it held back."""
    with capture_logs():
        script = ScriptedLoop(WITH_A_PLAN, between, GOOD, GOOD).run()
    memory = Memory(SETTLED, HELD_DELETES, STORE_POSITION, passes_since_consistent_read=1)
    after_failure = evolve(memory, held_deletes={})
    last = Memory(passes_since_consistent_read=2, owner=GOOD.owner)
    assert script.memories == [Memory(), memory, after_failure, last]


def test_a_pass_that_waits_for_a_sign_of_life_does_not_slow_the_loop_down() -> None:
    """The loop looks for the other agent's answer after every interval. Once the other agent has answered, the waits
    grow."""
    waiting = PassReport(PassResult.OWNER_CONFLICT, take_over=LivenessWait("ENGINE", 0.0))
    refused = PassReport(PassResult.OWNER_CONFLICT, take_over=LivenessWait("ENGINE", 0.0, answered=True))
    script = ScriptedLoop(waiting, waiting, refused, refused, GOOD, interval=0.5).run()
    assert script.observer.waits == [0.5, 0.5, 1.0, 2.0, 0.5]


# Hints.


class HintedLoop:
    """A loop with hints, in virtual time. Each pass takes a millisecond, and its report is that of ``reports`` for an
    ordinary one (False) or a hurried one (True)."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(random.Random(1))
        self.process = Process(self.scheduler, "agent")
        self.reports = {False: GOOD, True: GOOD}
        #: When each ordinary and each hurried pass began, and the memory that each pass was given.
        self.began: dict[bool, list[float]] = {False: [], True: []}
        self.memories: list[Memory] = []
        self.observer = RecordingObserver()
        self.hurried = 0
        self._changed_at: float | None = None
        self._look_at: float | None = None
        self._waker = self.process.waker()
        pace = Pace(
            1.0, self.scheduler.clock(), lambda: 0.0, self._waker, notice=self._notice, on_hurried=self._count_hurried
        )
        self.loop = Loop(self._pass, pace, (self.observer,))
        self.process.start(self.loop.run, "loop")

    def _pass(self, memory: Memory, hurried: bool) -> PassReport:
        self.began[hurried].append(round(self.scheduler.now, 6))
        self.memories.append(memory)
        self._changed_at = None
        self.scheduler.wait(0.001)
        return self.reports[hurried]

    def _notice(self) -> Notice:
        if self._look_at is not None and self.scheduler.now >= self._look_at:
            self._look_at, self._changed_at = None, self.scheduler.now
        return Notice(self._changed_at, self._look_at)

    def _count_hurried(self) -> None:
        self.hurried += 1

    def change_at(self, *moments: float) -> None:
        """Let hints tell of a change at each of these moments."""
        for moment in moments:
            self.scheduler.call_at(moment, self._change)

    def _change(self) -> None:
        self._changed_at = self.scheduler.now if self._changed_at is None else self._changed_at
        self._waker.set()

    def look_at(self, moment: float) -> None:
        """Let the hints ask at once to be looked at again at this moment, when they tell of a change."""
        self._look_at = moment
        self._waker.set()

    def run(self, until: float) -> None:
        """Let time pass until this moment."""
        self.scheduler.run_until(until)


@pytest.fixture
def hinted() -> Iterator[HintedLoop]:
    """A loop with hints and an interval of a second."""
    hinted = HintedLoop()
    yield hinted
    hinted.process.kill()
    hinted.scheduler.close()


def test_a_change_makes_a_hurried_pass_at_once(hinted: HintedLoop) -> None:
    """A wake without a change makes none. The observers are told when the next ordinary pass begins."""
    hinted.change_at(0.5)
    hinted.scheduler.call_at(0.6, hinted._waker.set)
    hinted.run(0.9)
    assert (hinted.began, hinted.hurried) == ({False: [0.0], True: [0.5]}, 1)
    assert hinted.observer.waits == [1.0, pytest.approx(0.5)]


def test_changes_close_to_each_other_are_coalesced_for_fifty_milliseconds(hinted: HintedLoop) -> None:
    """However many there are. The first one acts at once."""
    hinted.change_at(*(0.5 + number * 0.01 for number in range(12)))
    hinted.run(0.9)
    assert hinted.began[True] == [0.5, 0.55, 0.6, 0.65]


def test_hurried_passes_postpone_no_ordinary_one(hinted: HintedLoop) -> None:
    """A change that was noticed when an ordinary pass is due waits for it."""
    hinted.change_at(*(number * 0.05 for number in range(1, 80)))
    hinted.run(3.5)
    assert hinted.began[False] == pytest.approx([0.0, 1.001, 2.002, 3.003], abs=0.005)
    assert len(hinted.began[True]) > 40


def test_hints_that_wait_are_looked_at_again_in_time(hinted: HintedLoop) -> None:
    """Nobody wakes the loop then."""
    hinted.run(0.2)
    hinted.look_at(0.3)
    hinted.run(0.9)
    assert hinted.began[True] == [0.3]


def test_after_a_hurried_pass_that_failed_the_next_ordinary_one_comes_in_time(hinted: HintedLoop) -> None:
    """There is no other hurried pass before one has succeeded."""
    hinted.reports[True] = BAD
    hinted.change_at(0.3, 0.5, 0.7)
    hinted.run(1.5)
    assert hinted.began == {False: [0.0, 1.001], True: [0.3]}


def test_hints_do_not_hurry_a_loop_that_backs_off(hinted: HintedLoop) -> None:
    """The registry or the engine is away, and many agents wait for it."""
    hinted.reports[False] = BAD
    hinted.change_at(*(number * 0.1 for number in range(1, 65)))
    hinted.run(6.9)
    assert hinted.began == {False: [0.0, 1.001, 3.002], True: []}


def test_a_hurried_pass_that_ran_out_of_time_is_followed_by_an_ordinary_one_at_once(hinted: HintedLoop) -> None:
    """It goes on with the changes."""
    hinted.reports[True] = planned(added(), ended=Result.SKIPPED, result=PassResult.UNFINISHED)
    hinted.change_at(0.5)
    hinted.run(0.9)
    assert hinted.began == {False: [0.0, 0.501], True: [0.5]}


def test_a_loop_with_hints_that_is_woken_makes_an_ordinary_pass(hinted: HintedLoop) -> None:
    """SIGHUP during a hurried pass is not forgotten."""
    hinted.change_at(0.5)
    hinted.scheduler.call_at(0.5005, hinted.loop.wake)
    hinted.run(0.9)
    assert hinted.began == {False: [0.0, 0.501], True: [0.5]}


def test_a_loop_with_hints_stops(hinted: HintedLoop) -> None:
    """A hurried pass that runs may end."""
    hinted.change_at(0.5)
    hinted.scheduler.call_at(0.5005, hinted.loop.stop)
    hinted.run(5)
    assert hinted.began == {False: [0.0], True: [0.5]}
    assert not hinted.process.running


def test_hurried_passes_do_not_count_as_passes_that_may_have_read_what_lags_behind(hinted: HintedLoop) -> None:
    """There may be many of them in a moment."""
    hinted.change_at(0.3, 0.5)
    hinted.run(1.5)
    assert [each.passes_since_consistent_read for each in hinted.memories] == [0, 1, 1, 1]
