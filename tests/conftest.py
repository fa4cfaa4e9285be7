"""What every run of the tests does: it ends in order on SIGTERM and with tox, and lists the skipped tests at its end.

With WHARFINGER_NO_SKIPS=1, a skipped test fails the run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections import Counter
from typing import NoReturn

import pytest

NO_SKIPS = "WHARFINGER_NO_SKIPS"


#: The number of Linux' request to send a process a signal when its parent ends.
PR_SET_PDEATHSIG = 1


def pytest_configure(config: pytest.Config) -> None:
    """Treat SIGTERM as Ctrl-C, so that fixtures end what they started, and do not ignore SIGINT.

    A process that a script starts in the background, with or without nohup, ignores SIGINT. The programs that the tests
    start would ignore it, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if "TOX_ENV_NAME" in os.environ and sys.platform == "linux" and not hasattr(config, "workerinput"):
        # A signal to tox alone ends it at once, and it passes nothing on. A worker of xdist ends with its parent.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _interrupt(*_: object) -> NoReturn:
    """Raise KeyboardInterrupt. A second SIGTERM must not interrupt the clean-up that the first one began."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test was skipped and WHARFINGER_NO_SKIPS=1 forbids that."""
    if (
        _skips_by_reason(session.config)
        and os.environ.get(NO_SKIPS) == "1"
        and session.exitstatus == pytest.ExitCode.OK
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print each reason for skipping, with the number of tests that were skipped for it."""
    reasons = _skips_by_reason(config)
    if not reasons:
        return
    forbidden = os.environ.get(NO_SKIPS) == "1"
    title = f"NOT TESTED: {reasons.total()} skipped" + (f", and {NO_SKIPS}=1 forbids it" if forbidden else "")
    terminalreporter.section(title, sep="!", red=forbidden, yellow=not forbidden, bold=True)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:4} x {reason}")


def _skips_by_reason(config: pytest.Config) -> Counter[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if isinstance(reporter, pytest.TerminalReporter) else []
    # pytest counts expected failures as skipped, too, but those tests have run.
    reports = [report for report in skipped if isinstance(report.longrepr, tuple)]
    return Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
