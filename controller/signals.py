"""Which signals the agent waits for, held or let go. Loads nothing else, as it comes first of all."""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def block_signals() -> None:
    """Keep the signals until somebody waits for them. To be called before the first thread starts: threads inherit the
    mask, and a signal goes to any thread that has not blocked it, where it would end the program on the spot."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def unblock_signals() -> None:
    """Let the signals do what they usually do, those included that came meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
