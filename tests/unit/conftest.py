"""Fixtures and settings of several unit tests."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from controller.program import main

#: Runs a command line, and returns its exit code, standard output and standard error.
Ran = Callable[..., tuple[int, str, str]]

# How long an example takes says more about the machine than about the program.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Restore the logging and the hooks after the test, because they belong to the whole process."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = {name: logging.getLogger(name).level for name in (None, "wharfinger", "etcd.client", "urllib3")}
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(False)
    sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning = hooks


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Return a function that runs a command line and returns its exit code, standard output and standard error. The
    environment has none of the variables that configure the tests."""
    for variable in [name for name in os.environ if name.startswith("WHARFINGER_")]:
        monkeypatch.delenv(variable)

    def run(*args: str) -> tuple[int, str, str]:
        code = main(args)
        return code, *capsys.readouterr()

    return run
