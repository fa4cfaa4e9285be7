"""A line on a terminal that says how far the passes have come, while somebody waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TextIO

from controller.commands.tables import cut, terminal_width
from controller.effects.background import Background, Waker
from controller.effects.clock import Clock
from controller.reconcile.progress import Progress
from model.report import Stage

#: Seconds after which the line is shown. What takes less time needs no line.
DELAY = 1.0

#: Seconds between two looks at the progress.
_INTERVAL = 0.2

#: The most seconds to wait until the line is gone: the terminal may have been stopped.
_PATIENCE = 1.0

#: The columns of a terminal that does not tell its width.
_WIDTH = 80

#: Goes to the beginning of the terminal's line, and clears the line.
_CLEAR = "\r\x1b[K"

_IN_WORDS = {
    Stage.REGISTRY_READ: "reading the registry",
    Stage.DOCKER: "reading the containers",
    Stage.PLAN: "deciding what to change",
    Stage.APPLY: "writing",
}


@contextmanager
def progress_line(
    stream: TextIO | None, background: Background, clock: Clock
) -> Iterator[Callable[[str, Progress], None]]:
    """Show a line on the stream while the body runs, if the stream is a terminal and the body takes longer than DELAY.

    The body is given a function that it calls with a registry's name and with what the pass over the registry does. The
    name is empty if there is only one registry. At the end the line is gone.
    """
    passes: dict[str, Progress] = {}
    if stream is None or not stream.isatty():
        yield passes.__setitem__
        return
    ended = background.waker()
    shown = background.start(partial(_show, stream, passes, ended, clock), name="progress line")
    try:
        yield passes.__setitem__
    finally:
        ended.set()
        shown.join(_PATIENCE)


def _show(stream: TextIO, passes: dict[str, Progress], ended: Waker, clock: Clock) -> None:
    """Show the line until ``ended`` is set. Each time, the cursor returns to the beginning of the line, so that a line
    of the log replaces it."""
    begun = clock.monotonic()
    if ended.wait(DELAY):
        return
    with suppress(OSError):  # The terminal is gone.
        over = False
        while not over:
            text = f"{clock.monotonic() - begun:.0f} s: {_text(dict(passes))}"
            _write(stream, f"{_CLEAR}{cut(text, (terminal_width(stream) or _WIDTH) - 1)}\r")
            over = ended.wait(_INTERVAL)
        _write(stream, _CLEAR)


def _text(passes: dict[str, Progress]) -> str:
    """Return what the passes do, in words."""
    parts = (f"{name}: {_in_words(each)}" if name else _in_words(each) for name, each in passes.items())
    return "; ".join(parts) or "asking the registry"


def _in_words(progress: Progress) -> str:
    words = _IN_WORDS[progress.stage]
    return f"{words}, {progress.tried} of {progress.planned} changes" if progress.planned else words


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
