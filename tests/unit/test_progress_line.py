"""The line on a terminal that says how far the passes have come."""

from __future__ import annotations

import io
from functools import partial

import pytest

from controller.commands import progress_line as module
from controller.commands.progress_line import progress_line
from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.reconcile.progress import Progress
from model.report import Stage
from tests.support.waiting import wait_until

#: How the line is cleared.
CLEAR = "\r\x1b[K"


class Terminal(io.StringIO):
    """A terminal that does not tell its width."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class GoneTerminal(Terminal):
    """A terminal that was closed while the program runs."""

    def write(self, text: str) -> int:
        """Fail as a terminal does that is gone."""
        raise OSError(5, "Input/output error")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the line at once."""
    monkeypatch.setattr(module, "DELAY", 0.0)


def _has(terminal: Terminal, text: str) -> bool:
    return text in terminal.getvalue()


shown_on = partial(progress_line, background=Threads(), clock=Clock())


@pytest.mark.parametrize(
    ("notes", "text"),
    [
        ({}, "0 s: asking the registry"),
        ({"": Progress(Stage.REGISTRY_READ)}, "0 s: reading the registry"),
        ({"": Progress(Stage.DOCKER)}, "0 s: reading the containers"),
        ({"": Progress(Stage.PLAN)}, "0 s: deciding what to change"),
        ({"": Progress(Stage.APPLY, 3, 8)}, "0 s: writing, 3 of 8 changes"),
        (
            {"etcd": Progress(Stage.APPLY), "etcd3": Progress(Stage.DOCKER)},
            "0 s: etcd: writing; etcd3: reading the containers",
        ),
        ({"x" * 100: Progress(Stage.DOCKER)}, f"0 s: {'x' * 73}…"),
    ],
)
def test_the_line_says_what_the_passes_do(notes: dict[str, Progress], text: str) -> None:
    """It is cut to the width of the terminal, and the cursor returns to its beginning. At the end it is gone."""
    terminal = Terminal()
    with shown_on(terminal) as note:
        for name, progress in notes.items():
            note(name, progress)
        wait_until(lambda: f"{CLEAR}{text}\r" in terminal.getvalue(), what="the line")
    assert terminal.getvalue().endswith(f"\r{CLEAR}")


def test_the_line_follows_the_passes() -> None:
    """The last note of a pass counts."""
    terminal = Terminal()
    with shown_on(terminal) as note:
        for stage, words in ((Stage.DOCKER, "reading the containers"), (Stage.PLAN, "deciding")):
            note("", Progress(stage))
            wait_until(partial(_has, terminal, words), what=words)


def test_what_takes_no_time_has_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before the delay is over."""
    monkeypatch.setattr(module, "DELAY", 60.0)
    terminal = Terminal()
    with shown_on(terminal) as note:
        note("", Progress(Stage.DOCKER))
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), None], ids=["pipe", "closed"])
def test_what_is_no_terminal_has_no_line(stream: io.StringIO | None) -> None:
    """Nothing is written, and nothing runs beside the body."""
    with shown_on(stream) as note:
        note("", Progress(Stage.DOCKER))
    assert stream is None or stream.getvalue() == ""


def test_the_line_is_gone_after_an_error() -> None:
    """The error is that of the body."""
    terminal = Terminal()

    def fail() -> None:
        with shown_on(terminal):
            wait_until(lambda: "asking" in terminal.getvalue(), what="the line")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert terminal.getvalue().endswith(CLEAR)


def test_a_terminal_that_is_gone_does_not_matter() -> None:
    """The body runs to its end."""
    with shown_on(GoneTerminal()) as note:
        note("", Progress(Stage.DOCKER))
