"""Answers that trickle for good, in virtual time: passes go on through the members that answer."""

from __future__ import annotations

import random

import pytest

from tests.simulation.fleet import MEMBERS, PREFIX, Fleet
from tests.simulation.network import Fate, Weather
from tests.simulation.scheduler import Scheduler

#: Virtual seconds within which a pass ends: its time, and what the engine may take beyond it.
PASS = 15.0


@pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])
@pytest.mark.parametrize("slow", [1, 2])
def test_members_that_trickle_stop_no_pass(api: int, slow: int) -> None:
    """Some of the members trickle from the start and for ever. A container that starts is registered in time, and so is
    one that starts when all is known of the members."""
    scheduler = Scheduler(random.Random(1))
    fleet = Fleet(scheduler, random.Random(1), api, 1)
    [host] = fleet.hosts
    for member in MEMBERS[:slow]:
        host.links[member].weather = Weather({Fate.TRICKLED: 1.0})
    host.engine.run("one", "registry.example/web:1", ports={"80/tcp": None})
    fleet.start_agent(host)
    try:
        scheduler.run_until(PASS)
        assert len(fleet.cluster.keys(fleet.api, PREFIX)) == 1
        host.engine.run("two", "registry.example/web:1", ports={"80/tcp": None})
        scheduler.run_until(PASS + 3.0)
        assert len(fleet.cluster.keys(fleet.api, PREFIX)) == 2
    finally:
        scheduler.close()
