"""A Docker host with an etcd, as one test sees them: a clean engine and a prefix that nobody else uses."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import pytest

from tests.support.agent import Agent, run_once
from tests.support.engine import DockerEngine
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3
from tests.support.waiting import WaitTimeout, wait_until

#: The scheme of a registry's address, by the version of etcd's API.
SCHEMES = {2: "etcd", 3: "etcd3"}

_numbers = itertools.count(1)


def on_both(fixture: str) -> pytest.MarkDecorator:
    """Runs a test on a host (of this fixture) whose agents speak etcd's v2 API, and on one for v3."""
    return pytest.mark.parametrize(fixture, SCHEMES, ids=["v2", "v3"], indirect=True)


class Host:
    """Runs agents on `engine` that write below `prefix` of `etcd` by version `api` of its API, and ends them with the
    test."""

    def __init__(self, engine: DockerEngine, etcd: EtcdServer, folder: Path, api: int = 2) -> None:
        self.engine = engine
        self.etcd = etcd
        self.api = api
        self.prefix = f"/test-{os.getpid()}-{next(_numbers)}/services"
        self._folder = folder
        self._agents: list[Agent] = []

    @property
    def uri(self) -> str:
        """The registry's address, as the agent takes it."""
        return f"{SCHEMES[self.api]}://{self.etcd.endpoint}{self.prefix}"

    @property
    def store(self) -> EtcdV2 | EtcdV3:
        """What the agents write to, as somebody else sees it: the v2 and the v3 API have nothing in common."""
        return EtcdV3(self.etcd.endpoint) if self.api == 3 else self.etcd

    @cached_property
    def owner(self) -> str:
        """Whom the agents' entries belong to: the engine's own name for its host."""
        return self.engine.docker("info", "--format", "{{.Name}}")

    def start(self, *names: str, flags: str = "") -> None:
        """Start containers that publish one port each, where the engine chooses; several all at once."""
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda name: self.engine.run(f"--name {name} -P {flags} worker:1"), names))

    def key(self, name: str) -> str:
        """The key of a container of `start()`, without the prefix."""
        return f"worker/{self.owner}:{name}:9000"

    def expected(self) -> dict[str, str]:
        """What should be registered now that the containers are those of `start()`, by what docker inspect says."""
        running = [each for each in self.engine.inspect_all() if each["State"]["Running"]]
        bindings = {each["Name"].lstrip("/"): each["NetworkSettings"]["Ports"]["9000/tcp"] for each in running}
        return {self.key(name): f"{self.engine.address}:{each[0]['HostPort']}" for name, each in bindings.items()}

    def wait_for(self, expected: Mapping[str, str], timeout: float = 20.0) -> None:
        """Wait until exactly these keys are registered; the error tells the difference."""
        try:
            wait_until(lambda: self.keys() == expected, timeout)
        except WaitTimeout:
            seen, wanted = set(self.keys().items()), set(expected.items())
            raise AssertionError(f"missing: {sorted(wanted - seen)}; too much: {sorted(seen - wanted)}") from None

    def agent(self, *flags: str, interval: float = 0.2) -> Agent:
        """Start the loop with `-ip` set to the engine's address, plus `flags` (the later one of a flag wins)."""
        return self.run("--interval", str(interval), "-ip", self.engine.address, *flags, self.uri)

    def run(self, *args: str) -> Agent:
        """Start `wharfinger ARGS...`, word for word but for `--listen`."""
        log = self._folder / f"agent-{len(self._agents)}.log"
        agent = Agent(self.engine.socket_url, *args, log_path=log)
        self._agents.append(agent)
        return agent.start()

    def reconcile(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run exactly one pass."""
        return run_once(self.engine.socket_url, "reconcile", "-ip", self.engine.address, *flags, self.uri)

    def keys(self) -> dict[str, str]:
        """What is registered: keys below the prefix, without it, to values."""
        return {key.removeprefix(f"{self.prefix}/"): value for key, value in self.store.keys(self.prefix).items()}

    def close(self) -> None:
        """End the agents and remove the containers."""
        for agent in self._agents:
            agent.kill9()
        self.engine.remove_all()
