"""The table of what passed on each engine."""

from __future__ import annotations

from pathlib import Path

from scripts.compatibility import Outcome, outcome_of

REPORT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest"
errors="1" failures="2" skipped="3" tests="139" time="301.72">
<testcase classname="a" name="b" time="0.1"/></testsuite></testsuites>
"""


def test_only_what_has_run_to_its_end_without_a_failure_counts_as_passed(tmp_path: Path) -> None:
    """A skipped test has not passed."""
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert outcome_of(report) == Outcome(cases=139, passed=133, seconds=301.72)
