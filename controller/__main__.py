"""The entry point of the program: ``wharfinger``, or ``python -m controller``.

The signals are blocked before anything else is loaded. In a container the program runs as process 1, and the kernel
ignores signals for a process 1 that has no handlers. A signal that came while the libraries load would be lost, and
``docker stop`` would wait for ten seconds.
"""

from __future__ import annotations

import sys

from controller.signals import block_signals


def main() -> int:
    """Run the program and return its exit code."""
    block_signals()
    from controller import program  # noqa: PLC0415 - signals are blocked before the rest is imported

    return program.main()


if __name__ == "__main__":
    sys.exit(main())
