"""Block and unblock the signals that the agent waits for.

This module imports nothing else of the program, because ``controller.__main__`` uses it before anything else is loaded.
"""

from __future__ import annotations

import signal

#: SIGTERM and SIGINT end the agent, and SIGHUP starts a pass.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def block_signals() -> None:
    """Keep the signals pending until the program waits for them.

    Call this before the first thread is started. Threads inherit the mask. A signal goes to any thread that does not
    block it, where it would end the program at once.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def unblock_signals() -> None:
    """Let the signals have their usual effect, including those that are pending."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
