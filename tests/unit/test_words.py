"""Words of the command line to values; what a whole command line means is in test_settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config import converters as words
from controller.host_port import HostPort
from model.family import Family
from model.rules import Deregister, HealthRule


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (words.whole, "-1", -1),
        (words.not_negative, "0", 0),
        (words.positive, "0.05", 0.05),
        (words.positive, "86400", 86400.0),
        (words.percent, "0", 0),
        (words.percent, "100", 100),
        (words.address, "10.0.0.1", "10.0.0.1"),
        (words.address, "host.example", "host.example"),
        (words.owner, "core-01.example", "core-01.example"),
        (words.tags, "b,a", ("b", "a")),
        (words.deregister, "on-success", Deregister.ON_SUCCESS),
        (words.one_of(("a", "b")), "b", "b"),
        (words.health, "healthy", HealthRule.HEALTHY),
        (words.family, "ipv6", Family.IPV6),
        (words.docker_filter, "label=tier=web", ("label", "tier=web")),
        (words.docker_filter, "label=a b,c", ("label", "a b,c")),
        (words.docker_filter, " Label = x ", ("label", "x")),
        (words.docker_filter, "name=", ("name", "")),
        (words.listen, ":80", HostPort("0.0.0.0", 80)),
        (words.listen, "[::1]:80", HostPort("::1", 80)),
    ],
    ids=str,
)
def test_what_makes_sense(convert: Callable[[str], object], text: str, value: object) -> None:
    """The value that it means."""
    assert convert(text) == value


@pytest.mark.parametrize(
    ("convert", "text", "problem"),
    [
        (words.whole, "1.5", "it is not a whole number"),
        (words.not_negative, "-1", "it must not be negative"),
        (words.positive, "soon", "it is not a number of seconds"),
        (words.positive, "0.04", "it must be from 0.05 to 86400 seconds"),
        (words.positive, "nan", "it must be from 0.05 to 86400 seconds"),
        (words.percent, "-1", "it must be from 0 to 100"),
        (words.percent, "101", "it must be from 0 to 100"),
        (words.percent, "half", "it is not a whole number"),
        (words.address, "0.0.0.0", "it is the unspecified address"),
        (words.owner, "a/b", "which separate the parts of a key"),
        (words.owner, "..", "it has the path part"),
        (words.tags, "{{x}}", "templates are not supported"),
        (words.deregister, "never", "it must be one of always, on-success"),
        (words.health, "starting", "it must be one of any, healthy"),
        (words.family, "IPv6", "it must be one of any, ipv4, ipv6"),
        (words.docker_filter, "label", "it should be NAME=VALUE"),
        (words.docker_filter, "", "it should be NAME=VALUE"),
        (words.docker_filter, " =x", "it should be NAME=VALUE"),
        (words.listen, "80", "it should be HOST:PORT or :PORT"),
        (words.listen, "a b:80", "its host is neither"),
        (words.readable, "/nowhere/file", "it cannot be read"),
        (words.readable, "/", "it cannot be read"),
    ],
    ids=str,
)
def test_what_makes_none(convert: Callable[[str], object], text: str, problem: str) -> None:
    """It is said in plain words."""
    with pytest.raises(ValueError, match=problem):
        convert(text)


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"secret", "secret"), (b"secret\n", "secret"), (b"secret\r\nmore\n", "secret"), (b" a b \n", " a b "), (b"", "")],
    ids=str,
)
def test_the_first_line_of_a_file(tmp_path: Path, content: bytes, line: str) -> None:
    """Without the end of the line, and otherwise as it is."""
    file = tmp_path / "file"
    file.write_bytes(content)
    assert words.first_line(str(file)) == line


def test_a_file_that_is_no_text_cannot_be_read(tmp_path: Path) -> None:
    """What it holds is not shown."""
    file = tmp_path / "file"
    file.write_bytes(b"\xff\xfesecret")
    with pytest.raises(ValueError, match="it cannot be read") as wrong:
        words.first_line(str(file))
    assert "secret" not in str(wrong.value)
