"""Containers whose inspect hangs or is slow, in virtual time. They hold up no other container, and their entries
stay."""

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

#: Seconds after a change until etcd is right: an interval, and a pass that waits for the first inspect of a container.
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
        """Let this much time pass, and return the seconds that each pass took which ended meanwhile."""
        before = len(self.passes)
        self.scheduler.run_until(self.scheduler.now + seconds)
        return self.passes[before:]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[Callable[..., World]]:
    """Yield a function that makes a World. The worlds are closed when the test ends."""
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
    """Return this many names of containers, which begin with ``start``."""
    return [f"{start}-{each}" for each in range(number)]


@EACH_API
@pytest.mark.parametrize("number", [1, 50, 99])
def test_an_agent_that_starts_registers_all_whose_inspect_does_not_hang(
    world: Callable[..., World], api: int, number: int
) -> None:
    """The first pass of an agent registers all containers whose inspect answers, however many of the hundred inspects
    hang. Later passes do not wait for the inspects that hang."""
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
    """While inspects hang, another container that starts is registered in time, and when it ends, its key is deleted in
    time."""
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
    """The entry of a container whose inspect hangs is held and renewed while the engine lists the container. When the
    container has left the list, the engine still gives no answer about it, so the guard holds the delete back for a
    while before it is made."""
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
    """Container "one" answers again, and is asked about when its back-off ends. Container "two" looks changed after its
    restart, so the agent asks about it without waiting for its back-off."""
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
    """The agent asks for a slow inspect once and uses its answer when it comes. No pass waits long for the answer. The
    containers started long before the agent, so that no event names them."""
    here = world(api)
    here.runs("slow", "well")
    here.passes_in(5.0)
    asked = slow_down(here.host, seconds)
    here.fleet.start_agent(here.host)
    took = here.passes_in(seconds + 1.5)
    assert here.registered() == {"slow", "well"}
    assert max(took) < 0.7
    assert len(asked) == 1


def slow_down(host: Host, seconds: float) -> list[str]:
    """Let each inspect of the container "slow" take this many seconds. Return a list to which every such request is
    added."""
    serve, asked = host.engine.serve, list[str]()

    def slowly(request: Request) -> tuple[Response, float] | None:
        answer = serve(request)
        if answer and b'"Name":"/slow"' in answer[0].body:
            asked.append(request.path)
            return answer[0], seconds
        return answer

    host.engine.serve = slowly  # type: ignore[method-assign] # slows the engine down
    return asked


@EACH_API
def test_a_burst_of_deaths_while_inspects_wait_leaves_nothing_wrong(world: Callable[..., World], api: int) -> None:
    """The list shows dead containers as running for 1.6 s, and an inspect of one is not answered before that time is
    over. An agent that starts in this time has no key of a dead container in etcd two seconds later."""
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
    """Two runs of one plan with hung inspects have the same trace, although inspects are asked for beside the
    passes."""
    events = [
        *(Event(at, "run", (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)) for at in (5.0, 15.0)),
        *(Event(at, "inspect-hangs", (0.0,) * 6) for at in (10.0, 10.5, 11.0)),
        Event(30.0, "stop", (0.0,) * 6),
    ]
    one, other = (run(Plan(501, 1, 60.0, api), events) for _ in range(2))
    assert (one.violation, one.trace) == ("", other.trace)
    assert len(one.trace) > 5
