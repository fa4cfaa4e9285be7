"""A program with loops that a test can send signals to: `python -m tests.support.loop_program MODE [MODE...]`.

It runs a loop for each MODE through `controller.commands.run`, and prints a line for each pass. Passes are an hour
apart. MODE is calm, stuck (a pass never ends), broken (an observer raises an error), mistaken (the pass raises one) or
chatty (the pass logs more than the queue of the log holds). The modes server and ended-server are no loops, but servers
that print such a line, too. Then the first one raises an error, and the second one returns.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from controller import logs
from controller.commands.build import Effects
from controller.commands.run import run_until_signalled
from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.effects.log_writer import LIMIT, LogWriter
from controller.reconcile.loop import Loop, Pace, Pass
from controller.signals import block_signals
from model.memory import Memory
from model.report import PassReport, PassResult

#: The number of lines that a chatty pass logs, and the filling of each. Together, the lines are twice as long as the
#: queue of the log can be.
CHATTY_LINES = 100
FILLING = "x" * (2 * LIMIT // CHATTY_LINES)


class Breaking:
    """An observer that raises an error, which no observer should do."""

    def begun(self, now: float) -> None:
        """See Observer."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """See Observer."""
        raise RuntimeError("this observer breaks")


def calm(memory: Memory, hurried: bool) -> PassReport:
    """A pass that ends at once."""
    os.write(1, b"pass\n")
    return PassReport(PassResult.SUCCESS)


def stuck(memory: Memory, hurried: bool) -> PassReport:
    """A pass that does not end."""
    os.write(1, b"pass\n")
    threading.Event().wait()
    raise AssertionError("this event is never set")


def mistaken(memory: Memory, hurried: bool) -> PassReport:
    """A pass that raises an error."""
    os.write(1, b"pass\n")
    raise RuntimeError("this pass breaks")


def chatty(memory: Memory, hurried: bool) -> PassReport:
    """A pass that logs more than the queue of the log holds, and then ends."""
    for number in range(CHATTY_LINES):
        logs.logger("test").info("said", number=number, filling=FILLING)
    os.write(1, b"pass\n")
    return PassReport(PassResult.SUCCESS)


def failing_server() -> None:
    """A server that raises an error."""
    os.write(1, b"pass\n")
    raise RuntimeError("this server breaks")


def ended_server() -> None:
    """A server that returns, which no server should do."""
    os.write(1, b"pass\n")


PASSES: dict[str, Pass] = {
    "calm": calm,
    "stuck": stuck,
    "broken": calm,
    "mistaken": mistaken,
    "chatty": chatty,
}

SERVERS: dict[str, Callable[[], None]] = {"server": failing_server, "ended-server": ended_server}


def main() -> int:
    """Run until signalled."""
    block_signals()
    logs.configure("json", "info", LogWriter(Threads()), colour=False)
    modes = sys.argv[1:]
    return run_until_signalled(
        {f"{mode}-{number}": loop(mode) for number, mode in enumerate(modes, 1) if mode in PASSES},
        Effects(),
        servers={mode: SERVERS[mode] for mode in modes if mode in SERVERS},
    )


def loop(mode: str) -> Loop:
    """Return the loop of this mode."""
    return Loop(
        PASSES[mode], Pace(3600.0, Clock(), lambda: 0.0, Threads().waker()), (Breaking(),) if mode == "broken" else ()
    )


if __name__ == "__main__":
    raise SystemExit(main())
