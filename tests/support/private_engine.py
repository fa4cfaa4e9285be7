"""A Docker engine that the tests start, in a network namespace and a scratch folder of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.engine import Unavailable
from tests.support.network import NetworkNamespace
from tests.support.own_engine import OwnEngine, started
from tests.support.packages import CLIENT, DAEMON, IN_TREE
from tests.support.processes import Child, clean_environment, is_alive
from tests.support.scratch import scratch_folder
from tests.support.waiting import wait_until

USUAL_SOCKET = "unix:///var/run/docker.sock"


class PrivateEngine(OwnEngine):
    """dockerd, which can also be killed. With a `hostname`, the engine has that name, and programs in its namespace
    find it at the usual socket. A `dockerd` takes the place of the one that is installed."""

    def __init__(
        self,
        live_restore: bool = False,
        hostname: str | None = None,
        tree: Path | None = None,
        dockerd: Path | None = None,
    ) -> None:
        folder = scratch_folder("engine")
        super().__init__(folder, NetworkNamespace(folder, hostname, tree), tree)
        # A tree finds nothing but the scratch folder, so the program has to be there.
        self._dockerd = str(shutil.copy(dockerd, self.folder)) if dockerd else "dockerd"
        self._sockets = [self.socket_url] if hostname is None else [self.socket_url, USUAL_SOCKET]
        # With a configuration file of its own, dockerd ignores the machine's /etc/docker/daemon.json.
        self._configuration = self.folder / "daemon.json"
        self._configuration.write_text(json.dumps({"live-restore": live_restore}))

    @property
    def socket_url(self) -> str:
        """A socket in the scratch folder."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def client(self) -> list[str]:
        """The docker command; that of the tree, if there is one."""
        return super().client if self._tree is None else self.run_in_namespace(["/usr/bin/docker"])

    def kill(self) -> None:
        """Kill the daemon and with it its containerd. Its containers go on until the next start."""
        self.daemon.kill()
        pidfile = self.folder / "exec/containerd/containerd.pid"
        containerd = int(pidfile.read_text())
        wait_until(lambda: not is_alive(containerd), 10, "containerd to follow dockerd")
        # The next dockerd takes a dead process that nobody has reaped for a running one, and would wait for its end.
        pidfile.unlink()

    def upgrade(self, tree: Path) -> None:
        """Stop it, and start the engine of another tree with the same data. Its address changes."""
        self.stop()
        self.network.close()
        self.network, self._tree = NetworkNamespace(self.folder, tree=tree), tree
        self._daemon = None
        self.start()

    def _new_daemon(self) -> Child:
        flags = {
            "--config-file": str(self._configuration),
            "--data-root": str(self.folder / "data"),
            "--exec-root": str(self.folder / "exec"),
            "--pidfile": str(self.folder / "docker.pid"),
            "--bip": "172.29.0.1/16",
            # With IPv6 the engine lists each published port twice, as most engines do.
            "--fixed-cidr-v6": "fd00:29::/64",
        }
        argv = [self._dockerd, *(word for pair in flags.items() for word in pair), "--ipv6", "--userland-proxy=false"]
        return Child(
            self.run_in_namespace([*argv, *(f"--host={each}" for each in self._sockets)]),
            self.folder / "dockerd.log",
            env=clean_environment(),
        )


def private_engine(
    live_restore: bool = False,
    hostname: str | None = None,
    tree: Path | None = None,
    dockerd: Path | None = None,
) -> PrivateEngine | Unavailable:
    """Start a private engine, or return the reason why that is not possible."""
    needed = CLIENT | DAEMON if tree is None else IN_TREE
    return started(lambda: PrivateEngine(live_restore, hostname, tree, dockerd), "a private engine", needed)
