"""Text in aligned columns, for a terminal of a certain width or for a file."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TextIO

from controller.errors import plain

#: What stands between two columns.
_GAP = "  "

#: What stands for the part of a text that was cut off.
_ELLIPSIS = "…"

#: The least columns of the terminal to which a cell is cut.
_LEAST = 8


def terminal_width(stream: TextIO | None) -> int | None:
    """Return how many columns the terminal has that the stream writes to; None if it writes to no terminal, or the
    terminal does not tell. A stream that was closed when the program started is None."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None if stream else None
    except (OSError, ValueError):  # ValueError: the stream has no file descriptor, or was closed.
        return None


def table_lines(rows: Iterable[Sequence[str]], width: int | None = None) -> list[str]:
    """Return a line for each row, in which the cells of one column begin at the same place. All rows have the same
    number of cells, and headings are a row, too. Control characters are escaped.

    A ``width`` cuts the lines to so many columns of the terminal. The longest cells are cut first, and what was cut
    ends in an ellipsis. None leaves the lines whole.
    """
    shown = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(display_width, column)) for column in zip(*shown, strict=True)]
    if width is not None:
        widths = _fitting(widths, width - len(_GAP) * (len(widths) - 1))
    lines = [_GAP.join(map(_cell, row, widths)).rstrip() for row in shown]
    return lines if width is None else [cut(line, width) for line in lines]


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes that has no control characters."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def cut(text: str, width: int) -> str:
    """Return the text, or as much of it as fits together with an ellipsis into so many columns, at least one."""
    if display_width(text) <= width:
        return text
    left, end = width - len(_ELLIPSIS), 0
    while end < len(text) and (left := left - _columns(text[end])) >= 0:
        end += 1
    return text[:end] + _ELLIPSIS


def _columns(character: str) -> int:
    """Return how many columns of a terminal a character takes: none if it changes the one before, as an accent does,
    and two for most characters of East Asia."""
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _cell(text: str, width: int) -> str:
    """Return the text, cut or padded to exactly so many columns."""
    text = cut(text, width)
    return text + " " * (width - display_width(text))


def _fitting(widths: Sequence[int], room: int) -> list[int]:
    """Return the widths of the columns, of which the widest were made equally narrow until all fit. Columns are not
    made narrower than a few characters, so that not all of them may fit."""
    most = min(max(widths, default=0), max(room, _LEAST))
    while most > _LEAST and sum(min(each, most) for each in widths) > room:
        most -= 1
    return [min(each, most) for each in widths]
