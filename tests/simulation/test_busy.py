"""An agent on a busy machine, in virtual time. It has the CPU for a short while, again and again."""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from model.report import PassReport, PassResult
from tests.simulation.bounds import Bounds
from tests.simulation.fleet import PREFIX, Fleet, Host
from tests.simulation.scheduler import Scheduler

#: Seconds for which a run lasts.
LENGTH = 300.0


@pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])
@pytest.mark.parametrize(("running", "stopped"), [(0.4, 1.6), (0.1, 1.9), (1.0, 4.0)])
def test_standing_still_again_and_again_fails_no_pass(api: int, running: float, stopped: float) -> None:
    """The time for which the agent stands still does not count against the servers that it asks, so no pass fails. Each
    container is registered within the documented time, and no key with a lifetime expires while its container runs."""
    scheduler = Scheduler(random.Random(1))
    fleet = Fleet(scheduler, random.Random(1), api, 1)
    (host,) = fleet.hosts
    host.flags = evolve(host.flags, ttl=20, refresh=5)
    reports: list[PassReport] = []
    fleet.on_pass_ended = lambda host, report: reports.append(report)
    steady = Bounds.of(host.flags.times).steady
    try:
        fleet.start_agent(host)
        stand_still(scheduler, host, running, stopped)
        number = 0
        while scheduler.now < LENGTH:
            number += 1
            host.engine.run(f"c{number}", "registry.example/web:1", ports={"80/tcp": None})
            if number > 3:
                host.engine.remove(f"c{number - 3}", force=True)
            scheduler.run_until(scheduler.now + steady)
            registered = {key.split(":")[1] for key in fleet.cluster.keys(fleet.api, PREFIX)}
            assert registered == {f"c{each}" for each in range(max(1, number - 2), number + 1)}
    finally:
        scheduler.close()
    assert {report.result for report in reports} == {PassResult.SUCCESS}
    assert len(reports) > LENGTH / (2 * (running + stopped) + 1)


def stand_still(scheduler: Scheduler, host: Host, running: float, stopped: float) -> None:
    """Freeze the agent for ``stopped`` seconds each time that it has run for ``running`` seconds."""

    def freeze() -> None:
        assert host.process
        host.process.frozen_until = scheduler.now + stopped
        scheduler.call_at(scheduler.now + stopped + running, freeze)

    scheduler.call_at(running, freeze)
