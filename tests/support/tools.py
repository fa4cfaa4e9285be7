"""Run the tools that read what an operator deploys."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def run_tool(package: str, *argv: str, stdin: str | None = None, cwd: Path | None = None) -> tuple[int, str]:
    """Return a tool's exit code and output. Skips the test if the tool's Debian package is not installed."""
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed (Debian: {package})")
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr
