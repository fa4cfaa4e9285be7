"""The thread that follows the engine's events, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller.source.engine_client import Filters
from controller.source.engine_errors import EngineError, ErrorAnswer
from controller.source.events import (
    ATTEMPTS,
    HISTORY_INTERVAL,
    HISTORY_TIME,
    LATE,
    MOST_WAITING,
    NO_HINTS,
    OVERLAP,
    SILENCE,
    Events,
    Origin,
)
from tests.simulation.scheduler import EPOCH, Process, Scheduler
from tests.support.fakes import FakeDocker

#: The agent's clock is this many seconds ahead of the engine's.
AHEAD = 1000.0


def started(container: str, second: float) -> dict[str, Any]:
    """Return an event at this second of the engine's clock, counted from EPOCH."""
    actor = {"ID": container, "Attributes": {}}
    return {"Type": "container", "Action": "start", "Actor": actor, "timeNano": round((EPOCH + second) * 1e9)}


class Engine(FakeDocker):
    """An engine whose streams a test ends, and the events of which a subscriber takes."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(random.Random(1))
        self.process = Process(self.scheduler, "agent")
        self.said: list[tuple[float, Origin, str]] = []
        self.reopened_at: list[float] = []
        #: When each stream was opened and each history asked for, and the moments from which on, after EPOCH.
        self.opened: list[tuple[float, float]] = []
        self.polled: list[tuple[float, float]] = []
        #: How a stream goes on after what has happened: by default it is silent.
        self.goes_on: Callable[[], None] = self._be_silent
        self.woken = 0
        self.watching = Events(self.dial, self.process, self.scheduler.clock(AHEAD), lambda: 0.0, 1.0, self)
        self.hints = self.watching.subscribe(self._wake)
        self.watching.start()

    def changed(self, origin: Origin, why: str) -> None:
        """See EventsObserver."""
        self.said.append((self.scheduler.now, origin, why))

    def reopened(self) -> None:
        """See EventsObserver."""
        self.reopened_at.append(self.scheduler.now)

    def _wake(self) -> None:
        self.woken += 1

    def _be_silent(self) -> None:
        self.scheduler.wait(SILENCE)
        raise TimeoutError("timed out")

    def events(self, since: float, filters: Filters, silence: float) -> Iterator[Any]:
        """See EngineClient."""
        self._ask("events")
        self.opened.append((self.scheduler.now, since - EPOCH))
        return self._stream()

    def _stream(self) -> Iterator[Any]:
        happened, self.happened = self.happened, []
        yield from happened
        self.goes_on()

    def event_history(self, since: float, until: float, filters: Filters) -> list[Any]:
        """See EngineClient."""
        self.polled.append((self.scheduler.now, since - EPOCH))
        return super().event_history(since, until, filters)

    def run(self, until: float) -> None:
        """Let virtual time pass until this moment."""
        self.scheduler.run_until(until)

    def ends_after(self, seconds: float) -> None:
        """Let the engine close each stream after so many seconds."""
        self.goes_on = lambda: self.scheduler.wait(seconds)

    def taken(self) -> list[str]:
        """Return the containers of the hints that the subscriber takes now."""
        return [hint.container for hint in self.hints.take()]


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine whose events are followed."""
    engine = Engine()
    yield engine
    engine.process.kill()
    engine.scheduler.close()


@pytest.mark.parametrize(("age", "late"), [(0.0, False), (LATE, False), (LATE + 0.01, True)])
def test_a_hint_that_arrives_long_after_its_event_is_late(engine: Engine, age: float, late: bool) -> None:
    """By then, the container may be in another state again."""
    engine.happened = [started("web", AHEAD - age)]
    engine.run(0.0)
    assert [hint.late for hint in engine.hints.take()] == [late]


def test_each_subscriber_gets_all_hints(engine: Engine) -> None:
    """It is woken, and takes them in their order. What is no hint is left out."""
    other = engine.watching.subscribe(lambda: None)
    engine.happened = [started("a", 1), {"Type": "image"}, started("b", 2)]
    assert not engine.hints.flows
    engine.run(1)
    assert engine.hints.flows
    assert (engine.woken, engine.taken(), [hint.container for hint in other.take()]) == (2, ["a", "b"], ["a", "b"])
    assert engine.taken() == []
    assert engine.said == [(0, Origin.STREAM, "")]


def test_a_first_stream_begins_after_a_gap(engine: Engine) -> None:
    """What happened before has to be listed. The gap is told once."""
    engine.run(1)
    assert (engine.hints.take_gap(), engine.hints.take_gap()) == (True, False)
    assert engine.opened == [(0, AHEAD - OVERLAP)]


def test_a_silent_stream_is_opened_again_at_the_last_event(engine: Engine) -> None:
    """So there is no gap, and hints flow all the time. The time is that of the engine's clock."""
    engine.happened = [started("a", 7)]
    engine.run(1)
    engine.hints.take_gap()
    engine.run(SILENCE + 1)
    assert engine.opened[1][0] == SILENCE
    assert engine.opened[1][1] == pytest.approx(7)
    assert not engine.hints.take_gap()
    assert engine.reopened_at == [SILENCE]
    assert [origin for _, origin, _ in engine.said] == [Origin.STREAM]


def test_an_event_with_which_the_next_stream_begins_is_handed_on_once(engine: Engine) -> None:
    """The engine tells it twice, because the stream goes on at its time."""
    engine.happened = [started("a", 7)]
    engine.run(1)
    engine.happened = [started("a", 7), started("b", 8)]
    engine.run(SILENCE + 1)
    assert engine.taken() == ["a", "b"]


def test_a_stream_in_which_nothing_ever_happened_is_opened_again_after_a_gap(engine: Engine) -> None:
    """Nothing tells the time of the engine's clock, so events may have been missed."""
    engine.run(1)
    engine.hints.take_gap()
    engine.run(SILENCE + 1)
    assert engine.hints.take_gap()


def test_a_stream_that_the_engine_closes_is_opened_again_after_a_wait_and_a_gap(engine: Engine) -> None:
    """Meanwhile no hints flow, which is told once with the reason."""
    engine.ends_after(100)
    engine.run(50)
    engine.hints.take_gap()
    engine.run(100.5)
    assert not engine.hints.flows
    engine.run(150)
    assert engine.hints.flows
    assert [moment for moment, _ in engine.opened] == [0, 101]
    assert engine.hints.take_gap()
    closed = "the engine, or a proxy before it, closed the stream"
    assert engine.said == [(0, Origin.STREAM, ""), (100, Origin.NOWHERE, closed), (101, Origin.STREAM, "")]


def test_an_engine_that_is_not_there_is_tried_less_and_less_often(engine: Engine) -> None:
    """Neither the stream nor the history can be had. This is told once."""
    engine.errors["dial"] = EngineError("refused")
    engine.run(100)
    assert engine.said == [(0, Origin.NOWHERE, "refused")]
    tries = engine.asked.count("dial")
    assert tries < 30
    engine.errors.clear()
    engine.run(200)
    assert engine.said[-1][1] is Origin.STREAM


@pytest.mark.parametrize("blocked", ["refused", "cut"])
def test_where_streams_are_blocked_the_history_is_polled(engine: Engine, blocked: str) -> None:
    """Each hint is handed on once, although the requests overlap. After some minutes the stream is tried again."""
    if blocked == "refused":
        engine.errors["events"] = ErrorAnswer(403, "Forbidden")
    else:
        engine.ends_after(0.1)
    engine.run(20)
    assert engine.said[-1] == (engine.polled[0][0], Origin.HISTORY, "the event stream is blocked")
    assert not engine.hints.flows
    engine.happened = [started("a", 20)]
    engine.run(20 + HISTORY_INTERVAL)
    assert engine.taken() == ["a"]
    engine.happened += [started("b", 19.9)]
    engine.run(25)
    assert engine.taken() == ["b"]
    assert engine.polled[-1][1] == pytest.approx(20 - OVERLAP)
    opened = len(engine.opened) + engine.asked.count("events")
    engine.errors.clear()
    engine.goes_on = engine._be_silent
    engine.run(engine.polled[0][0] + HISTORY_TIME + 60)
    assert len(engine.opened) + engine.asked.count("events") > opened
    assert engine.hints.flows


def test_where_the_history_is_refused_as_well_nothing_is_polled(engine: Engine) -> None:
    """The passes ask for the list at their interval anyway."""
    engine.errors |= {"events": ErrorAnswer(403, "Forbidden"), "event history": ErrorAnswer(403, "Forbidden")}
    engine.run(120)
    assert [origin for _, origin, _ in engine.said] == [Origin.NOWHERE]
    assert len(engine.polled) < 20
    assert engine.asked.count("events") > ATTEMPTS


def test_a_stream_that_cannot_be_understood_is_opened_again(engine: Engine) -> None:
    """Whatever it raises, the thread goes on."""

    def break_down() -> None:
        raise ValueError("no JSON")

    engine.goes_on = break_down
    engine.run(2)
    engine.goes_on = engine._be_silent
    engine.run(600)
    assert engine.said[1][2] == "no JSON"
    assert engine.hints.flows


def test_a_subscriber_that_takes_nothing_keeps_the_newest_hints(engine: Engine) -> None:
    """Memory is bounded. What is lost costs latency alone."""
    engine.happened = [started(f"c{number}", number) for number in range(MOST_WAITING + 5)]
    engine.run(1)
    taken = engine.taken()
    assert (len(taken), taken[0]) == (MOST_WAITING, "c5")


def test_connections_are_closed_at_the_end_of_each_stream(engine: Engine) -> None:
    """At most one is open."""
    engine.ends_after(10)
    engine.run(300)
    assert engine.open <= 1


def test_a_program_without_events_has_no_hints() -> None:
    """Nothing flows, and nothing is missed."""
    assert (NO_HINTS.flows, NO_HINTS.take(), NO_HINTS.take_gap()) == (False, [], False)
