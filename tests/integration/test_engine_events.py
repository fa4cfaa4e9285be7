"""What the program's client of the engine tells of a container's events, with a real engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from controller.effects.background import Threads
from controller.source.engine_connection import EngineSettings, connect
from tests.support.engine import DockerEngine
from tests.support.trickling import Trickler

FILTERS = {"type": ["container"], "event": ["start", "die", "kill", "rename"]}

#: Seconds without an event after which the stream is given up.
SILENCE = 20.0


@pytest.fixture(params=["unix", "tcp"])
def settings(engine: DockerEngine, request: pytest.FixtureRequest) -> Iterator[EngineSettings]:
    """Return where the engine is: at its socket, and at a port that passes everything on to the socket."""
    if request.param == "unix":
        yield EngineSettings(engine.socket_url)
        return
    with Trickler(engine.socket_url.removeprefix("unix://")) as port:
        port.trickling = False
        yield EngineSettings(f"tcp://127.0.0.1:{port.address[1]}")


def told(events: list[Any]) -> list[tuple[str, str]]:
    """Return action and container of each event."""
    return [(each["Action"], each["Actor"]["Attributes"]["name"]) for each in events]


def test_the_events_of_a_container_are_told_as_they_happen_and_afterwards(
    engine: DockerEngine, settings: EngineSettings
) -> None:
    """Each is told once, in the order in which they happened."""
    streaming, asking = connect(settings), connect(settings)
    wanted = [("start", "before"), ("rename", "after"), ("kill", "after"), ("die", "after")]
    began, seen = time.time(), list[Any]()
    stream = islice(streaming.events(began, FILTERS, SILENCE), len(wanted))
    watching = Threads().start(lambda: seen.extend(stream), "events")
    engine.run("--name before worker:1")
    engine.docker("rename", "before", "after")
    engine.docker("kill", "after")
    watching.join(SILENCE)
    assert told(seen) == wanted
    assert asking.event_history(began, time.time(), FILTERS) == seen
    engine.docker("rm", "after")
    streaming.close()
    asking.close()


def test_a_history_up_to_a_moment_to_come_is_answered_at_that_moment(settings: EngineSettings) -> None:
    """So an engine whose clock is behind keeps those waiting who ask for its history up to now."""
    asking, ahead = connect(settings), 0.5
    began = time.time()
    assert asking.event_history(began + ahead, began + ahead, FILTERS) == []
    assert time.time() - began >= ahead
    asking.close()
