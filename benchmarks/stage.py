"""What the rows of the table share: a private engine with its containers, an etcd, and how much is measured."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import frozen

from benchmarks.engine_api import EngineApi
from benchmarks.figures import FLOOR, THEIRS
from benchmarks.programs import Place, Program, Registrator, Wharfinger
from benchmarks.startup import install, interpreter
from tests.support.engine import Unavailable
from tests.support.etcd_server import EtcdServer
from tests.support.images import build_test_images
from tests.support.private_engine import PrivateEngine, private_engine

#: The environment variable with the path of registrator's binary.
REGISTRATOR = "REGISTRATOR"


@frozen
class Extent:
    """How much is measured."""

    #: The containers that run on the engine all the time.
    containers: int = 100
    #: Starts and deaths, for each program.
    starts: int = 200
    #: How often the programs take turns.
    turns: int = 4
    #: Cold starts, for each program.
    colds: int = 5
    #: Bursts, for each program.
    bursts: int = 3
    #: Seconds in which nothing changes.
    idle: float = 60.0
    #: Seconds of passes among the keys of others, and of passes of a large host.
    passes: float = 30.0
    #: Runs of a command that does little.
    commands: int = 20


#: For a look: each row in a fraction of its time.
QUICK = Extent(starts=20, turns=2, colds=2, bursts=1, idle=10.0, passes=10.0, commands=5)


class NoEngine(RuntimeError):
    """There is no engine to measure on. The message is the reason."""


class Stage:
    """The engine and etcd, started when a row first asks for them. ``close`` removes everything."""

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        binary = os.environ.get(REGISTRATOR)
        #: The binary of registrator; None if it is not measured.
        self.registrator = Path(binary) if binary else None
        self._folder = tempfile.TemporaryDirectory(prefix="wharfinger-benchmark-")
        self._etcds: list[EtcdServer] = []
        self._engine: PrivateEngine | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """A folder for logs and sockets."""
        return Path(self._folder.name)

    @cached_property
    def engine(self) -> PrivateEngine:
        """An engine whose containers run. Raises NoEngine."""
        engine = private_engine()
        if isinstance(engine, Unavailable):
            raise NoEngine(engine.reason)
        self._engine = engine
        build_test_images(engine)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._run, sorted(self.running)))
        return engine

    @property
    def running(self) -> set[str]:
        """The names of the containers that run all the time."""
        return {f"c{number:03}" for number in range(self.extent.containers)}

    def _run(self, name: str) -> None:
        assert self._engine is not None
        api = EngineApi(self._engine.socket_url)
        api.start(api.create(name))
        api.close()

    @cached_property
    def command(self) -> Sequence[str]:
        """The command that starts wharfinger. It is installed as an operator does it, because an editable installation
        takes longer to start."""
        installed = install(self.folder)
        return interpreter(installed), installed

    @cached_property
    def etcd(self) -> EtcdServer:
        """An etcd that the programs share, each with its own prefix."""
        return self.another_etcd()

    def another_etcd(self) -> EtcdServer:
        """Return a new etcd, which runs."""
        self._etcds.append(EtcdServer())
        return self._etcds[-1].start()

    def wharfinger(self, *flags: str, api: int = 3, etcd: EtcdServer | None = None) -> Wharfinger:
        """Return wharfinger for the engine."""
        place = Place(self.engine.socket_url, self.engine.address, etcd or self.etcd)
        return Wharfinger(self.command, place, *flags, api=api)

    def registrator_with(self, *flags: str, etcd: EtcdServer | None = None) -> list[Program]:
        """Return registrator for the engine; nothing if it is not measured."""
        if self.registrator is None:
            return []
        return [Registrator(THEIRS, [str(self.registrator)], self.engine, etcd or self.etcd, *flags)]

    def programs(self, *, api: int = 3) -> list[Program]:
        """Return the programs to compare on the engine, none of which runs."""
        floor = Registrator(FLOOR, [sys.executable, "-m", "benchmarks.floor"], self.engine, self.etcd)
        return [*self.registrator_with(), floor, self.wharfinger(api=api)]

    def close(self) -> None:
        """End the engine and etcd, and remove their data."""
        for etcd in self._etcds:
            etcd.close()
        if self._engine:
            self._engine.close()
        self._folder.cleanup()
