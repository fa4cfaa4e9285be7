"""Values that are made of files, and made again when they change. With real servers: contract/test_renewed_files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from controller.effects.files import (
    Renewed,
    TlsFiles,
    UnusableFile,
    UnusableFiles,
    check_readable,
    password_in,
    token_in,
)
from tests.support.secure_etcd import authority


class Reports:
    """Notes the reports about changed files: the problem of each, empty where the files were read again."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def __call__(self, files: Sequence[str], problem: str) -> None:
        self.problems.append(problem)


@pytest.fixture
def reports() -> Reports:
    """Return what notes the reports."""
    return Reports()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file that holds a line."""
    file = tmp_path / "file"
    file.write_text("one\n")
    return file


@pytest.fixture
def line(file: Path, reports: Reports) -> Renewed[str]:
    """Return the password in the file."""
    return Renewed(lambda: password_in(str(file)), [str(file)], reports)


def test_files_that_do_not_change_are_read_once(file: Path, reports: Reports) -> None:
    """Looking at them asks the file system alone."""
    made: list[str] = []
    renewed = Renewed(lambda: made.append(password_in(str(file))), [str(file)], reports)
    for _ in range(3):
        renewed.value()
    assert (made, reports.problems) == (["one"], [])


def with_the_same_size_and_time(file: Path) -> None:
    """Write over the content, and set the time of the change back."""
    before = file.stat()
    file.write_text("two\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_another_link(file: Path) -> None:
    """Make the file a link to another one."""
    other = file.with_name("other")
    other.write_text("two\n")
    file.unlink()
    file.symlink_to(other)


@pytest.mark.parametrize("change", [with_the_same_size_and_time, by_another_link])
def test_a_change_is_noticed(file: Path, line: Renewed[str], reports: Reports, change: Callable[[Path], None]) -> None:
    """It is noticed if the file's size and time stay the same, too."""
    assert line.value() == "one"
    change(file)
    assert (line.value(), line.value(), reports.problems) == ("two", "two", [""])


def test_a_value_stays_while_its_file_cannot_be_used(file: Path, line: Renewed[str], reports: Reports) -> None:
    """This is reported once, and once more each time that it begins again."""
    assert line.value() == "one"
    for content in ("", "\n", " \t\n"):
        file.write_text(content)
        assert line.value() == line.value() == "one"
    file.unlink()
    assert line.value() == "one"
    assert reports.problems == [f"{file} has nothing in its first line, which has to be the password"]
    file.write_text("two")
    assert line.value() == "two"
    file.unlink()
    assert line.value() == "two"
    assert reports.problems[1:] == ["", "one of them is missing, or is no regular file"]


def test_a_value_that_was_never_made_is_tried_again_each_time(file: Path, line: Renewed[str]) -> None:
    """There is nothing to go on with."""
    file.unlink()
    for _ in range(2):
        with pytest.raises(UnusableFiles, match="cannot be read"):
            line.value()
    file.write_text("one")
    assert line.value() == "one"


def test_an_encrypted_key_is_an_error(tmp_path: Path) -> None:
    """OpenSSL would ask the terminal for its password, and wait for ever."""
    ours = authority(tmp_path / "ours")
    pair = ours.issue("agent.example")
    key = serialization.load_pem_private_key(Path(pair.key).read_bytes(), None)
    form, secret = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    Path(pair.key).write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
    with pytest.raises(UnusableFiles, match="agent"):
        TlsFiles(ours.path, pair.cert, pair.key).context()


@pytest.mark.parametrize(
    ("content", "password"),
    [(b"secret", "secret"), (b"secret\n", "secret"), (b"secret\r\nmore\n", "secret"), (b" a b \n", " a b ")],
    ids=str,
)
def test_a_password_is_the_first_line_without_its_end(file: Path, content: bytes, password: str) -> None:
    """Spaces at either end of the line are kept."""
    file.write_bytes(content)
    assert password_in(str(file)) == password


def test_a_password_file_that_is_not_text_is_refused(file: Path) -> None:
    """The message does not show its content, which may be secret. A file of another kind may have any bytes, such as
    the comments of a bundle of CAs."""
    file.write_bytes(b"\xff\xfesecret")
    with pytest.raises(UnusableFile, match="cannot be read") as wrong:
        password_in(str(file))
    assert "secret" not in str(wrong.value)
    check_readable(str(file))


@pytest.mark.parametrize("content", [b"token", b"token\n", b" token \r\nmore\n"], ids=str)
def test_a_token_is_the_first_line_without_the_space_around_it(file: Path, content: bytes) -> None:
    """A header of HTTP cannot begin or end with a space."""
    file.write_bytes(content)
    assert token_in(str(file)) == "token"


def test_a_token_file_without_a_token_is_refused(file: Path) -> None:
    """Nobody could send what opens the pages."""
    file.write_text(" \n")
    with pytest.raises(UnusableFile, match="nothing in its first line, which has to be the token"):
        token_in(str(file))


def test_a_token_file_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """It is read again and again. A FIFO might never answer."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path):
        with pytest.raises(UnusableFile, match="is no regular file"):
            token_in(str(path))
    with pytest.raises(UnusableFile, match="cannot be read"):
        token_in(str(tmp_path / "nowhere"))
