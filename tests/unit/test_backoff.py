"""Tests of model.backoff: the wait after a pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.backoff import SEQUENCE, backoff


def test_the_wait_grows_with_each_failure_up_to_30_seconds() -> None:
    """After a success the wait is the interval."""
    waits = [backoff(failures, 1.0, 0.0) for failures in range(9)]
    assert waits == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@given(st.integers(0, 1000), st.floats(0.05, 3600), st.floats(0, 1))
def test_the_wait_is_between_the_interval_and_the_cap(failures: int, interval: float, jitter: float) -> None:
    """A longer interval replaces the cap. The jitter takes at most a quarter off."""
    wait = backoff(failures, interval, jitter)
    assert interval <= wait <= max(interval, SEQUENCE[-1])
    assert wait >= backoff(failures, interval, 0.0) * 0.75


@pytest.mark.parametrize(("interval", "wait"), [(60.0, 60.0), (0.05, 1.0)])
def test_a_failure_never_makes_the_next_pass_come_sooner(interval: float, wait: float) -> None:
    """The wait is never shorter than the interval."""
    assert backoff(1, interval, 0.0) == wait
