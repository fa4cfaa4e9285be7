"""The programs that are compared: wharfinger out of this tree, and registrator, whose binary the operator gives."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from benchmarks.figures import OURS
from benchmarks.key_watch import KeyWatch
from tests.support.agent import Agent
from tests.support.engine import DockerEngine
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3
from tests.support.processes import REPOSITORY, Child, clean_environment

_SCHEMES = {2: "etcd", 3: "etcd3"}
_numbers = itertools.count(1)


class Program(Protocol):
    """A program that registers the containers of an engine under a prefix of its own."""

    name: str
    #: The version of etcd's API that it uses.
    api: int
    etcd: EtcdServer
    prefix: str

    def start(self) -> float:
        """Start it, and return the moment just before."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def stop(self) -> None:
        """End it. Its keys stay."""


@frozen
class Place:
    """Where an agent works."""

    #: The engine's URL.
    docker_host: str
    #: The address of the entries.
    address: str
    etcd: EtcdServer


class Wharfinger:
    """The agent of this tree."""

    name = OURS

    def __init__(self, program: Sequence[str], place: Place, *flags: str, api: int = 3) -> None:
        """``program`` is the command that starts the agent. The agent gets ``-ip`` and ``flags``."""
        etcd = place.etcd
        self.etcd, self.api = etcd, api
        self.prefix = f"/{self.name}-{next(_numbers)}"
        uri = f"{_SCHEMES[api]}://{etcd.endpoint}{self.prefix}"
        self.agent = Agent(
            place.docker_host,
            "-ip",
            place.address,
            *flags,
            uri,
            log_path=etcd.folder / "wharfinger.log",
            env={"PYTHONPATH": ""},
            program=program,
        )

    def start(self) -> float:
        """See Program."""
        begun = time.perf_counter()
        self.agent.start()
        return begun

    @property
    def pid(self) -> int:
        """See Program."""
        return self.agent.pid

    def stop(self) -> None:
        """See Program."""
        self.agent.terminate()


class Registrator:
    """The program in Go that wharfinger replaces, or another one with its command line. It uses etcd's v2 API."""

    api = 2

    def __init__(self, name: str, argv: Sequence[str], engine: DockerEngine, etcd: EtcdServer, *flags: str) -> None:
        """``argv`` is how the program is started, without its arguments."""
        self.name, self.etcd = name, etcd
        self.prefix = f"/{name.replace(' ', '-')}-{next(_numbers)}"
        self._child = Child(
            [*argv, "-ip", engine.address, *flags, f"etcd://{etcd.endpoint}{self.prefix}"],
            etcd.folder / f"{name}.log",
            env=clean_environment(DOCKER_HOST=engine.socket_url),
            cwd=REPOSITORY,
        )

    def start(self) -> float:
        """See Program."""
        begun = time.perf_counter()
        self._child.start()
        return begun

    @property
    def pid(self) -> int:
        """See Program."""
        return self._child.pid

    def stop(self) -> None:
        """See Program."""
        self._child.stop()


def watch(program: Program) -> KeyWatch:
    """Return a watch of a program's keys, which has begun."""
    return KeyWatch(program.etcd.endpoint, program.prefix, program.api).start()


def keys(program: Program) -> dict[str, str]:
    """Return the keys of a program with their values."""
    return _store(program).keys(program.prefix)


def forget(program: Program) -> None:
    """Delete the keys of a program that has been stopped."""
    _store(program).delete(program.prefix, recursive=True)
    if program.api == 3:
        _store(program).delete("/_wharfinger", recursive=True)


def index(program: Program) -> int:
    """Return the index or revision of the store, which grows with each write to its API, and only then."""
    return _store(program).index()


def names(found: dict[str, str]) -> set[str]:
    """Return the names of the containers in keys."""
    return {key.rpartition("/")[2].split(":")[1] for key in found}


def wait_for_names(program: Program, wanted: set[str], timeout: float = 60.0) -> None:
    """Wait until exactly these containers are registered. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while names(keys(program)) != wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{program.name} has not registered the {len(wanted)} containers within {timeout:g} s")
        time.sleep(0.05)


def _store(program: Program) -> EtcdV2 | EtcdV3:
    return EtcdV3(program.etcd.endpoint) if program.api == 3 else program.etcd
