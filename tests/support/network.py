"""A network namespace, joined to the tests' own by one veth pair. It needs root and iproute2."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.engine_tree import ENTER
from tests.support.processes import Child
from tests.support.waiting import wait_until

# A pair named N has the addresses 10.213.N.0/30, so whoever has the name has the addresses, too.
PAIRS = range(1, 250)
HOLDER = "sleep"


class NetworkNamespace:
    """A namespace in which commands have bridges, ports, addresses and a packet filter of their own.

    The tests reach it at `address`. Nothing routes beyond the veth pair, so its traffic stays inside. With a
    `hostname`, the namespace also is a host of that name with a /run of its own. With a `tree`, commands have that
    folder as their root, in which they find no more of this machine than `folder`.
    """

    def __init__(self, folder: Path, hostname: str | None = None, tree: Path | None = None) -> None:
        self._hostname = hostname
        self._kinds = ["--net"]
        if hostname is not None:
            self._kinds.append("--uts")
        if hostname is not None or tree is not None:
            self._kinds.append("--mount")
        enter = [] if tree is None else [str(ENTER), str(tree), str(folder)]
        # `ip netns add` is no alternative: `ip netns exec` hides the cgroup mounts, which a Docker engine needs.
        self._holder = Child(["unshare", *self._kinds, *enter, HOLDER, "infinity"], folder / "namespace.log")
        self._pair: int | None = None

    @property
    def holder_pid(self) -> int:
        """The pid of the process that keeps the namespace alive."""
        return self._holder.pid

    @property
    def number(self) -> int:
        """The number of the veth pair, which no other open namespace has."""
        if self._pair is None:
            raise RuntimeError("the namespace is not open")
        return self._pair

    @property
    def host_address(self) -> str:
        """The tests' end of the pair: the address at which a process inside reaches the tests."""
        return f"10.213.{self.number}.1"

    @property
    def address(self) -> str:
        """The far end of the pair: the address at which the tests reach servers inside."""
        return f"10.213.{self.number}.2"

    def open(self) -> None:
        """Make the namespace and the veth pair."""
        self._holder.start()
        wait_until(lambda: self._is_apart() or not self._holder.running, 5, "a network namespace of our own")
        if not self._holder.running:
            raise RuntimeError(f"no network namespace can be made here: {self._holder.log().strip()}")
        self._pair = self._take_pair()
        near, far = f"wfh{self._pair}", f"wfe{self._pair}"
        run("ip", "address", "add", f"{self.host_address}/30", "dev", near)
        run("ip", "link", "set", near, "up")
        # `ip` is this machine's, as a tree may have none.
        network = ["nsenter", f"--target={self._holder.pid}", "--net", "ip"]
        run(*network, "link", "set", "lo", "up")
        run(*network, "address", "add", f"{self.address}/30", "dev", far)
        run(*network, "link", "set", far, "up")
        if self._hostname is not None:
            run(*self.command(["hostname", self._hostname]))
            run(*self.command(["mount", "-t", "tmpfs", "tmpfs", "/run"]))

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return a command that runs `argv` inside the namespace. The process keeps the pid that it is started with."""
        return ["nsenter", f"--target={self._holder.pid}", *self._kinds, *argv]

    def close(self) -> None:
        """Remove the pair and the namespace, also when only some of it was made."""
        if self._pair is not None:
            subprocess.run(["ip", "link", "delete", f"wfh{self._pair}"], capture_output=True, check=False)
            self._pair = None
        self._holder.kill()

    def _is_apart(self) -> bool:
        """Return whether the holder has entered its namespaces: it does so before it becomes `sleep`."""
        try:
            return Path(f"/proc/{self._holder.pid}/comm").read_text().strip() == HOLDER
        except FileNotFoundError:
            return False

    def _take_pair(self) -> int:
        """Make the pair with the first free number. Making it decides races with others that look for a number."""
        for number in PAIRS:
            argv = f"ip link add wfh{number} type veth peer name wfe{number} netns {self._holder.pid}".split()
            made = subprocess.run(argv, capture_output=True, text=True, check=False)
            if made.returncode == 0:
                return number
            if "exists" not in made.stderr:
                raise RuntimeError(f"no veth pair can be made here: {made.stderr.strip()}")
        raise RuntimeError("all veth pairs wfh1 to wfh249 are taken: engines that were never closed?")


def run(*argv: str) -> None:
    """Run a command. Raises RuntimeError if it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
