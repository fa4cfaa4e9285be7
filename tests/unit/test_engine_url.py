"""URLs of the Docker engine."""

from __future__ import annotations

import re

import pytest

from controller.config.engine_url import engine_url


@pytest.mark.parametrize(
    "url",
    [
        "unix:///var/run/docker.sock",
        "unix://",
        "http+unix:///run/docker.sock",
        "tcp://10.0.0.9:2375",
        "TCP://core-01:2375",
        "tcp://[::1]:2375/",
        "http://core-01:2375",
        "https://core-01:2376",
        "10.0.0.9:2375",
    ],
)
def test_what_the_docker_sdk_can_use_is_accepted(url: str) -> None:
    """The text is returned as it is."""
    assert engine_url(url) == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("banana", "it is no URL; give unix:///PATH or tcp://HOST:PORT"),
        ("docker.sock", "it is no URL; give unix:///PATH or tcp://HOST:PORT"),
        ("/var/run/docker.sock", "a socket is written unix:///PATH; give unix:///var/run/docker.sock"),
        ("unix:/var/run/docker.sock", "a socket is written unix:///PATH; give unix:///var/run/docker.sock"),
        ("unix://var/run/docker.sock", "its path is not absolute; give unix:///var/run/docker.sock"),
        ("ssh://me@core-01", "ssh:// is not supported; forward the engine's socket with ssh -nNT -L"),
        ("npipe:////./pipe/docker_engine", "npipe:// works on Windows only; give unix:///PATH or tcp://HOST:PORT"),
        ("fd://", "fd:// is for the engine itself"),
        ("ftp://core-01", "the scheme 'ftp' is not supported; give unix:///PATH or tcp://HOST:PORT"),
        ("tcp://", "it has no port; give tcp://HOST:PORT, where the port is usually 2375, or 2376 with TLS"),
        ("tcp://core-01", "it has no port; "),
        ("tcp://core-01:", "it has no port; "),
        ("tcp://[::1]", "it has no port; "),
        ("https://core-01/", "it has no port; "),
        ("tcp://:2375", "it has no host; give tcp://HOST:PORT"),
        ("tcp:core-01:2375", "it is no URL; give unix:///PATH or tcp://HOST:PORT"),
        ("tcp://core-01:http", "'http' is not a port number"),
        ("tcp://core-01:70000", "'70000' is not a port number"),
        ("tcp://::1:2375", "the IPv6 address in '::1:2375' needs brackets"),
        ("tcp://a b:2375", "its host is neither an IP address nor a host name"),
    ],
)
def test_what_cannot_be_an_engine_is_refused_with_what_would_be_right(url: str, problem: str) -> None:
    """Waiting would not help, so the agent does not begin."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        engine_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "tcp://me@core-01:2375",
        "tcp://me:secret@core-01:2375",
        "me:secret@core-01:2375",
        "banana@core-01",
        "https://me:sec/secret@core-01:2376",
        "me:secret@ftp://core-01",
        "unix://me:secret@core-01",
    ],
)
def test_a_url_with_a_user_is_refused_and_its_password_not_shown(url: str) -> None:
    """An engine asks for none, but some people write one into its URL."""
    with pytest.raises(ValueError, match=r"must not contain a user|is not supported|not absolute") as wrong:
        engine_url(url)
    assert "sec" not in str(wrong.value)
