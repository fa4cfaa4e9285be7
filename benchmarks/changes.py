"""The rows about changes on a real engine: how soon the key of a container comes and goes, bursts, and a cold start."""

from __future__ import annotations

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import inf

from attrs import define, field, frozen

from benchmarks.engine_api import SLOW, SLOWNESS, EngineApi, EngineEvents
from benchmarks.figures import MEDIAN, OURS, Figure, Row, percentile, summary
from benchmarks.key_watch import KeyWatch, Kind
from benchmarks.programs import Program, forget, keys, names, wait_for_names, watch
from benchmarks.stage import Stage

#: Seconds between two changes, chosen at random from this range, so that they fall anywhere between two passes.
PAUSE = (0.1, 0.5)

#: The containers of a burst, and how many are started or killed at a time.
BURST, AT_A_TIME = 60, 16

#: Seconds that a program gets after the last event of a burst. A key that is wrong then stays wrong.
PATIENCE = 10.0

#: A median that is at most so many times another one is no slower. Medians of one run differ by as much.
AS_SOON = 1.1

#: What makes a container one whose key goes only when it has ended.
KEPT = {"Labels": {"SERVICE_DRAIN": "false"}}

_numbers = itertools.count(1)


@define
class Latencies:
    """The seconds that each change took to reach etcd."""

    started: list[float] = field(factory=list)
    #: From the end of a container whose key goes only then.
    died: list[float] = field(factory=list)
    #: From the signal that stops a container.
    stopped: list[float] = field(factory=list)
    #: How many keys were there when their containers had ended that were stopped.
    left: int = 0


def changes(stage: Stage) -> list[Row]:
    """Measure starts, deaths and stops, one at a time. The programs take turns, and none runs beside another."""
    found: dict[str, Latencies] = defaultdict(Latencies)
    programs = stage.programs()
    for turn in range(stage.extent.turns):
        for program in programs if turn % 2 == 0 else programs[::-1]:
            _change_containers(stage, program, stage.extent.starts // stage.extent.turns, found[program.name])
    started = {name: summary(each.started, scale=1000) for name, each in found.items()}
    died = {name: summary(each.died, scale=1000) for name, each in found.items()}
    stopped = {
        name: (*summary(each.stopped, scale=1000), Figure(100 * each.left / len(each.stopped), 0))
        for name, each in found.items()
    }
    title = f"start call's return -> key, {len(stage.running)} running, {stage.extent.starts} starts"
    stop = f"stop of a server that takes {1000 * SLOWNESS:g} ms to end: kill event -> key gone, keys there at its end"
    return [
        Row(title, "median / p95, ms", started),
        Row("die event -> key gone", "median / p95, ms", died),
        Row(
            stop,
            "median / p95, ms / %",
            stopped,
            most=(AS_SOON * died[OURS][0].value, inf, 1),
            target=f"{AS_SOON:g} times the median after a die event / 1",
        ),
    ]


def _change_containers(stage: Stage, program: Program, number: int, to: Latencies) -> None:
    """Start new containers while a program runs, kill one half of them and stop the other, and add how long it took."""
    with ExitStack() as stack:
        api, events = _engine(stage, stack)
        seen = _running(stage, program, stack)
        kept = {name: api.create(name, KEPT) for name in _new_names(number // 2)}
        slow = {name: api.create(name, SLOW) for name in _new_names(number - number // 2)}
        stack.callback(api.remove, [*kept.values(), *slow.values()])
        for name, container in random.sample([*kept.items(), *slow.items()], number):
            time.sleep(random.uniform(*PAUSE))  # the start must not fall into the time after another change
            returned = api.start(container)
            to.started.append(_moment(seen, "put", name) - returned)
            time.sleep(random.uniform(*PAUSE))  # nor must the end
            if name in kept:
                api.kill(container)
                to.died.append(_moment(seen, "delete", name) - events.wait_for("die", container))
            else:
                api.stop(container)
                gone = _moment(seen, "delete", name)
                to.stopped.append(gone - events.wait_for("kill", container))
                to.left += gone > events.wait_for("die", container)


def _engine(stage: Stage, stack: ExitStack) -> tuple[EngineApi, EngineEvents]:
    """Return a client of the engine and its events, both of which the stack closes."""
    api, events = EngineApi(stage.engine.socket_url), EngineEvents(stage.engine.socket_url)
    stack.callback(api.close)
    stack.callback(events.close)
    return api, events


def _running(stage: Stage, program: Program, stack: ExitStack) -> KeyWatch:
    """Start a program, which the stack stops, wait until all is registered, and return a watch of its keys."""
    program.start()
    stack.callback(program.stop)
    wait_for_names(program, stage.running)
    seen = watch(program)
    stack.callback(seen.close)
    return seen


def _moment(seen: KeyWatch, kind: Kind, name: str) -> float:
    found = seen.wait_for(kind, name)
    if found is None:
        raise TimeoutError(f"no {kind} of the key of {name}")
    return found


def _new_names(number: int) -> list[str]:
    """Return names that no container has had."""
    return [f"new{next(_numbers):05}" for _ in range(number)]


def burst(stage: Stage) -> list[Row]:
    """Start and kill many containers, several at a time."""
    found: dict[str, list[Burst]] = defaultdict(list)
    programs = stage.programs()
    for _ in range(stage.extent.bursts):
        for program in programs:
            found[program.name].append(_burst(stage, program))
    title = f"burst of {BURST} by {AT_A_TIME}, worst of {stage.extent.bursts}: lost / stale / right within"
    return [
        Row(
            title,
            "keys / keys / s after the last event",
            {name: _worst(each) for name, each in found.items()},
            most=(0, 0, 0.5),
        )
    ]


@frozen
class Burst:
    """How a burst ended."""

    #: Containers that run and have no key.
    lost: int
    #: Keys whose container is gone.
    stale: int
    #: Seconds from the last event to the last right key; how long it was waited for if some stayed wrong.
    seconds: float


def _worst(bursts: Sequence[Burst]) -> Sequence[Figure]:
    return (
        Figure(max(each.lost for each in bursts), 0),
        Figure(max(each.stale for each in bursts), 0),
        Figure(max(each.seconds for each in bursts), 2),
    )


def _burst(stage: Stage, program: Program) -> Burst:
    with ExitStack() as stack:
        api, events = _engine(stage, stack)
        seen = _running(stage, program, stack)
        containers = {name: api.create(name) for name in _new_names(BURST)}
        stack.callback(api.remove, list(containers.values()))
        _for_each(stage, EngineApi.start, list(containers.values()))
        last = max(events.wait_for("start", each) for each in containers.values())
        lost, after_start = _settled(seen, program, "put", stage.running | {*containers}, last)
        _for_each(stage, EngineApi.kill, list(containers.values()))
        last = max(events.wait_for("die", each) for each in containers.values())
        stale, after_death = _settled(seen, program, "delete", stage.running, last)
        return Burst(len(lost), len(stale), max(after_start, after_death))


def _for_each(stage: Stage, act: Callable[[EngineApi, str], object], containers: Sequence[str]) -> None:
    """Do something with each container, several at a time, each over a connection of its own."""

    def work(part: Sequence[str]) -> None:
        api = EngineApi(stage.engine.socket_url)
        for container in part:
            act(api, container)
        api.close()

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(work, [containers[start::AT_A_TIME] for start in range(AT_A_TIME)]))


def _settled(seen: KeyWatch, program: Program, kind: Kind, wanted: set[str], last: float) -> tuple[set[str], float]:
    """Wait until the registered containers are those wanted. Return those that are wrong, and the seconds from ``last``
    to the last change of this kind, or to the end of the patience if some are wrong."""
    try:
        wait_for_names(program, wanted, max(0.0, last + PATIENCE - time.perf_counter()))
    except TimeoutError:
        return names(keys(program)) ^ wanted, PATIENCE
    return set(), max(0.0, max(each.at for each in seen.seen if each.kind == kind) - last)


def cold(stage: Stage) -> list[Row]:
    """Start each program without a key in etcd, and see when the keys come."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    programs = stage.programs()
    for _ in range(stage.extent.colds):
        for program in programs:
            found[program.name].append(_cold(stage, program))
    number = len(stage.running)
    title = f"cold sync of {number}, process start -> first / all keys"
    return [Row(title, "ms", {name: _medians(each) for name, each in found.items()}, most=(250, 300))]


def _medians(found: Sequence[tuple[float, float]]) -> Sequence[Figure]:
    return tuple(Figure(1000 * percentile(each, MEDIAN), 0) for each in zip(*found, strict=True))


def _cold(stage: Stage, program: Program) -> tuple[float, float]:
    """Return the seconds from the start of the process to the first and to all keys."""
    forget(program)
    with ExitStack() as stack:
        seen = watch(program)
        stack.callback(seen.close)
        begun = program.start()
        stack.callback(program.stop)
        moments = seen.wait_for_keys(len(stage.running))
        return moments[0] - begun, moments[len(stage.running) - 1] - begun
