"""Convert the text of each option to its value.

Each converter raises ValueError for a text that makes no sense. The message continues a sentence that names the option,
as in "--interval '0': it must be from 0.05 to 86400 seconds".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address

from controller.effects.files import UnusableFile, check_readable, password_in, token_in
from model.address import address_problem
from model.family import Family
from model.host_port import HostPort
from model.keys import key_part_problem
from model.layout import ValueFormat
from model.metadata import split_tags
from model.rules import Deregister, HealthRule
from model.skydns import MAX_TTL
from model.tag_template import BadTemplate, check_templates, has_templates

#: Separates the values of an option that was given several times. No command line and no environment variable can
#: contain this character.
SEPARATOR = "\0"

#: The longest duration in seconds: a year.
MAX_DURATION = 365 * 86400.0

#: The host of ``--listen :PORT``: every interface, so that Prometheus can scrape from another host.
ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - to be scraped from another host


def whole(text: str) -> int:
    """Convert to a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("it is not a whole number") from None


def not_negative(text: str) -> int:
    """Convert to a whole number that is 0 or more."""
    if (number := whole(text)) < 0:
        raise ValueError("it must not be negative")
    return number


def record_ttl(text: str) -> int:
    """Convert to the TTL of a DNS record in seconds."""
    if not 0 <= whole(text) <= MAX_TTL:
        raise ValueError(f"it must be from 0 to {MAX_TTL} seconds")
    return int(text)


def seconds(text: str) -> float:
    """Convert to a number of seconds, from 0.05 to a day."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError("it is not a number of seconds") from None
    if not 0.05 <= number <= 86400:
        raise ValueError("it must be from 0.05 to 86400 seconds")
    return number


#: The seconds in each unit of a duration.
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

_DURATION = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>[smhd]?)", re.ASCII)


def duration(text: str) -> float:
    """Convert a duration such as ``90s``, ``30m``, ``2h``, ``1d`` or ``90`` to seconds, up to a year."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("it is no duration such as 90s, 30m, 2h or 1d")
    seconds = float(match["number"]) * _UNITS[match["unit"]]
    if seconds > MAX_DURATION:
        raise ValueError("it is longer than a year")
    return seconds


def percent(text: str) -> int:
    """Convert to a whole number from 0 to 100."""
    if not 0 <= whole(text) <= 100:
        raise ValueError("it must be from 0 to 100")
    return int(text)


def readable_file(path: str) -> str:
    """Return the path if it is that of a file that can be read."""
    try:
        check_readable(path)
    except UnusableFile as error:
        raise ValueError(f"it {error.problem}") from None
    return path


def password(path: str) -> str:
    """Return the password in the first line of the file at this path."""
    try:
        return password_in(path)
    except UnusableFile as error:
        raise ValueError(f"it {error.problem}") from None


def token_file(path: str) -> str:
    """Return the path if it is that of a file with a token."""
    try:
        token_in(path)
    except UnusableFile as error:
        raise ValueError(f"it {error.problem}") from None
    return path


def address(text: str) -> str:
    """Return the text if it is an IP address or host name that can be registered."""
    if problem := address_problem(text):
        raise ValueError(f"it {problem}")
    return text


def owner(text: str) -> str:
    """Return the text if it is a host's name that can be part of an entry's id."""
    problem = (
        "has a ':' or '/', which separate the parts of a key" if {":", "/"} & set(text) else key_part_problem(text)
    )
    if problem:
        raise ValueError(f"it {problem}")
    return text


def tags(text: str) -> tuple[str, ...]:
    """Convert to the tags between the commas, or to one text if it has templates, as a comma may be a part of one."""
    if not has_templates(text):
        return split_tags(text)
    try:
        check_templates(text)
    except BadTemplate as error:
        raise ValueError(f"it {error}; give plain tags, separated by commas") from None
    return (text,)


def deregister(text: str) -> Deregister:
    """Convert to the rule for the entries of stopped containers."""
    return Deregister(one_of([each.value for each in Deregister])(text))


def value_format(text: str) -> ValueFormat:
    """Convert to the format of values in the plain layout."""
    return ValueFormat(one_of([each.value for each in ValueFormat])(text))


def health(text: str) -> HealthRule:
    """Convert to the rule about HEALTHCHECKs."""
    return HealthRule(one_of([each.value for each in HealthRule])(text))


def family(text: str) -> Family:
    """Convert to the families of addresses that may be registered."""
    return Family(one_of([each.value for each in Family])(text))


def docker_filter(text: str) -> tuple[str, str]:
    """Split a filter as ``docker ps --filter`` does, into name and value. The engine checks what they mean."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError("it should be NAME=VALUE, as in label=com.example.public or label=tier=web")
    return name.strip().lower(), value.strip()


def one_of(choices: list[str] | tuple[str, ...]) -> Callable[[str], str]:
    """Return a converter that accepts these texts only."""

    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return text

    return convert


def listen(text: str) -> HostPort:
    """Convert to the address to listen at, with an IP address in its shortest form. A text without a host means every
    interface. The address may have a zone, because this host alone has to understand it."""
    if ":" not in text or {"/", "@"} & set(text):
        raise ValueError("it should be HOST:PORT or :PORT")
    host, port = HostPort.parse(text, "")
    try:
        return HostPort(str(ip_address(host or ALL_INTERFACES)), port)
    except ValueError:
        if problem := address_problem(host):
            raise ValueError(f"its host {problem}") from None
        return HostPort(host, port)
