"""Run the unit and contract tests on a Python of a later Debian, with the newest dependencies.

    .venv/bin/python -m scripts.later_python 3.15
    .venv/bin/python -m scripts.later_python 3.14 tests/unit -k tls

It needs root, debootstrap and a package index. What follows the version goes to pytest, with the tests to run. The
tests run in a copy of this tree, with a folder tree of that Debian as their root.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.base_image import copy_tree
from tests.support.engine_tree import ENTER
from tests.support.parts import PartMissing
from tests.support.python_tree import PYTHONS, python_tree
from tests.support.scratch import scratch_folder

#: What pip needs of this machine to reach a package index.
FROM_HERE = ("/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt")
TESTS = ("tests/unit", "tests/contract")


def main(version: str = "", *arguments: str) -> int:
    """Run the tests on one Python. Return pytest's exit code, or 2 if they cannot run here."""
    if version not in PYTHONS:
        print(__doc__, f"There are {', '.join(PYTHONS)}.", sep="\n")
        return 2
    try:
        tree = python_tree(PYTHONS[version])
    except PartMissing as error:
        print(error)
        return 2
    folder = scratch_folder(f"python-{version}")
    copy_tree(folder / "source")
    for path in map(Path, FROM_HERE):
        copied = folder / "changes" / path.relative_to("/")
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
    private = ["unshare", "--mount", "--propagation", "private"]
    inside = ["sh", "-euc", commands(folder, version, arguments or TESTS)]
    return subprocess.run([*private, ENTER, tree, folder, *inside], check=False).returncode


def commands(folder: Path, version: str, arguments: tuple[str, ...]) -> str:
    """Return the lines of shell that install the program and run its tests."""
    python = folder / "venv/bin/python"
    return f"""
        cd {folder}/source
        python{version} -m venv {folder}/venv
        {python} -m pip --quiet --disable-pip-version-check install -e '.[test]'
        {python} -VV
        exec {python} -m pytest {shlex.join(arguments)}
    """


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
