"""Measure an idle host with a real engine: CPU, memory, and writes to etcd, each a row of the table."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.figures import OURS, THEIRS, Figure, Row
from benchmarks.programs import Program, index, wait_for_names, watch
from benchmarks.stage import Stage
from benchmarks.usage import cpu_seconds, engine_pids, resident_mb

#: Seconds for which a program runs before it is measured.
SETTLING = 6.0

#: The flags under which keys have a lifetime.
LIFETIME = ("-ttl", "30", "-ttl-refresh", "10")


def idle(stage: Stage) -> list[Row]:
    """Measure the CPU of each program and of the engine, one program at a time."""
    cpu: dict[str, list[Figure]] = {}
    resident: dict[str, list[Figure]] = {}
    notes: list[str] = []
    for program in stage.programs():
        program.start()
        try:
            wait_for_names(program, stage.running)
            agent, engine = _idle_cpu(stage, program)
            cpu[program.name] = [Figure(agent + engine, 2)]
            resident[program.name] = [Figure(resident_mb(program.pid))]
            notes.append(f"{program.name}: agent {agent:.2f} s, engine {engine:.2f} s")
        finally:
            program.stop()
    number = len(stage.running)
    return [
        Row(
            f"CPU of agent + engine a minute, idle, {number} containers",
            "s",
            cpu,
            most=[0.3],
            notes=notes,
        ),
        Row(
            f"resident, {number} containers",
            "MB",
            resident,
            most=[42],
        ),
    ]


def _idle_cpu(stage: Stage, program: Program) -> tuple[float, float]:
    """Return the seconds of CPU a minute of a program, and of the engine."""
    engine = engine_pids(stage.engine.daemon.pid)
    time.sleep(SETTLING)  # what follows the first pass is not what is measured
    before = cpu_seconds(program.pid), cpu_seconds(*engine)
    time.sleep(stage.extent.idle)  # this is what is measured
    after = cpu_seconds(program.pid), cpu_seconds(*engine)
    a_minute = 60 / stage.extent.idle
    return a_minute * (after[0] - before[0]), a_minute * (after[1] - before[1])


def writes(stage: Stage) -> list[Row]:
    """Count what is written to etcd while nothing changes, by each program to an etcd of its own."""
    programs: dict[str, Program] = {
        f"v{api}": stage.wharfinger(*LIFETIME, api=api, etcd=stage.another_etcd()) for api in (3, 2)
    }
    for program in stage.registrator_with(*LIFETIME, etcd=stage.another_etcd()):
        programs[THEIRS] = program
    with ExitStack() as stack:
        for program in programs.values():
            program.start()
            stack.callback(program.stop)
        for program in programs.values():
            wait_for_names(program, stage.running)
        time.sleep(SETTLING)  # what follows the first pass is not what is measured
        seen = {name: watch(program) for name, program in programs.items()}
        before = {name: index(program) for name, program in programs.items()}
        time.sleep(stage.extent.idle)  # this is what is measured
        a_minute = 60 / stage.extent.idle
        written = {name: a_minute * (index(program) - before[name]) for name, program in programs.items()}
        woken = {name: a_minute * len(each.seen) for name, each in seen.items()}
        for each in seen.values():
            each.close()
    figures = {OURS: [Figure(written["v3"], 0), Figure(written["v2"], 0), Figure(woken["v2"], 0)]}
    if THEIRS in written:
        figures[THEIRS] = [Figure(0, 0), Figure(written[THEIRS], 0), Figure(woken[THEIRS], 0)]
    return [
        Row(
            "etcd writes a minute, idle, TTL 30/10: v3 / v2 / v2 that wake a watcher",
            "",
            figures,
            most=[0, 600, 0],
            target="0 / as few as the TTL needs / 0",
        )
    ]
