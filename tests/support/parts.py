"""Commands that make a part of the tests, and the reason why there is none."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class PartMissing(RuntimeError):
    """A part of the tests cannot be made on this machine. The message says why."""


def run_to_make(
    argv: Sequence[str], *, seconds: float, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> None:
    """Run a command to its end. Raises PartMissing with the end of its output if it fails or takes too long."""
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PartMissing(f"{argv[0]} took more than {seconds:g} s") from None
    if done.returncode:
        raise PartMissing(f"{' '.join(argv[:2])} failed: {done.stdout[-500:].strip()}")
