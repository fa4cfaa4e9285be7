"""A Podman engine that the tests start, in a network namespace and a scratch folder of its own."""

from __future__ import annotations

import io
import socket
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.support.engine import DockerError, Unavailable
from tests.support.network import NetworkNamespace
from tests.support.own_engine import OwnEngine, started
from tests.support.packages import IN_TREE, PODMAN
from tests.support.processes import Child, clean_environment
from tests.support.scratch import scratch_folder

#: The program by which Podman connects containers to networks.
NETAVARK = "/usr/lib/podman/netavark"

#: Podman's configuration. The runtime is runc, because crun refuses a machine that has both versions of cgroups. Podman
#: raises the limits of a container to the kernel's, which a machine may forbid, unless they are given. The locks are
#: files, because all engines of a machine would share the locks in memory. Of Podman's helpers it finds netavark alone,
#: because the name server of networks would outlive a test run that is killed.
CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
helper_binaries_dir = ["{folder}/helpers"]
lock_type = "file"
runtime = "runc"

[network]
default_subnet = "172.29.0.0/16"
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""

#: How Podman keeps images and containers: without a driver that needs the kernel's help.
STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{folder}/data"
runroot = "{folder}/run"
"""


class PodmanEngine(OwnEngine):
    """`podman system service`, driven by Podman's own client. Its containers go on while it is stopped. The engine has
    its host's name, or `hostname`."""

    default_network = "podman"
    name_format = "{{.Host.Hostname}}"
    #: The command.
    podman = "podman"

    def __init__(self, hostname: str = "", tree: Path | None = None) -> None:
        folder = scratch_folder("podman")
        # As the host of a name it has a /run of its own, in which Podman mounts the networks of containers.
        super().__init__(folder, NetworkNamespace(folder, hostname or socket.gethostname(), tree), tree)
        for name, text in (("containers.conf", CONFIGURATION), ("storage.conf", STORAGE)):
            (self.folder / name).write_text(text.format(folder=self.folder))
        helpers = self.folder / "helpers"
        helpers.mkdir()
        (helpers / "netavark").symlink_to(NETAVARK)

    @property
    def socket_url(self) -> str:
        """A socket in the scratch folder."""
        return f"unix://{self.folder}/podman.sock"

    @property
    def client(self) -> list[str]:
        """Podman's own client."""
        command = [self.podman, "--url", self.socket_url]
        return command if self._tree is None else self.run_in_namespace(command)

    def build(self, tag: str, context: bytes) -> None:
        """Build an image. Podman's client takes a context from a folder only."""
        with tempfile.TemporaryDirectory(prefix="context-", dir=self.folder) as folder:
            with tarfile.open(fileobj=io.BytesIO(context)) as tar:
                tar.extractall(folder, filter="data")
            # The format of OCI has no HEALTHCHECK.
            self.docker(
                "build", "--layers=false", "--format", "docker", "--file", f"{folder}/Dockerfile", "--tag", tag, folder
            )

    def inspect(self, name: str) -> dict[str, Any]:
        """Return `podman inspect` of one container, image or network. Podman takes no slash before a name."""
        return super().inspect(name.removeprefix("/"))

    def remove_all(self) -> None:
        """Remove every container and every user-made network. Podman's prune would leave networks of this second."""
        remove = ("rm", "--all", "--force", "--volumes", "--time", "0")
        try:
            self.docker(*remove)
        except DockerError:
            # The netavark of Podman 5.8 fails at the first try, as it misses the name server of networks.
            self.docker(*remove)
        made = set(self.docker("network", "ls", "--format", "{{.Name}}").split()) - {self.default_network}
        if made:
            self.docker("network", "rm", "--force", *made)

    def _new_daemon(self) -> Child:
        folders = {"--root": "data", "--runroot": "run", "--tmpdir": "tmp"}
        flags = (word for flag, name in folders.items() for word in (flag, f"{self.folder}/{name}"))
        service = ("system", "service", "--time", "0", self.socket_url)
        environment = clean_environment(
            CONTAINERS_CONF=f"{self.folder}/containers.conf",
            CONTAINERS_STORAGE_CONF=f"{self.folder}/storage.conf",
            # By default, newer ones call nft, which is not installed everywhere.
            NETAVARK_FW="iptables",
        )
        return Child(
            self.run_in_namespace([self.podman, *flags, *service]),
            self.folder / "podman.log",
            env=environment,
            # It reads a Dockerfile in its own folder in place of the one that a client names.
            cwd=self.folder,
        )


def podman_engine(hostname: str = "", tree: Path | None = None) -> PodmanEngine | Unavailable:
    """Start a Podman engine, or return the reason why that is not possible."""
    needed = PODMAN if tree is None else IN_TREE
    return started(lambda: PodmanEngine(hostname, tree), "a Podman engine", needed)
