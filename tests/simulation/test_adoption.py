"""Keys under custom ids that somebody writes by hand at different moments, in virtual time, on a slow network."""

from __future__ import annotations

import contextlib
import io
import logging
import random
from collections.abc import Iterator

import pytest

from tests.simulation.fleet import PREFIX, Fleet
from tests.simulation.network import Fate, Weather
from tests.simulation.scheduler import Scheduler

APIS = [2, 3]

#: A key under a custom id, and the value that its container wants there. It has the engine's first free port.
KEY = f"{PREFIX}/db/own"
VALUE = "10.0.0.1:32768"

#: When the container starts and ends, when the network is fast again, and when the run ends, in virtual seconds.
START, END, FAST, OVER = 20.0, 60.0, 70.0, 130.0


@contextlib.contextmanager
def slow_host(seed: int, api: int, hints: bool) -> Iterator[tuple[Scheduler, Fleet]]:
    """Yield the scheduler and the fleet of one host. Its requests to etcd are slow for a while, and its container
    starts and ends."""
    logging.disable(logging.CRITICAL)
    scheduler = Scheduler(random.Random(seed))
    fleet = Fleet(scheduler, random.Random(seed + 1), api, 1, hints)
    (host,) = fleet.hosts

    def set_weather(weather: Weather) -> None:
        for link in host.links.values():
            link.weather = weather

    def run_container() -> None:
        env = {"SERVICE_ID": "own", "SERVICE_NAME": "db"}
        host.engine.run("one", "registry.example/web:1", ports={"80/tcp": None}, env=env)

    scheduler.call_at(START - 10, lambda: set_weather(Weather({Fate.DELAYED: 0.8})))
    scheduler.call_at(START, run_container)
    scheduler.call_at(END, lambda: host.engine.stop("one"))
    scheduler.call_at(FAST, lambda: set_weather(Weather()))
    fleet.start_agent(host)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield scheduler, fleet
    finally:
        scheduler.close()


@pytest.mark.parametrize("api", APIS, ids=["v2", "v3"])
@pytest.mark.parametrize("hints", [True, False], ids=["hints", "no-hints"])
@pytest.mark.parametrize("seed", range(20))
def test_a_key_that_somebody_writes_before_it_is_claimed_is_never_written_or_deleted(
    seed: int, hints: bool, api: int
) -> None:
    """A key that somebody writes by hand before the owner record claims it is left alone, even if it is written between
    the read of a pass and the pass's writes. A key that is claimed first is this host's, and goes with its container,
    even if some of etcd's answers come too late."""
    with slow_host(seed, api, hints) as (scheduler, fleet):
        by_hand = False

        def put() -> None:
            nonlocal by_hand
            records = "".join(fleet.cluster.keys(fleet.api, "/_wharfinger/").values())
            if KEY not in records and KEY not in fleet.cluster.keys(fleet.api, PREFIX):
                by_hand = fleet.cluster.put(fleet.api, KEY, VALUE)

        scheduler.call_at(START + seed / 2, put)
        scheduler.run_until(END)
        assert fleet.cluster.keys(fleet.api, PREFIX).get(KEY) == VALUE
        scheduler.run_until(OVER)
        assert fleet.cluster.keys(fleet.api, PREFIX).get(KEY) == (VALUE if by_hand else None)
