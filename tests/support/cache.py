"""A folder that stays between test runs, for parts that take minutes to download or to build.

It is `$WHARFINGER_CACHE`, or else `wharfinger` in the user's cache folder. Each part has a name that holds its version,
so a new version is made anew.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.support.waiting import wait_until

#: Seconds that one process waits for another one that makes the same part.
PATIENCE = 900


def cache_folder() -> Path:
    """Return the folder that stays between test runs. It may not exist yet."""
    if chosen := os.environ.get("WHARFINGER_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wharfinger"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of the part `name`. If it is not there yet, `make` fills an empty folder first.

    The part appears as a whole, or not at all. Of several processes, one makes it and the others wait; raises
    WaitTimeout after PATIENCE seconds. What `make` raises is passed on, and the next call tries again.
    """
    root = cache_folder()
    part = root / name
    if part.is_dir():
        return part
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f"{name}.lock"):
        if not part.is_dir():
            _make(part, make)
    return part


def _make(part: Path, make: Callable[[Path], None]) -> None:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{part.name}-", dir=part.parent))
    try:
        unfinished.chmod(0o755)
        make(unfinished)
        unfinished.rename(part)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        wait_until(lambda: _lock(file), PATIENCE, f"another process that holds {path}")
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
