"""One host with its agent in good weather, for tests that look at what one change causes."""

from __future__ import annotations

import contextlib
import io
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from attrs import evolve

from tests.simulation.fleet import PREFIX, Fleet
from tests.simulation.scheduler import Scheduler

#: Virtual seconds after the start of the agent until it is at rest. Its event stream was silent for a minute then, and
#: has been opened again.
SETTLED = 75.5

#: The container ports that are published, at ports that the engine chooses.
WEB: Mapping[str, None] = {"80/tcp": None}

IMAGE = "registry.example/web:1"


class QuietHost:
    """One host with three containers, ``web``, ``api`` and ``db``, and its agent."""

    def __init__(self, api: int, hints: bool, neighbours: int = 0, seed: int = 1, resync: int = 20) -> None:
        """The agent is at rest. See Fleet and Flags."""
        self.scheduler = Scheduler(random.Random(seed))
        self.fleet = Fleet(self.scheduler, random.Random(seed + 1), api, 1, hints, neighbours)
        (self.host,) = self.fleet.hosts
        self.host.flags = evolve(self.host.flags, resync=resync)
        self.engine = self.host.engine
        #: The numbers of writes to etcd of which any key was changed, by key.
        self.changes: Counter[str] = Counter()
        for name in ("web", "api", "db"):
            self.run(name)
        self.after(10)
        self.fleet.start_agent(self.host)
        self.after(SETTLED)
        self.fleet.cluster.on_change.append(lambda change: self.changes.update([change.key]))

    def run(self, name: str, **env: str) -> str:
        """Run a container, and return its id."""
        return self.engine.run(name, IMAGE, ports=WEB, env=env)

    def after(self, seconds: float) -> None:
        """Let this much time go by."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.scheduler.run_until(self.scheduler.now + seconds)

    def requests(self, seconds: float) -> Counter[str]:
        """Return the requests of so many seconds from now on, by what they ask for, and the number of passes."""
        before, passes = Counter(self.fleet.requests), self.fleet.passes
        self.after(seconds)
        return self.fleet.requests - before + Counter({"pass": self.fleet.passes - passes})

    @property
    def keys(self) -> dict[str, str]:
        """The keys under the prefix."""
        return self.fleet.cluster.keys(self.fleet.api, PREFIX)

    @property
    def right(self) -> dict[str, str]:
        """The keys that there should be."""
        return {
            f"{PREFIX}/web/{self.engine.name}:{each.name}:80": f"{self.host.address}:{bindings[0].host_port}"
            for each in self.engine.running()
            if (bindings := each.published["80/tcp"])
        }

    def until_right(self, limit: float = 20.0) -> float:
        """Let time go by until the keys are right, and return how many seconds that took. Raises AssertionError after
        ``limit``."""
        began = self.scheduler.now
        while self.keys != self.right:
            assert self.scheduler.now - began < limit, (self.keys, self.right)
            self.after(0.001)
        return self.scheduler.now - began


@contextmanager
def quiet_host(
    api: int, hints: bool = True, neighbours: int = 0, seed: int = 1, resync: int = 20
) -> Iterator[QuietHost]:
    """Yield a host that is at rest, and end its agent."""
    logging.disable(logging.CRITICAL)
    host = QuietHost(api, hints, neighbours, seed, resync)
    try:
        yield host
    finally:
        host.scheduler.close()
        logging.disable(logging.NOTSET)
