"""Templates in tags: what the engine's answer to an inspect says, in the place of ``{{…}}``.

registrator has them in Go's template language. Two forms of it are understood, and everything else is no template here:

==========================================  ==========================================================================
a template                                  what stands in its place
==========================================  ==========================================================================
``{{.Config.Hostname}}``                    the field at this path of the answer. Nothing does if there is none
``{{index .Config.Labels "tier"}}``         what a mapping has under this key; an empty text if it has no such key
``{{index .HostConfig.Dns 0}}``             this element of a list, counted from 0. Nothing does if there is none
==========================================  ==========================================================================

Text, whole numbers and truth values are written as Go prints them. Nothing stands for what is anything else, such as a
list. There may be spaces around each part. A key stands in double quotes, without backslashes, or in backquotes.
``.ID`` is the field ``Id``, as Go programs call it.

A container's labels may come with its image, so a template may be written by somebody who should not know what the
operator tells the container. Therefore no template reads a field of SECRET_FIELDS.

No library does this. What is written for Python has another language, and to write Go's in full would let an image
choose loops and functions that the agent runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from model.keys import quoted

#: The most characters of a text with templates, and of what becomes of one. A JSON value can be no longer.
LIMIT = 65536

#: The fields that hold what an operator tells a container alone: its environment, its command lines with the passwords
#: in them, and the options of its log driver. The output of its health checks is its own secret.
SECRET_FIELDS: tuple[tuple[str, ...], ...] = (
    ("Config", "Env"),
    ("Config", "Cmd"),
    ("Config", "Entrypoint"),
    ("Config", "CreateCommand"),
    ("Config", "Healthcheck"),
    ("Path",),
    ("Args",),
    ("HostConfig", "LogConfig"),
    ("State", "Health", "Log"),
)

_OPENING = "{{"

_FIELD = r"(?:\.[A-Za-z_][A-Za-z0-9_]*)+"
_SPACE = r"[ \t\r\n]"
_TEMPLATE = re.compile(
    rf"\{{\{{{_SPACE}*(?:(?P<path>{_FIELD})"
    rf"|index{_SPACE}+(?P<of>{_FIELD}){_SPACE}+"
    rf'(?:"(?P<key>[^"\\\n]*)"|`(?P<raw>[^`]*)`|(?P<number>[0-9]{{1,6}}))){_SPACE}*\}}\}}',
    re.ASCII,
)


class BadTemplate(ValueError):
    """A template cannot be replaced. The message is the end of a sentence that begins with what has the template."""


@frozen
class Query:
    """What a template asks for."""

    path: tuple[str, ...]
    #: The key of a mapping, or the number of an element of a list; None for the field itself.
    key: str | int | None = None
    #: The template as it was written, for messages.
    text: str = field(default="", eq=False)

    @property
    def is_secret(self) -> bool:
        """Whether it asks for a secret field, or for a part of one."""
        whole = (*self.path, *([self.key] if isinstance(self.key, str) else []))
        return any(whole[: len(secret)] == secret for secret in SECRET_FIELDS)

    def answer(self, document: Mapping[str, Any]) -> str | None:
        """Return what the answer to an inspect says; None if it says nothing that can be written."""
        found: Any = document
        for name in self.path:
            if not (isinstance(found, dict) and name in found):
                return None
            found = found[name]
        match self.key:
            case str(key):
                found = (found or {}).get(key, "") if isinstance(found, dict | None) else None
            case int(number):
                found = found[number] if isinstance(found, list) and number < len(found) else None
        return _printed(found)


def has_templates(text: str) -> bool:
    """Return whether a text has templates, be they understood or not."""
    return _OPENING in text


def queries_in(text: str) -> frozenset[Query]:
    """Return what the templates of a text ask for; nothing if one of them is bad."""
    try:
        return frozenset(part for part in _parts(text) if isinstance(part, Query))
    except BadTemplate:
        return frozenset()


def check_templates(text: str) -> None:
    """Raise BadTemplate for a text with a template that no container can answer."""
    for _ in _parts(text):
        pass


def expanded(text: str, answers: Mapping[Query, str]) -> str:
    """Return a text with the answers in the place of its templates. Raises BadTemplate."""
    pieces, length = [], 0
    for part in [*_parts(text)]:  # A text with a bad template has no answers, so what is bad is found first.
        if isinstance(part, Query) and part not in answers:
            told = "as text, a whole number, true or false"
            raise BadTemplate(f"asks for {quoted(part.text)}, and the engine does not tell that {told}")
        pieces.append(answers[part] if isinstance(part, Query) else part)
        length += len(pieces[-1])
        if length > LIMIT:
            raise BadTemplate(f"has templates that make more than {LIMIT} characters")
    return "".join(pieces)


def _parts(text: str) -> Iterator[str | Query]:
    """Yield the parts of a text: plain text and templates. Raises BadTemplate when it comes to a bad one."""
    if len(text) > LIMIT:
        raise BadTemplate(f"has templates and more than {LIMIT} characters")
    end = 0
    while (begin := text.find(_OPENING, end)) >= 0:
        yield text[end:begin]
        found = _TEMPLATE.match(text, begin)
        if not found:
            written, closing, _ = text[begin:].partition("}}")
            understood = '{{.Field}} and {{index .Field "key"}}'
            raise BadTemplate(f"has {quoted(written + closing)}, and only {understood} are understood")
        query = _query(found)
        if query.is_secret:
            raise BadTemplate(f"asks for {quoted(query.text)}, which may have secrets in it")
        yield query
        end = found.end()
    yield text[end:]


def _query(found: re.Match[str]) -> Query:
    """Return what a template asks for."""
    first, *others = (found["path"] or found["of"]).strip(".").split(".")
    path = ("Id" if first == "ID" else first, *others)
    if found["number"]:
        return Query(path, int(found["number"]), found[0])
    return Query(path, found["key"] if found["raw"] is None else found["raw"], found[0])


def _printed(value: Any) -> str | None:
    """Return a value as Go prints it; None for one that cannot be a part of a tag."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None
