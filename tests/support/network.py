"""A network namespace of our own, joined to ours by one veth pair (root and iproute2 needed)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import Child
from tests.support.waiting import wait_until

# 10.213.N.0/30 for the N of the pair's name, so that taking the name takes the addresses too.
PAIRS = range(1, 250)
HOLDER = "sleep"


class NetworkNamespace:
    """Everything started through `command()` has its own bridges, ports, addresses and packet filter.

    It is reached from our namespace at `address`. Nothing routes beyond the pair: what is inside stays here. With a
    `hostname` it is a host of that name, which has a /run of its own, too.
    """

    def __init__(self, folder: Path, hostname: str | None = None) -> None:
        self._hostname = hostname
        self._kinds = ["--net"] if hostname is None else ["--net", "--uts", "--mount"]
        # Not `ip netns add`: its `ip netns exec` hides the cgroup mounts, which a Docker engine needs.
        self._holder = Child(["unshare", *self._kinds, HOLDER, "infinity"], folder / "namespace.log")
        self._pair: int | None = None

    @property
    def holder_pid(self) -> int:
        """The pid of the process that keeps the namespace alive."""
        return self._holder.pid

    @property
    def number(self) -> int:
        """What tells this namespace from all others that are open."""
        if self._pair is None:
            raise RuntimeError("the namespace is not open")
        return self._pair

    @property
    def host_address(self) -> str:
        """Our end of the pair: where something inside reaches us."""
        return f"10.213.{self.number}.1"

    @property
    def address(self) -> str:
        """The far end of the pair: where we reach what listens inside."""
        return f"10.213.{self.number}.2"

    def open(self) -> None:
        """Make the namespace and the pair."""
        self._holder.start()
        wait_until(lambda: self._is_apart() or not self._holder.running, 5, "a network namespace of our own")
        if not self._holder.running:
            raise RuntimeError(f"no network namespace can be made here: {self._holder.log().strip()}")
        self._pair = self._take_pair()
        near, far = f"wfh{self._pair}", f"wfe{self._pair}"
        run("ip", "address", "add", f"{self.host_address}/30", "dev", near)
        run("ip", "link", "set", near, "up")
        run(*self.command(["ip", "link", "set", "lo", "up"]))
        run(*self.command(["ip", "address", "add", f"{self.address}/30", "dev", far]))
        run(*self.command(["ip", "link", "set", far, "up"]))
        if self._hostname is not None:
            run(*self.command(["hostname", self._hostname]))
            run(*self.command(["mount", "-t", "tmpfs", "tmpfs", "/run"]))

    def command(self, argv: Sequence[str]) -> list[str]:
        """The same command, inside the namespace (its process keeps the pid that it is started with)."""
        return ["nsenter", f"--target={self._holder.pid}", *self._kinds, *argv]

    def close(self) -> None:
        """Remove the pair and the namespace; safe when half-made."""
        if self._pair is not None:
            subprocess.run(["ip", "link", "delete", f"wfh{self._pair}"], capture_output=True, check=False)
            self._pair = None
        self._holder.kill()

    def _is_apart(self) -> bool:
        """Whether the holder is in its namespaces already, rather than still in ours: sleeping is what it does last."""
        try:
            return Path(f"/proc/{self._holder.pid}/comm").read_text().strip() == HOLDER
        except FileNotFoundError:
            return False

    def _take_pair(self) -> int:
        """Make a pair of the first free number; making it is what decides the race with others who look for one."""
        for number in PAIRS:
            argv = f"ip link add wfh{number} type veth peer name wfe{number} netns {self._holder.pid}".split()
            made = subprocess.run(argv, capture_output=True, text=True, check=False)
            if made.returncode == 0:
                return number
            if "exists" not in made.stderr:
                raise RuntimeError(f"no veth pair can be made here: {made.stderr.strip()}")
        raise RuntimeError("all veth pairs wfh1 to wfh249 are taken: engines that were never closed?")


def run(*argv: str) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
