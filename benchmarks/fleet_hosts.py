"""The processes of a simulated fleet: one with the engines of all hosts, and several with the agents of some each.

An agent is the real program from its settings on: its loop, threads, engine client and registry, on the real clock.
What it does not have is a process and an HTTP server of its own.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from benchmarks.simulated_engines import FIRST_PORT, PORT, EngineServer, address_of, entries, simulated_engine
from benchmarks.usage import resident_mb
from controller.commands.build import Effects, build_agent, start_log
from controller.config.settings import parse_settings
from controller.reconcile.loop import Loop
from model.report import PassReport
from tests.simulation.engine import SimulatedEngine
from tests.simulation.fleet import UNSET


@frozen
class HostName:
    """A host of the fleet."""

    number: int
    #: The folder with the engines' sockets.
    folder: Path

    @property
    def name(self) -> str:
        """The host's name, which is the owner of its keys."""
        return f"host-{self.number:05}"

    @property
    def socket(self) -> Path:
        """The engine's socket."""
        return self.folder / f"{self.name}.sock"


@frozen
class Changed:
    """A change that an engine made."""

    #: In seconds of ``time.perf_counter``, which all processes of a machine share.
    at: float
    #: What has to happen to the key: ``put`` or ``delete``.
    kind: str
    key: str


@frozen
class AgentsUse:
    """What the agents of a process have used, and how their passes ended."""

    #: Seconds of CPU.
    cpu: float
    #: Megabytes for all agents, beyond the process before it had any.
    memory: float
    passes: int
    failed: int
    #: How many of the agents have had a pass that succeeded.
    ready: int


# The process of the engines. It gets requests as tuples: a word, and arguments.


def serve_engines(hosts: Sequence[HostName], services: int, prefix: str, pipe: Connection) -> None:
    """Serve the engines of all hosts until told to end."""
    server = EngineServer()
    engines = [simulated_engine(each.name, each.number, services) for each in hosts]
    for host, engine in zip(hosts, engines, strict=True):
        server.add(engine, host.socket)
    churn = _Churn(engines, prefix)
    answers: dict[str, Callable[..., Any]] = {
        "churn": churn.set_rate,
        "changes": lambda: churn.changes,
        "expected": lambda: {key: value for each in engines for key, value in entries(each, prefix).items()},
    }
    ended: list[bool] = []

    def asked() -> None:
        try:
            word, *arguments = pipe.recv()
        except EOFError:
            word = "end"
        if word == "end":
            ended.append(True)
        else:
            pipe.send(answers[word](*arguments))

    server.watch(pipe.fileno(), asked)
    pipe.send("serving")
    while not ended:
        server.serve(churn.go_on())


class _Churn:
    """Replaces containers of hosts at a rate."""

    #: The longest time between two looks, in seconds.
    _LOOK = 0.2

    def __init__(self, engines: Sequence[SimulatedEngine], prefix: str) -> None:
        self._engines, self._prefix = engines, prefix
        self._random = random.Random(1)
        self._rate = 0.0
        self._due = 0.0
        self._made = 0
        self.changes: list[Changed] = []

    def set_rate(self, rate: float) -> None:
        """Replace so many containers a second from now on; 0 for none."""
        self._rate = rate
        self._due = time.perf_counter() + (1 / rate if rate else 0.0)

    def go_on(self) -> float:
        """Replace what is due, and return the seconds until more is."""
        while self._rate and time.perf_counter() >= self._due:
            self._replace(self._random.choice(self._engines))
            self._due += 1 / self._rate
        wait = self._due - time.perf_counter() if self._rate else self._LOOK
        return min(self._LOOK, max(0.0, wait))

    def _replace(self, engine: SimulatedEngine) -> None:
        self._made += 1
        old = self._random.choice(engine.running()).name
        self._note("delete", engine, old)
        engine.stop(old)
        engine.remove(old)
        new = f"n{self._made:06}"
        engine.run(new, "app:1", ports={PORT: FIRST_PORT + 2000 + self._made % 20000})
        self._note("put", engine, new)

    def _note(self, kind: str, engine: SimulatedEngine, container: str) -> None:
        key = f"{self._prefix}/app/{engine.name}:{container}:9000"
        self.changes.append(Changed(time.perf_counter(), kind, key))


# A process of agents.


@define
class _Passes:
    """Counts the passes of one agent."""

    done: int = 0
    failed: int = 0
    ready: bool = field(default=False)

    def begun(self, now: float) -> None:
        """See Observer."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """See Observer."""
        self.done += 1
        if report.succeeded:
            self.ready = True
        else:
            self.failed += 1


@frozen
class Timing:
    """When the agents start and make their passes."""

    #: Seconds between two passes of an agent.
    interval: float
    #: Seconds within which all agents start.
    spread: float
    #: What stands for each random number of the agents; None: random numbers.
    chance: float | None = None


def run_agents(hosts: Sequence[HostName], uri: str, timing: Timing, log: Path, pipe: Connection) -> None:
    """Run the agents of hosts until told to end, and answer each request with what they have used. ``log`` is the file
    for what they log."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    before = resident_mb(os.getpid())
    chance = timing.chance
    effects = Effects(environment={}, jitter=random.random if chance is None else lambda: chance)
    start_log("text", "warning", effects, colour=False)
    passes = [_start(each, uri, timing, effects) for each in hosts]
    while True:
        try:
            if pipe.recv() == "end":
                break
        except EOFError:
            break
        pipe.send(
            AgentsUse(
                time.process_time(),
                resident_mb(os.getpid()) - before,
                sum(each.done for each in passes),
                sum(each.failed for each in passes),
                sum(each.ready for each in passes),
            )
        )
    os._exit(0)  # An agent may be killed at any moment.


def _start(host: HostName, uri: str, timing: Timing, effects: Effects) -> _Passes:
    """Start the agent of a host at a random moment, and return the counter of its passes."""
    given = {
        "ip": address_of(host.number),
        "interval": str(timing.interval),
        "listen": "",
        "docker-host": f"unix://{host.socket}",
    }
    settings = parse_settings({**UNSET, **given}, (uri,))
    passes = _Passes()
    agent = build_agent(settings, effects, lambda label: (passes,))
    if agent.events:
        agent.events.start()
    for loop in agent.loops.values():
        effects.background.start(partial(_run_later, loop, timing.spread * random.random()), host.name)
    return passes


def _run_later(loop: Loop, delay: float) -> None:
    time.sleep(delay)  # so that the passes of the hosts are spread over their interval
    loop.run()
