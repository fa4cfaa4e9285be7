"""The converters of single options. test_settings is about whole command lines."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.config import converters
from model.family import Family
from model.host_port import HostPort
from model.rules import Deregister, HealthRule
from tests.support.unprivileged import as_nobody


def name_or_text(value: object) -> str:
    """Return how a value is shown in the name of a test: the same in every process, also for a function."""
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize(
    ("convert", "text", "value"),
    [
        (converters.whole, "-1", -1),
        (converters.not_negative, "0", 0),
        (converters.seconds, "0.05", 0.05),
        (converters.seconds, "86400", 86400.0),
        (converters.duration, "90", 90.0),
        (converters.duration, "90s", 90.0),
        (converters.duration, " 1.5m ", 90.0),
        (converters.duration, "2h", 7200.0),
        (converters.duration, "365d", 31536000.0),
        (converters.duration, "0", 0.0),
        (converters.percent, "0", 0),
        (converters.percent, "100", 100),
        (converters.address, "10.0.0.1", "10.0.0.1"),
        (converters.address, "host.example", "host.example"),
        (converters.owner, "core-01.example", "core-01.example"),
        (converters.tags, "b,a", ("b", "a")),
        (converters.tags, 'b,{{index .Config.Labels "x,y"}}', ('b,{{index .Config.Labels "x,y"}}',)),
        (converters.deregister, "on-success", Deregister.ON_SUCCESS),
        (converters.one_of(("a", "b")), "b", "b"),
        (converters.health, "healthy", HealthRule.HEALTHY),
        (converters.family, "ipv6", Family.IPV6),
        (converters.docker_filter, "label=tier=web", ("label", "tier=web")),
        (converters.docker_filter, "label=a b,c", ("label", "a b,c")),
        (converters.docker_filter, " Label = x ", ("label", "x")),
        (converters.docker_filter, "name=", ("name", "")),
        (converters.listen, ":80", HostPort("0.0.0.0", 80)),
        (converters.listen, "[::1]:80", HostPort("::1", 80)),
    ],
    ids=name_or_text,
)
def test_a_text_is_converted_to_its_value(convert: Callable[[str], object], text: str, value: object) -> None:
    """Each converter returns the value that the text means."""
    assert convert(text) == value


def test_a_file_that_this_user_may_not_read_is_named_with_the_user(tmp_path: Path) -> None:
    """The message has the number of the user, and the name if there is one."""
    file = tmp_path / "key.pem"
    file.touch(mode=0)
    with as_nobody():
        uid = os.geteuid()
        with pytest.raises(ValueError, match=rf"cannot be read by user '\w+' \(uid {uid}\): Permission denied\. Give"):
            converters.readable_file(str(file))


@pytest.mark.parametrize(
    ("convert", "text", "problem"),
    [
        (converters.whole, "1.5", "it is not a whole number"),
        (converters.not_negative, "-1", "it must not be negative"),
        (converters.seconds, "soon", "it is not a number of seconds"),
        (converters.seconds, "0.04", "it must be from 0.05 to 86400 seconds"),
        (converters.seconds, "nan", "it must be from 0.05 to 86400 seconds"),
        (converters.duration, "", "it is no duration such as 90s, 30m, 2h or 1d"),
        (converters.duration, "soon", "it is no duration such as 90s, 30m, 2h or 1d"),
        (converters.duration, "-1s", "it is no duration such as 90s, 30m, 2h or 1d"),
        (converters.duration, "1w", "it is no duration such as 90s, 30m, 2h or 1d"),
        (converters.duration, "366d", "it is longer than a year"),
        (converters.duration, "9" * 400, "it is longer than a year"),
        (converters.percent, "-1", "it must be from 0 to 100"),
        (converters.percent, "101", "it must be from 0 to 100"),
        (converters.percent, "half", "it is not a whole number"),
        (converters.address, "0.0.0.0", "it is the unspecified address"),
        (converters.owner, "a/b", "which separate the parts of a key"),
        (converters.owner, "..", "it has the path part"),
        (
            converters.tags,
            "{{x}}",
            r"it has '{{x}}', and only {{.Field}} and {{index .Field \"key\"}} are understood; gi",
        ),
        (
            converters.tags,
            "a,{{.Config.Env}}",
            "it asks for '{{.Config.Env}}', which may have secrets in it; give plain",
        ),
        (converters.deregister, "never", "it must be one of always, on-success"),
        (converters.health, "starting", "it must be one of any, healthy"),
        (converters.family, "IPv6", "it must be one of any, ipv4, ipv6"),
        (converters.docker_filter, "label", "it should be NAME=VALUE"),
        (converters.docker_filter, "", "it should be NAME=VALUE"),
        (converters.docker_filter, " =x", "it should be NAME=VALUE"),
        (converters.listen, "80", "it should be HOST:PORT or :PORT"),
        (converters.listen, "http://10.0.0.1:80", "^it should be HOST:PORT or :PORT$"),
        (converters.listen, "agent:secret@10.0.0.1:80", "^it should be HOST:PORT or :PORT$"),
        (converters.listen, "10.0.0.1:80@secret", "^it should be HOST:PORT or :PORT$"),
        (converters.listen, "a b:80", "its host is neither"),
        (converters.readable_file, "/nowhere/file", "it cannot be read"),
        (converters.readable_file, "/", "it cannot be read"),
        (converters.token_file, "/nowhere/file", "it cannot be read"),
        (converters.token_file, "/", "it is no regular file"),
    ],
    ids=name_or_text,
)
def test_a_text_that_makes_no_sense_is_refused(convert: Callable[[str], object], text: str, problem: str) -> None:
    """The message says what is wrong with it."""
    with pytest.raises(ValueError, match=problem):
        convert(text)
