"""Containers whose inspect hangs or is slow, in virtual time: they hold up no other, and what they have stays."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator

import pytest

from controller.source.questions import BACKOFF
from tests.simulation.engine import SimulatedEngine
from tests.simulation.events import Event
from tests.simulation.fleet import PREFIX, Flags, Fleet, Host
from tests.simulation.messages import Request, Response
from tests.simulation.run import Plan, run
from tests.simulation.scheduler import Scheduler

EACH_API = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

#: Seconds until all is right after a change: an interval, and a pass that waits for a first inspect.
SOON = 2.0


class World:
    """One host with its agent, and etcd."""

    def __init__(self, api: int, flags: Flags | None = None) -> None:
        self.scheduler = Scheduler(random.Random(1))
        self.fleet = Fleet(self.scheduler, random.Random(2), api, 1)
        (self.host,) = self.fleet.hosts
        self.host.flags = flags or Flags()
        #: How long each pass took, in seconds.
        self.passes: list[float] = []
        self._begun = 0.0
        self.fleet.on_pass_begun = lambda host: self._pass_begun()
        self.fleet.on_pass_ended = lambda host, report: self.passes.append(self.scheduler.now - self._begun)

    @property
    def engine(self) -> SimulatedEngine:
        """The engine of the host."""
        return self.host.engine

    def _pass_begun(self) -> None:
        self._begun = self.scheduler.now

    def runs(self, *names: str) -> None:
        """Start containers that publish a port."""
        for name in names:
            self.engine.run(name, "registry.example/web:1", ports={"80/tcp": None})

    def hang(self, *names: str) -> None:
        """Let each inspect of these containers hang."""
        for name in names:
            self.engine.hang_inspect(name)

    def registered(self) -> set[str]:
        """Return the names of the containers that have a key."""
        keys = self.fleet.cluster.keys(self.fleet.api, PREFIX)
        return {key.rpartition("/")[2].split(":")[1] for key in keys}

    def passes_in(self, seconds: float) -> list[float]:
        """Let some time pass, and return how long each pass took that ended meanwhile."""
        before = len(self.passes)
        self.scheduler.run_until(self.scheduler.now + seconds)
        return self.passes[before:]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[Callable[..., World]]:
    """Return what makes a world, which ends with the test."""
    worlds: list[World] = []

    def make(api: int, flags: Flags | None = None) -> World:
        worlds.append(World(api, flags))
        return worlds[-1]

    logging.disable(logging.CRITICAL)
    yield make
    logging.disable(logging.NOTSET)
    for each in worlds:
        each.scheduler.close()


def named(start: str, number: int) -> list[str]:
    """Return so many names of containers."""
    return [f"{start}-{each}" for each in range(number)]


@EACH_API
@pytest.mark.parametrize("number", [1, 50, 99])
def test_an_agent_that_starts_registers_all_whose_inspect_does_not_hang(
    world: Callable[..., World], api: int, number: int
) -> None:
    """Its first pass registers them, however many of the hundred hang, and later passes cost nothing."""
    here = world(api)
    hung, well = named("hung", number), named("well", 100 - number)
    here.runs(*hung, *well)
    here.hang(*hung)
    here.fleet.start_agent(here.host)
    first, *later = here.passes_in(SOON)
    assert here.registered() == set(well)
    assert first < 1.2
    assert max(later, default=0.0) < 0.1


@EACH_API
@pytest.mark.parametrize("number", [1, 50, 100])
def test_while_inspects_hang_other_containers_come_and_go_in_time(
    world: Callable[..., World], api: int, number: int
) -> None:
    """A container that starts is registered, and the key of one that ends is deleted."""
    here = world(api)
    hung = named("hung", number)
    here.runs("first")
    here.fleet.start_agent(here.host)
    here.passes_in(5.0)
    here.runs(*hung)
    here.hang(*hung)
    here.passes_in(3.0)
    for each in named("other", 20):
        here.runs(each)
        took = here.passes_in(SOON)
        assert here.registered() == {"first", each}
        here.engine.remove(each, force=True)
        took += here.passes_in(SOON)
        assert here.registered() == {"first"}
        assert max(took) < 0.1


@EACH_API
def test_what_a_hung_container_has_registered_stays_and_goes_with_it(world: Callable[..., World], api: int) -> None:
    """Its entries are held, and renewed, while it is listed. When it has left the list they go once the guard has
    waited for an answer."""
    here = world(api, Flags(ttl=15, refresh=5))
    here.runs("web")
    here.fleet.start_agent(here.host)
    here.passes_in(3.0)
    here.hang("web")
    here.engine.connect("web", "backend")
    for _ in range(60):
        here.passes_in(1.0)
        assert here.registered() == {"web"}
    here.engine.die("web")
    here.passes_in(SOON)
    assert here.registered() == {"web"}
    here.passes_in(5.0)
    assert here.registered() == set()


@EACH_API
def test_a_container_that_answers_again_is_registered_when_its_back_off_ends(
    world: Callable[..., World], api: int
) -> None:
    """At once when it looks changed, for example after a restart."""
    here = world(api)
    here.runs("one", "two")
    here.hang("one", "two")
    here.fleet.start_agent(here.host)
    here.passes_in(200.0)
    here.engine.heal()
    here.engine.restart("two")
    here.passes_in(SOON + 5.0)
    assert "two" in here.registered()
    here.passes_in(BACKOFF[-1])
    assert here.registered() == {"one", "two"}


@EACH_API
@pytest.mark.parametrize("seconds", [0.3, 1.6, 4.0])
def test_an_answer_that_comes_late_is_used(world: Callable[..., World], api: int, seconds: float) -> None:
    """It is asked for once, and no pass waits for it any longer."""
    here = world(api)
    here.runs("slow", "well")
    asked = slow_down(here.host, seconds)
    here.fleet.start_agent(here.host)
    took = here.passes_in(seconds + 1.5)
    assert here.registered() == {"slow", "well"}
    assert max(took) < 0.7
    assert len(asked) == 1


def slow_down(host: Host, seconds: float) -> list[str]:
    """Let the inspect of the container that is called slow take so long; return a list of the requests for it."""
    serve, asked = host.engine.serve, list[str]()

    def slowly(request: Request) -> tuple[Response, float] | None:
        answer = serve(request)
        if answer and b'"Name":"/slow"' in answer[0].body:
            asked.append(request.path)
            return answer[0], seconds
        return answer

    host.engine.serve = slowly  # type: ignore[method-assign] # that is how it is slowed down
    return asked


@EACH_API
def test_a_burst_of_deaths_while_inspects_wait_leaves_nothing_wrong(world: Callable[..., World], api: int) -> None:
    """The list shows the dead for 1.6 s, and an inspect waits as long. An agent that starts meanwhile, and so inspects
    them, registers none of them for longer than that."""
    here = world(api)
    here.engine.list_lag(1.6)
    names = named("c", 60)
    here.runs(*names, "stays")
    for name in names:
        here.engine.die(name)
    here.fleet.start_agent(here.host)
    here.passes_in(SOON)
    assert here.registered() == {"stays"}


@EACH_API
def test_a_run_with_hung_inspects_repeats_exactly(api: int) -> None:
    """What is asked beside the passes does not depend on the machine."""
    events = [
        *(Event(at, "run", (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)) for at in (5.0, 15.0)),
        *(Event(at, "inspect-hangs", (0.0,) * 6) for at in (10.0, 10.5, 11.0)),
        Event(30.0, "stop", (0.0,) * 6),
    ]
    one, other = (run(Plan(501, 1, 60.0, api), events) for _ in range(2))
    assert (one.violation, one.trace) == ("", other.trace)
    assert len(one.trace) > 5
