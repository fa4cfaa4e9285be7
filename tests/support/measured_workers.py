"""Measures coverage in the workers of pytest-xdist, too.

    coverage run --parallel-mode -m pytest -p tests.support.measured_workers --numprocesses 2

`coverage run` measures its own process alone. Its option for child processes would also measure the programs that tests
start, whose imports some tests count.
"""

from __future__ import annotations

import os

import coverage
import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin in a worker, before anything of the program is imported. Each worker writes a file of its own."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    measured = coverage.Coverage(data_suffix=True)
    measured.start()

    def finish() -> None:
        measured.stop()
        measured.save()

    early_config.add_cleanup(finish)
