"""A program around `controller.commands.service`, to be sent signals: `python -m tests.support.loop_program MODE ...`.

It has a loop for each MODE, prints a line for each pass, and its passes come an hour apart. MODE is calm, stuck (a pass
never ends), broken (an observer has a mistake in it) or mistaken (the pass has one).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from controller import logs
from controller.background import Threads
from controller.clock import Clock
from controller.commands.service import run_until_signalled
from controller.reconcile.loop import Loop, Pace
from model.memory import Memory
from model.report import PassReport, PassResult


class Breaking:
    """An observer with a mistake in it, which no observer should have."""

    def begun(self, now: float) -> None:
        """See Observer."""

    def ended(self, report: PassReport, now: float, wait: float) -> None:
        """See Observer."""
        raise RuntimeError("this observer breaks")


def calm(memory: Memory) -> PassReport:
    """A pass that ends at once."""
    os.write(1, b"pass\n")
    return PassReport(PassResult.SUCCESS)


def stuck(memory: Memory) -> PassReport:
    """A pass that does not end."""
    os.write(1, b"pass\n")
    threading.Event().wait()
    raise AssertionError("nobody sets that event")


def mistaken(memory: Memory) -> PassReport:
    """A pass with a mistake in it."""
    os.write(1, b"pass\n")
    raise RuntimeError("this pass breaks")


PASSES: dict[str, Callable[[Memory], PassReport]] = {
    "calm": calm,
    "stuck": stuck,
    "broken": calm,
    "mistaken": mistaken,
}


def main() -> int:
    """Run until signalled."""
    logs.configure("json", "info", colour=False)
    return run_until_signalled({f"{mode}-{number}": loop(mode) for number, mode in enumerate(sys.argv[1:], 1)})


def loop(mode: str) -> Loop:
    """The loop of this mode."""
    return Loop(
        PASSES[mode], Pace(3600.0, Clock(), lambda: 0.0, Threads().waker()), (Breaking(),) if mode == "broken" else ()
    )


if __name__ == "__main__":
    raise SystemExit(main())
