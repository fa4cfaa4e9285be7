"""The rows about commands that do little, out of an installation like an operator's."""

from __future__ import annotations

from statistics import median

from benchmarks.figures import OURS, Figure, Row
from benchmarks.stage import Stage
from benchmarks.startup import STARTED, cpu

#: The commands, by their names in benchmarks/startup.py.
COMMANDS = ("wharfinger --version", "wharfinger health")


def commands(stage: Stage) -> list[Row]:
    """Measure the CPU of commands beside that of an interpreter that does nothing."""
    python, command = stage.command
    seconds: dict[str, list[float]] = {name: [] for name in ("", *COMMANDS)}
    for _ in range(stage.extent.commands):
        seconds[""].append(cpu([python, "-c", "pass"]))
        for name in COMMANDS:
            seconds[name].append(cpu([python, command, *STARTED[name]]))
    bare = median(seconds[""])
    return [
        Row(
            f"{name}, CPU beside a bare interpreter's",
            "times",
            {OURS: [Figure(median(seconds[name]) / bare)]},
            most=[6],
            notes=[f"{1000 * median(seconds[name]):.0f} ms, and {1000 * bare:.0f} ms"],
        )
        for name in COMMANDS
    ]
