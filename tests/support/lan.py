"""A private network that joins the namespaces of several hosts, and the tests. It needs root and iproute2."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.support.network import NetworkNamespace, run

BRIDGE = "lan0"
CABLE = "lan0"


class Lan:
    """A switch in a network namespace. The hosts that are plugged in reach each other and the tests, and nothing
    else."""

    def __init__(self, folder: Path) -> None:
        self._switch = NetworkNamespace(folder)
        self._numbers = itertools.count(1)
        self._ports: dict[NetworkNamespace, str] = {}

    def open(self) -> Lan:
        """Make the switch, and plug the tests' own namespace in."""
        self._switch.open()
        number = self._switch.number
        for line in (
            f"ip link add {BRIDGE} type bridge",
            f"ip link set {BRIDGE} up",
            f"ip link set wfe{number} master {BRIDGE}",
        ):
            run(*self._switch.command(line.split()))
        run("ip", "address", "add", self._address(254), "dev", f"wfh{number}")
        return self

    def plug_in(self, host: NetworkNamespace) -> str:
        """Plug a host in and return its address."""
        number = next(self._numbers)
        port, address = f"port{number}", self._address(number)
        ends = f"{CABLE} netns {host.holder_pid} type veth peer name {port} netns {self._switch.holder_pid}"
        run("ip", "link", "add", *ends.split())
        run(*self._switch.command(["ip", "link", "set", port, "master", BRIDGE, "up"]))
        run(*host.command(["ip", "address", "add", address, "dev", CABLE]))
        run(*host.command(["ip", "link", "set", CABLE, "up"]))
        self._ports[host] = port
        return address.partition("/")[0]

    def cut(self, host: NetworkNamespace) -> None:
        """Take a host's cable down. What is sent to it is lost, and the sender is not told."""
        run(*self._switch.command(["ip", "link", "set", self._ports[host], "down"]))

    def mend(self, host: NetworkNamespace) -> None:
        """Take the cable up again."""
        run(*self._switch.command(["ip", "link", "set", self._ports[host], "up"]))

    def close(self) -> None:
        """Remove the switch and its cables."""
        self._switch.close()

    def _address(self, number: int) -> str:
        # 10.214.N, where N is the number of the switch's veth pair, which no other switch has.
        return f"10.214.{self._switch.number}.{number}/24"
