"""Members of etcd whose answers always trickle, in virtual time. Passes go on through the members that answer in
time."""

from __future__ import annotations

import random

import pytest

from tests.simulation.fleet import MEMBERS, PREFIX, Fleet
from tests.simulation.network import Fate, Weather
from tests.simulation.scheduler import Scheduler

#: Virtual seconds within which a pass ends: --pass-timeout, and the time that the engine may take in addition.
PASS = 15.0


@pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])
@pytest.mark.parametrize("slow", [1, 2])
def test_members_that_trickle_stop_no_pass(api: int, slow: int) -> None:
    """One or two of the members trickle from the start and for ever. A container that starts at the beginning is
    registered in time, and so is a container that starts when the agent already knows which members are slow."""
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
