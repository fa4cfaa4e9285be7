"""The loop: a pass, a wait, and again, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import frozen

from controller import logs
from controller.effects.background import Waker
from controller.effects.clock import Clock
from controller.errors import one_line
from model.backoff import SEQUENCE, backoff
from model.memory import Memory, memory_after
from model.report import PassReport, PassResult

log = logs.logger("wharfinger.loop")

Pass = Callable[[Memory], PassReport]


class Observer(Protocol):
    """Receives the begin and the end of every pass: metrics, log, health, systemd."""

    def begun(self, now: float) -> None:
        """A pass begins; ``now`` is in seconds since the epoch."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """A pass has ended at ``now``, and the next one begins in ``wait`` seconds."""


@frozen
class Pace:
    """How long the loop waits between passes, and what can end the wait."""

    #: Seconds from the end of a pass to the next one.
    interval: float
    clock: Clock
    #: Returns random numbers from 0 to 1, which spread the waits after failures.
    jitter: Callable[[], float]
    #: Ends a wait before its time.
    waker: Waker
    #: The most seconds between passes, however many failed. Keys with a lifetime must outlast it.
    longest_wait: float = SEQUENCE[-1]


class Loop:
    """Makes one pass after the other, the first at once."""

    def __init__(self, run_pass: Pass, pace: Pace, observers: Sequence[Observer] = ()) -> None:
        self._run_pass = run_pass
        self._pace = pace
        self._observers = observers
        self._stopping = False

    def run(self) -> None:
        """Run until ``stop`` is called. An exception in a pass is logged and counts as a failed pass."""
        memory = Memory()
        failures = 0
        while not self._stopping:
            self._pace.waker.clear()
            for observer in self._observers:
                observer.begun(self._pace.clock.wall())
            report = self._try_pass(memory)
            memory = memory_after(report, memory)
            failures = failures + 1 if report.outage else 0
            wait = self._wait_after(report, failures)
            for observer in self._observers:
                observer.ended(report, self._pace.clock.wall(), wait)
            if not self._stopping and self._pace.waker.wait(wait):
                memory = memory.trying_everything()

    def _wait_after(self, report: PassReport, failures: int) -> float:
        """Return the seconds until the next pass; ``failures`` is the number of outages in a row. After a pass that
        made changes until it ran out of time, the next one begins at once."""
        if report.result is PassResult.UNFINISHED:
            return 0.0
        return backoff(failures, self._pace.interval, self._pace.jitter(), self._pace.longest_wait)

    def wake(self) -> None:
        """Start the next pass at once, or right after the pass that is running. That pass also tries the changes that
        wait because the registry did not make them before."""
        self._pace.waker.set()

    def stop(self) -> None:
        """End the loop after the pass that is running."""
        self._stopping = True
        self._pace.waker.set()

    def _try_pass(self, memory: Memory) -> PassReport:
        try:
            return self._run_pass(memory)
        except Exception as error:  # A mistake of ours must not leave the host without an agent.
            log.exception("pass broke, please report this")
            return PassReport(PassResult.INTERNAL_ERROR, problem=f"{type(error).__name__}: {one_line(error)}")
