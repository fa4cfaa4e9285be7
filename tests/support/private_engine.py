"""A Docker engine that the tests start, in a network namespace and a scratch folder of its own."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.engine import DockerEngine, DockerError, Unavailable
from tests.support.isolation import check_isolation
from tests.support.network import NetworkNamespace
from tests.support.packages import CLIENT, DAEMON, IN_TREE, missing_packages
from tests.support.processes import Child, clean_environment, is_alive
from tests.support.scratch import scratch_folder, sweep
from tests.support.waiting import wait_until

USUAL_SOCKET = "unix:///var/run/docker.sock"


class PrivateEngine(DockerEngine):
    """dockerd with data, sockets, bridge and ports of its own, so that it does not disturb other engines here.

    It can be stopped, killed, frozen and started again, always with the same data. `close()` removes all of it, and
    also runs at exit. With a `hostname`, the engine has that name, and programs in its namespace find it at the usual
    socket. With a `tree`, dockerd and all that it needs are those of that folder, which is its root. A `dockerd` takes
    the place of the one that is installed.
    """

    def __init__(
        self,
        live_restore: bool = False,
        hostname: str | None = None,
        tree: Path | None = None,
        dockerd: Path | None = None,
    ) -> None:
        self.folder = scratch_folder("engine")
        self.network = NetworkNamespace(self.folder, hostname, tree)
        self._tree = tree
        # A tree finds nothing but the scratch folder, so the program has to be there.
        self._dockerd = str(shutil.copy(dockerd, self.folder)) if dockerd else "dockerd"
        self._sockets = [self.socket_url] if hostname is None else [self.socket_url, USUAL_SOCKET]
        self._daemon: Child | None = None
        # With a configuration file of its own, dockerd ignores the machine's /etc/docker/daemon.json.
        self._configuration = self.folder / "daemon.json"
        self._configuration.write_text(json.dumps({"live-restore": live_restore}))

    @property
    def socket_url(self) -> str:
        """A socket in the scratch folder."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def address(self) -> str:
        """The engine's end of the veth pair."""
        return self.network.address

    @property
    def client(self) -> list[str]:
        """The docker command; that of the tree, if there is one."""
        return super().client if self._tree is None else self.run_in_namespace(["/usr/bin/docker"])

    @property
    def daemon(self) -> Child:
        """The dockerd process. Raises RuntimeError if it was never started."""
        if self._daemon is None:
            raise RuntimeError("the engine was never started")
        return self._daemon

    def run_in_namespace(self, argv: Sequence[str]) -> list[str]:
        """Return a command that runs `argv` in the engine's namespaces, as if on the engine's host."""
        return self.network.command(argv)

    def start(self) -> PrivateEngine:
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

    def stop(self) -> None:
        """Stop the daemon as an operator would. Without live-restore, its containers stop, too."""
        self.daemon.stop(grace=60)

    def kill(self) -> None:
        """Kill the daemon and with it its containerd. Its containers go on until the next start."""
        self.daemon.kill()
        pidfile = self.folder / "exec/containerd/containerd.pid"
        containerd = int(pidfile.read_text())
        wait_until(lambda: not is_alive(containerd), 10, "containerd to follow dockerd")
        # The next dockerd takes a dead process that nobody has reaped for a running one, and would wait for its end.
        pidfile.unlink()

    def freeze(self) -> None:
        """Freeze the daemon: it accepts connections, but answers nothing."""
        self.daemon.freeze()

    def thaw(self) -> None:
        """Let a frozen daemon go on, and wait until it answers."""
        self.daemon.thaw()
        wait_until(self.answers, 20, "the thawed engine")

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same data."""
        self.stop()
        self.start()

    def upgrade(self, tree: Path) -> None:
        """Stop it, and start the engine of another tree with the same data. Its address changes."""
        self.stop()
        self.network.close()
        self.network, self._tree = NetworkNamespace(self.folder, tree=tree), tree
        self._daemon = None
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

    def _launch(self, daemon: Child) -> None:
        daemon.start()
        wait_until(lambda: self.answers() or not daemon.running, 60, "the private engine to answer")
        if not daemon.running:
            raise RuntimeError(f"dockerd ended at its start: {_last_line(daemon.log())}")


def private_engine(
    live_restore: bool = False,
    hostname: str | None = None,
    tree: Path | None = None,
    dockerd: Path | None = None,
) -> PrivateEngine | Unavailable:
    """Start a private engine, or return the reason why that is not possible."""
    if os.geteuid() != 0:
        return Unavailable("a private engine needs root")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return Unavailable("a private engine needs a network namespace, which root may not make here (a container?)")
    needed = CLIENT | DAEMON if tree is None else IN_TREE
    if missing := missing_packages(needed):
        return Unavailable(f"a private engine needs {', '.join(missing)}, not installed here")
    try:
        return PrivateEngine(live_restore, hostname, tree, dockerd).start()
    except (RuntimeError, TimeoutError) as error:
        return Unavailable(f"a private engine does not start here: {error}")


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "it logged nothing"
