"""How long to wait after a failed pass."""

from __future__ import annotations

#: Seconds to wait after the first, second, … failure in a row; the last one for all that follow.
SEQUENCE = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


def backoff(failures: int, interval: float, jitter: float) -> float:
    """Seconds from a pass to the next one: the interval after a success, and a growing time, never less than the
    interval, after failures in a row.

    ``jitter`` is a random number from 0 to 1 that takes up to a quarter off the wait, so that the agents of a fleet do
    not all come back to a recovering etcd at once.
    """
    if failures == 0:
        return interval
    step = SEQUENCE[min(failures, len(SEQUENCE)) - 1]
    return max(interval, step * (1 - jitter / 4))
