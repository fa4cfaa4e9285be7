"""Whether the agent is alive and ready, as a value that the HTTP server reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import frozen

from controller.effects.clock import Clock
from controller.errors import plain
from controller.observe.answer import Answer
from model.report import PassReport, PassResult


class Condition(Protocol):
    """Something with a liveness and a readiness check."""

    def alive(self) -> Answer:
        """Return a good answer unless the program should be restarted."""

    def ready(self) -> Answer:
        """Return a good answer while it does its work."""


class Health:
    """Observes one loop. The loop is alive while its passes end when they should, whatever their result. It is ready
    while the entries follow the host's containers, except for changes that the registry rejects."""

    def __init__(self, interval: float, pass_seconds: float, clock: Clock) -> None:
        """``interval`` is the wait between passes, and ``pass_seconds`` how long a pass may take, both in seconds."""
        self._clock = clock
        self._slack = 3 * interval + pass_seconds
        self._due = clock.monotonic()
        self._last: PassReport | None = None

    def begun(self, now: float) -> None:
        """Do nothing: a pass that begins shows nothing yet."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """Note how the pass ended and when the next one is due."""
        self._due = self._clock.monotonic() + wait
        self._last = report

    def alive(self) -> Answer:
        """Return a good answer unless the loop hangs: after a pass was due, none has ended for three intervals plus the
        longest time of a pass."""
        late = self._clock.monotonic() - self._due
        if late > self._slack:
            return Answer(False, f"no pass has ended since one was due {late:.0f} s ago")
        return Answer(True, "ok")

    def ready(self) -> Answer:
        """Return a good answer while the entries follow the host's containers. They do not while the loop hangs."""
        if self._last is None:
            return Answer(False, "no pass has ended yet")
        if not (alive := self.alive()).good:
            return alive
        return Answer(self._last.follows_host, describe(self._last))


@frozen
class AllRegistries:
    """The loops of one agent. It is alive or ready if all loops are. Of several loops the text has a line for each."""

    #: The loops by the labels of their registries. One alone answers without its label.
    loops: Mapping[str, Condition]

    def alive(self) -> Answer:
        """Return a good answer while every loop is alive."""
        return _worst({label: loop.alive() for label, loop in self.loops.items()})

    def ready(self) -> Answer:
        """Return a good answer while every loop is ready."""
        return _worst({label: loop.ready() for label, loop in self.loops.items()})


def _worst(answers: Mapping[str, Answer]) -> Answer:
    if len(answers) == 1:
        return next(iter(answers.values()))
    text = "\n".join(f"{label}: {plain(answer.text)}" for label, answer in answers.items())
    return Answer(all(answer.good for answer in answers.values()), text)


def describe(report: PassReport) -> str:
    """Return in one line what the registry holds after a pass that succeeded, or why the pass did not."""
    if report.result is PassResult.SUCCESS:
        return f"ok: {report.state}{_renaming(report)}"
    return f"{report.result.value}: {report.problem}"


def _renaming(report: PassReport) -> str:
    """Return a sentence about a host that was renamed after the agent took its owner name; empty for any other host."""
    if not report.new_name:
        return ""
    return (
        f" The engine calls this host {report.new_name!r} now; its entries stay under {report.owner!r} until a restart."
    )
