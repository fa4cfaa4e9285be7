"""An engine that the tests start, whatever its kind, in a network namespace and a scratch folder of its own."""

from __future__ import annotations

import atexit
import os
import subprocess
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from tests.support.engine import DockerEngine, DockerError, Unavailable
from tests.support.isolation import check_isolation
from tests.support.network import NetworkNamespace
from tests.support.packages import missing_packages
from tests.support.processes import Child
from tests.support.scratch import sweep
from tests.support.waiting import wait_until


class OwnEngine(DockerEngine):
    """An engine with data, sockets, networks and ports of its own, so that it does not disturb other engines here.

    It can be stopped, frozen and started again, always with the same data. `close()` removes all of it, and also runs
    at exit. With a `tree`, the engine and all that it needs are those of that folder, which is its root.
    """

    def __init__(self, folder: Path, network: NetworkNamespace, tree: Path | None) -> None:
        """`folder` is its scratch folder, and `network` its network namespace, which is not open yet."""
        self.folder, self.network = folder, network
        self._tree = tree
        self._daemon: Child | None = None

    @abstractmethod
    def _new_daemon(self) -> Child:
        """Return the engine's process, not started yet."""

    @property
    def address(self) -> str:
        """The engine's end of the veth pair."""
        return self.network.address

    @property
    def daemon(self) -> Child:
        """The engine's process. Raises RuntimeError if it was never started."""
        if self._daemon is None:
            raise RuntimeError("the engine was never started")
        return self._daemon

    def run_in_namespace(self, argv: Sequence[str]) -> list[str]:
        """Return a command that runs `argv` in the engine's namespaces, as if on the engine's host."""
        return self.network.command(argv)

    def start(self) -> Self:
        """Start it, also after a stop or kill, and wait until it answers. If that fails, remove everything again."""
        try:
            if self._daemon is None:
                atexit.register(self.close)
                self.network.open()
                self._daemon = self._new_daemon()
            self._launch(self._daemon)
            if self._tree is not None:
                check_isolation(self, self.folder, self._daemon.pid)
        except BaseException:
            self.close()
            raise
        return self

    def _launch(self, daemon: Child) -> None:
        daemon.start()
        wait_until(lambda: self.answers() or not daemon.running, 60, "the engine to answer")
        if not daemon.running:
            raise RuntimeError(f"it ended at its start: {_last_line(daemon.log())}")

    def stop(self) -> None:
        """Stop the engine as an operator would. Whether its containers go on depends on the engine."""
        self.daemon.stop(grace=60)

    def freeze(self) -> None:
        """Freeze the engine: it accepts connections, but answers nothing."""
        self.daemon.freeze()

    def thaw(self) -> None:
        """Let a frozen engine go on, and wait until it answers."""
        self.daemon.thaw()
        wait_until(self.answers, 20, "the thawed engine")

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same data."""
        self.stop()
        self.start()

    def mend(self) -> None:
        """Make it answer again, whatever a test did to it: thaw it, or start it if it has ended."""
        if self.daemon.running:
            self.thaw()
        else:
            self.start()

    def close(self) -> None:
        """End everything that was started, containers first, and remove the folder and the veth pair."""
        atexit.unregister(self.close)
        if self._daemon is not None and self._daemon.running:
            self._daemon.thaw()
            with suppress(DockerError):
                self.remove_all()
            self._daemon.stop(grace=30)
        sweep(self.folder)
        self.network.close()


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "it logged nothing"


E = TypeVar("E", bound=OwnEngine)


def started(make: Callable[[], E], name: str, needed: Mapping[str, str]) -> E | Unavailable:
    """Start the engine that `make` returns, or return the reason why that is not possible.

    `name` is what messages call it, and `needed` has the package of each command that it needs.
    """
    if os.geteuid() != 0:
        return Unavailable(f"{name} needs root")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return Unavailable(f"{name} needs a network namespace, which root may not make here (a container?)")
    if missing := missing_packages(needed):
        return Unavailable(f"{name} needs {', '.join(missing)}, not installed here")
    try:
        return make().start()
    except (RuntimeError, TimeoutError) as error:
        return Unavailable(f"{name} does not start here: {error}")
