"""The loop: a pass, a wait, and again, until it is told to stop. Hints make passes in between, which are hurried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from attrs import frozen

from controller import logs
from controller.effects.background import Waker
from controller.effects.clock import Clock
from controller.errors import one_line
from model.backoff import SEQUENCE, backoff
from model.hint_pace import Notice
from model.memory import Memory, memory_after
from model.report import PassReport, PassResult

log = logs.logger("wharfinger.loop")

#: A pass, which is given what the last one left, and whether it is a hurried one.
Pass = Callable[[Memory, bool], PassReport]


class Observer(Protocol):
    """Receives the begin and the end of every pass: metrics, log, health, systemd."""

    def begun(self, now: float) -> None:
        """A pass begins; ``now`` is in seconds since the epoch."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """A pass has ended at ``now``, and the next ordinary one begins in ``wait`` seconds."""


def no_notice() -> Notice:
    """Notice nothing, as a loop without hints does."""
    return Notice()


@frozen
class Pace:
    """How long the loop waits between passes, and what can end the wait."""

    #: Seconds from the end of an ordinary pass to the next one.
    interval: float
    clock: Clock
    #: Returns random numbers from 0 to 1, which spread the waits after failures.
    jitter: Callable[[], float]
    #: Ends a wait before its time.
    waker: Waker
    #: The most seconds between passes, however many failed. Keys with a lifetime must outlast it.
    longest_wait: float = SEQUENCE[-1]
    #: Takes in what hints have told, without waiting. Called each time that the waker ends a wait.
    notice: Callable[[], Notice] = no_notice
    #: Called for each hurried pass.
    on_hurried: Callable[[], None] = lambda: None


class Loop:
    """Makes one ordinary pass after the other, the first at once, and hurried ones in between.

    Hurried passes postpone no ordinary pass. After a pass that could not read what it needs, there are none until an
    ordinary pass has succeeded, so that hints do not hurry an agent that is to back off.
    """

    def __init__(self, run_pass: Pass, pace: Pace, observers: Sequence[Observer] = ()) -> None:
        self._run_pass = run_pass
        self._pace = pace
        self._observers = observers
        self._stopping = False
        self._woken = False
        self._memory = Memory()
        #: When the next ordinary pass begins, and when the last hurried one began, in seconds of the monotonic clock.
        self._next_at = -inf
        self._hurried_at = -inf

    def run(self) -> None:
        """Run until ``stop`` is called. An exception in a pass is logged and counts as a failed pass."""
        failures = 0
        while not self._stopping:
            report = self._begin(hurried=False)
            failures = failures + 1 if report.outage else 0
            wait = self._wait_after(report, failures)
            self._next_at = self._pace.clock.monotonic() + wait
            self._end(report, wait)
            self._wait(may_hurry=not report.outage)

    def _wait(self, *, may_hurry: bool) -> None:
        """Wait for the next ordinary pass, and make hurried passes until then."""
        while not self._stopping:
            self._pace.waker.clear()
            if self._woken:
                self._memory = self._memory.trying_everything()
                return
            notice = self._pace.notice() if may_hurry else Notice()
            now = self._pace.clock.monotonic()
            if now >= self._next_at:
                return
            due = notice.pass_due(self._hurried_at)
            if due is not None and due <= now:
                may_hurry = self._hurry()
            elif not self._stopping:
                moments = (self._next_at, due, notice.look_at)
                self._pace.waker.wait(max(0.0, min(each for each in moments if each is not None) - now))

    def _hurry(self) -> bool:
        """Make a hurried pass. Return whether another one may follow."""
        self._hurried_at = self._pace.clock.monotonic()
        self._pace.on_hurried()
        report = self._begin(hurried=True)
        now = self._pace.clock.monotonic()
        if report.result is PassResult.UNFINISHED:
            self._next_at = now
        self._end(report, max(0.0, self._next_at - now))
        return not report.outage

    def _begin(self, *, hurried: bool) -> PassReport:
        """Make a pass, and keep what it leaves."""
        self._woken = self._woken and hurried
        for observer in self._observers:
            observer.begun(self._pace.clock.wall())
        report = self._try_pass(hurried=hurried)
        self._memory = memory_after(report, self._memory, hurried=hurried)
        return report

    def _end(self, report: PassReport, wait: float) -> None:
        for observer in self._observers:
            observer.ended(report, self._pace.clock.wall(), wait)

    def _wait_after(self, report: PassReport, failures: int) -> float:
        """Return the seconds until the next ordinary pass; ``failures`` is the number of outages in a row. After a pass
        that made changes until it ran out of time, the next one begins at once."""
        if report.result is PassResult.UNFINISHED:
            return 0.0
        return backoff(failures, self._pace.interval, self._pace.jitter(), self._pace.longest_wait)

    def wake(self) -> None:
        """Start the next pass at once, or right after the pass that is running. That pass also tries the changes that
        wait because the registry did not make them before."""
        self._woken = True
        self._pace.waker.set()

    def stop(self) -> None:
        """End the loop after the pass that is running."""
        self._stopping = True
        self._pace.waker.set()

    def _try_pass(self, *, hurried: bool) -> PassReport:
        try:
            return self._run_pass(self._memory, hurried)
        except Exception as error:  # A mistake of ours must not leave the host without an agent.
            log.exception("pass broke, please report this")
            return PassReport(PassResult.INTERNAL_ERROR, problem=f"{type(error).__name__}: {one_line(error)}")
