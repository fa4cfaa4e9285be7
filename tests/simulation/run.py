"""One run of the simulation, from its seed to its result; and the shrinking of one that fails."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from attrs import frozen

from tests.simulation.events import STORM, Event, Happenings, draw_events
from tests.simulation.fleet import Fleet
from tests.simulation.oracle import Oracle
from tests.simulation.scheduler import Scheduler

#: Seconds of quiet at the end of a run, after every fault has ended. Longer than any promise to an agent.
QUIET = 150.0


#: As many hosts besides the simulated ones as make an agent read only the keys that matter to it.
NEIGHBOURS = 22


@frozen
class Plan:
    """What determines a run. Two runs of one plan are the same."""

    seed: int
    hosts: int
    seconds: float
    #: The version of etcd's API.
    api: int
    #: Whether the agents follow their engines' events; None: chance decides for each.
    hints: bool | None = None
    #: How many more hosts have owner records; None: chance decides between none and NEIGHBOURS.
    neighbours: int | None = None


@frozen
class Outcome:
    """What came of a run."""

    plan: Plan
    events: Sequence[Event]
    #: What was violated; empty after a good run.
    violation: str
    #: How many passes ended.
    passes: int
    #: How often each fault happened.
    faults: Counter[str]
    #: Seconds of CPU.
    cpu: float
    trace: Sequence[str]

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        plan = self.plan
        hints = {None: "", True: "--hints on ", False: "--hints off "}[plan.hints]
        neighbours = "" if plan.neighbours is None else f"--neighbours {plan.neighbours} "
        return (
            f"python -m tests.simulation --seed {plan.seed} --hosts {plan.hosts} --hours {plan.seconds / 3600:g} "
            f"--api v{plan.api} {hints}{neighbours}--trace"
        )


def run(
    plan: Plan, events: Sequence[Event] | None = None, on_line: Callable[[str], None] = lambda line: None
) -> Outcome:
    """Run a plan, with its own events or with others. ``on_line`` gets each line of the trace when it is written."""
    logging.disable(logging.CRITICAL)
    began = time.process_time()
    chance = random.Random(plan.seed)
    drawn = draw_events(random.Random(plan.seed + 1), plan.seconds) if events is None else events
    scheduler = Scheduler(random.Random(plan.seed + 2))
    neighbours = chance.choice([0, NEIGHBOURS]) if plan.neighbours is None else plan.neighbours
    fleet = Fleet(scheduler, chance, plan.api, plan.hosts, plan.hints, neighbours)
    oracle = Oracle(scheduler, fleet)
    trace: list[str] = []

    def tell(text: str) -> None:
        line = f"{scheduler.now:10.3f}  {text}"
        trace.append(line)
        on_line(line)

    fleet.tell = tell
    happenings = Happenings(scheduler, fleet, oracle, tell)
    for event in drawn:
        happenings.schedule(event)
    for host in fleet.hosts:
        fleet.start_agent(host)
    violation = ""

    def tick() -> None:
        oracle.tick()
        scheduler.call_at(scheduler.now + 1.0, tick)

    scheduler.call_at(1.0, tick)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            scheduler.run_until(plan.seconds + STORM + QUIET)
    except AssertionError as error:
        violation = str(error)
        tell(f"VIOLATION: {violation}")
    finally:
        scheduler.close()
    cpu = time.process_time() - began
    return Outcome(plan, drawn, violation, fleet.passes, fleet.counts, cpu, trace)


def shrink(outcome: Outcome, seconds: float = 60.0, on_line: Callable[[str], None] = lambda line: None) -> Outcome:
    """Drop events from a failing run while it still fails, for so many seconds of CPU, and return the smallest that was
    found."""
    smallest = outcome
    until = time.process_time() + seconds
    chunk = max(1, len(smallest.events) // 2)
    while chunk and time.process_time() < until:
        start = 0
        while start < len(smallest.events) and time.process_time() < until:
            fewer = [*smallest.events[:start], *smallest.events[start + chunk :]]
            tried = run(outcome.plan, fewer)
            if tried.violation:
                smallest = tried
                on_line(f"still fails with {len(fewer)} events: {tried.violation}")
            else:
                start += chunk
        chunk //= 2
    return smallest
