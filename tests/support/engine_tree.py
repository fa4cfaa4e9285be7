"""The folder tree of a later Debian that has a Docker engine and Podman, so that tests can start other engines than the
one that is installed here.

debootstrap downloads the packages and checks their signatures. They are only unpacked: no script of theirs runs, and
nothing ever runs in the tree by chroot. `enter_tree` says how a process gets the tree as its root.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.support.cache import made_once
from tests.support.debian_packages import mirror
from tests.support.parts import PartMissing, run_to_make

#: The commands that making a tree needs, each with its Debian package.
NEEDED = {"debootstrap": "debootstrap", "dpkg-deb": "dpkg"}

#: The command that runs a program with a tree as its root.
ENTER = Path(__file__).parent / "enter_tree"

#: Seconds that a command may take.
_PATIENCE = 600
#: How trees are made; another number makes them anew.
_RECIPE = 1
#: bookworm's debootstrap does not know all later suites by name, but makes all of them by one script.
_SCRIPT = "/usr/share/debootstrap/scripts/sid"
_PACKAGES = ("docker.io", "docker-cli", "iptables", "podman")
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/bash-completion", "var/cache")
#: What the packages' scripts would make: the accounts, and the names of the commands that manage the packet filter.
_ACCOUNTS = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}
_PACKET_FILTER = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


def engine_tree(suite: str) -> Path:
    """Return the tree of a Debian suite. Making it the first time takes about a minute.

    Raises PartMissing, and WaitTimeout if another process does not get ready with it.
    """
    return made_once(f"debian-{suite}-{_RECIPE}", partial(_make, suite))


def _make(suite: str, tree: Path) -> None:
    unpack(suite, _PACKAGES, tree)
    for path, text in _ACCOUNTS.items():
        (tree / path).write_text(text)
    for name in _PACKET_FILTER:
        (tree / "usr/sbin" / name).symlink_to("xtables-nft-multi")


def unpack(suite: str, packages: Sequence[str], tree: Path) -> None:
    """Unpack packages of a Debian suite, and all that they need, into an empty folder. Raises PartMissing."""
    if missing := [package for command, package in NEEDED.items() if shutil.which(command) is None]:
        raise PartMissing(f"unpacking packages of {suite} needs {', '.join(missing)}, not installed here")
    options = ["--variant=minbase", "--download-only", f"--include={','.join(packages)}"]
    run_to_make(["debootstrap", *options, suite, str(tree), mirror(), _SCRIPT], seconds=_PATIENCE)
    for package in (tree / "var/cache/apt/archives").glob("*.deb"):
        run_to_make(["dpkg-deb", "--extract", str(package), str(tree)], seconds=_PATIENCE)
    for folder in _UNUSED:
        shutil.rmtree(tree / folder, ignore_errors=True)
