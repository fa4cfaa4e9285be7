"""Ask the operator to confirm what cannot be undone at once."""

from __future__ import annotations

import sys

import click

from controller.errors import Stop


def confirm(question: str, condition: str) -> None:
    """Ask a question on the terminal. Raises click's Abort when the answer is no, and Stop when there is no terminal.
    ``condition`` is what ``--yes`` would confirm."""
    if not sys.stdin.isatty():
        raise Stop(f"nobody is there to confirm; say --yes if {condition}")
    click.confirm(question, abort=True)
