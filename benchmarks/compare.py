"""Run the whole table of docs/performance.md: wharfinger, beside registrator where there is one.

    REGISTRATOR=/path/to/registrator .venv/bin/python -m benchmarks.compare [--rows start,burst] [--quick]

It needs root, as it starts an engine of its own. Without REGISTRATOR, wharfinger is measured alone. Both programs are
measured on one engine and one etcd, in turn, so their ratios mean something; the times depend on the machine. Rows of
other hosts' keys and of a thousand containers use an engine that is simulated, as a real one with so many containers
does not fit on a small machine. The exit code is 0 whether or not the targets are reached.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable

from benchmarks.changes import burst, changes, cold, stops
from benchmarks.commands import commands
from benchmarks.figures import Row, chosen, table
from benchmarks.idle import idle, writes
from benchmarks.large_host import large, others
from benchmarks.stage import QUICK, REGISTRATOR, Extent, NoEngine, Stage

#: What measures the rows, by the name for --rows.
MEASURES: dict[str, Callable[[Stage], list[Row]]] = {
    "changes": changes,
    "stops": stops,
    "cold": cold,
    "burst": burst,
    "idle": idle,
    "writes": writes,
    "commands": commands,
    "large": large,
    "others": others,
}


def main() -> int:
    """Run the benchmark. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Measure wharfinger beside registrator.")
    parser.add_argument("--rows", default="", help=f"the rows to measure, of: {', '.join(MEASURES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="measure less of everything, for a look")
    asked = parser.parse_args()
    try:
        wanted = chosen(asked.rows, MEASURES)
    except ValueError as error:
        parser.error(str(error))
    rows: list[Row] = []
    try:
        with Stage(QUICK if asked.quick else Extent()) as stage:
            if stage.registrator is None:
                print(f"Without {REGISTRATOR}=PATH, wharfinger is measured alone.\n", flush=True)
            for name in wanted:
                for row in MEASURES[name](stage):
                    rows.append(row)
                    print(*row.cells(), sep=" | ", flush=True)
    except NoEngine as error:
        print(f"No Docker engine can be used: {error}")
        return 1
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores\n\n{table(rows)}")
    print(*(f"\n{row.title}: {note}" for row in rows for note in row.notes), sep="", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
