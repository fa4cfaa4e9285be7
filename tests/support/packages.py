"""The system packages that a real engine needs: which of them are missing here.

`python -m tests.support.packages` prints what a private engine lacks; with `client`, what one that is there lacks.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping

from tests.support.images import static_busybox

# What a command is called, and the Debian (or Ubuntu) package that brings it.
CLIENT = {"docker": "docker.io", "busybox": "busybox-static"}
DAEMON = {"dockerd": "docker.io", "ip": "iproute2", "iptables": "iptables", "nsenter": "util-linux"}


def missing_packages(needed: Mapping[str, str]) -> list[str]:
    """The packages of those commands that are not there, sorted."""
    return sorted({package for command, package in needed.items() if not _is_there(command)})


def _is_there(command: str) -> bool:
    """Whether a command is installed; a busybox only counts when it runs in an empty image."""
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
