"""What happens to a request between an agent and a server: it arrives, late or not at all, and so does the answer."""

from __future__ import annotations

import random
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from math import inf

from attrs import define, evolve, field

from tests.simulation.messages import Feed, Request, Response
from tests.simulation.scheduler import Scheduler, Task
from tests.simulation.transports import CutShort, Refused, TimedOut, Timeouts

#: Virtual seconds that a request takes in good weather, on average, there and back.
LATENCY = 0.001

#: Bytes of a trickled answer that arrive in a second. Each of them ends the client's wait for the next one.
TRICKLE = 25.0


class Fate(Enum):
    """What the network does to one request."""

    #: It is answered.
    ANSWERED = "answered"
    #: It is answered after a while, perhaps too late for who asked.
    DELAYED = "delayed"
    #: It never arrives.
    LOST = "lost"
    #: It is carried out, and the answer never arrives.
    ANSWER_LOST = "answer-lost"
    #: It is carried out long after who asked has given up.
    LATE = "late"
    #: It is carried out, and only the beginning of the answer arrives.
    CUT = "cut"
    #: It is carried out, and the answer arrives a few bytes a second.
    TRICKLED = "trickled"
    #: The connection is refused.
    REFUSED = "refused"
    #: Something between answers with an error page.
    ERROR_PAGE = "error-page"


#: Maximum virtual seconds by which a line of a long answer can be late.
LATE = 20.0


class LineFate(Enum):
    """What happens to one line of a long answer."""

    #: It arrives.
    ARRIVES = "line-arrives"
    #: It never arrives. The lines after it do.
    LOST = "line-lost"
    #: It arrives twice.
    DOUBLED = "line-doubled"
    #: It arrives after a while, and after lines that were sent later.
    LATE = "line-late"
    #: The connection is closed before it arrives.
    CUT = "line-cut"


#: A server: it returns its answer and the virtual seconds until that leaves, or None if it never answers.
Serve = Callable[[Request], tuple[Response, float] | None]


@define
class Weather:
    """How likely each fate is, while it lasts. What is left is ``answered``."""

    chances: Mapping[Fate, float] = field(factory=dict)
    #: Whether requests that only read are answered as in good weather.
    spares_reads: bool = False

    def fate(self, request: Request, chance: random.Random) -> Fate:
        """Draw the fate of one request."""
        drawn = chance.random()
        if self.spares_reads and not _writes(request):
            return Fate.ANSWERED
        for fate, likely in self.chances.items():
            if drawn < likely:
                return fate
            drawn -= likely
        return Fate.ANSWERED


class Link:
    """The way from one host to one server."""

    def __init__(self, scheduler: Scheduler, chance: random.Random, counts: Counter[str]) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self._counts = counts
        self.weather = Weather()
        #: How likely each fate of a line of a long answer is. What is left is ``arrives``.
        self.line_chances: Mapping[LineFate, float] = {}
        #: Whether no packet passes.
        self.severed = False
        #: The long answers that are being received.
        self._channels: list[_Channel] = []

    @property
    def clear(self) -> bool:
        """Whether every request is sure to be answered in time, if the server answers."""
        return not self.severed and not self.weather.chances

    def deliver(self, request: Request, timeouts: Timeouts, serve: Serve) -> Response:
        """Bring a request to a server and return its answer, in virtual time. Raises Refused, TimedOut and CutShort."""
        connect, read, total = timeouts
        ends = self._scheduler.now + total
        if self.severed:
            self._counts["severed"] += 1
            self._scheduler.wait(connect)
            raise TimedOut(connect=True)
        fate = self.weather.fate(request, self._chance)
        if fate is not Fate.ANSWERED:
            self._counts[fate.value] += 1
        latency = self._chance.expovariate(1 / LATENCY)
        if fate is Fate.DELAYED:
            latency += self._chance.uniform(0.05, 1.2 * read)
        self._send(request, fate, latency, read, serve)
        if fate is Fate.ERROR_PAGE:
            self._scheduler.wait(latency / 2)
            return Response(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
        answer = serve(request)
        if answer is None or fate is Fate.ANSWER_LOST or latency + answer[1] > read:
            self._give_up(read - latency / 2)
        assert answer
        response, delay = answer
        channel = self._channel(response.feed) if response.feed else None
        try:
            self._scheduler.wait(delay + latency / 2)
            received = self._receive(response, fate, ends)
        except BaseException:
            if channel:
                channel.close()
            raise
        return evolve(received, lines=channel.arrivals) if channel else received

    @property
    def undisturbed_since(self) -> float:
        """The virtual time since which a long answer has been received of which every line arrived once and in time;
        infinite if none is being received."""
        return min((channel.undisturbed_since for channel in self._channels), default=inf)

    def cut(self) -> None:
        """Close the connections of all long answers."""
        for channel in self._channels:
            channel.end(self._scheduler.now)

    def hush(self) -> None:
        """Let nothing more arrive of the long answers that are being received, and leave their connections open."""
        for channel in self._channels:
            channel.hush()

    def inject(self, line: bytes) -> None:
        """Let a line that the server did not send arrive in every long answer."""
        for channel in self._channels:
            channel.undisturbed_since = max(channel.undisturbed_since, self._scheduler.now)
            channel.line(self._scheduler.now, line)

    def _channel(self, feed: Feed) -> _Channel:
        """Begin to receive a long answer."""
        latency = self._chance.expovariate(2 / LATENCY)
        channel = _Channel(self._scheduler, latency, self._fate_of_line, lambda: self._channels.remove(channel))
        self._channels.append(channel)
        channel.begin(feed)
        return channel

    def _fate_of_line(self) -> tuple[LineFate, float]:
        """Draw the fate of a line, and the seconds by which it is late."""
        drawn = self._chance.random() if self.line_chances else 1.0
        for fate, likely in self.line_chances.items():
            if drawn < likely:
                self._counts[fate.value] += 1
                return fate, self._chance.uniform(0.0, LATE) if fate is LineFate.LATE else 0.0
            drawn -= likely
        return LineFate.ARRIVES, 0.0

    def _send(self, request: Request, fate: Fate, latency: float, read: float, serve: Serve) -> None:
        """Bring the request to the server. Raises Refused, or TimedOut for one that does not arrive in time."""
        if fate is Fate.REFUSED:
            self._scheduler.wait(latency)
            raise Refused
        if fate is Fate.LOST:
            self._give_up(read)
        arrives = read + self._chance.expovariate(1 / 10.0) if fate is Fate.LATE else latency / 2
        if arrives >= read:
            self._scheduler.call_at(self._scheduler.now + arrives, lambda: _serve_unheard(serve, request))
            self._give_up(read)
        self._scheduler.wait(arrives)

    def _receive(self, response: Response, fate: Fate, ends: float) -> Response:
        """Bring the response back to the sender, whose time for the request ends at the moment ``ends``. Raises
        CutShort and TimedOut."""
        if fate is Fate.CUT:
            raise CutShort(response)
        if fate is Fate.TRICKLED:
            left = ends - self._scheduler.now
            seconds = len(response.body) / TRICKLE
            if seconds > left:
                self._give_up(left)
            self._scheduler.wait(seconds)
        return response

    def _give_up(self, seconds: float) -> None:
        self._scheduler.wait(max(0.0, seconds))
        raise TimedOut(connect=False)


class _Channel:
    """The lines of a long answer on their way to who reads them."""

    def __init__(
        self,
        scheduler: Scheduler,
        latency: float,
        fate: Callable[[], tuple[LineFate, float]],
        on_close: Callable[[], None],
    ) -> None:
        """``latency`` is for how many seconds each line is under way. ``fate`` draws the fate of a line, and the
        seconds by which the line is late. ``on_close`` is called once, when nobody reads any longer."""
        self._scheduler = scheduler
        self._latency = latency
        self._fate = fate
        self._on_close = on_close
        self._stop: Callable[[], None] = lambda: None
        #: See Link.
        self.undisturbed_since = scheduler.now
        #: The lines under way, with the virtual times of their arrivals, sorted.
        self._coming: list[tuple[float, int, bytes]] = []
        self._sent = 0
        self._ends_at = inf
        self._silent = False
        self._closed = False
        self._reader: Task | None = None

    def begin(self, feed: Feed) -> None:
        """Let a server send its lines."""
        self._stop = feed(self)

    def close(self) -> None:
        """Tell the server that nobody reads any longer."""
        if not self._closed:
            self._closed = True
            self._stop()
            self._on_close()

    def line(self, moment: float, line: bytes) -> None:
        """See Listener."""
        fate, late = self._fate()
        if fate is not LineFate.ARRIVES:
            self.undisturbed_since = max(self.undisturbed_since, moment + late)
        if self._silent or fate is LineFate.LOST:
            return
        if fate is LineFate.CUT:
            self.end(moment)
            return
        for _ in range(2 if fate is LineFate.DOUBLED else 1):
            self._sent += 1
            insort(self._coming, (moment + self._latency + late, self._sent, line))
        self._wake()

    def end(self, moment: float) -> None:
        """See Listener. What has not arrived by then does not arrive."""
        if not self._silent:
            self._ends_at = min(self._ends_at, moment)
            self._wake()

    def hush(self) -> None:
        """Let nothing more arrive, neither lines nor the end."""
        self._silent = True
        self.undisturbed_since = inf
        self._coming.clear()
        self._ends_at = inf

    def arrivals(self, silence: float) -> Iterator[bytes]:
        """Yield the lines as they arrive, until the end. Raises TimeoutError after ``silence`` seconds of nothing."""
        scheduler = self._scheduler
        heard_at = scheduler.now
        try:
            while scheduler.now < self._ends_at or self._has_arrived:
                if self._has_arrived:
                    heard_at = scheduler.now
                    yield self._coming.pop(0)[2]
                elif scheduler.now >= heard_at + silence:
                    raise TimeoutError("timed out")
                else:
                    self._wait_until(min(self._next, self._ends_at, heard_at + silence))
        finally:
            self.close()

    @property
    def _next(self) -> float:
        """When the next line arrives."""
        return self._coming[0][0] if self._coming else inf

    @property
    def _has_arrived(self) -> bool:
        """Whether the next line has arrived, before the end."""
        return self._next <= min(self._scheduler.now, self._ends_at)

    def _wait_until(self, moment: float) -> None:
        self._reader = self._scheduler.current_task()
        self._scheduler.wait(moment - self._scheduler.now)
        self._reader = None

    def _wake(self) -> None:
        if self._reader:
            self._scheduler.wake(self._reader)


def _writes(request: Request) -> bool:
    """Return whether a request to etcd may change a key."""
    return request.method in {"PUT", "DELETE"} or request.path.endswith("/kv/txn")


def _serve_unheard(serve: Serve, request: Request) -> None:
    """Have a server carry out a request whose sender has given up."""
    with suppress(Refused):
        serve(request)
