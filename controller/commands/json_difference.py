"""How two JSON values differ, in one line for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

#: What stands for a field that one of the values does not have.
_NONE = "none"


def json_difference(before: str, after: str) -> str:
    """Return the fields in which two JSON objects differ, with the values of both: ``port: 8000 -> 9000, ttl: none ->
    30``. Return an empty text if one of the texts is no JSON object, or if they are the same object."""
    try:
        old, new = _fields(before), _fields(after)
    except (ValueError, RecursionError):  # Others can write anything into a key.
        return ""
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ", ".join(f"{name}: {old.get(name, _NONE)} -> {new.get(name, _NONE)}" for name in names)


def _fields(text: str) -> dict[str, str]:
    """Return the texts of the fields of a JSON object by their names. Raises ValueError if the text is no object, and
    RecursionError if it has too many objects within each other."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return dict(_flat(value))


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each field. Those of an object within have the names of both: ``attrs.weight``."""
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
