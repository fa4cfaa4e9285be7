"""What happens to a request between an agent and a server: it arrives, late or not at all, and so does the answer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum

from attrs import define, field

from tests.simulation.messages import Request, Response
from tests.simulation.scheduler import Scheduler
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
        #: Whether no packet passes.
        self.severed = False

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
        self._scheduler.wait(answer[1] + latency / 2)
        return self._receive(answer[0], fate, ends)

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


def _writes(request: Request) -> bool:
    """Return whether a request to etcd may change a key."""
    return request.method in {"PUT", "DELETE"} or request.path.endswith("/kv/txn")


def _serve_unheard(serve: Serve, request: Request) -> None:
    """Have a server carry out a request whose sender has given up."""
    with suppress(Refused):
        serve(request)
