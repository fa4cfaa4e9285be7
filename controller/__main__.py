"""The program's entry: ``wharfinger``, and ``python -m controller``.

The signals are held before anything else is loaded. As process 1 of a container a program without handlers ignores
them, and one that came while the libraries load would be lost: ``docker stop`` would then wait for ten seconds.
"""

from __future__ import annotations

import sys

from controller.signals import block_signals


def main() -> int:
    """Run the program; returns its exit code."""
    block_signals()
    from controller import cli  # noqa: PLC0415 - signals are held before the rest is imported

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
