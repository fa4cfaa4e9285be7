"""The first version of the program, 0.1.0, from the repository's history."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.engine import Unavailable
from tests.support.processes import REPOSITORY

#: The commit of version 0.1.0.
COMMIT = "455979a"


def first_version(folder: Path) -> Path | Unavailable:
    """Write the source of 0.1.0 into a folder, and return the folder; or return why this cannot be done. A copy of the
    source without history, such as an archive, does not have 0.1.0. A shallow clone does not have it either, and
    .ci/run completes such a clone."""
    git = ["git", "-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY)]
    try:
        archive = subprocess.run([*git, "archive", COMMIT, "controller", "model"], capture_output=True, check=False)
    except FileNotFoundError:
        return Unavailable("git is not installed")
    if archive.returncode:
        return Unavailable(f"git archive {COMMIT}: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder
