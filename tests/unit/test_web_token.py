"""The token that the HTTP server asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.observe.web_token import NO_TOKEN, OPEN_PAGES, WebToken
from tests.support.captured_logs import capture_logs

PAGE = "/api/v1/status"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with a token."""
    file = tmp_path / "token"
    file.write_text("correct-horse\nsecond line\n")
    return file


@pytest.fixture
def token(file: Path) -> WebToken:
    """Return what asks for the token in the file."""
    return WebToken(str(file))


@pytest.mark.parametrize("header", ["Bearer correct-horse", "bearer correct-horse", "BEARER  correct-horse "])
def test_whoever_has_the_token_is_admitted(token: WebToken, header: str) -> None:
    """HTTP does not distinguish capital letters in the name of the scheme."""
    assert token.admits(PAGE, header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer correct-horse2",
        "Bearer correct-hors",
        "Basic correct-horse",
        "correct-horse",
        "Bearer second line",
        "Bearer \u20ac",
    ],
)
def test_nobody_else_is(token: WebToken, header: str) -> None:
    """Whatever is sent instead."""
    assert not token.admits(PAGE, header)


@pytest.mark.parametrize("path", sorted(OPEN_PAGES))
def test_health_and_metrics_are_open(token: WebToken, path: str) -> None:
    """What watches the agent needs no token."""
    assert token.admits(path, "")
    assert not token.admits(f"{path}/", "")


@pytest.mark.parametrize("path", ["/", "/api/v1/agent", "/nothing"])
def test_every_other_page_asks_for_the_token(token: WebToken, path: str) -> None:
    """Also one that does not exist."""
    assert not token.admits(path, "")


def test_without_a_file_no_token_is_asked_for() -> None:
    """As before."""
    assert NO_TOKEN.admits(PAGE, "")


def test_a_token_may_have_any_characters(file: Path, token: WebToken) -> None:
    """A client sends them as UTF-8, and the server hands over each byte as one character."""
    file.write_text("grün\n")
    assert token.admits(PAGE, f"Bearer {'grün'.encode().decode('latin-1')}")


def test_a_changed_file_is_read_again(file: Path, token: WebToken) -> None:
    """While it cannot be read, the token that was read before counts."""
    assert token.admits(PAGE, "Bearer correct-horse")
    with capture_logs() as lines:
        file.write_text("another one\n")
        assert token.admits(PAGE, "Bearer another one")
        assert not token.admits(PAGE, "Bearer correct-horse")
        file.unlink()
        assert token.admits(PAGE, "Bearer another one")
    assert [line["log_level"] for line in lines] == ["info", "warning"]


def test_while_no_token_was_ever_read_nobody_is_admitted(file: Path, token: WebToken) -> None:
    """The file has gone since the program started."""
    file.unlink()
    assert not token.admits(PAGE, "Bearer correct-horse")
    file.write_text("correct-horse\n")
    assert token.admits(PAGE, "Bearer correct-horse")
