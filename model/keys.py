"""Text that becomes a part of a key, and text of others that is shown in a message."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: The longest part of a key, in bytes of UTF-8.
MAX_PART_BYTES = 255
#: The longest name or id, in bytes of UTF-8.
MAX_BYTES = 1024
#: The most parts that a name or id may have. No name that people use comes near it. A reader of etcd's JSON must not be
#: led hundreds of levels deep.
MAX_PARTS = 32

#: The most characters of somebody else's text that a message shows.
_MAX_SHOWN = 100

#: The characters that stand for bytes that are not UTF-8: U+FFFD in etcd's v2 answers, surrogates in keys read by v3.
_NO_UTF8 = re.compile(r"[\ufffd\ud800-\udfff]")

_DIGITS = re.compile(r"([0-9]+)")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def quoted(text: str) -> str:
    """Return somebody else's text as it is shown in a message: in quotes, escaped, and cut short where it is long."""
    return repr(text) if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]!r}…"


def by_number(text: str) -> tuple[object, str]:
    """Return a key to sort text by, with which ``app-2`` comes before ``app-10``: runs of digits count as numbers."""
    # Between two runs of digits is always text, so a number is never compared with text.
    words: list[object] = [*_DIGITS.split(text)]
    words[1::2] = [(len(digits.lstrip("0")), digits.lstrip("0")) for digits in _DIGITS.findall(text)]
    return words, text


def ancestors(path: str) -> Iterator[str]:
    """Yield the directories that ``path`` lies in, the innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def is_utf8(key: str) -> bool:
    """Return whether a key that was read is certainly UTF-8. Otherwise its text may stand for another key, too."""
    return not _NO_UTF8.search(key)


def key_part_problem(text: str) -> str | None:
    """Return why ``text`` cannot be a name or an id, or None when it can be one.

    The text may hold slashes, and its parts become parts of an etcd key. An empty part, ``.`` and ``..`` would lead to
    another place, and etcd's v2 API hides a part that begins with ``_`` from every listing.
    """
    if not text:
        return "is empty"
    parts = text.split("/")
    if len(parts) > MAX_PARTS:
        return f"has more than {MAX_PARTS} parts"
    if len(text.encode(errors="replace")) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    return next(filter(None, map(_part_problem, parts)), None)


#: The characters that --strict-names allows: no template language, configuration file or shell gives any of them a
#: meaning of its own in the middle of a word.
_STRICT_NAME = re.compile(r"[A-Za-z0-9-]")
_STRICT_ID = re.compile(r"[A-Za-z0-9_.:-]")


def strict_name_problem(text: str) -> str | None:
    """Return why --strict-names refuses ``text`` as a name, or None when it does not."""
    return _strict_problem(text, _STRICT_NAME, "letters, digits and '-'")


def strict_id_problem(text: str) -> str | None:
    """Return why --strict-names refuses ``text`` as an id, or None when it does not."""
    return _strict_problem(text, _STRICT_ID, "letters, digits, '-', '_', '.' and ':'")


def _strict_problem(text: str, allowed: re.Pattern[str], in_words: str) -> str | None:
    bad = next((character for character in text if not allowed.fullmatch(character)), None)
    return f"has the character {bad!r}, and --strict-names allows only ASCII {in_words}" if bad else None


def _part_problem(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return f"has the path part {part!r}"
    if part.startswith("_"):
        return f"has a part that begins with '_', which etcd hides: {quoted(part)}"
    if _CONTROL.search(part):
        return f"has a control character: {quoted(part)}"
    if not is_utf8(part):
        return f"has the character U+FFFD, which stands for bytes that are no UTF-8: {quoted(part)}"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"has a part longer than {MAX_PART_BYTES} bytes"
    return None
