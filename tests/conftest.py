"""List skipped tests at the end of each run. With WHARFINGER_NO_SKIPS=1, a skipped test fails the run."""

from __future__ import annotations

import os
from collections import Counter

import pytest

NO_SKIPS = "WHARFINGER_NO_SKIPS"


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
