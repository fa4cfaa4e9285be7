"""The signals that the engine has sent to containers, as its events tell. ``model/draining.py`` says what they mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import inf

from attrs import evolve, frozen

from model.draining import Signalled
from model.hint import Hint

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


class SentSignals:
    """The last signal of each number that each container was sent."""

    def __init__(self) -> None:
        self._by_container: dict[str, dict[int, _Noted]] = {}

    def note(self, hint: Hint, now: float, wall: float) -> None:
        """Note the signal of a hint. ``wall`` is the present time in seconds since 1970-01-01 UTC. How long ago the
        signal was sent is told by the clocks of this program and of the engine, which are those of one machine."""
        noted = self._by_container.setdefault(hint.container, {})
        before = noted.get(hint.signal)
        if before and before.sent.moment >= hint.moment:
            return
        age = max(0.0, wall - hint.seconds)
        sent = Signalled(hint.signal, hint.moment, now - age)
        noted[hint.signal] = _Noted(sent, now, now + DOUBT if hint.late else -inf)

    def note_answer(self, container_id: str, asked_at: float) -> None:
        """Note that an inspect has answered that was asked at this moment: the signals before it wait no longer."""
        noted = self._by_container.get(container_id, {})
        for number, each in noted.items():
            if each.noted_at <= asked_at:
                noted[number] = evolve(each, counts_from=-inf)

    def counting(self, now: float) -> Mapping[str, Sequence[Signalled]]:
        """Return the signals that count, by the ids of the containers."""
        found = {}
        for container_id, noted in self._by_container.items():
            if sent := [each.sent for each in noted.values() if each.counts_from <= now]:
                found[container_id] = sent
        return found

    def next_moments(self, now: float) -> Iterator[float]:
        """Yield the moments at which further signals will count."""
        for noted in self._by_container.values():
            yield from (each.counts_from for each in noted.values() if each.counts_from > now)

    def forget(self, listed: Collection[str], listed_at: float) -> None:
        """Forget the containers that a list lacks, if their last signals are long ago."""
        for container_id, noted in [*self._by_container.items()]:
            last = max(each.noted_at for each in noted.values())
            if container_id not in listed and last < listed_at - MEMORY:
                del self._by_container[container_id]
