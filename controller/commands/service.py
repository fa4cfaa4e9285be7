"""The process: the loops in threads, signals in the main one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

from controller import logs
from controller.reconcile.loop import Loop
from controller.signals import SIGNALS, block_signals

log = logs.logger("wharfinger")

#: How long the passes that run when the signal comes may go on, all of them. They can be ended anywhere: the next
#: agent's first pass finds what they left.
GRACE = 0.8


def run_until_signalled(loops: Mapping[str, Loop], on_stop: Callable[[], None] = lambda: None) -> int:
    """Run the loops, by their registries' labels, until SIGTERM or SIGINT; SIGHUP makes all of them look at once.
    Returns the exit code. ``on_stop`` is called when the end has been asked for.

    The signals are blocked and waited for, so that they interrupt nothing, and reach the program as PID 1, too.
    """
    block_signals()
    broke = threading.Event()
    threads = []
    for label, loop in loops.items():
        name = label if len(loops) > 1 else ""
        threads.append(threading.Thread(target=_run, args=(name, loop, broke), name=f"loop {label}", daemon=True))
        threads[-1].start()
    while (received := signal.sigwait(SIGNALS)) == signal.SIGHUP:
        log.info("looking at once", signal="SIGHUP")
        for loop in loops.values():
            loop.wake()
    log.info("stopping, the entries stay", signal=signal.Signals(received).name)
    on_stop()
    for loop in loops.values():
        loop.stop()
    end = time.monotonic() + GRACE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return 1 if broke.is_set() else 0


def _run(label: str, loop: Loop, broke: threading.Event) -> None:
    """Nothing in a pass ends a loop; should something else, the program must not linger without it. ``label`` is on
    each line of its log, unless it is empty."""
    try:
        if label:
            logs.about(registry=label)
        loop.run()
    except BaseException:
        broke.set()
        os.kill(os.getpid(), signal.SIGTERM)
        raise
