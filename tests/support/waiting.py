"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

POLL_SECONDS = 0.02


class WaitTimeout(TimeoutError):
    """A condition did not come true in time; the message says which one, and what was seen last."""


def wait_until(predicate: Callable[[], Seen], timeout: float = 10.0, what: str = "a condition") -> Seen:
    """Poll `predicate` until it returns something true, and return that; raise `WaitTimeout` after `timeout` seconds.

    `what` completes the sentence "waited 10 s for ...". The predicate is asked at least once, and once more at the end.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        seen = predicate()
        if seen:
            return seen
        if late:
            raise WaitTimeout(f"waited {timeout:g} s for {what}; last seen: {seen!r}")
        # The one sleep of the test suite: between two looks at a condition, never instead of one.
        time.sleep(POLL_SECONDS)
