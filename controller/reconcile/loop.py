"""The loop: a pass, a wait, and again, until it is told to stop."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Protocol

from attrs import field, frozen

from controller import logs
from controller.clock import Clock
from controller.errors import one_line
from model.backoff import backoff
from model.report import Memory, PassReport, PassResult

log = logs.logger("wharfinger.loop")

Pass = Callable[[Memory], PassReport]


class Observer(Protocol):
    """Told of every pass: metrics, log, health."""

    def begun(self, now: float) -> None:
        """A pass begins; ``now`` is in seconds since the epoch."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """A pass has ended, and the next one comes in ``wait`` seconds."""


@frozen
class Pace:
    """``interval`` in seconds between passes; ``jitter`` gives random numbers from 0 to 1."""

    interval: float
    jitter: Callable[[], float] = random.random
    clock: Clock = field(factory=Clock)


class Loop:
    """Runs passes one after the other, the first at once."""

    def __init__(self, run_pass: Pass, pace: Pace, observers: tuple[Observer, ...] = ()) -> None:
        self._pass = run_pass
        self._pace = pace
        self._observers = observers
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Run until ``stop``. Nothing that happens in a pass ends it."""
        memory = Memory()
        failures = 0
        while not self._stopping:
            self._wake.clear()
            for observer in self._observers:
                observer.begun(self._pace.clock.wall())
            report = self._try(memory)
            memory = report.memory_after(memory)
            failures = 0 if report.succeeded else failures + 1
            wait = backoff(failures, self._pace.interval, self._pace.jitter())
            for observer in self._observers:
                observer.ended(report, self._pace.clock.wall(), wait)
            if not self._stopping:
                self._wake.wait(wait)

    def wake(self) -> None:
        """Have a pass at once, or right after the one that is running."""
        self._wake.set()

    def stop(self) -> None:
        """End after the pass that is running, if one is."""
        self._stopping = True
        self._wake.set()

    def _try(self, memory: Memory) -> PassReport:
        try:
            return self._pass(memory)
        except Exception as error:  # A mistake of ours must not leave the host without an agent.
            log.exception("pass broke, please report this")
            return PassReport(PassResult.INTERNAL_ERROR, problem=f"{type(error).__name__}: {one_line(error)}")
