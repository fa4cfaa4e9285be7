"""Tests of the queue of the log, and of what the queue does when nobody reads what it writes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from threading import Event

import pytest

from controller.effects.background import Threads
from controller.effects.log_writer import LIMIT, LogWriter
from tests.support.waiting import wait_until

#: Seconds within which any machine has written a line.
PATIENCE = 10.0


class Reader:
    """Takes what is written, up to `piece` bytes at once, while `reads` is set. `broken` is the error that a write
    raises."""

    def __init__(self, piece: int = 2**30) -> None:
        self.reads = Event()
        self.reads.set()
        self.asked = Event()
        self.broken: OSError | None = None
        self.received = b""
        self._piece = piece

    def write(self, data: bytes) -> int:
        """Take the beginning of the data, and return the number of bytes taken."""
        self.asked.set()
        self.reads.wait()
        if self.broken:
            raise self.broken
        self.received += data[: self._piece]
        return min(len(data), self._piece)

    def lines(self) -> list[str]:
        """Return the lines that it has received."""
        return self.received.decode().splitlines()


@pytest.fixture
def reader() -> Iterator[Reader]:
    """Yield a reader that reads. After the test the reader takes whatever is left, so that no thread stays behind."""
    reader = Reader()
    yield reader
    reader.reads.set()


def writer_to(reader: Reader, patience: float = PATIENCE) -> LogWriter:
    """Return a writer to this reader."""
    return LogWriter(Threads(), reader.write, patience)


def stuck_writer(reader: Reader, patience: float = PATIENCE) -> LogWriter:
    """Return a writer that hangs at the line ``first``, because the reader does not read."""
    reader.reads.clear()
    writer = writer_to(reader, patience)
    writer.put("first")
    assert reader.asked.wait(PATIENCE)
    return writer


def test_lines_are_written_in_their_order(reader: Reader) -> None:
    """`flush` waits until all of them are written."""
    writer = writer_to(reader)
    for number in range(1000):
        writer.put(f"line {number}")
    writer.flush()
    assert reader.lines() == [f"line {number}" for number in range(1000)]


def test_a_writer_without_lines_has_nothing_to_flush(reader: Reader) -> None:
    """`flush` returns at once, and does not wait for a first line."""
    writer_to(reader, patience=1e6).flush()


def test_a_line_that_is_taken_in_pieces_is_written_whole() -> None:
    """A pipe takes only as much as it has room for. Text that UTF-8 cannot encode is escaped."""
    reader = Reader(piece=3)
    writer = writer_to(reader)
    writer.put("a line of ünicode \udc80")
    writer.flush()
    assert reader.lines() == ["a line of ünicode \\udc80"]


def test_flush_waits_no_longer_than_the_patience(reader: Reader) -> None:
    """The line that `flush` did not wait for is written when the reader reads again."""
    writer = stuck_writer(reader, patience=0.0)
    writer.flush()
    assert reader.lines() == []
    reader.reads.set()
    wait_until(lambda: reader.lines() == ["first"], PATIENCE)


def test_while_nobody_reads_the_newest_lines_are_kept(reader: Reader) -> None:
    """Nobody waits for the reader. The lost lines are counted, and when the reader reads again, a line in their place
    tells their number."""
    writer, counted = stuck_writer(reader), list[int]()
    writer.report_losses(counted.append)
    filling = "x" * 1023
    for number in range(2000):
        writer.put(f"{number:04}{filling}")
    kept = LIMIT // 1028
    assert sum(counted) == 2000 - kept
    reader.reads.set()
    writer.flush()
    first, told, *rest = reader.lines()
    assert (first, told) == ("first", f"{2000 - kept} lines of the log were lost")
    assert [int(line[:4]) for line in rest] == [*range(2000 - kept, 2000)]


def test_a_line_longer_than_the_queue_is_written_and_takes_the_place_of_all_others(reader: Reader) -> None:
    """The queue always keeps one line, whatever its length."""
    writer = stuck_writer(reader)
    writer.put("second")
    writer.put("x" * (2 * LIMIT))
    reader.reads.set()
    writer.flush()
    assert [len(line) for line in reader.lines()] == [5, len("1 lines of the log were lost"), 2 * LIMIT]


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EBADF, errno.ENOSPC, errno.EIO])
def test_lines_that_cannot_be_written_are_told_of_when_that_works_again(reader: Reader, number: int) -> None:
    """Each lost line is counted. A later line tells of each loss once."""
    writer, counted = writer_to(reader), list[int]()
    reader.broken = OSError(number, os.strerror(number))
    writer.put("one")
    writer.put("two")
    writer.flush()
    writer.report_losses(counted.append)
    writer.put("three")
    writer.flush()
    assert counted == [2, 1]
    reader.broken = None
    writer.announce_losses(lambda lost: f"lost: {lost}")
    writer.put("four")
    writer.put("five")
    writer.flush()
    assert reader.lines() == ["lost: 3", "four", "five"]


def test_the_line_after_a_torn_one_begins_a_new_line() -> None:
    """A full disk may take only a part of a line. The next line must not be joined to that part."""
    reader = Reader(piece=4)
    taken = iter([True, False, False])

    def write(data: bytes) -> int:
        if next(taken, True):
            return reader.write(data)
        raise OSError(errno.ENOSPC, "no space left on device")

    writer = LogWriter(Threads(), write, PATIENCE)
    writer.put("torn apart")
    writer.put("lost")
    writer.flush()
    writer.put("whole")
    writer.flush()
    assert reader.lines() == ["torn", "2 lines of the log were lost", "whole"]


def test_a_closed_writer_writes_what_waits_and_ends(reader: Reader) -> None:
    """`close` does not wait until the lines are written."""
    writer = stuck_writer(reader)
    writer.put("second")
    writer.close()
    reader.reads.set()
    wait_until(lambda: reader.lines() == ["first", "second"], PATIENCE)
