"""The time limits of one request."""

from __future__ import annotations

import pytest

from controller.effects.request_time import RequestTime, TimeLimits
from tests.support.fakes import FakeTime

LIMITS = TimeLimits(total=10.0, connect=1.0, read=2.0)


def begun(virtual: FakeTime, limits: TimeLimits = LIMITS) -> RequestTime:
    """Return the time of a request that begins now."""
    time = RequestTime(virtual.clock)
    time.begin(limits)
    return time


def test_each_step_has_its_limit_and_what_is_left_of_the_request() -> None:
    """The smaller one counts."""
    virtual = FakeTime()
    time = begun(virtual)
    assert (time.left, time.to_connect(), time.to_go_on()) == (10.0, 1.0, 2.0)
    virtual.advance(8.5)
    assert (time.left, time.to_connect(), time.to_go_on()) == (1.5, 1.0, 1.5)
    virtual.advance(1.0)
    assert (time.left, time.to_connect(), time.to_go_on()) == (0.5, 0.5, 0.5)


def test_what_is_left_is_shared_by_the_addresses_that_are_still_to_be_tried() -> None:
    """So the last one is tried, too, if all others are silent."""
    time = begun(FakeTime(), TimeLimits(total=2.0, connect=1.0, read=2.0))
    assert [time.to_connect(addresses) for addresses in (4, 2, 1)] == [0.5, 1.0, 1.0]


def test_a_request_whose_time_is_over_is_timed_out() -> None:
    """A time-out of 0 would tell the socket not to wait at all."""
    virtual = FakeTime()
    time = begun(virtual)
    virtual.advance(10.0)
    with pytest.raises(TimeoutError, match="timed out"):
        time.to_connect()
    with pytest.raises(TimeoutError, match="timed out"):
        time.to_go_on()


def test_each_request_begins_anew() -> None:
    """What an earlier request took does not count."""
    virtual = FakeTime()
    time = begun(virtual)
    virtual.advance(10.0)
    time.begin(TimeLimits(total=3.0, connect=1.0, read=1.0))
    assert (time.left, time.to_go_on()) == (3.0, 1.0)


def test_before_the_first_request_no_time_is_left() -> None:
    """Nothing may wait that has no limit."""
    with pytest.raises(TimeoutError):
        RequestTime(FakeTime().clock).to_go_on()
