"""The rows about a thousand containers, and about the keys of other hosts. The engine is simulated."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from attrs import frozen

from benchmarks.figures import MEDIAN, OURS, Figure, Row, percentile, spread
from benchmarks.fleet_etcd import fill, of_other_hosts, other_key
from benchmarks.programs import Place, Wharfinger, forget, watch
from benchmarks.simulated_engines import EngineServer, simulated_engine
from benchmarks.stage import Stage
from benchmarks.usage import cpu_seconds, peak_mb, resident_mb
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3

#: The containers of a large host, and of one among others.
MANY, FEW = 1000, 50

#: The keys of others, each host with FEW.
OTHERS = (500, 5000, 50_000)

#: Seconds between the passes of a host among others: shorter than usual, so that many passes are measured.
INTERVAL = 0.25

#: The keys of others that are written between two passes.
WRITTEN = 2

#: Seconds for which an agent runs before it is measured.
SETTLING = 6.0


def large(stage: Stage) -> list[Row]:
    """Measure a host with many containers: the first pass, and passes in which nothing changes."""
    first, whole = [], []
    with _engine(stage.folder / "large.sock", MANY) as engine:
        for _ in range(stage.extent.colds):
            agent = _agent(stage, engine.socket)
            forget(agent)
            seen = watch(agent)
            begun = agent.start()
            try:
                last = seen.wait_for_keys(MANY, 120)[MANY - 1]
                whole.append(last - begun)
                first.append(last - engine.first_request())
                seen.close()
                use = _use(agent, stage.extent.passes) if len(whole) == stage.extent.colds else None
            finally:
                agent.stop()
    assert use
    started, process = percentile(first, MEDIAN), percentile(whole, MEDIAN)
    return [
        Row(
            f"cold sync of {MANY:,} (simulated engine), first request to the engine -> all keys",
            "s",
            {OURS: [Figure(started, 2)]},
            most=[0.8],
            notes=[f"{process:.2f} s from the start of the process"],
        ),
        Row(f"CPU of a pass of an unchanged host, {MANY:,} containers", "ms", {OURS: [Figure(use.cpu)]}, most=[10]),
        Row(f"resident, {MANY:,} containers", "MB", {OURS: [Figure(use.resident)]}, most=[52]),
    ]


def others(stage: Stage) -> list[Row]:
    """Measure a pass among the keys of others, some of whom write between the passes."""
    found: list[_Use] = []
    with _engine(stage.folder / "others.sock", FEW) as engine:
        for number in OTHERS:
            etcd = stage.another_etcd()
            agent = _agent(stage, engine.socket, etcd, "--interval", str(INTERVAL))
            fill(etcd.endpoint, of_other_hosts(agent.prefix, number // FEW, FEW), 3)
            with _writes(etcd, agent.prefix):
                alone = cpu_seconds(etcd.pid)
                time.sleep(stage.extent.passes)  # this is what is measured: nobody but the writers
                alone = cpu_seconds(etcd.pid) - alone
                agent.start()
                try:
                    found.append(_use(agent, stage.extent.passes, etcd, alone))
                finally:
                    agent.stop()
            etcd.stop()
    title = f"a pass among {' / '.join(f'{each:,}' for each in OTHERS)} keys of others, {WRITTEN} written meanwhile"
    etcds, agents = [each.etcd for each in found], [each.cpu for each in found]
    return [
        Row(
            f"etcd's CPU, {title}",
            "ms",
            {OURS: [Figure(each, 2) for each in etcds]},
            most=[2, 2, 2],
            target="under 2, within 1.5x from 5,000 on",
            also=spread(etcds[1:]) <= 1.5,
        ),
        Row(
            f"the agent's CPU, {title}",
            "ms",
            {OURS: [Figure(each, 2) for each in agents]},
            most=[1.5 * agents[1], 1.5 * min(agents[1:]), 1.5 * min(agents[1:])],
            target="within 1.5x from 5,000 on",
        ),
        Row(f"memory at most, among {OTHERS[-1]:,} keys of others", "MB", {OURS: [Figure(found[-1].peak)]}, most=[50]),
    ]


@frozen
class _Use:
    """What an agent used while nothing changed on its host."""

    #: Milliseconds of CPU for each pass.
    cpu: float
    #: Milliseconds of etcd's CPU for each pass.
    etcd: float
    #: Megabytes at the end, and at most.
    resident: float
    peak: float


def _use(agent: Wharfinger, seconds: float, etcd: EtcdServer | None = None, alone: float = 0.0) -> _Use:
    """Measure an agent for some seconds. ``alone`` is the CPU that etcd uses in that time without the agent."""
    agent.agent.wait_ready(60)
    time.sleep(SETTLING)  # what follows the first pass is not what is measured
    passes, cpu = agent.agent.passes(), cpu_seconds(agent.pid)
    served = cpu_seconds(etcd.pid) if etcd else 0.0
    time.sleep(seconds)  # this is what is measured; reading metrics meanwhile would cost the agent CPU
    cpu, served = cpu_seconds(agent.pid) - cpu, (cpu_seconds(etcd.pid) if etcd else 0.0) - served
    done = agent.agent.passes() - passes
    return _Use(1000 * cpu / done, 1000 * max(0.0, served - alone) / done, resident_mb(agent.pid), peak_mb(agent.pid))


def _agent(stage: Stage, docker_socket: Path, etcd: EtcdServer | None = None, *flags: str) -> Wharfinger:
    return Wharfinger(stage.command, Place(f"unix://{docker_socket}", "10.0.0.1", etcd or stage.etcd), *flags)


@contextmanager
def _writes(etcd: EtcdServer, prefix: str) -> Iterator[None]:
    """Write the keys of others as often as a host makes passes, until the context ends."""
    ended = threading.Event()
    client = EtcdV3(etcd.endpoint)

    def write() -> None:
        number = 0
        while not ended.wait(INTERVAL):
            for _ in range(WRITTEN):
                number += 1
                client.put(
                    other_key(prefix, number % (OTHERS[0] // FEW), number % FEW), f"10.1.0.1:{30000 + number % 1000}"
                )

    writer = threading.Thread(target=write, name="writes of others")
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@frozen
class _Engine:
    """A simulated engine in a process of its own."""

    socket: Path
    _pipe: Connection

    def first_request(self) -> float:
        """Return when it was first asked something since this was last called."""
        self._pipe.send("first request")
        answer: float = self._pipe.recv()
        return answer


@contextmanager
def _engine(path: Path, containers: int) -> Iterator[_Engine]:
    """Run an engine with containers until the context ends."""
    ours, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(path, containers, its), daemon=True)
    process.start()
    ours.recv()
    try:
        yield _Engine(path, ours)
    finally:
        ours.send("end")
        process.join()


def _serve(path: Path, containers: int, pipe: Connection) -> None:
    """Be the process of the engine."""
    server = EngineServer()
    server.add(simulated_engine("host", 1, containers), path)
    ended: list[bool] = []

    def asked() -> None:
        if pipe.recv() == "end":
            ended.append(True)
        else:
            pipe.send(server.first_request)
            server.first_request = None

    server.watch(pipe.fileno(), asked)
    pipe.send("serving")
    while not ended:
        server.serve(0.1)
