"""The signals that were sent to containers, and what is remembered of them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from controller.source.sent_signals import DOUBT, MEMORY, SentSignals
from model.draining import DEFAULT_STOP_RULE, NO_DRAINING, STOP_GRACE
from model.hint import Hint, HintKind
from model.stop_signal import KILL, TERM
from tests.support.builders import container

HUP = 1

#: The engine's clock shows this when the monotonic clock shows 0: the first second of the year 2026.
WALL = 1767225600.0

#: When the container was started, in seconds after WALL.
STARTED = 10.0


def hint(second: float, signal: int = TERM, kind: HintKind = HintKind.KILL, *, late: bool = False) -> Hint:
    """Return the hint of a signal, at this second after WALL."""
    return Hint("web", kind, round((WALL + second) * 1e9), signal, late)


def start(second: float, *, late: bool = False) -> Hint:
    """Return the hint of a start."""
    return hint(second, 0, HintKind.START, late=late)


class Signals:
    """The signals to a container ``web``, in time that passes only when the test says so."""

    def __init__(self, **changed: Any) -> None:
        self.sent = SentSignals(DEFAULT_STOP_RULE)
        self.web = container("web", id="web", started=hint(STARTED).moment, **changed)
        self.now = 20.0

    def note(self, *hints: Hint) -> None:
        """Note hints as they arrive."""
        for each in hints:
            self.sent.note(each, self.now, WALL + self.now)

    def recall(self, *hints: Hint) -> None:
        """Note the engine's history."""
        self.sent.recall(hints, self.now, WALL + self.now)

    def drains(self, now: float | None = None) -> bool:
        """Return whether the container drains at this moment, by default at once."""
        self.sent.look({"web": self.web}, self.now if now is None else now)
        return "web" in self.sent.draining


@pytest.fixture
def signals() -> Signals:
    """No signal was sent yet."""
    return Signals()


def test_a_signal_that_stops_a_container_counts_at_once(signals: Signals) -> None:
    """Until the stop grace is over, when somebody has to look again."""
    assert not signals.drains()
    signals.note(hint(20))
    assert signals.sent.look({"web": signals.web}, 20.0)
    assert not signals.sent.look({"web": signals.web}, 20.0)
    assert signals.sent.look_at == 20 + STOP_GRACE
    assert signals.drains(19.9 + STOP_GRACE)
    assert not signals.drains(20 + STOP_GRACE)
    assert signals.sent.look_at == float("inf")


def test_a_later_signal_begins_the_grace_anew(signals: Signals) -> None:
    """An earlier one that arrives after it changes nothing, and nor does the same one once more."""
    signals.note(hint(20))
    signals.now = 40
    signals.note(hint(40), hint(30), hint(40))
    signals.now = 60
    signals.recall(hint(40))
    assert signals.drains()
    assert signals.sent.look_at == 40 + STOP_GRACE


def test_a_late_signal_waits_for_an_inspect(signals: Signals) -> None:
    """The container may have been started again since."""
    signals.note(hint(19, late=True))
    assert not signals.drains()
    assert signals.sent.look_at == 20 + DOUBT
    signals.sent.note_answer("web", 19.9)
    assert not signals.drains()
    signals.sent.note_answer("web", 20.0)
    assert signals.drains()
    assert signals.sent.look_at == pytest.approx(19 + STOP_GRACE)


def test_a_late_signal_does_not_wait_for_ever(signals: Signals) -> None:
    """An inspect may have no answer."""
    signals.note(hint(19, late=True))
    assert signals.drains(20 + DOUBT)


def test_a_late_signal_does_not_bring_the_entries_back(signals: Signals) -> None:
    """The container drains already, so there is nothing to wait for. It is so of each signal of an engine whose clock
    is behind."""
    signals.note(hint(20))
    signals.now = 25
    signals.note(hint(24, late=True))
    assert signals.drains()
    signals.note(hint(24.5, KILL, late=True))
    assert signals.drains()


def test_a_late_signal_is_as_old_as_the_clocks_say(signals: Signals) -> None:
    """One that is older than the stop grace counts no more. One from the future, by an engine whose clock is ahead, was
    sent now."""
    signals.now = 1000
    signals.note(hint(900, late=True), hint(1100, KILL))
    signals.sent.note_answer("web", 1000)
    assert signals.drains()
    assert signals.sent.look_at == 1000 + STOP_GRACE
    other = Signals()
    other.now = 20 + STOP_GRACE
    other.note(hint(20, late=True))
    other.sent.note_answer("web", other.now)
    assert not other.drains()


def test_a_start_ends_the_draining(signals: Signals) -> None:
    """Even if the engine's clock was set back in between, so that the start seems to be earlier than the signal."""
    signals.note(hint(20))
    assert signals.drains()
    signals.note(start(15))
    assert not signals.drains()


def test_a_late_start_forgets_earlier_signals_alone(signals: Signals) -> None:
    """The history has told of the signal after it."""
    signals.note(hint(20))
    signals.note(start(25, late=True))
    assert not signals.drains()
    signals.note(hint(30), start(25, late=True))
    assert signals.drains()


def test_the_signal_of_an_earlier_run_that_arrives_after_the_start_does_not_count(signals: Signals) -> None:
    """The container's start is later."""
    signals.note(start(STARTED), hint(STARTED - 1, late=True))
    signals.sent.note_answer("web", signals.now)
    assert not signals.drains()


def test_the_history_tells_of_signals_at_once(signals: Signals) -> None:
    """They need no inspect, and are as old as the clocks say."""
    signals.recall(hint(15))
    assert signals.drains()
    assert signals.sent.look_at == 15 + STOP_GRACE


@pytest.mark.parametrize("history_first", [True, False])
def test_a_signal_of_which_history_and_hint_tell_counts_at_once(signals: Signals, history_first: bool) -> None:
    """A stream begins with the last second, so its first hints are late. They are in the history, too."""
    if history_first:
        signals.recall(hint(19))
    signals.note(hint(19, late=True))
    if not history_first:
        assert not signals.drains()
        signals.recall(hint(19))
    assert signals.drains()


def test_a_start_in_the_history_forgets_the_signals_before_it() -> None:
    """The list may show a container unchanged that was started again, so its start may not be known yet."""
    signals = Signals()
    signals.note(hint(12))
    signals.recall(hint(14), start(15))
    assert not signals.drains()
    signals.recall(hint(14), start(15), hint(16))
    assert signals.drains()


def test_a_container_that_is_not_known_yet_drains_from_the_first(signals: Signals) -> None:
    """Its first inspect is still open when it is sent the signal."""
    signals.note(start(STARTED), hint(20))
    assert not signals.sent.look({}, 20.0)
    assert signals.drains()


def test_a_container_that_is_started_again_is_looked_at_anew(signals: Signals) -> None:
    """The hint of its start may have been lost."""
    signals.note(hint(20))
    assert signals.drains()
    signals.web = evolve(signals.web, started=hint(25).moment)
    assert not signals.drains()


@pytest.mark.parametrize("status", ["restarting", "exited"])
def test_a_container_that_does_not_run_does_not_drain(status: str) -> None:
    """It has no entries. The signal may be to its next run, of which nothing is known yet."""
    signals = Signals(status=status)
    signals.note(hint(20))
    assert not signals.drains()
    signals.web = container("web", id="web", started=hint(19).moment)
    assert signals.drains()


def noted(signals: SentSignals) -> int:
    """Return of how many containers something is remembered."""
    return len(signals._noted) + len(signals._verdicts)


def test_signals_that_mean_nothing_are_forgotten(signals: Signals) -> None:
    """A container that is sent HUP every second costs no memory, and nothing that is done again and again."""
    for second in range(20, 3000):
        signals.now = second
        signals.note(hint(second, HUP))
        assert not signals.drains()
    assert noted(signals.sent) == 0


def test_a_container_that_went_away_is_forgotten() -> None:
    """Some time after the list lacks it."""
    signals = Signals()
    signals.note(hint(20))
    signals.drains()
    signals.sent.forget(["web"], 1000)
    signals.sent.forget([], 20 + MEMORY)
    assert signals.drains()
    signals.sent.forget([], 20.1 + MEMORY)
    assert (signals.drains(), noted(signals.sent)) == (False, 0)


def test_where_nothing_drains_nothing_is_remembered() -> None:
    """With ``--no-drain-on-stop``."""
    signals = SentSignals(NO_DRAINING)
    signals.note(hint(20), 20.0, WALL)
    signals.recall([hint(20)], 20.0, WALL)
    assert noted(signals) == 0


def test_containers_that_drain_are_not_judged_again_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand containers that are being stopped must not make each event expensive."""
    signals = Signals()
    signals.note(hint(20))
    assert signals.drains()
    monkeypatch.setattr("model.draining.StopRule.draining", None)
    assert signals.drains(21)
