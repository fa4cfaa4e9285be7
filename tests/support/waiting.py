"""Wait for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

POLL_SECONDS = 0.02


class WaitTimeout(TimeoutError):
    """A condition did not become true in time. The message says which one, and what it returned last."""


def wait_until(predicate: Callable[[], Seen], timeout: float = 10.0, what: str = "a condition") -> Seen:
    """Poll `predicate` until it returns something true, and return that. Raises `WaitTimeout` after `timeout` seconds.

    `what` completes the sentence "waited 10 s for ...". The predicate is called at least once, and once more at the
    end.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        seen = predicate()
        if seen:
            return seen
        if late:
            raise WaitTimeout(f"waited {timeout:g} s for {what}; last seen: {seen!r}")
        # This is the only sleep in the tests: it is between two checks of a condition, never instead of one.
        time.sleep(POLL_SECONDS)
