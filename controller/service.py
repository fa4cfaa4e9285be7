"""The process: the loop in a thread, signals in the main one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from controller import logs
from controller.loop import Loop
from controller.signals import SIGNALS, hold_signals

log = logs.logger("wharfinger")

#: How long a pass that runs when the signal comes may go on. It can be ended anywhere: the next agent's first pass
#: finds what it left.
GRACE = 0.8


def run_until_signalled(loop: Loop, on_stop: Callable[[], None] = lambda: None) -> int:
    """Run the loop until SIGTERM or SIGINT; SIGHUP makes it look at once. Returns the exit code. ``on_stop`` is called
    when the end has been asked for.

    The signals are blocked and waited for, so that they interrupt nothing, and reach the program as PID 1, too.
    """
    hold_signals()
    broke = threading.Event()
    thread = threading.Thread(target=_run, args=(loop, broke), name="loop", daemon=True)
    thread.start()
    while (received := signal.sigwait(SIGNALS)) == signal.SIGHUP:
        log.info("looking at once", signal="SIGHUP")
        loop.wake()
    log.info("stopping, the entries stay", signal=signal.Signals(received).name)
    on_stop()
    loop.stop()
    thread.join(GRACE)
    return 1 if broke.is_set() else 0


def _run(loop: Loop, broke: threading.Event) -> None:
    """Nothing in a pass ends the loop; should something else, the program must not linger without one."""
    try:
        loop.run()
    except BaseException:
        broke.set()
        os.kill(os.getpid(), signal.SIGTERM)
        raise
