"""Text in aligned columns."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios
from pathlib import Path

import pytest

from controller.commands.tables import cut, display_width, table_lines, terminal_width

ROWS = [("SERVICE", "ADDRESS"), ("web", "10.0.0.1:80"), ("a-long-name", "10.0.0.12:8080")]


def test_the_cells_of_a_column_begin_at_the_same_place() -> None:
    """The cells of a column begin at the same place, two spaces behind the widest cell before them."""
    assert table_lines(ROWS) == [
        "SERVICE      ADDRESS",
        "web          10.0.0.1:80",
        "a-long-name  10.0.0.12:8080",
    ]


def test_a_line_does_not_end_in_spaces() -> None:
    """A line does not end in spaces, also if its last cells are empty."""
    assert table_lines([("a", ""), ("bb", "c")]) == ["a", "bb  c"]


def test_no_rows_are_no_lines() -> None:
    """A table without rows has no lines."""
    assert table_lines([]) == []
    assert table_lines([], 80) == []


def test_what_fits_the_terminal_stays_whole() -> None:
    """What just fits the terminal is not cut."""
    assert table_lines(ROWS, 27) == table_lines(ROWS)


def test_the_longest_cells_are_cut_first() -> None:
    """A short column stays whole as long as a longer one can be cut."""
    lines = table_lines([("web", "a" * 30, "b" * 50), ("db", "c", "d")], 45)
    assert lines == [f"web  {'a' * 18}…  {'b' * 18}…", f"db   c{' ' * 18}  d"]
    assert all(display_width(line) <= 45 for line in lines)


def test_in_a_terminal_that_is_too_narrow_for_all_columns_the_line_is_cut() -> None:
    """No column becomes narrower than 8 characters."""
    assert table_lines([("a" * 20, "b" * 20, "c" * 20)], 15) == ["aaaaaaa…  bbbb…"]


@pytest.mark.parametrize("width", [1, 2, 3, 10, 11, 30])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """No line is wider than the terminal, whatever the cells hold."""
    rows = [("名前" * 10, "e\u0301" * 20, "x"), ("ok", "\x1b[31m" * 5, "y" * 40)]
    assert all(display_width(line) <= width for line in table_lines(rows, width))


def test_control_characters_are_escaped_before_the_columns_are_measured() -> None:
    """A name with an escape sequence, a line break or a change of the writing direction cannot disturb the table."""
    lines = table_lines([("\x1b[31mred\n", "1"), ("\u202eabc", "2")])
    assert lines == ["\\x1b[31mred\\n  1", "\\u202eabc      2"]


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    """Characters of East Asia count as two columns, and an accent as none."""
    assert table_lines([("名前", "1"), ("e\u0301", "2"), ("abcd", "3")]) == ["名前  1", "e\u0301     2", "abcd  3"]


def test_a_wide_character_is_not_cut_in_half() -> None:
    """A wide character that does not fit is left out, and a space takes its place."""
    assert cut("名前名前", 6) == "名前…"
    assert table_lines([("名前名前名前", "1")], 11) == ["名前名…   1"]


def test_an_accent_stays_with_its_letter() -> None:
    """Where a text is cut, an accent stays with its letter."""
    assert cut("e\u0301e\u0301e\u0301", 2) == "e\u0301…"


def test_a_terminal_tells_its_width() -> None:
    """The width of a terminal is what it says; one that says nothing has none."""
    leader, follower = pty.openpty()
    with os.fdopen(leader), os.fdopen(follower, "w") as stream:
        assert terminal_width(stream) is None
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 77, 0, 0))
        assert terminal_width(stream) == 77


def test_what_is_no_terminal_has_no_width(tmp_path: Path) -> None:
    """A file, a closed stream, a stream without a descriptor and no stream have no width."""
    with (tmp_path / "file").open("w") as stream:
        assert terminal_width(stream) is None
    assert terminal_width(stream) is None
    assert terminal_width(io.StringIO()) is None
    assert terminal_width(None) is None
