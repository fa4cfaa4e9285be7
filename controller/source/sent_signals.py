"""The signals that the engine has sent to containers, and which containers drain because of them.

The engine's events tell of each signal as it is sent. Those that were sent while nobody followed the events are
recalled from the engine's history. ``model/draining.py`` says what a signal means.

Only what may still make a container drain is kept, so a container that is sent HUP for a year costs nothing.

One thread calls all methods, and owns all state here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import inf

from attrs import evolve, frozen

from model.container import Container
from model.draining import Draining, Signalled, StopRule
from model.hint import Hint, HintKind

#: Seconds for which the signal of a late hint waits for an inspect. The container may have been started again since.
DOUBT = 0.5

#: Seconds after the last signal to a container that is not listed for which it is remembered.
MEMORY = 60.0


@frozen
class _Noted:
    """A signal, and when it counts. Moments are in seconds of the monotonic clock."""

    sent: Signalled
    noted_at: float
    counts_from: float


@frozen
class _Verdict:
    """What the signals to a container mean."""

    #: The container as it was known then.
    container: Container
    #: None if it does not drain.
    draining: Draining | None
    #: Until when this holds although nothing more is told, in seconds of the monotonic clock.
    until: float


class SentSignals:
    """The last signal of each number that each container was sent."""

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        self._noted: dict[str, dict[int, _Noted]] = {}
        #: What was found out about each container when it was looked at last, as far as it still holds.
        self._verdicts: dict[str, _Verdict] = {}
        #: The containers that drained when ``look`` was called last, by their ids.
        self.draining: Mapping[str, Draining] = {}
        #: When this may change although nothing more is told, in seconds of the monotonic clock.
        self.look_at = inf

    def note(self, hint: Hint, now: float, wall: float) -> None:
        """Note what a hint tells of signals. ``wall`` is the present time in seconds since 1970-01-01 UTC."""
        self._note(hint, now, wall, now + DOUBT if hint.late else -inf)

    def recall(self, history: Iterable[Hint], now: float, wall: float) -> None:
        """Note what the engine's history of starts and signals tells. These signals need not wait for an inspect,
        because the history would tell of a start."""
        for hint in history:
            self._note(evolve(hint, late=True), now, wall, -inf)

    def _note(self, hint: Hint, now: float, wall: float, counts_from: float) -> None:
        """Note what a hint tells of signals. How long ago a signal was sent is told by the clocks of
        this program and of the engine. If the engine's is behind, the container drains for less time."""
        if hint.kind is HintKind.START:
            self._note_start(hint)
        elif hint.signal and self._rule.on:
            age = max(0.0, wall - hint.seconds)
            self._add(hint.container, _Noted(Signalled(hint.signal, hint.moment, now - age), now, counts_from))

    def _note_start(self, hint: Hint) -> None:
        """Forget the signals to the earlier runs of a container that was started. Their moments are not compared with
        that of the start, because the engine's clock may have been set back in between, but a late hint tells nothing
        of the signals after the start."""
        noted = self._noted.pop(hint.container, {})
        self._verdicts.pop(hint.container, None)
        if after := {number: each for number, each in noted.items() if hint.late and each.sent.moment > hint.moment}:
            self._noted[hint.container] = after

    def note_answer(self, container_id: str, asked_at: float) -> None:
        """Note that an inspect has answered that was asked at this moment: the signals before it wait no longer."""
        noted = self._noted.get(container_id, {})
        for number, each in noted.items():
            if each.noted_at <= asked_at < each.counts_from:
                noted[number] = evolve(each, counts_from=-inf)
                self._verdicts.pop(container_id, None)

    def _add(self, container_id: str, new: _Noted) -> None:
        """Add a signal, unless a later one of its number is there. It does not have to wait if one that is there does
        not, which may be the same one: the history tells of a signal of which a late hint tells, too."""
        noted = self._noted.setdefault(container_id, {})
        before = noted.get(new.sent.signal, new)
        if before.sent.moment <= new.sent.moment:
            latest = before if before.sent.moment == new.sent.moment else new
            noted[new.sent.signal] = evolve(latest, counts_from=min(before.counts_from, new.counts_from))
            self._verdicts.pop(container_id, None)

    def look(self, known: Mapping[str, object], now: float) -> bool:
        """Find out which containers drain at this moment, and return whether that has changed. ``known`` has what is
        known of the containers, by their ids."""
        before, draining, moments = self.draining, dict[str, Draining](), [inf]
        for container_id in [*self._noted]:
            container = known.get(container_id)
            if isinstance(container, Container) and container.serving:
                verdict = self._verdict(container, now)
                moments.append(verdict.until)
                if verdict.draining:
                    draining[container_id] = verdict.draining
        self.draining, self.look_at = draining, min(moments)
        return draining != before

    def _verdict(self, container: Container, now: float) -> _Verdict:
        """Return what the signals to a container mean. Forget them if they mean nothing: a container does not change
        what stops it while it runs."""
        verdict = self._verdicts.get(container.id)
        if verdict is None or verdict.container is not container or verdict.until <= now:
            verdict = self._judge(container, now)
            self._verdicts[container.id] = verdict
        if verdict.draining is None and verdict.until == inf:
            del self._noted[container.id], self._verdicts[container.id]
        return verdict

    def _judge(self, container: Container, now: float) -> _Verdict:
        noted = self._noted[container.id].values()
        sent = [each.sent for each in noted if each.counts_from <= now]
        until = min((each.counts_from for each in noted if each.counts_from > now), default=inf)
        draining = self._rule.draining(container, sent, now)
        return _Verdict(container, draining, min(until, self._rule.until(container, sent)) if draining else until)

    def forget(self, listed: Collection[str], listed_at: float) -> None:
        """Forget the containers that a list lacks, if their last signals are long ago."""
        for container_id, noted in [*self._noted.items()]:
            last = max(each.noted_at for each in noted.values())
            if container_id not in listed and last < listed_at - MEMORY:
                del self._noted[container_id]
                self._verdicts.pop(container_id, None)
