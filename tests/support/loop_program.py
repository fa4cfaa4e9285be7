"""A program around `controller.service`, to be sent signals: `python -m tests.support.loop_program MODE`.

It prints a line for each pass, and its passes come an hour apart. MODE is calm, stuck (a pass never ends) or broken (an
observer has a mistake in it).
"""

from __future__ import annotations

import os
import sys
import threading

from controller.loop import Loop, Pace
from controller.service import run_until_signalled
from model.report import Memory, PassReport, PassResult


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


def main() -> int:
    """Run until signalled."""
    mode = sys.argv[1]
    run_pass = stuck if mode == "stuck" else calm
    observers = (Breaking(),) if mode == "broken" else ()
    return run_until_signalled(Loop(run_pass, Pace(interval=3600.0), observers))


if __name__ == "__main__":
    raise SystemExit(main())
