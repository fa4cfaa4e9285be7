"""Texts for the operator."""

from __future__ import annotations

import pytest

from controller.errors import masked, one_line


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("etcd://a:1/services", "etcd://a:1/services"),
        ("etcd://user:secret@a:1/services", "etcd://***@a:1/services"),
        ("etcd://user:sec@ret@a:1,b:2/x", "etcd://***@a:1,b:2/x"),
        ("etcd://user:sec/ret@a:1/x", "etcd://***@a:1/x"),
        ("etcd://user:sec://ret@a:1/x", "etcd://***@a:1/x"),
        ("etcd://user:sec\nret@a:1/x", "etcd://***@a:1/x"),
        ("etcd:/user:secret@a:1/x", "***@a:1/x"),
        ("user:secret@a:2375", "***@a:2375"),
        ("user:secret@etcd://a", "***@etcd://a"),
        ("http+unix://user:secret@a", "http+unix://***@a"),
        ("rubbish", "rubbish"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    """Some people write them into a URL, whatever it is for."""
    assert masked(url) == shown


def test_a_message_is_one_line_without_control_characters() -> None:
    """It can hold what another program has sent. An error without a message is named by its type."""
    assert one_line(ValueError("a\n\tb \x1b[31mc")) == r"a b \x1b[31mc"
    assert len(one_line(ValueError("x" * 1000))) == 300
    assert one_line(ValueError()) == "ValueError"
