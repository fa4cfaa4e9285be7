"""The simulated engine's events: what it tells, when, and what can happen to a stream of them on its way."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Any

import pytest

from controller.effects.http_client import UnwantedAnswer
from controller.effects.request_time import TimeLimits
from tests.simulation.engine import ENDPOINT, Answer, EventAccess, SimulatedEngine
from tests.simulation.engine_events import KEPT
from tests.simulation.messages import Request, Response
from tests.simulation.network import LATE, LineFate, Link
from tests.simulation.scheduler import EPOCH, Process, Scheduler
from tests.simulation.transports import SimulatedHttpClient

LIMITS = TimeLimits(total=5.0, connect=1.0, read=2.0)

#: Seconds of virtual time in which every line in good weather has arrived.
SOON = 0.1

WEB = {"80/tcp": None}


class World:
    """An engine, and a client that listens to its events."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(random.Random(1))
        self.engine = SimulatedEngine(
            "core-1", "E:1", lambda: self.scheduler.now, "10.0.0.1", call_at=self.scheduler.call_at
        )
        #: What really happened, each with the virtual time.
        self.happened: list[tuple[float, str]] = []
        self.engine.on_event.append(lambda event: self.happened.append((event.at, event.action)))
        self.link = Link(self.scheduler, random.Random(2), Counter())
        self.client = SimulatedHttpClient(
            lambda endpoint, request, timeouts: self.link.deliver(request, timeouts, self.engine.serve), ENDPOINT
        )
        self.process = Process(self.scheduler, "listener")
        #: The events that arrived, each with the virtual time.
        self.heard: list[tuple[float, dict[str, Any]]] = []
        #: How the stream ended: what it raised, or None for its end.
        self.ended: list[Exception | None] = []

    def listen(self, path: str = "/events", silence: float = 1000.0) -> None:
        """Listen to the events from now on."""

        def work() -> None:
            try:
                for line in self.client.lines(path, LIMITS, silence):
                    self.heard.append((self.scheduler.now, json.loads(line)))
                self.ended.append(None)
            except (OSError, UnwantedAnswer) as error:
                self.ended.append(error)

        self.process.start(work, "listener")
        self.after(SOON)

    def after(self, seconds: float) -> None:
        """Let this much time go by."""
        self.scheduler.run_until(self.scheduler.now + seconds)

    @property
    def actions(self) -> list[str]:
        """What was heard, in order."""
        return [event["Action"] for _, event in self.heard]

    def past(self, **params: str) -> list[str]:
        """Return the actions that the engine's history has."""
        return [json.loads(line)["Action"] for line in self.answered(**params).body.splitlines()]

    def answered(self, **params: str) -> Response:
        """Return the engine's answer to a request for events."""
        answer = self.engine.handle(Request("GET", "/v1.41/events", params))
        assert isinstance(answer, Answer)
        return answer.response


@pytest.fixture
def world() -> Iterator[World]:
    """An engine without containers."""
    made = World()
    yield made
    made.scheduler.close()


def test_a_listener_hears_of_a_life_in_the_engines_order(world: World) -> None:
    """A container joins its network before it has started, and leaves it after it has died."""
    world.listen()
    world.engine.run("web", "nginx", ports=WEB)
    world.after(1)
    world.engine.stop("web", 3)
    world.engine.remove("web")
    world.after(SOON)
    assert world.actions == ["create", "connect", "start", "kill", "die", "disconnect", "stop", "destroy"]


def test_a_container_that_is_stopped_ends_in_its_own_time(world: World) -> None:
    """The engine tells of the signal at once, with its number, and that it has stopped the container when it has
    ended."""
    world.listen()
    world.engine.run("web", "nginx", stop_signal="RTMIN+3", ends_after=4.0)
    world.engine.stop("web", 3)
    world.after(3.9)
    assert world.actions == ["create", "connect", "start", "kill"]
    assert world.heard[-1][1]["Actor"]["Attributes"]["signal"] == "37"
    world.after(0.2)
    assert world.actions[4:] == ["die", "disconnect", "stop"]


@pytest.mark.parametrize(("timeout", "killed_after"), [(None, 10), (3, 3), (0, 0)])
def test_a_container_that_does_not_end_in_time_is_killed(world: World, timeout: int | None, killed_after: int) -> None:
    """It gets its stop signal, and then KILL."""
    world.engine.run("web", "nginx", stop_timeout=timeout, ends_after=60.0)
    begun = len(world.happened)
    world.engine.stop("web")
    world.after(100)
    killed = [(killed_after, each) for each in ("kill", "die", "stop")]
    assert world.happened[begun:] == [(0, "kill"), *killed]


def test_a_container_without_a_stop_timeout_is_never_killed(world: World) -> None:
    """It may ignore its stop signal for ever."""
    world.engine.run("web", "nginx", stop_timeout=-1, ends_after=inf)
    world.engine.stop("web")
    world.after(1000)
    assert [each.status for each in world.engine.containers()] == ["running"]


def test_a_restart_waits_for_the_end(world: World) -> None:
    """Whoever ends the container meanwhile, it is started again. What the signal to an earlier run would do does not
    happen to the next one."""
    world.engine.run("web", "nginx", ends_after=4.0)
    begun = len(world.happened)
    world.engine.restart("web")
    world.after(1)
    world.engine.kill("web")
    world.after(100)
    again = [(1, each) for each in ("kill", "die", "stop", "start", "restart")]
    assert world.happened[begun:] == [(0, "kill"), *again]


def test_a_container_that_is_removed_while_it_is_restarted_is_not_started(world: World) -> None:
    """The engine forgets that it was to be."""
    world.engine.run("web", "nginx", ends_after=4.0)
    world.engine.restart("web")
    world.engine.remove("web", force=True)
    world.after(100)
    assert [action for _, action in world.happened[-3:]] == ["kill", "die", "destroy"]


def test_an_engine_that_is_restarted_forgets_what_it_was_to_stop(world: World) -> None:
    """Containers that got the signal end all the same. One that ignores it goes on."""
    world.engine.run("web", "nginx", ends_after=4.0)
    world.engine.run("stubborn", "nginx", ends_after=inf)
    world.engine.stop("web")
    world.engine.stop("stubborn")
    world.engine.stop_engine(live_restore=True)
    world.after(2)
    world.engine.start_engine()
    world.after(100)
    assert [each.name for each in world.engine.running()] == ["stubborn"]
    assert [action for _, action in world.happened[-2:]] == ["kill", "die"]


def test_a_frozen_engine_stops_and_restarts_containers_when_it_goes_on(world: World) -> None:
    """One of them has ended meanwhile, and the other one's time to end is over."""
    world.engine.run("web", "nginx", ends_after=4.0)
    world.engine.run("stubborn", "nginx", ends_after=inf, stop_timeout=2)
    world.engine.restart("web")
    world.engine.stop("stubborn")
    world.engine.freeze()
    world.after(20)
    assert [each.name for each in world.engine.running()] == ["stubborn"]
    world.engine.thaw()
    world.after(1)
    assert [each.name for each in world.engine.running()] == ["web"]


def test_an_event_of_a_container_names_it_and_what_happened(world: World) -> None:
    """The document is that of an engine 20.10. The attributes are the labels, the image, the name and the details."""
    world.listen()
    web = world.engine.run("web", "nginx", labels={"tier": "1"})
    world.engine.die("web", 7)
    world.after(SOON)
    died = next(event for _, event in world.heard if event["Action"] == "die")
    at = died["timeNano"]
    assert died == {
        "status": "die",
        "id": web,
        "from": "nginx",
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": web, "Attributes": {"exitCode": "7", "image": "nginx", "name": "web", "tier": "1"}},
        "scope": "local",
        "time": EPOCH,
        "timeNano": at,
    }
    assert 0 <= at - EPOCH * 10**9 - SOON * 1e9 < 100


def test_the_actor_of_a_connection_is_the_network(world: World) -> None:
    """The container is one of the attributes."""
    world.listen("/events?filters=" + json.dumps({"type": ["network"]}))
    web = world.engine.run("web", "nginx")
    world.engine.connect("web", "backend")
    world.after(SOON)
    attributes = [event["Actor"]["Attributes"] for _, event in world.heard]
    assert attributes == [{"container": web, "name": name, "type": "bridge"} for name in ("bridge", "backend")]
    ids = [event["Actor"]["ID"] for _, event in world.heard]
    assert ids == list(world.engine.running()[0].network_ids.values())


def test_a_start_is_told_after_it_was_made_and_a_death_before_the_list_shows_it(world: World) -> None:
    """As on the real engine: the list and the events of clearing up come when the list lags no more."""
    world.listen()
    world.engine.list_lag(1.5)
    world.engine.run("web", "nginx")
    world.after(10)
    world.engine.stop("web")
    told_at = world.scheduler.now
    world.after(SOON)
    listed = world.engine.handle(Request("GET", "/containers/json"))
    assert isinstance(listed, Answer)
    assert json.loads(listed.response.body)[0]["State"] == "running"
    assert world.actions[-2:] == ["kill", "die"]
    world.after(2)
    assert world.actions[-4:] == ["kill", "die", "disconnect", "stop"]
    assert [round(at - told_at, 1) for at, _ in world.heard[-4:]] == [0.0, 0.0, 1.5, 1.5]
    [started] = [event["timeNano"] for _, event in world.heard if event["Action"] == "start"]
    assert started > EPOCH * 10**9 + (world.engine.containers()[0].started or 0.0) * 1e9


def test_the_history_has_what_was_asked_for(world: World) -> None:
    """Both ends of the time are included, and filters count for the past, too."""
    world.engine.run("web", "nginx")
    world.after(10)
    world.engine.kill("web")
    world.after(10)
    world.engine.start("web")
    everything = {"until": str(EPOCH + 20)}
    assert world.past(**everything) == ["create", "connect", "start", "kill", "die", "disconnect"]
    assert world.past(since=str(EPOCH + 10), until=str(EPOCH + 10)) == ["kill"]
    assert world.past(since=f"{EPOCH + 10}.000000001", until=f"{EPOCH + 11}.5") == ["die", "disconnect"]
    assert world.past(**everything, filters='{"event": ["start", "die"]}') == ["start", "die"]
    assert world.past(**everything, filters='{"container": {"we": true}}') == ["create", "start", "kill", "die"]
    assert world.past(**everything, filters='{"label": ["tier"]}') == []
    assert (world.past(), world.past(since=str(EPOCH + 15))) == ([], ["connect", "start"])


def test_the_history_is_short(world: World) -> None:
    """After many events the first ones are missing. A listener has heard them all."""
    world.listen()
    for number in range(KEPT):
        world.engine.create(f"c{number}", "nginx")
        world.engine.remove(f"c{number}")
    world.after(SOON)
    assert len(world.past(since="0")) == KEPT
    assert len(world.heard) == 2 * KEPT


@pytest.mark.parametrize(
    ("params", "status", "message"),
    [
        ({"since": "5", "until": "3"}, 400, "`since` time (5) cannot be after `until` time (3)"),
        ({"since": "x"}, 500, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"until": "y"}, 500, 'strconv.ParseInt: parsing "y": invalid syntax'),
    ],
)
def test_what_the_engine_refuses(world: World, params: dict[str, str], status: int, message: str) -> None:
    """With the real engine's statuses and messages."""
    answer = world.answered(**params)
    assert (answer.status, json.loads(answer.body)) == (status, {"message": message})


def test_a_stream_ends_at_the_time_that_was_asked_for(world: World) -> None:
    """What comes later is not told."""
    world.listen(f"/events?until={EPOCH + 3}")
    world.engine.run("web", "nginx")
    world.after(4)
    world.engine.kill("web")
    assert (world.actions, world.ended) == (["create", "connect", "start"], [None])


def test_streams_end_with_the_engine_and_its_history_too(world: World) -> None:
    """With live-restore at once, and otherwise when its containers have stopped."""
    world.engine.run("web", "nginx")
    world.listen()
    world.engine.stop_engine(live_restore=False, empty_list_for=1.0)
    world.listen()
    world.after(0.5)
    assert (world.actions, world.ended) == (["kill", "die", "disconnect", "stop"], [])
    world.after(1)
    assert world.ended == [None, None]
    world.engine.start_engine()
    assert world.past(since="0") == []


def test_a_frozen_engine_tells_when_it_goes_on_what_happened(world: World) -> None:
    """The time of the event is that of the telling."""
    world.engine.run("web", "nginx")
    world.listen()
    world.engine.freeze()
    world.engine.die("web")
    world.after(20)
    assert world.heard == []
    world.engine.thaw()
    world.after(SOON)
    assert world.actions == ["die", "disconnect"]
    assert world.heard[0][1]["time"] == EPOCH + 20


@pytest.mark.parametrize("access", [EventAccess.HISTORY, EventAccess.NONE])
def test_a_proxy_may_refuse_events(world: World, access: EventAccess) -> None:
    """All of them, or those of a stream alone."""
    world.engine.let_events_through(access)
    world.listen()
    [error] = world.ended
    assert isinstance(error, UnwantedAnswer)
    assert error.answer.status == 403
    past = world.answered(since="0", until=str(EPOCH)).status
    assert past == (200 if access is EventAccess.HISTORY else 403)
    world.engine.let_events_through(EventAccess.OPEN)
    world.listen()
    assert len(world.ended) == 1


def test_a_stream_may_be_cut(world: World) -> None:
    """The listener sees its end, and hears no more."""
    world.listen()
    world.link.cut()
    world.after(SOON)
    assert world.ended == [None]
    world.engine.run("web", "nginx")
    world.after(SOON)
    assert world.actions == []


def test_a_silent_stream_ends_by_the_listeners_patience(world: World) -> None:
    """Neither an event nor the engine's end arrives."""
    world.listen(silence=30.0)
    world.after(20)
    world.engine.run("web", "nginx")
    world.after(20)
    assert (world.actions, world.ended) == (["create", "connect", "start"], [])
    world.link.hush()
    world.engine.kill("web")
    world.engine.stop_engine(live_restore=True)
    world.after(31)
    assert len(world.heard) == 3
    assert [type(error) for error in world.ended] == [TimeoutError]


@pytest.mark.parametrize(
    ("fate", "heard"),
    [(LineFate.LOST, 0), (LineFate.DOUBLED, 6), (LineFate.LATE, 3), (LineFate.CUT, 0), (LineFate.ARRIVES, 3)],
)
def test_each_fate_of_an_event(world: World, fate: LineFate, heard: int) -> None:
    """Lost, doubled, late, or the end of the connection."""
    world.link.line_chances = {fate: 1.0}
    world.listen()
    world.engine.run("web", "nginx")
    world.after(LATE + 1)
    assert len(world.heard) == heard
    assert (len(world.ended) == 1) is (fate is LineFate.CUT)
    assert (max((at for at, _ in world.heard), default=0.0) > 1) is (fate is LineFate.LATE)


def test_an_event_that_is_told_while_the_answer_begins_is_not_lost(world: World) -> None:
    """The engine listens for the client from the moment at which the request arrives."""
    for number in range(100):
        world.scheduler.call_at(number * 0.0002, partial(world.engine.create, f"c{number}", "nginx"))
    world.listen(f"/events?since={EPOCH}")
    assert len(world.heard) == 100


def test_a_false_event_arrives_as_the_others(world: World) -> None:
    """The engine did not send it, and its history does not have it."""
    world.listen()
    web = world.engine.run("web", "nginx")
    world.after(SOON)
    world.link.inject(world.engine.false_event("die", web))
    world.after(SOON)
    assert world.actions == ["create", "connect", "start", "die"]
    assert "die" not in world.past(since="0")
    world.link.inject(world.engine.false_event("die", web, at=-5.0))
    world.link.inject(world.engine.false_event("start", "0" * 64))
    world.after(SOON)
    assert [(event["id"], event["time"]) for _, event in world.heard[-2:]] == [(web, EPOCH - 5), ("0" * 64, EPOCH)]
