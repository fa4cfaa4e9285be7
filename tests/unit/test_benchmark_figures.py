"""benchmarks/figures.py: percentiles, targets, and the table."""

from __future__ import annotations

import pytest

from benchmarks.figures import FLOOR, OURS, THEIRS, Figure, Row, chosen, percentile, spread, summary, table


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([4.0, 3.0, 2.0, 1.0], 50, 2.0),
        ([*map(float, range(1, 101))], 95, 95.0),
        ([*map(float, range(1, 101))], 99, 99.0),
        ([*map(float, range(1, 21))], 95, 19.0),
        ([1.0, 2.0], 0, 1.0),
        ([1.0, 2.0], 100, 2.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], percent: float, expected: float
) -> None:
    """The nearest rank, whatever the order of the values."""
    assert percentile(values, percent) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    """A benchmark that measured nothing must not print a figure."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_summary_is_median_and_95th_percentile_in_another_unit() -> None:
    """Seconds become milliseconds."""
    assert [str(each) for each in summary([0.001, 0.002, 0.01], scale=1000)] == ["2.0", "10.0"]


def test_the_spread_is_the_factor_between_largest_and_smallest() -> None:
    """A figure of zero, which is one below the resolution, does not divide by zero."""
    assert spread([2.0, 1.0, 3.0]) == 3.0
    assert spread([0.0, 0.0]) == 1.0


@pytest.mark.parametrize(
    ("ours", "theirs", "most", "also", "reached"),
    [
        ([2.0, 9.0], [2.0, 9.0], [], True, True),
        ([2.0, 9.1], [2.0, 9.0], [], True, False),
        ([2.0], [], [], True, None),
        ([0.3], [0.1], [0.3], True, True),
        ([0.31], [1.0], [0.3], True, False),
        ([0.3], [], [0.3], False, False),
    ],
)
def test_a_row_is_reached_if_no_figure_is_above_its_target(
    ours: list[float], theirs: list[float], most: list[float], also: bool, reached: bool | None
) -> None:
    """The target is registrator's figure where there is no other, and nothing is said where neither is known."""
    figures = {OURS: [*map(Figure, ours)]} | ({THEIRS: [*map(Figure, theirs)]} if theirs else {})
    assert Row("row", "ms", figures, most, also=also).reached is reached


def test_the_table_has_one_aligned_line_for_each_row() -> None:
    """It is Markdown, and can be read as it is."""
    rows = [
        Row("start", "ms", {OURS: [Figure(2)], THEIRS: [Figure(3)], FLOOR: [Figure(1.5)]}),
        Row("memory", "MB", {OURS: [Figure(1234.5), Figure(7, 0)]}, [40, 50]),
        Row("burst", "", {OURS: [Figure(0, 0)]}, [0], target="none"),
    ]
    assert table(rows).splitlines() == [
        "| row         | registrator | bare loop | wharfinger  | to reach      |             |",
        "| ----------- | ----------- | --------- | ----------- | ------------- | ----------- |",
        "| start (ms)  | 3.0         | 1.5       | 2.0         | registrator's | reached     |",
        "| memory (MB) | -           | -         | 1,234.5 / 7 | 40 / 50       | NOT REACHED |",
        "| burst       | -           | -         | 0           | none          | reached     |",
    ]


def test_rows_are_chosen_by_name_in_the_order_of_the_table() -> None:
    """No name means all rows; a name that is not known is refused."""
    known = {"start": len, "idle": len, "cold": len}
    assert chosen("cold,start", known) == ["start", "cold"]
    assert chosen("", known) == ["start", "idle", "cold"]
    with pytest.raises(ValueError, match="no such row: warm; there are start, idle, cold"):
        chosen("warm,cold", known)
