"""Run the tools that read what an operator deploys."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def need_tool(package: str, command: str) -> None:
    """Skip the test if a tool's Debian package is not installed."""
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed (Debian: {package})")


def run_tool(package: str, *argv: str, stdin: str | None = None, cwd: Path | None = None) -> tuple[int, str]:
    """Return a tool's exit code and output. Skips the test if the tool's Debian package is not installed."""
    need_tool(package, argv[0])
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr
