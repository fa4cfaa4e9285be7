"""A Docker host with an etcd, as one test sees them: a clean engine, and a prefix that no other test uses."""

from __future__ import annotations

import itertools
import json
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
from tests.support.processes import REPOSITORY
from tests.support.waiting import WaitTimeout, wait_until

#: The scheme of a registry's URI, by the version of etcd's API.
SCHEMES = {2: "etcd", 3: "etcd3"}

_numbers = itertools.count(1)


def on_both(fixture: str) -> pytest.MarkDecorator:
    """Run a test twice: on a host (from this fixture) whose agents use etcd's v2 API, and on one that uses v3."""
    return pytest.mark.parametrize(fixture, SCHEMES, ids=["v2", "v3"], indirect=True)


class Host:
    """Runs agents on `engine`, which write below `prefix` in `etcd`, and ends them after the test.

    `api` is the version of etcd's API that the agents use.
    """

    def __init__(self, engine: DockerEngine, etcd: EtcdServer, folder: Path, api: int = 2) -> None:
        self.engine = engine
        self.etcd = etcd
        self.api = api
        self.prefix = f"/test-{os.getpid()}-{next(_numbers)}/services"
        self._folder = folder
        self._agents: list[Agent] = []

    @property
    def uri(self) -> str:
        """The registry's URI for the agent."""
        return f"{SCHEMES[self.api]}://{self.etcd.endpoint}{self.prefix}"

    @property
    def store(self) -> EtcdV2 | EtcdV3:
        """The store that the agents write to, read by another client. The v2 and the v3 API share no keys."""
        return EtcdV3(self.etcd.endpoint) if self.api == 3 else self.etcd

    @cached_property
    def owner(self) -> str:
        """The owner of the agents' entries: the name that the engine has for its host."""
        return self.engine.hostname

    def start(self, *names: str, flags: str = "") -> None:
        """Start containers, all at once. Each publishes one port, whose host port the engine chooses."""
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda name: self.engine.run(f"--name {name} -P {flags} worker:1"), names))

    def key(self, name: str) -> str:
        """Return the key of a container that `start()` started, without the prefix."""
        return f"worker/{self.owner}:{name}:9000"

    def expected(self) -> dict[str, str]:
        """Return the entries that should be registered now, worked out from docker inspect, if all containers are of
        `start()`."""
        running = [each for each in self.engine.inspect_all() if each["State"]["Running"]]
        bindings = {each["Name"].lstrip("/"): each["NetworkSettings"]["Ports"]["9000/tcp"] for each in running}
        return {self.key(name): f"{self.engine.address}:{each[0]['HostPort']}" for name, each in bindings.items()}

    def wait_for(self, expected: Mapping[str, str], timeout: float = 20.0) -> None:
        """Wait until exactly these keys are registered. The error says what is missing and what is too much."""
        try:
            wait_until(lambda: self.keys() == expected, timeout)
        except WaitTimeout:
            seen, wanted = set(self.keys().items()), set(expected.items())
            raise AssertionError(f"missing: {sorted(wanted - seen)}; too much: {sorted(seen - wanted)}") from None

    def agent(
        self,
        *flags: str,
        interval: float = 0.2,
        stderr: int = subprocess.STDOUT,
        tree: Path = REPOSITORY,
        env: Mapping[str, str] | None = None,
    ) -> Agent:
        """Start an agent with `-ip` set to the engine's address, and with `flags`. If a flag is given several times,
        its last value counts. `tree` is the folder with the program's source, and `env` are further variables."""
        flags = ("--interval", str(interval), "-ip", self.engine.address, *flags, self.uri)
        return self.run(*flags, stderr=stderr, tree=tree, env=env)

    def run(
        self,
        *args: str,
        stderr: int = subprocess.STDOUT,
        tree: Path = REPOSITORY,
        env: Mapping[str, str] | None = None,
    ) -> Agent:
        """Start `wharfinger ARGS...` with exactly these arguments, except that `--listen` is added.

        `stderr` is the open file to which the process writes its standard error; by default the file that `Agent.log()`
        reads.
        """
        log = self._folder / f"agent-{len(self._agents)}.log"
        agent = Agent(self.engine.socket_url, *args, log_path=log, stderr=stderr, tree=tree, env=env)
        self._agents.append(agent)
        return agent.start()

    def reconcile(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run exactly one pass."""
        return run_once(self.engine.socket_url, "reconcile", "-ip", self.engine.address, *flags, self.uri)

    def beside_record(self, what: str, owner: str = "") -> str:
        """Return the key of something that an owner, by default this host, has outside the prefix. ``what`` is record,
        agent (the agent note) or question (the liveness query)."""
        return f"/_wharfinger/{self.prefix.replace('/', '%2F')}/{owner or self.owner}/{what}"

    def shorten_note(self, owner: str = "") -> None:
        """Change the note of an agent that has ended to the shortest times, so that nobody waits long for the agent's
        answer."""
        key = self.beside_record("agent", owner)
        note = json.loads(self.store.get(key) or "")
        self.store.put(key, json.dumps(note | {"interval": 0.5, "pass_timeout": 0.5, "max_backoff": 0.5}))

    def keys(self) -> dict[str, str]:
        """Return what is registered: keys below the prefix, without the prefix, and their values."""
        return {key.removeprefix(f"{self.prefix}/"): value for key, value in self.store.keys(self.prefix).items()}

    def close(self) -> None:
        """End the agents and remove the containers."""
        for agent in self._agents:
            agent.kill9()
        self.engine.remove_all()
