"""How long the loop waits after a pass. A single change that was not made has a wait of its own: ``model.setbacks``."""

from __future__ import annotations

#: Seconds to wait after the first, second, and each further failure in a row. The last one counts for all that follow.
SEQUENCE = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


def backoff(failures: int, interval: float, jitter: float, longest: float = SEQUENCE[-1]) -> float:
    """Return the seconds from the end of a pass to the next one: the interval after a success, and a growing time,
    at most ``longest`` and never less than the interval, after ``failures`` in a row.

    ``jitter`` is a random number from 0 to 1. It takes up to a quarter off the wait, so that the agents of a fleet do
    not all come back at once to an etcd that recovers.
    """
    if failures == 0:
        return interval
    step = SEQUENCE[min(failures, len(SEQUENCE)) - 1]
    return max(interval, min(step, longest) * (1 - jitter / 4))
