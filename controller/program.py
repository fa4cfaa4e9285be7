"""The program: it finds out what is asked for, does it, and returns an exit code.

Asking for the version and ``wharfinger health`` are answered here, with what they need and nothing else. The image's
HEALTHCHECK runs ``wharfinger health`` twice a minute, also on a busy machine, where it would spend most of its time on
loading libraries that it does not use, click among them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from controller import __version__
from controller.commands.exit_codes import ExitCode
from controller.signals import unblock_signals

if TYPE_CHECKING:
    from controller.commands.build import Effects

#: How the version is asked for. Go's flag package, and with it registrator, takes one hyphen as well as two.
_VERSION = ("-version", "--version")


def main(arguments: Sequence[str] | None = None, effects: Effects | None = None) -> int:
    """Run the program and return its exit code, one of ``ExitCode``.

    ``arguments`` are those after the program's name, by default those of this process.
    """
    match given := list(sys.argv[1:] if arguments is None else arguments):
        case [first, *_] if first in _VERSION:
            unblock_signals()
            return _answer(True, f"wharfinger {__version__}")
        case ["health"] | ["health", _] if not given[-1].startswith("-"):
            unblock_signals()
            from controller.commands.health import ask  # noqa: PLC0415 - the agent does not need it

            return _answer(*ask(*given[1:]))
    from controller.cli import run_command_line  # noqa: PLC0415 - it loads all libraries

    return run_command_line(given, effects)


def _answer(good: bool, text: str) -> ExitCode:
    """Print an answer, to standard error if it is a bad one, and return the exit code that belongs to it."""
    code = ExitCode.IN_SYNC if good else ExitCode.FAILED
    stream: TextIO | None = sys.stdout if good else sys.stderr
    if stream is None:  # It was closed when the program started.
        return code
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        # Nobody reads it. Python tries to write it once more when the program ends, and that must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return ExitCode.FAILED
    return code
