"""Words of the command line to values. Each raises ValueError in plain words for what makes no sense."""

from __future__ import annotations

from collections.abc import Callable

from controller.errors import one_line
from controller.host_port import HostPort
from model.address import address_problem
from model.family import UNSPECIFIED, Family
from model.keys import key_part_problem
from model.layout import ValueFormat
from model.metadata import split_tags
from model.rules import Deregister, HealthRule

#: Stands between the words of a flag that was given several times: no command line or variable can hold it.
BETWEEN = "\0"

#: Metrics are for scraping from another host, as those of other exporters.
EVERYWHERE = "0.0.0.0"  # noqa: S104 - to be scraped from another host


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("it is not a whole number") from None


def not_negative(text: str) -> int:
    """A whole number from 0 up."""
    if (number := whole(text)) < 0:
        raise ValueError("it must not be negative")
    return number


def positive(text: str) -> float:
    """Seconds, from 0.05 to a day."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError("it is not a number of seconds") from None
    if not 0.05 <= number <= 86400:
        raise ValueError("it must be from 0.05 to 86400 seconds")
    return number


def percent(text: str) -> int:
    """A whole number from 0 to 100."""
    if not 0 <= whole(text) <= 100:
        raise ValueError("it must be from 0 to 100")
    return int(text)


def readable(text: str) -> str:
    """The path of a file that can be read."""
    first_line(text)
    return text


def first_line(path: str) -> str:
    """The first line of the file at this path."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"it cannot be read: {one_line(error)}") from None


def address(text: str) -> str:
    """An address that can be registered."""
    if problem := address_problem(text):
        raise ValueError(f"it {problem}")
    return text


def owner(text: str) -> str:
    """A host's name that can stand in an id."""
    problem = (
        "has a ':' or '/', which separate the parts of a key" if {":", "/"} & set(text) else key_part_problem(text)
    )
    if problem:
        raise ValueError(f"it {problem}")
    return text


def tags(text: str) -> tuple[str, ...]:
    """Plain tags, separated by commas."""
    if "{{" in text:
        raise ValueError("templates are not supported; give plain tags, separated by commas")
    return split_tags(text)


def deregister(text: str) -> Deregister:
    """When a stopped container loses its entries."""
    return Deregister(one_of([each.value for each in Deregister])(text))


def value_format(text: str) -> ValueFormat:
    """How plain values look."""
    return ValueFormat(one_of([each.value for each in ValueFormat])(text))


def health(text: str) -> HealthRule:
    """Whose HEALTHCHECK counts."""
    return HealthRule(one_of([each.value for each in HealthRule])(text))


def family(text: str) -> Family:
    """Which addresses may be registered."""
    return Family(one_of([each.value for each in Family])(text))


def docker_filter(text: str) -> tuple[str, str]:
    """Name and value of a filter of ``docker ps``, read as that does; what they mean is the engine's business."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError("it should be NAME=VALUE, as in label=com.example.public or label=tier=web")
    return name.strip().lower(), value.strip()


def one_of(choices: list[str] | tuple[str, ...]) -> Callable[[str], str]:
    """A reader of one of these words."""

    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}")
        return text

    return convert


def listen(text: str) -> HostPort:
    """Where to listen."""
    if ":" not in text:
        raise ValueError("it should be HOST:PORT or :PORT")
    host, port = HostPort.parse(text, "")
    if host not in UNSPECIFIED and (problem := address_problem(host)):
        raise ValueError(f"its host {problem}")
    return HostPort(host or EVERYWHERE, port)
