"""Replace the containers of a service one by one under load, and count the requests that are lost.

    REGISTRATOR=/path/to/registrator .venv/bin/python -m benchmarks.rolling [--ways stop,drain] [--quick] [--api 2]

Three containers stand behind nginx, which has them from etcd by a loop over ``etcdctl watch`` and tries no second
server. Each is replaced: the new one is started, and when it has answered a request, the old one is ended. A request is
lost if it has any other end than the status 200.

It needs root, as it starts an engine of its own, and Debian's nginx. It ends by itself. The exit code is 1 if a request
was lost in a way to replace containers that is to lose none.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import inf

from attrs import frozen

from benchmarks.backends import CLOSING, HEALTHCHECK, LINGER, LINGERING, SERVICE, Backends, build_backend
from benchmarks.figures import Figure, Row, chosen, table
from benchmarks.load import Answer, Load, lost_kinds
from benchmarks.programs import Program, Wharfinger
from benchmarks.proxy import Proxy, Reload, ServiceKeys, reloaded_without
from benchmarks.stage import REGISTRATOR, Extent, NoEngine, Stage
from tests.support.processes import clean_environment

#: The containers of the service, the requests of a run, and the runs.
CONTAINERS, REQUESTS, RUNS = 3, 3000, 3

#: Seconds from the first request to the first replacement.
BEFORE = 2.0

#: Seconds that ``wharfinger drain`` waits after the keys are gone, and the most that it may take.
DRAIN_WAIT, DRAIN_PATIENCE = 3, 60.0

#: What ends a container, by its name.
End = Callable[[str], object]


def stopped(stage: Stage, program: Program) -> End:
    """End containers by ``docker stop``."""
    return lambda name: stage.engine.docker("stop", name)


def killed(stage: Stage, program: Program) -> End:
    """End containers by ``docker kill``."""
    return lambda name: stage.engine.docker("kill", name)


def drained(stage: Stage, program: Program) -> End:
    """End containers by ``wharfinger drain`` and then ``docker stop``."""
    assert isinstance(program, Wharfinger)
    environment = clean_environment(DOCKER_HOST=stage.engine.socket_url, WHARFINGER_LISTEN=program.agent.listen)

    def end(name: str) -> None:
        argv = [*stage.command, "drain", name, "--wait", f"{DRAIN_WAIT}s"]
        subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=DRAIN_PATIENCE)
        stage.engine.docker("stop", name)

    return end


@frozen
class Way:
    """A way to replace containers."""

    #: What the server does, and how it is ended.
    title: str
    #: What each container runs.
    command: Sequence[str]
    #: What returns how a container is ended while a program registers it.
    ended: Callable[[Stage, Program], End]
    #: The flags of wharfinger, and of ``docker run``.
    flags: Sequence[str] = ()
    container_flags: Sequence[str] = ()
    #: Whether no request may be lost.
    lossless: bool = False
    #: Whether the other programs are measured, too.
    compared: bool = False

    def programs(self, stage: Stage, api: int) -> Sequence[Program]:
        """Return the programs to measure, none of which runs."""
        return stage.programs(api=api) if self.compared else [stage.wharfinger(*self.flags, api=api)]


_LINGERS, _CLOSES = f"goes on for {LINGER} s after its signal", "closes at its signal"
_HEALTHY = ("--health", "healthy")
WAYS = {
    "stop": Way(f"{_LINGERS}, docker stop", LINGERING, stopped, _HEALTHY, HEALTHCHECK, lossless=True),
    "undrained-stop": Way(
        f"{_LINGERS}, docker stop with --no-drain-on-stop",
        LINGERING,
        stopped,
        (*_HEALTHY, "--no-drain-on-stop"),
        HEALTHCHECK,
    ),
    "drain": Way(f"{_CLOSES}, drain --wait {DRAIN_WAIT}s, docker stop", CLOSING, drained, lossless=True),
    "undrained": Way(f"{_CLOSES}, docker stop without drain", CLOSING, stopped),
    "kill": Way("dies by KILL, docker kill", CLOSING, killed, compared=True),
}


@frozen
class Replaced:
    """A container that was replaced."""

    name: str
    #: When the command was called that ends it, in seconds of the performance counter.
    called: float


@frozen
class Run:
    """What one run brought."""

    answers: Sequence[Answer]
    #: Seconds from the call that ends a container to the reload by which nginx forgets it, for each.
    told: Sequence[float]
    #: Seconds from that call to the last request that the container answered, for each.
    answered: Sequence[float]

    @property
    def lost(self) -> int:
        """The number of requests that were lost."""
        return sum(each.lost for each in self.answers)

    def __str__(self) -> str:
        return (
            f"lost: {lost_kinds(self.answers) or 'none'}; at most {max(self.told):.2f} s from the call that ends a "
            f"container to nginx's reload, and {max(self.answered):.2f} s to the last request that it answers"
        )


def last_answer(replaced: Replaced, answers: Sequence[Answer]) -> float:
    """Return the seconds from the call that ended a container to the sending of the last request that it answered; 0
    if that was before the call."""
    moments = [each.at - replaced.called for each in answers if each.text == replaced.name]
    return max([0.0, *moments])


def told_after(replaced: Replaced, answers: Sequence[Answer], reloads: Sequence[Reload]) -> float:
    """Return the seconds from the call that ended a container to the reload by which nginx forgot it; infinity if there
    was none."""
    server = next((each.server for each in answers if each.text == replaced.name), "")
    moment = reloaded_without(server, replaced.called, reloads)
    return inf if moment is None else moment - replaced.called


def replace(name: str, backends: Backends, load: Load, end: End) -> Replaced:
    """Start a new container, wait until it has answered a request, and end the one of this name."""
    load.wait_for_answer_of(backends.start())
    called = time.perf_counter()
    end(name)
    return Replaced(name, called)


def replace_all(names: Sequence[str], backends: Backends, load: Load, end: End) -> Iterator[Replaced]:
    """Replace containers one by one, at equal distances while the load runs. Raises RuntimeError if the load ends
    before the last replacement does."""
    begun = time.perf_counter() + BEFORE
    for number, name in enumerate(names):
        time.sleep(max(0.0, begun + number * load.seconds / len(names) - time.perf_counter()))  # the distances
        yield replace(name, backends, load, end)
    if not load.running:
        raise RuntimeError("the load ended before the last container was replaced")


def run(stage: Stage, way: Way, program: Program) -> Run:
    """Start a service, a proxy and a program, and replace the containers."""
    with ExitStack() as stack:
        program.start()
        stack.callback(program.stop)
        backends = Backends(stage.engine, way.command, way.container_flags)
        stack.callback(backends.remove)
        names = [backends.start() for _ in range(CONTAINERS)]
        proxy = Proxy(ServiceKeys(program.etcd.endpoint, f"{program.prefix}/{SERVICE}", program.api))
        stack.callback(proxy.close)
        proxy.start().wait_for_servers(names)
        load = Load(proxy.port, REQUESTS).start()
        replaced = list(replace_all(names, backends, load, way.ended(stage, program)))
        answers = load.wait()
        return Run(
            answers,
            [told_after(each, answers, proxy.reloads) for each in replaced],
            [last_answer(each, answers) for each in replaced],
        )


def row(way: Way, found: Mapping[str, Sequence[Run]]) -> Row:
    """Return the row of a way: the lost requests of each run of each program, the fewest first."""
    runs = max(map(len, found.values()))
    return Row(
        way.title,
        f"lost of {REQUESTS:,}",
        {name: [Figure(lost, 0) for lost in sorted(each.lost for each in runs)] for name, runs in found.items()},
        most=[0] * runs if way.lossless else (),
        target="" if way.lossless or way.compared else "more than none",
        notes=[f"{name}, {each}" for name, runs in found.items() for each in runs],
    )


def main() -> int:
    """Run the benchmark. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Count the requests that a rolling replacement loses.")
    parser.add_argument("--ways", default="", help=f"the ways to measure, of: {', '.join(WAYS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="make one run of each")
    parser.add_argument("--api", type=int, choices=(2, 3), default=3, help="the version of etcd's API; default: 3")
    asked = parser.parse_args()
    try:
        ways = chosen(asked.ways, WAYS)
    except ValueError as error:
        parser.error(str(error))
    try:
        rows = measured(ways, 1 if asked.quick else RUNS, asked.api)
    except (NoEngine, FileNotFoundError) as error:
        print(f"Nothing can be measured: {error}")
        return 1
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores\n\n{table(rows)}")
    print(*(f"\n{row.title}: {note}" for row in rows for note in row.notes), sep="", flush=True)
    return int(any(WAYS[name].lossless and not row.reached for name, row in zip(ways, rows, strict=True)))


def measured(ways: Sequence[str], runs: int, api: int) -> list[Row]:
    """Return the rows of these ways. Raises NoEngine, and FileNotFoundError if nginx is not installed."""
    rows = []
    with Stage(Extent(containers=0)) as stage:
        if stage.registrator is None:
            print(f"Without {REGISTRATOR}=PATH, the bare loop stands in for registrator.\n", flush=True)
        build_backend(stage.engine)
        for name in ways:
            found: dict[str, list[Run]] = {}
            for _ in range(runs):
                for program in WAYS[name].programs(stage, api):
                    found.setdefault(program.name, []).append(run(stage, WAYS[name], program))
            rows.append(row(WAYS[name], found))
            print(*rows[-1].cells(), sep=" | ", flush=True)
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
