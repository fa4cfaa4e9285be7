"""Whether the agent is alive and ready, as a value that the HTTP server reads."""

from __future__ import annotations

from attrs import frozen

from controller.clock import Clock
from model.report import PassReport, PassResult, summary


@frozen
class Answer:
    """``text`` is for people."""

    good: bool
    text: str


class Health:
    """An observer of the loop. Alive: passes end when they should, whatever they end in. Ready: the last one
    succeeded."""

    def __init__(self, interval: float, pass_seconds: float, clock: Clock) -> None:
        """``pass_seconds`` is how long a pass may take."""
        self._clock = clock
        self._slack = 3 * interval + pass_seconds
        self._due = clock.monotonic()
        self._last: PassReport | None = None

    def begun(self, now: float) -> None:
        """A pass that begins proves nothing yet."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Note how the pass ended and when the next one is due."""
        self._due = self._clock.monotonic() + wait
        self._last = report

    def alive(self) -> Answer:
        """Good unless the loop hangs: no pass ended for longer than the wait, a few intervals and a pass's deadline."""
        late = self._clock.monotonic() - self._due
        if late > self._slack:
            return Answer(False, f"no pass has ended since one was due {late:.0f} s ago")
        return Answer(True, "ok")

    def ready(self) -> Answer:
        """Good while the last pass succeeded."""
        if self._last is None:
            return Answer(False, "no pass has ended yet")
        if not self._last.succeeded:
            return Answer(False, describe(self._last))
        return Answer(True, describe(self._last))


def describe(report: PassReport) -> str:
    """How the pass ended, in a line."""
    if report.result is PassResult.SUCCESS:
        return f"ok: {summary(report.plan)}"
    return f"{report.result.value}: {report.problem}"
