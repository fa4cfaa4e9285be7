"""Measure what a fleet of many hosts costs one etcd, and how soon a change of a host is in etcd.

    .venv/bin/python -m benchmarks.fleet [--api 3,2] [--hosts 10,100,1000] [--restart 200] [--lose 100] [--svg docs]

Each host has 50 services, of which 1 % are replaced a minute. The hosts are simulated: their engines answer at Unix
sockets, and their agents are the real program (its loop, client and registry, on the real clock), many in a process.
etcd is real. Where the processor does not suffice for all hosts, so many of them run as ``--live`` says. The keys of
the others are there and are replaced, too, but nobody reads for them; what etcd does for the agents is then multiplied.
Each line says how many hosts ran.

By v3, an agent in a large fleet reads everything once in many minutes (a sweep), which is too seldom to measure. Here
it does so only after the measurement. The cost of a read of everything is measured by itself, and added as often as the
fleet makes its sweeps.

It needs root, for etcd's network namespace, in which bytes are counted. It ends by itself. The exit code is 1 if a key
was wrong at the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from benchmarks.figures import MEDIAN, percentile
from benchmarks.fleet_etcd import SCHEMES, CountedEtcd, Counters, fill, keys, of_other_hosts, other_key, writer
from benchmarks.fleet_hosts import AgentsUse, Changed, HostName, Timing, run_agents, serve_engines
from benchmarks.key_watch import KeyWatch
from benchmarks.plots import plot
from controller.effects.clock import Clock, Deadline
from controller.registry.credentials import Credentials
from controller.registry.factory import open_registry
from controller.registry.uri import parse_uri
from model.stored import FOREVER
from model.sweep import MANY_HOSTS, SweepRule
from tests.support.etcd_cluster import EtcdCluster

PREFIX = "/services"
SERVICES = 50
#: The share of a host's services that are replaced in a second: 1 % a minute.
CHURN = 0.01 / 60
INTERVAL = 5.0
#: Seconds in which all agents have to get ready.
READY = 240.0
#: What stands for random numbers in the agents of a fleet that sweeps once in many minutes: the first sweep comes so
#: many times as late as it can at most. A small fleet sweeps at the start.
NO_SWEEP, SWEEPS = 20.0, 0.0
#: The most agents in one process.
IN_A_PROCESS = 25
P99 = 99
#: How often everything is read to measure what that costs.
READS = 3

_spawning = multiprocessing.get_context("forkserver")


@frozen
class Size:
    """How large a fleet is, and how long it is watched."""

    api: int
    hosts: int
    #: How many of the hosts run.
    live: int
    #: Seconds in which it is measured.
    seconds: float
    #: Seconds between two passes of an agent.
    interval: float = INTERVAL

    @property
    def others(self) -> int:
        """The hosts that do not run."""
        return self.hosts - self.live

    @property
    def scale(self) -> float:
        """By what the work of the agents that run is multiplied for that of all."""
        return self.hosts / self.live


@frozen
class Found:
    """What was measured of a fleet."""

    api: int
    hosts: int
    live: int
    #: Seconds in which it was measured.
    seconds: float
    #: What etcd did in a second for all hosts: cores of CPU, requests, bytes received and sent.
    etcd: Counters
    #: Megabytes of etcd.
    etcd_memory: float
    #: Cores of CPU of one agent, and its megabytes beyond those of a process without one.
    agent: float
    memory: float
    passes: int
    failed: int
    #: The seconds from each change of a host to its key.
    latencies: Sequence[float]
    #: Keys that were not right at the end.
    wrong: int

    def line(self) -> str:
        """Return the figures as one line of the table."""
        return _line(
            f"v{self.api}",
            f"{self.hosts:,}",
            f"{self.live:,}",
            f"{self.etcd.cpu:.3f}",
            f"{self.etcd.requests:,.0f}",
            f"{self.etcd.received / 1000:,.0f} / {self.etcd.sent / 1000:,.0f}",
            f"{self.etcd_memory:,.0f}",
            f"{1000 * self.agent:.2f}",
            f"{self.memory:.1f}",
            f"{_ms(self.latencies, MEDIAN)} / {_ms(self.latencies, P99)} ({len(self.latencies)})",
            f"{self.failed} of {self.passes}",
            f"{self.wrong}",
        )


def _ms(seconds: Sequence[float], percent: float) -> str:
    return f"{1000 * percentile(seconds, percent):,.0f}" if seconds else "-"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


HEAD = _line(
    "API",
    "hosts",
    "of which run",
    "etcd, cores",
    "requests/s",
    "kB/s in / out",
    "etcd, MB",
    "an agent, ms of CPU a s",
    "an agent, MB",
    "change -> key, ms, p50 / p99 (changes)",
    "passes failed",
    "wrong keys",
)


class Fleet:
    """The processes of a fleet. ``endpoints`` are those of its etcd."""

    def __init__(self, size: Size, endpoints: str, folder: Path) -> None:
        self.size = size
        self.endpoint = endpoints.partition(",")[0]
        self._uri = f"{SCHEMES[size.api]}://{endpoints}{PREFIX}"
        self._folder = folder
        self._hosts = [HostName(number, folder) for number in range(size.live)]
        self._stack = ExitStack()
        self._agents: list[tuple[Any, Connection]] = []
        self._engines = self._child(serve_engines, self._hosts, SERVICES, PREFIX)[1]
        assert self._engines.recv() == "serving"

    def start(self, spread: float, chance: float | None = None) -> None:
        """Start all agents within ``spread`` seconds. ``chance`` stands for each of their random numbers if it is
        given."""
        timing = Timing(self.size.interval, spread, chance)
        for number, start in enumerate(range(0, len(self._hosts), IN_A_PROCESS)):
            part = self._hosts[start : start + IN_A_PROCESS]
            log = self._folder / f"agents-{number}.log"
            self._agents.append(self._child(run_agents, part, self._uri, timing, log))

    def kill(self) -> None:
        """Kill all agents where they stand."""
        for process, _ in self._agents:
            process.kill()
            process.join()
        self._agents.clear()

    def wait_ready(self, timeout: float) -> None:
        """Wait until each agent has had a pass that succeeded. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while (ready := self.use().ready) < len(self._hosts):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{ready} of {len(self._hosts)} agents were ready after {timeout:g} s")
            time.sleep(0.1)  # asking more often would take CPU from the agents

    def use(self) -> AgentsUse:
        """Return what all agents have used so far."""
        for _, pipe in self._agents:
            pipe.send("use")
        each = [pipe.recv() for _, pipe in self._agents]
        return AgentsUse(*(sum(values) for values in zip(*(asdict(use).values() for use in each), strict=True)))

    def replace(self, rate: float) -> None:
        """Replace so many containers a second from now on."""
        self._ask("churn", rate)

    def changes(self) -> list[Changed]:
        """Return the changes that the engines have made."""
        return list(self._ask("changes"))

    def wrong(self, timeout: float) -> int:
        """Return how many keys of the hosts that run are not as they should be, once they are right or the time is
        over."""
        expected: dict[str, str] = self._ask("expected")
        deadline = time.monotonic() + timeout
        while True:
            found = keys(self.endpoint, PREFIX, self.size.api).items()
            ours = {(key, value) for key, value in found if "/host-" in key}
            wrong = len({key for key, _ in ours ^ set(expected.items())})
            if not wrong or time.monotonic() > deadline:
                return wrong
            time.sleep(1)  # each look reads all keys, which costs etcd much

    def close(self) -> None:
        """End all processes."""
        self.kill()
        self._stack.close()

    def _ask(self, *words: object) -> Any:
        self._engines.send(words)
        return self._engines.recv()

    def _child(self, work: Callable[..., None], *arguments: object) -> tuple[Any, Connection]:
        ours, its = _spawning.Pipe()
        process = _spawning.Process(target=work, args=(*arguments, its), daemon=True)
        process.start()
        its.close()
        self._stack.callback(process.kill)
        return process, ours


@contextmanager
def others_change(size: Size, endpoint: str) -> Iterator[None]:
    """Replace keys of the hosts that do not run, at their rate, until the context ends."""
    ended = threading.Event()
    write = writer(endpoint, size.api)
    rate = 2 * size.others * SERVICES * CHURN

    def work() -> None:
        due = time.perf_counter()
        while not ended.wait(max(0.0, due - time.perf_counter())):
            key = other_key(PREFIX, random.randrange(size.others), random.randrange(SERVICES))
            write(key, f"10.200.0.1:{random.randrange(30000, 60000)}")
            due += 1 / rate

    threads = [threading.Thread(target=work, name="churn of others")] if rate else []
    for each in threads:
        each.start()
    try:
        yield
    finally:
        ended.set()
        for each in threads:
            each.join()


def steady(size: Size) -> Found:
    """Measure a fleet in which nothing happens but churn."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wharfinger-fleet-")))
        etcd = CountedEtcd(folder / "etcd")
        stack.callback(etcd.close)
        fill(etcd.endpoints, of_other_hosts(PREFIX, size.others, SERVICES), size.api)
        stack.enter_context(others_change(size, etcd.endpoints))
        alone = _a_second(etcd, size.seconds / 2) if size.others else Counters()
        fleet = Fleet(size, etcd.endpoints, folder)
        stack.callback(fleet.close)
        fleet.start(size.interval, NO_SWEEP if sweeps_seldom(size) else SWEEPS)
        fleet.wait_ready(READY)
        time.sleep(2 * size.interval)  # what follows the first pass is not what is measured
        seen = KeyWatch(etcd.endpoints, PREFIX, size.api).start()
        stack.callback(seen.close)
        fleet.replace(size.live * SERVICES * CHURN)
        before = fleet.use()
        used = _a_second(etcd, size.seconds)
        after = fleet.use()
        fleet.replace(0)
        wrong = fleet.wrong(60)
        return Found(
            size.api,
            size.hosts,
            size.live,
            size.seconds,
            scaled(used, alone, size.scale).plus(sweeps(size, etcd)),
            etcd.resident(),
            (after.cpu - before.cpu) / size.seconds / size.live,
            after.memory / size.live,
            after.passes - before.passes,
            after.failed - before.failed,
            latencies(fleet.changes(), seen),
            wrong,
        )


def sweeps(size: Size, etcd: CountedEtcd) -> Counters:
    """Return what the sweeps of the fleet cost etcd in a second, which are none by v2 and in a small fleet."""
    if not sweeps_seldom(size):
        return Counters()
    registry = open_registry(parse_uri(f"{SCHEMES[size.api]}://{etcd.endpoints}{PREFIX}"), Credentials(), FOREVER)
    before = etcd.counters()
    for _ in range(READS):
        registry.read("nobody", Deadline.after(READY, Clock()), consistent=True)
    one = etcd.counters().since(before)
    rate = sweeps_a_second(size.hosts)
    return Counters(*(each / READS * rate for each in asdict(one).values()))


def sweeps_seldom(size: Size) -> bool:
    """Return whether the agents read everything less often than a measurement takes."""
    return size.api == 3 and size.hosts >= MANY_HOSTS


def sweeps_a_second(hosts: int) -> float:
    """Return how many sweeps a fleet makes in a second, if the time between two is drawn evenly from its range."""
    rule = SweepRule()
    return hosts / rule.next(0.0, hosts, 0.5)


def _a_second(etcd: CountedEtcd, seconds: float) -> Counters:
    """Return what etcd does in a second, measured over some."""
    before = etcd.counters()
    time.sleep(seconds)  # this is what is measured
    done = etcd.counters().since(before)
    return Counters(*(each / seconds for each in asdict(done).values()))


def scaled(used: Counters, alone: Counters, scale: float) -> Counters:
    """Return what etcd does if the work for agents is ``scale`` times as much. ``alone`` is what it does, of ``used``,
    without agents."""
    return Counters(
        *(
            (each - other) * scale + other
            for each, other in zip(asdict(used).values(), asdict(alone).values(), strict=True)
        )
    )


def latencies(changes: Sequence[Changed], seen: KeyWatch) -> list[float]:
    """Return the seconds from each change to that of its key. A change whose key did not follow is left out, as it is a
    wrong key then."""
    first: dict[tuple[str, str], float] = {}
    for each in seen.seen:
        first.setdefault((each.kind, each.key), each.at)
    return [first[each.kind, each.key] - each.at for each in changes if (each.kind, each.key) in first]


@frozen
class Restarted:
    """How a fleet came back after all its agents were killed at one moment."""

    api: int
    hosts: int
    #: Seconds until each agent had had a pass that succeeded: of the first start, which writes all keys, and of the
    #: second one, which finds them.
    first: float
    again: float
    #: What etcd did in all until then, the second time.
    etcd: Counters
    #: Seconds of CPU of the agents until then, the second time.
    agents: float
    wrong: int

    def text(self) -> str:
        """Return the figures in sentences."""
        return (
            f"v{self.api}: {self.hosts} agents started at once had written all keys after {self.first:.1f} s. "
            f"Killed and started again, all had had a pass after {self.again:.1f} s, which took {self.etcd.cpu:.1f} s "
            f"of etcd's CPU, {self.etcd.requests:,.0f} requests, {self.etcd.received / 1e6:.1f} MB in, "
            f"{self.etcd.sent / 1e6:.1f} MB out, and {self.agents:.1f} s of the agents' CPU (without the start of an "
            f"interpreter for each). Wrong keys: {self.wrong}."
        )


def restart(api: int, hosts: int) -> Restarted:
    """Start a whole fleet at once, kill all agents, and start them again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wharfinger-fleet-")))
        etcd = CountedEtcd(folder / "etcd")
        stack.callback(etcd.close)
        fleet = Fleet(Size(api, hosts, hosts, 0), etcd.endpoints, folder)
        stack.callback(fleet.close)
        took = []
        for _ in range(2):
            fleet.kill()
            before, begun = etcd.counters(), time.perf_counter()
            fleet.start(0)
            fleet.wait_ready(READY)
            took.append(time.perf_counter() - begun)
            done, use = etcd.counters().since(before), fleet.use()
        return Restarted(api, hosts, took[0], took[1], done, use.cpu, fleet.wrong(60))


@frozen
class Lost:
    """How a fleet went on when a cluster of three lost its leader."""

    api: int
    hosts: int
    #: The seconds from each change to its key, of changes before and after the loss.
    before: Sequence[float]
    after: Sequence[float]
    passes: int
    failed: int
    wrong: int

    def text(self) -> str:
        """Return the figures in sentences."""
        return (
            f"v{self.api}: {self.hosts} hosts, one of three members killed. Change -> key, p50 / p99: "
            f"{_ms(self.before, MEDIAN)} / {_ms(self.before, P99)} ms of {len(self.before)} before, "
            f"{_ms(self.after, MEDIAN)} / {_ms(self.after, P99)} ms of {len(self.after)} after. "
            f"Passes failed: {self.failed} of {self.passes}. Wrong keys: {self.wrong}."
        )


def lose(api: int, hosts: int, seconds: float) -> Lost:
    """Kill the leader of a cluster of three under a fleet, with ten times the usual churn, so that there are changes to
    see at that moment."""
    size = Size(api, hosts, hosts, seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wharfinger-fleet-")))
        cluster = EtcdCluster.on_loopback().start()
        stack.callback(cluster.close)
        fleet = Fleet(size, cluster.endpoints, folder)
        stack.callback(fleet.close)
        fleet.start(size.interval)
        fleet.wait_ready(READY)
        time.sleep(size.interval)  # what follows the first pass is not what is measured
        leader = cluster.leader()
        survivor = next(each for each in cluster.members if each is not leader)
        fleet.endpoint = survivor.endpoint
        seen = KeyWatch(survivor.endpoint, PREFIX, api).start()
        stack.callback(seen.close)
        fleet.replace(10 * hosts * SERVICES * CHURN)
        time.sleep(seconds / 2)  # this is what is measured
        use, lost = fleet.use(), time.perf_counter()
        leader.kill()
        time.sleep(seconds / 2)  # this is what is measured
        fleet.replace(0)
        wrong = fleet.wrong(60)
        end, changes = fleet.use(), fleet.changes()
        return Lost(
            api,
            hosts,
            latencies([each for each in changes if each.at < lost], seen),
            latencies([each for each in changes if each.at >= lost], seen),
            end.passes - use.passes,
            end.failed - use.failed,
            wrong,
        )


def draw(found: Sequence[Found], folder: Path) -> None:
    """Draw the plots of docs/performance.md."""
    apis = sorted({each.api for each in found}, reverse=True)

    def lines(value: Callable[[Found], float]) -> dict[str, list[tuple[float, float]]]:
        return {f"v{api}": [(each.hosts, max(value(each), 1e-4)) for each in found if each.api == api] for api in apis}

    pictures = {
        "fleet-etcd": plot("CPU of one etcd", "hosts of 50 services", "cores", lines(lambda each: each.etcd.cpu)),
        "fleet-latency": plot(
            "From a change to its key",
            "hosts of 50 services",
            "ms",
            {
                f"v{api}, {name}": [
                    (each.hosts, 1000 * percentile(each.latencies, percent))
                    for each in found
                    if each.api == api and each.latencies
                ]
                for api in apis
                for name, percent in (("p50", MEDIAN), ("p99", P99))
            },
        ),
        "fleet-agent": plot(
            "CPU of one agent", "hosts of 50 services", "ms a second", lines(lambda each: 1000 * each.agent)
        ),
    }
    for name, picture in pictures.items():
        (folder / f"{name}.svg").write_text(picture)


def main() -> int:
    """Run the benchmark. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Measure a fleet of simulated hosts with a real etcd.")
    parser.add_argument("--api", type=_numbers, default=[3, 2], help="versions of etcd's API")
    parser.add_argument("--hosts", type=_numbers, default=[10, 100, 1000], help="sizes of the fleet")
    parser.add_argument("--live", type=_numbers, default=[200, 10], help="the most hosts that run, for each API")
    parser.add_argument("--seconds", type=float, default=60, help="seconds in which each fleet is measured")
    parser.add_argument("--interval", type=float, default=INTERVAL, help="seconds between two passes of an agent")
    parser.add_argument("--restart", type=int, default=200, help="hosts of the fleet that is restarted; 0: none")
    parser.add_argument("--lose", type=int, default=100, help="hosts of the fleet that loses a member of etcd; 0: none")
    parser.add_argument("--svg", type=Path, help="the folder to draw the plots into")
    parser.add_argument("--json", type=Path, help="the file to write the figures to")
    asked = parser.parse_args()
    _spawning.set_forkserver_preload(["benchmarks.fleet_hosts"])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found, texts, wrong = [], [], 0
    print(HEAD, _line(*["---"] * HEAD.count(" | "), "---"), sep="\n", flush=True)
    for api, live in zip(asked.api, asked.live, strict=False):
        for hosts in asked.hosts:
            found.append(steady(Size(api, hosts, min(hosts, live), asked.seconds, asked.interval)))
            print(found[-1].line(), flush=True)
    for api in asked.api:
        if asked.restart:
            restarted = restart(api, asked.restart)
            texts.append(restarted.text())
            wrong += restarted.wrong
            print(f"\n{texts[-1]}", flush=True)
        if asked.lose:
            lost = lose(api, asked.lose, asked.seconds)
            texts.append(lost.text())
            wrong += lost.wrong
            print(f"\n{texts[-1]}", flush=True)
    if asked.svg:
        draw(found, asked.svg)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in found]))
    return 1 if wrong or any(each.wrong for each in found) else 0


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
