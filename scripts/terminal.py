"""The demo's output: headings, commands as one would type them, and what they print."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

BOLD, DIM, GREEN, RED, CYAN = "1", "2", "32", "31", "36"


class CommandFailed(RuntimeError):
    """Raised if a command of the demo ended with an error. The command has printed the error itself."""


class Terminal:
    """Prints to standard output, in colour if that is a terminal and NO_COLOR is not set."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._steps = 0

    def title(self, text: str) -> None:
        """Print the title of the demo."""
        self._print(self._paint(text, BOLD), "")

    def step(self, text: str) -> None:
        """Print a numbered heading."""
        self._steps += 1
        self._print("", self._paint(f"{self._steps}. {text}", BOLD, CYAN))

    def command(self, line: str) -> None:
        """Print a command as one would type it."""
        self._print(f"{self._paint('$', GREEN)} {self._paint(line, BOLD)}")

    def line(self, text: str = "") -> None:
        """Print a line of output."""
        self._print(text)

    def aside(self, text: str) -> None:
        """Print a remark of the demo, as opposed to the output of a command."""
        self._print(self._paint(text, DIM))

    def settings(self, variables: Mapping[str, str]) -> None:
        """Print how one would set these environment variables."""
        for name, value in variables.items():
            self.command(f"export {name}={shlex.quote(value)}")

    def problem(self, text: str) -> None:
        """Print what went wrong."""
        self._print(self._paint(text, RED))

    def run(self, shown: Sequence[str], argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Print the command `shown` and run it as `argv`. Its output goes straight to the terminal.

        Raises CommandFailed if the exit code is not 0.
        """
        self.command(shlex.join(shown))
        if subprocess.run(argv, env=dict(env), check=False).returncode:
            raise CommandFailed(shlex.join(shown))

    def _paint(self, text: str, *colours: str) -> str:
        return f"\033[{';'.join(colours)}m{text}\033[0m" if self._colour else text

    def _print(self, *lines: str) -> None:
        try:
            # Flush, so that the lines stay in order with the output of the commands.
            print(*lines, sep="\n", flush=True)
        except BrokenPipeError:
            # The reader has closed the pipe (`| head`). Continue without output, because the clean-up still has to run.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
