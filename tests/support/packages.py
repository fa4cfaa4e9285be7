"""Find which of the system packages that a real engine needs are missing here.

`python -m tests.support.packages` prints the missing packages for a private engine. With `client`, it prints those for
using an engine that is already there.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping

from tests.support.images import static_busybox

# Each command, and the Debian (or Ubuntu) package that it is in.
CLIENT = {"docker": "docker.io", "busybox": "busybox-static"}
DAEMON = {"dockerd": "docker.io", "ip": "iproute2", "iptables": "iptables", "nsenter": "util-linux"}
# What an engine needs of this machine if all the rest is in a tree of its own.
IN_TREE = {"busybox": "busybox-static", "ip": "iproute2", "nsenter": "util-linux", "pivot_root": "util-linux"}

PODMAN = {
    "podman": "podman",
    "/usr/lib/podman/netavark": "netavark",
    "runc": "runc",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
}


def missing_packages(needed: Mapping[str, str]) -> list[str]:
    """Return the packages of those commands that are not installed, sorted."""
    return sorted({package for command, package in needed.items() if not _is_there(command)})


def _is_there(command: str) -> bool:
    """Return whether a command is installed. A busybox counts only if it runs in an empty image."""
    if command != "busybox":
        return shutil.which(command) is not None
    try:
        static_busybox()
    except FileNotFoundError:
        return False
    return True


if __name__ == "__main__":
    missing = missing_packages(CLIENT if sys.argv[1:] == ["client"] else CLIENT | DAEMON)
    sys.stdout.write("".join(f"{package}\n" for package in missing))
