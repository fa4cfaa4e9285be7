"""Run the tests whose outcome depends on what the engine answers on every engine that can be had here.

`python -m scripts.compatibility [NAME...]` runs FILES in full on these engines (see engines.py), or on all, one
after the other, and prints a table as each has ended. It needs root. A run of one engine takes some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from attrs import frozen

from tests.support.engine import Unavailable
from tests.support.engines import ENGINES, engine_named
from tests.support.finding import CHOSEN
from tests.support.processes import REPOSITORY

#: Converge, parity, and which containers are registered.
FILES = ("test_converges.py", "test_parity.py", "test_which.py")


@frozen
class Outcome:
    """What a run of the tests on one engine came to."""

    cases: int
    passed: int
    seconds: float


def run_on(name: str, report: Path) -> Outcome:
    """Run the tests on the engine with this name. pytest's output goes to this process's standard error."""
    files = [str(REPOSITORY / "tests/integration" / each) for each in FILES]
    subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", f"--junitxml={report}", *files],
        env=os.environ | {CHOSEN: name},
        cwd=REPOSITORY,
        stdout=sys.stderr,
        check=False,
    )
    return outcome_of(report)


def outcome_of(report: Path) -> Outcome:
    """Return what a report of pytest in the format of JUnit says."""
    [suite] = ET.parse(report).iter("testsuite")
    cases = int(suite.attrib["tests"])
    others = sum(int(suite.attrib[kind]) for kind in ("errors", "failures", "skipped"))
    return Outcome(cases, cases - others, float(suite.attrib["time"]))


def version_of(name: str) -> str:
    """Return the version of an engine. Raises RuntimeError if it cannot be had here."""
    engine = engine_named(name)
    if isinstance(engine, Unavailable):
        raise RuntimeError(engine.reason)
    try:
        return engine.docker("version", "--format", "{{.Server.Version}}")
    finally:
        engine.close()


def main() -> int:
    """Print a table of what passed on each engine. Return 1 if something did not."""
    complete = True
    print("| engine | version | cases | passed | seconds |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or ENGINES:
            try:
                version = version_of(name)
            except RuntimeError as error:
                print(f"| {name} | not to be had here: {error} | | | |", flush=True)
                complete = False
                continue
            outcome = run_on(name, Path(folder, f"{name}.xml"))
            complete = complete and outcome.cases == outcome.passed
            print(
                f"| {name} | {version} | {outcome.cases} | {outcome.passed} | {outcome.seconds:.0f} |",
                flush=True,
            )
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
