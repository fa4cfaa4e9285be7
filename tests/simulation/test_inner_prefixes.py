"""Two agents of one host, one of whose prefixes lies within the other's, in virtual time and bad weather."""

from __future__ import annotations

import contextlib
import io
import logging
import random

import pytest

from tests.simulation.etcd_change import Change, ChangeKind
from tests.simulation.fleet import PREFIX, Fleet
from tests.simulation.network import Fate, Weather
from tests.simulation.scheduler import Scheduler

APIS = [2, 3]

#: The prefix that lies within the first one, and the keys of the container that runs all the time.
INNER = f"{PREFIX}/registrator"
LASTING = {f"{prefix}/web/core-1:lasting:80" for prefix in (PREFIX, INNER)}

#: When the weather gets bad, when it gets good again, and when etcd must be right, in virtual seconds.
BAD, GOOD, OVER = 20.0, 80.0, 150.0


@pytest.mark.parametrize("api", APIS, ids=["v2", "v3"])
@pytest.mark.parametrize("seed", range(8))
def test_agents_with_prefixes_in_one_another_never_delete_a_key_of_a_container_that_runs(seed: int, api: int) -> None:
    """Neither agent deletes a key of a container that runs while requests are lost and delayed, one agent is killed and
    started again, and another container comes and goes."""
    logging.disable(logging.CRITICAL)
    chance = random.Random(seed)
    scheduler = Scheduler(random.Random(seed + 1))
    fleet = Fleet(scheduler, chance, api, 1)
    (host,) = fleet.hosts
    outer_uri, inner_uri = fleet.uri, f"{fleet.uri}/registrator"
    deleted: list[str] = []

    def on_change(change: Change) -> None:
        if change.kind is ChangeKind.DELETE and change.key in LASTING:
            deleted.append(change.key)

    def start_agent(uri: str) -> None:
        """Start an agent for this registry on the host, beside the agent that runs there."""
        host.process, fleet.uri = None, uri
        fleet.start_agent(host)

    def kill_the_last() -> None:
        assert host.process
        host.process.kill()

    def set_weather(weather: Weather) -> None:
        for link in host.links.values():
            link.weather = weather

    fleet.cluster.on_change.append(on_change)
    host.engine.run("lasting", "registry.example/web:1", ports={"80/tcp": None})
    first, second = chance.sample([outer_uri, inner_uri], 2)
    start_agent(first)
    scheduler.call_at(5.0, lambda: start_agent(second))
    scheduler.call_at(BAD, lambda: set_weather(Weather({Fate.DELAYED: 0.3, Fate.LOST: 0.2, Fate.ANSWER_LOST: 0.2})))
    scheduler.call_at(30.0, lambda: host.engine.run("brief", "registry.example/web:1", ports={"80/tcp": None}))
    scheduler.call_at(40.0 + 10 * chance.random(), kill_the_last)
    scheduler.call_at(55.0, lambda: start_agent(second))
    scheduler.call_at(60.0, lambda: host.engine.stop("brief"))
    scheduler.call_at(GOOD, lambda: set_weather(Weather()))
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            scheduler.run_until(OVER)
            before = fleet.cluster.index(fleet.api)
            scheduler.run_until(OVER + 30.0)
    finally:
        scheduler.close()
    assert deleted == []
    assert fleet.cluster.keys(fleet.api, PREFIX).keys() == LASTING
    assert fleet.cluster.index(fleet.api) == before
