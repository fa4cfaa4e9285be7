"""The folder tree of a later Debian that has a Docker engine and Podman, so that tests can start other engines than the
one that is installed here.

debootstrap downloads the packages and checks their signatures. They are only unpacked: no script of theirs runs, and
nothing ever runs in the tree by chroot. `enter_tree` says how a process gets the tree as its root.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.support.cache import made_once

MIRROR = "http://deb.debian.org/debian"

#: The commands that making a tree needs, each with its Debian package.
NEEDED = {"debootstrap": "debootstrap", "dpkg-deb": "dpkg"}

#: The command that runs a program with a tree as its root.
ENTER = Path(__file__).parent / "enter_tree"

#: How trees are made; another number makes them anew.
_RECIPE = 1
#: The suites: bookworm's debootstrap does not know the later ones by name, but makes all of them by one script.
_SCRIPT = "/usr/share/debootstrap/scripts/sid"
_PACKAGES = ("docker.io", "docker-cli", "iptables", "podman")
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/bash-completion", "var/cache")
#: What the packages' scripts would make: the accounts, and the names of the commands that manage the packet filter.
_ACCOUNTS = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}
_PACKET_FILTER = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


class NoTree(RuntimeError):
    """The tree cannot be made here. The message says why."""


def engine_tree(suite: str) -> Path:
    """Return the tree of a Debian suite. Making it the first time takes about a minute.

    Raises NoTree, and WaitTimeout if another process does not get ready with it.
    """
    return made_once(f"debian-{suite}-{_RECIPE}", partial(_make, suite))


def _make(suite: str, tree: Path) -> None:
    unpack(suite, _PACKAGES, tree)
    for path, text in _ACCOUNTS.items():
        (tree / path).write_text(text)
    for name in _PACKET_FILTER:
        (tree / "usr/sbin" / name).symlink_to("xtables-nft-multi")


def unpack(suite: str, packages: Sequence[str], tree: Path) -> None:
    """Unpack packages of a Debian suite, and all that they need, into an empty folder. Raises NoTree."""
    included = f"--include={','.join(packages)}"
    _run("debootstrap", "--variant=minbase", "--download-only", included, suite, str(tree), MIRROR, _SCRIPT)
    for package in (tree / "var/cache/apt/archives").glob("*.deb"):
        _run("dpkg-deb", "--extract", str(package), str(tree))
    for folder in _UNUSED:
        shutil.rmtree(tree / folder, ignore_errors=True)


def _run(*argv: str) -> None:
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError:
        raise NoTree(f"{argv[0]} is not installed (Debian: {NEEDED[argv[0]]})") from None
    if done.returncode:
        raise NoTree(f"{argv[0]} failed: {' '.join(done.stdout.splitlines()[-2:])}")
