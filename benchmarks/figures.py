"""What a benchmark measured: percentiles, and the rows of a table with its targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

MEDIAN, P95 = 50, 95

#: The names of the programs.
OURS, THEIRS, FLOOR = "wharfinger", "registrator", "bare loop"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of the values that at least ``percent`` per cent of them do not exceed (nearest rank).
    Raises ValueError if there are no values."""
    if not values:
        raise ValueError("there are no values")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def spread(values: Sequence[float]) -> float:
    """Return by which factor the largest of the values exceeds the smallest. A value of nothing counts as the smallest
    figure that is measured, a thousandth."""
    return max(*values, 0.001) / max(min(values), 0.001)


@frozen
class Figure:
    """One number of a row."""

    value: float
    #: The digits after the point.
    digits: int = 1

    def __str__(self) -> str:
        return f"{self.value:,.{self.digits}f}"


@frozen
class Row:
    """One row of the table. The figures of all programs, and those to reach, are in the same order."""

    title: str
    #: What the figures are, as in ``ms``.
    unit: str
    #: The figures of each program, by its name; those of OURS are there.
    figures: Mapping[str, Sequence[Figure]]
    #: The most that each figure of ours may be; empty if it is registrator's figure.
    most: Sequence[float] = ()
    #: What stands in the table as the target; by default the figures themselves.
    target: str = ""
    #: What has to hold besides, for the target to be reached.
    also: bool = True
    #: What else was seen, for the reader below the table.
    notes: Sequence[str] = ()

    @property
    def limits(self) -> Sequence[float]:
        """The most that each figure of ours may be; empty if that is not known."""
        return self.most or [each.value for each in self.figures.get(THEIRS, ())]

    @property
    def reached(self) -> bool | None:
        """Whether each of our figures is at most its target; None if there is nothing to compare with."""
        if not self.limits:
            return None
        ours = self.figures[OURS]
        return self.also and all(each.value <= most for each, most in zip(ours, self.limits, strict=True))

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the row, as in HEADS."""
        target = self.target or (_joined(map(_plain, self.most)) if self.most else "registrator's")
        return (
            f"{self.title} ({self.unit})" if self.unit else self.title,
            *(_joined(map(str, self.figures.get(name, ()))) or "-" for name in (THEIRS, FLOOR, OURS)),
            target,
            {True: "reached", False: "NOT REACHED", None: "not compared"}[self.reached],
        )


def _joined(texts: Iterable[str]) -> str:
    return " / ".join(texts)


def _plain(number: float) -> str:
    return f"{number:,g}"


#: The heads of the columns.
HEADS = ("row", THEIRS, FLOOR, OURS, "to reach", "")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown, whose columns are aligned for readers of the plain text."""
    lines = [HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    texts = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "| " + " | ".join("-" * max(width, 3) for width in widths) + " |"
    return "\n".join([texts[0], rule, *texts[1:]])


def summary(values: Sequence[float], digits: int = 1, scale: float = 1.0) -> tuple[Figure, Figure]:
    """Return median and 95th percentile, each times ``scale``."""
    return Figure(scale * percentile(values, MEDIAN), digits), Figure(scale * percentile(values, P95), digits)


def chosen(names: str, known: Mapping[str, object]) -> list[str]:
    """Return the names in a list with commas, in the order of ``known``; all of them if the list is empty. Raises
    ValueError for a name that is not known."""
    asked = [name for name in names.split(",") if name]
    if strange := sorted({*asked} - {*known}):
        raise ValueError(f"no such row: {', '.join(strange)}; there are {', '.join(known)}")
    return [name for name in known if name in asked or not asked]
