"""Whether the agent is alive and ready, as a value that the HTTP server reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import frozen

from controller.clock import Clock
from controller.errors import plain
from model.report import PassReport, PassResult, summary


@frozen
class Answer:
    """``text`` is for people."""

    good: bool
    text: str


class Condition(Protocol):
    """What can be asked how it is."""

    def alive(self) -> Answer:
        """Good unless it should be started again."""

    def ready(self) -> Answer:
        """Good while it does its work."""


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


@frozen
class AllRegistries:
    """The loops of one agent, by the labels of their registries: as good as the worst of them, with a line for each.
    One alone speaks for itself."""

    parts: Mapping[str, Condition]

    def alive(self) -> Answer:
        """Good while every loop is alive."""
        return _together({label: part.alive() for label, part in self.parts.items()})

    def ready(self) -> Answer:
        """Good while the last pass over every registry succeeded."""
        return _together({label: part.ready() for label, part in self.parts.items()})


def _together(answers: Mapping[str, Answer]) -> Answer:
    if len(answers) == 1:
        return next(iter(answers.values()))
    text = "\n".join(f"{label}: {plain(answer.text)}" for label, answer in answers.items())
    return Answer(all(answer.good for answer in answers.values()), text)


def describe(report: PassReport) -> str:
    """How the pass ended, in a line."""
    if report.result is PassResult.SUCCESS:
        return f"ok: {summary(report.plan)}"
    return f"{report.result.value}: {report.problem}"
