"""The folder tree of a later Debian with its Pythons, so that tests can run on Pythons that are not installed here."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from tests.support.cache import made_once
from tests.support.engine_tree import unpack

#: Which Pythons each suite has.
PYTHONS = {"3.13": "forky", "3.14": "forky", "3.15": "forky"}

#: How trees are made; another number makes them anew.
_RECIPE = 1
#: What the tests call, beside Python.
_PACKAGES = ("git", "iproute2", "procps")


def python_tree(suite: str) -> Path:
    """Return the tree of a suite with all its Pythons. Making it the first time takes about a minute.

    Raises PartMissing, and WaitTimeout if another process does not get ready with it.
    """
    return made_once(f"debian-{suite}-python-{_RECIPE}", partial(_make, suite))


def _make(suite: str, tree: Path) -> None:
    pythons = [f"python{version}-venv" for version, has in PYTHONS.items() if has == suite]
    unpack(suite, (*pythons, *_PACKAGES), tree)
    # The scripts of the packages would make the accounts.
    for name in ("passwd", "group"):
        shutil.copy(tree / f"usr/share/base-passwd/{name}.master", tree / "etc" / name)
