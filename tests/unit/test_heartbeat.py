"""When the heartbeat is renewed."""

from __future__ import annotations

import pytest

from model.heartbeat import NO_HEARTBEAT, Heartbeat


@pytest.mark.parametrize(
    ("last", "now", "due"), [(None, 0.0, True), (100.0, 109.9, False), (100.0, 110.0, True), (100.0, 500.0, True)]
)
def test_a_heartbeat_is_due_once_its_seconds_have_passed(last: float | None, now: float, due: bool) -> None:
    """And at the start."""
    assert Heartbeat(10).is_due(last, now) is due


def test_no_heartbeat_is_never_due() -> None:
    """Off is off."""
    assert not NO_HEARTBEAT.is_due(None, 0.0)
    assert not NO_HEARTBEAT.is_due(0.0, 1e9)


def test_a_heartbeat_lives_three_times_as_long_as_its_seconds() -> None:
    """So that one renewal may fail, and a pass may be late."""
    assert Heartbeat(10).lifetime == 30
