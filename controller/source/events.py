"""The engine's events, which name containers that may have changed.

One thread of the process follows the event stream, and hands each hint to every subscriber. It shares nothing else with
them. Losing the stream costs latency alone: without it, the engine's list is read in each pass, as if there were no
events.

Some proxies before the engine let no stream through, or cut it. Then the thread asks for the recent history of events
again and again, which is a short request. The engine's history is capped, so it may lack events of a burst.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from enum import Enum
from math import inf
from typing import Any, Protocol

from attrs import evolve, frozen

from controller.effects.background import Background
from controller.effects.clock import Clock
from controller.errors import one_line
from controller.source.engine_client import EngineClient
from model.backoff import backoff
from model.hint import FILTERS, Hint, hint_in

#: Seconds without an event after which the stream is opened again. A stream may be dead without a sign of it.
SILENCE = 60.0

#: A stream that ends within this many seconds was cut.
SHORT_STREAM = 5.0

#: After so many attempts in a row that gave no stream, or a short one, the history is asked for.
ATTEMPTS = 3

#: The most seconds between two attempts. The engine is near, and asked by nobody else on this account.
LONGEST_WAIT = 8.0

#: The most seconds between two requests for the history.
HISTORY_INTERVAL = 0.25

#: Seconds for which the history is asked for until the stream is tried again.
HISTORY_TIME = 300.0

#: Seconds before the last event from which on the history is asked for, because events may be recorded out of order.
OVERLAP = 1.0

#: How many events the engine remembers.
HISTORY = 256

#: Seconds after an event from which on its hint is late, by the clocks of this program and of the engine.
LATE = 0.05

#: The most hints that wait for a subscriber. If there are more, the oldest are dropped.
MOST_WAITING = 4096

_FILTERS = {name: [*values] for name, values in FILTERS.items()}


class Origin(Enum):
    """Where hints come from."""

    STREAM = "stream"
    HISTORY = "history"
    NOWHERE = "nowhere"


class EventsObserver(Protocol):
    """Receives what happens to the event stream. Its methods are called in the thread of the events."""

    def changed(self, origin: Origin, why: str) -> None:
        """Hints come from another place now. ``why`` is why they do not come from a stream; empty if they do."""

    def reopened(self) -> None:
        """A stream was opened that is not the first."""


class Hints(Protocol):
    """The hints for one subscriber."""

    @property
    def flows(self) -> bool:
        """Whether all events arrive as they happen."""

    def take(self) -> list[Hint]:
        """Return the hints that have arrived since the last call, in their order."""

    def take_gap(self) -> bool:
        """Return whether events may have been missed since the last call. If so, the containers have to be listed."""


@frozen
class NoHints:
    """The hints of a program that follows no events: none."""

    flows: bool = False

    def take(self) -> list[Hint]:
        """See Hints."""
        return []

    def take_gap(self) -> bool:
        """See Hints."""
        return False


NO_HINTS = NoHints()


class Subscription:
    """The hints for one subscriber. The thread of the events puts them in, and the subscriber takes them out."""

    def __init__(self, events: Events, wake: Callable[[], None]) -> None:
        """``wake`` is called when there is something to take."""
        self._events = events
        self._wake = wake
        self._hints: deque[Hint] = deque(maxlen=MOST_WAITING)
        self._gap = False

    @property
    def flows(self) -> bool:
        """See Hints."""
        return self._events.origin is Origin.STREAM

    def take(self) -> list[Hint]:
        """See Hints."""
        return [self._hints.popleft() for _ in range(len(self._hints))]

    def take_gap(self) -> bool:
        """See Hints."""
        gap, self._gap = self._gap, False
        return gap

    def put(self, hints: Iterable[Hint]) -> None:
        """Hand over hints. This runs in the thread of the events."""
        self._hints.extend(hints)
        self._wake()

    def note_gap(self) -> None:
        """Note that events may have been missed. This runs in the thread of the events."""
        self._gap = True


class Events:
    """Follows the engine's events in the background."""

    def __init__(
        self,
        dial: Callable[[], EngineClient],
        background: Background,
        clock: Clock,
        jitter: Callable[[], float],
        interval: float,
        observer: EventsObserver,
    ) -> None:
        """Nothing is connected yet.

        ``dial`` connects to the engine. ``jitter`` returns random numbers from 0 to 1, which spread the waits after
        failures. ``interval`` is that of the passes, in seconds.
        """
        self._dial, self._background, self._clock, self._jitter = dial, background, clock, jitter
        self._history_interval = min(interval, HISTORY_INTERVAL)
        self._observer = observer
        self._subscriptions: list[Subscription] = []
        #: When the present stream was opened, in seconds of the monotonic clock; infinity while it is not open.
        self._opened_at = inf
        self._opened_before = False
        self._told_change = False
        #: Where hints come from at present.
        self.origin = Origin.NOWHERE
        #: The last hints that were handed on, the oldest first. The values mean nothing.
        self._recent: dict[Hint, None] = {}
        #: When the last event happened, in seconds of the engine's clock; None before the first one.
        self._last: float | None = None
        #: Whether no event can be missed if the next stream begins with the last event.
        self._seamless = False

    def subscribe(self, wake: Callable[[], None]) -> Subscription:
        """Return a subscription. ``wake`` is called in the thread of the events, when there is something to take."""
        subscription = Subscription(self, wake)
        self._subscriptions.append(subscription)
        return subscription

    def start(self) -> None:
        """Begin to follow the events in the background."""
        self._background.start(self._run, "events")

    def _run(self) -> None:
        failures = 0
        while True:
            self._opened_at = inf
            problem = self._follow()
            if not problem:
                continue
            lasted = self._clock.monotonic() - self._opened_at >= SHORT_STREAM
            failures = 1 if lasted else failures + 1
            if failures >= ATTEMPTS:
                problem = self._poll_history() or problem
            self._change(Origin.NOWHERE, problem)
            self._clock.sleep(backoff(failures, 0.0, self._jitter(), LONGEST_WAIT))

    # The stream.

    def _follow(self) -> str:
        """Follow one stream to its end, and return why it ended; an empty text if it was only silent for long."""
        try:
            with closing(self._dial()) as client:
                stream = client.events(self._since(), _FILTERS, SILENCE)
                self._opened()
                return self._hand_on_each(stream)
        except Exception as error:  # Whatever it is, hints only hurry the passes.
            return one_line(error)

    def _hand_on_each(self, stream: Iterable[Any]) -> str:
        """Hand on the hints of a stream. See ``_follow``."""
        try:
            for event in stream:
                self._hand_on(hint_in(event))
        except TimeoutError:
            self._seamless = self._last is not None
            return ""
        return "the engine, or a proxy before it, closed the stream"

    def _since(self) -> float:
        """Return the moment with which the next stream begins, in seconds of the engine's clock as far as it is
        known."""
        return self._clock.wall() - OVERLAP if self._last is None else self._last

    def _opened(self) -> None:
        if not self._seamless:
            for each in self._subscriptions:
                each.note_gap()
        if self._opened_before:
            self._observer.reopened()
        self._opened_at = self._clock.monotonic()
        self._opened_before, self._seamless = True, False
        self._change(Origin.STREAM, "")

    def _hand_on(self, *hints: Hint | None) -> None:
        """Hand hints to all subscribers, except those that were handed on before: a stream that goes on where another
        one was, and a history, begin with some of them."""
        now = self._clock.wall()
        new = (each for each in hints if each and each not in self._recent)
        found = [evolve(each, late=now - each.seconds > LATE) for each in new]
        if found:
            self._remember(found)
            self._last = max(self._last or 0.0, *(each.seconds for each in found))
            for each in self._subscriptions:
                each.put(found)

    def _remember(self, hints: Iterable[Hint]) -> None:
        """Remember these hints, and forget the oldest ones if the engine does not remember them either."""
        self._recent |= dict.fromkeys(hints)
        while len(self._recent) > HISTORY:
            del self._recent[next(iter(self._recent))]

    # The history.

    def _poll_history(self) -> str:
        """Ask for the history again and again for HISTORY_TIME, and return why it cannot be had; an empty text if it
        can."""
        try:
            with closing(self._dial()) as client:
                self._poll(client)
        except Exception as error:  # Whatever it is, hints only hurry the passes.
            return one_line(error)
        return ""

    def _poll(self, client: EngineClient) -> None:
        again_at = self._clock.monotonic() + HISTORY_TIME
        while self._clock.monotonic() < again_at:
            events = client.event_history(self._since() - OVERLAP, self._clock.wall(), _FILTERS)
            self._change(Origin.HISTORY, "the event stream is blocked")
            self._hand_on(*map(hint_in, events))
            self._clock.sleep(self._history_interval)

    def _change(self, origin: Origin, why: str) -> None:
        """Note where hints come from, and tell it if it changed or was never told."""
        if origin is not self.origin or not self._told_change:
            self.origin, self._told_change = origin, True
            self._observer.changed(origin, why)
