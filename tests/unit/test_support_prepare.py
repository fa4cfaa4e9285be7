"""Making the parts of the tests that take minutes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.prepare import prepare
from tests.support.processes import REPOSITORY


def test_a_part_that_cannot_be_made_keeps_no_other_from_being_made(capsys: pytest.CaptureFixture[str]) -> None:
    """Its error is printed, and the parts that could not be made are counted."""
    made: list[str] = []

    def fail() -> None:
        raise OSError("no space left")

    assert prepare({"one": fail, "two": lambda: made.append("two")}) == 1
    assert made == ["two"]
    printed = capsys.readouterr().out
    assert "no space left" in printed
    assert "one could not be made after 0 s" in printed
    assert "two is there after 0 s" in printed


def test_the_preparation_needs_the_standard_library_alone() -> None:
    """CI starts it before anything is installed."""
    without_packages = [sys.executable, "-S", "-c", "import tests.support.prepare"]
    done = subprocess.run(without_packages, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
