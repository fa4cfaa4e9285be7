"""What the demo prints: headings, commands as one would type them, and what came of them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

BOLD, DIM, GREEN, RED, CYAN = "1", "2", "32", "31", "36"


class CommandFailed(RuntimeError):
    """A command of the demo ended with an error, which it has printed itself."""


class Terminal:
    """Prints to standard output, in colour where that is a terminal and NO_COLOR is not set."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._steps = 0

    def title(self, text: str) -> None:
        """The first line."""
        self._print(self._paint(text, BOLD), "")

    def step(self, text: str) -> None:
        """A numbered heading."""
        self._steps += 1
        self._print("", self._paint(f"{self._steps}. {text}", BOLD, CYAN))

    def command(self, line: str) -> None:
        """A command as it would be typed."""
        self._print(f"{self._paint('$', GREEN)} {self._paint(line, BOLD)}")

    def line(self, text: str = "") -> None:
        """A line of output."""
        self._print(text)

    def aside(self, text: str) -> None:
        """What a command does not say itself."""
        self._print(self._paint(text, DIM))

    def problem(self, text: str) -> None:
        """Something that went wrong."""
        self._print(self._paint(text, RED))

    def run(self, shown: Sequence[str], argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Print the command `shown` and run it as `argv`, its output going straight to the terminal."""
        self.command(shlex.join(shown))
        if subprocess.run(argv, env=dict(env), check=False).returncode:
            raise CommandFailed(shlex.join(shown))

    def _paint(self, text: str, *colours: str) -> str:
        return f"\033[{';'.join(colours)}m{text}\033[0m" if self._colour else text

    def _print(self, *lines: str) -> None:
        try:
            # Flushed, to stay in order with what the commands print.
            print(*lines, sep="\n", flush=True)
        except BrokenPipeError:
            # The reader has gone (`| head`): go on to the end, and to the cleaning up, in silence.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
