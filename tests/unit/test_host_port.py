"""A host and a port, written ``HOST:PORT``."""

from __future__ import annotations

import pytest

from model.host_port import HostPort


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ("a", 80)),
        ("a:1", ("a", 1)),
        (":1", ("", 1)),
        ("", ("", 80)),
        ("[::1]", ("::1", 80)),
        ("[::1]:1", ("::1", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
    ],
)
def test_host_and_port_are_split(text: str, expected: tuple[str, int]) -> None:
    """The default port is used where none is given."""
    assert HostPort.parse(text, "80") == expected


@pytest.mark.parametrize("text", ["a:", "a:x", "a:0", "a:65536", "a:1000000000000", "a:-1", "a:\u0663", "::1:80"])
def test_a_text_that_is_no_host_and_port_is_refused(text: str) -> None:
    """The message names the part that is wrong."""
    with pytest.raises(ValueError, match=r"not a port number|needs brackets"):
        HostPort.parse(text, "80")
