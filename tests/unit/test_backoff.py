"""The wait after a pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.backoff import SEQUENCE, backoff


def test_the_sequence_without_jitter() -> None:
    """The interval after a success; then growing, with a cap of 30 seconds."""
    waits = [backoff(failures, 1.0, 0.0) for failures in range(9)]
    assert waits == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@given(st.integers(0, 1000), st.floats(0.05, 3600), st.floats(0, 1))
def test_the_wait_is_bounded(failures: int, interval: float, jitter: float) -> None:
    """Never less than the interval, never more than the cap unless the interval is; jitter takes off a quarter."""
    wait = backoff(failures, interval, jitter)
    assert interval <= wait <= max(interval, SEQUENCE[-1])
    assert wait >= backoff(failures, interval, 0.0) * 0.75


@pytest.mark.parametrize(("interval", "wait"), [(60.0, 60.0), (0.05, 1.0)])
def test_a_long_interval_stays(interval: float, wait: float) -> None:
    """A failure never makes passes come sooner."""
    assert backoff(1, interval, 0.0) == wait
