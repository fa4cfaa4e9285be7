"""Measure reads and writes through etcd's v2 and v3 APIs, with the entries of many hosts under one prefix.

    .venv/bin/python -m benchmarks.registries

It starts a real etcd. It prints the CPU time (of this process) and the time of one read for several numbers of foreign
keys, and the time of several numbers of creates. It measures both APIs in turn, in one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from controller.effects.clock import Clock, Deadline
from controller.registry.base import Registry
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.interest import Interest
from model.layout import PlainLayout
from model.plan import Action, Change, Reason
from model.report import Result
from model.stored import Lifetime
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3

PREFIX, OWNER = "/services", "core-01"
#: Numbers of foreign keys.
KEYS = (200, 1000, 5000)
#: Reads of which the average is printed.
ROUNDS = 20

Work = Callable[[], object]


def main() -> int:
    """Run the benchmark. Returns the exit code."""
    server = EtcdServer().start()
    try:
        for number in KEYS:
            fill(server, number)
            print(f"one reading, {number} keys of others")
            for name, (before, read) in readings(server).items():
                print(f"  {name:<28} {cost(before, read)}")
        for number in (100, 1000):
            print(f"{number} creates")
            for name, registry in registries(server).items():
                print(f"  {name:<28} {create(registry, number):.0f} ms")
    finally:
        server.close()
    return 0


def registries(server: EtcdServer) -> dict[str, Registry]:
    """Return a registry for each version of the API, by name."""
    host, _, port = server.endpoint.rpartition(":")
    return {
        "v2": etcd_v2_registry(EtcdV2Client([(host, int(port))]), PREFIX, Lifetime()),
        "v3": etcd_v3_registry(EtcdV3Client([(host, int(port))]), PREFIX, Lifetime()),
    }


def fill(server: EtcdServer, number: int) -> None:
    """Create entries of other hosts in both stores until there are `number` of them."""
    for registry in registries(server).values():
        there = len(registry.read(OWNER, soon()).stored)
        changes = [new(f"{PREFIX}/nginx/core-{host}:web:80") for host in range(1000 + there, 1000 + number)]
        assert all(each.result is Result.APPLIED for each in registry.apply_all(OWNER, changes, soon()))


def readings(server: EtcdServer) -> dict[str, tuple[Work, Work]]:
    """Return, for each way to read, a function to call before it and the function that reads."""
    both, others = registries(server), EtcdV3(server.endpoint)
    interest = Interest(OWNER, PlainLayout(PREFIX))

    def read(api: str, consistent: bool) -> Work:
        return lambda: both[api].read(OWNER, soon(), consistent=consistent)

    def observe(api: str) -> Work:
        return lambda: both[api].observe(interest, soon())

    def nothing() -> None:
        """Do nothing before the read: nobody writes."""

    return {
        "v2": (nothing, read("v2", False)),
        "v2, through the quorum": (nothing, read("v2", True)),
        "v3, nobody wrote": (nothing, observe("v3")),
        "v3, somebody wrote elsewhere": (lambda: others.put("/elsewhere", "x"), observe("v3")),
        "v3, everything": (nothing, read("v3", True)),
    }


def cost(before: Work, work: Work) -> str:
    """Return the average CPU time and time of `work`, as text. `before` is called each time and is not measured."""
    work()
    cpu = wall = 0.0
    for _ in range(ROUNDS):
        before()
        cpu, wall = cpu - time.process_time(), wall - time.perf_counter()
        work()
        cpu, wall = cpu + time.process_time(), wall + time.perf_counter()
    return f"{1000 * cpu / ROUNDS:6.2f} ms CPU {1000 * wall / ROUNDS:7.2f} ms"


def create(registry: Registry, number: int) -> float:
    """Write `number` new entries, and return how many milliseconds it took."""
    changes = [new(f"{PREFIX}/made-{number}/core-01:web{each}:80") for each in range(number)]
    begun = time.perf_counter()
    outcomes = list(registry.apply_all(OWNER, changes, soon()))
    assert all(each.result is Result.APPLIED for each in outcomes)
    return 1000 * (time.perf_counter() - begun)


def new(key: str) -> Change:
    """Return the change that creates this key."""
    return Change(Action.CREATE, key, "192.0.2.10:8080", None, Reason.NEW)


def soon() -> Deadline:
    """Return a deadline in 60 seconds, which is more than any request needs."""
    return Deadline.after(60, Clock())


if __name__ == "__main__":
    raise SystemExit(main())
