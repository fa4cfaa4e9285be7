"""An explanation as text for people: the answer first, then the ports, and then what the registries hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from controller.commands.tables import table_lines
from controller.errors import plain
from model.explanation import Verdict

#: How a row that belongs to the line above begins.
_INDENT = "  "

#: The verdicts after which it is not known which keys to look for.
_NO_KEYS_KNOWN = frozenset({Verdict.AMBIGUOUS.value, Verdict.UNKNOWN.value})

#: The characters of an id that are shown, as by docker.
_SHORT_ID = 12

Document = Mapping[str, Any]


def as_text(document: Document) -> str:
    """Return the lines of an explanation. What several registries have in common is said once."""
    lines: list[str] = []
    for _, group in groupby(document["registries"], key=lambda each: [*_answer(each)]):
        registries = [*group]
        lines += [*_answer(registries[0]), *(line for each in registries for line in _registry(each))]
    return "\n".join(lines)


def _answer(registry: Document) -> Iterator[str]:
    """Yield what was decided, without what the registry holds."""
    yield plain(registry["answer"])
    if registry["similar"]:
        yield f"Names like it: {', '.join(map(plain, registry['similar']))}."
    yield from _table([(each["id"][:_SHORT_ID], each["name"] or "") for each in registry["candidates"]])
    for port, line in zip(
        registry["ports"], _table([_port(each, registry) for each in registry["ports"]]), strict=True
    ):
        yield line
        if port["state"] != "refused":
            yield from _table([row for entry in port["entries"] for row in _entry(entry)], _INDENT * 2)


def _port(port: Document, registry: Document) -> tuple[str, str, str]:
    """Return a port, what was decided about it, and why. What the answer says already is not said again."""
    why = port["reason"] if port["why"] in registry["answer"] else port["why"]
    return port["port"], port["state"].replace("-", " "), why or ""


def _entry(entry: Document) -> Iterator[tuple[str, str, str]]:
    """Yield the parts of an entry, each with what gives it."""
    yield "name", entry["service"], f"from {entry['service_from']}"
    yield "id", entry["id"], f"from {entry['id_from']}"
    yield "address", f"{entry['address']}:{entry['port']}", f"from {entry['address_from']}"


def _registry(registry: Document) -> Iterator[str]:
    """Yield what a registry holds of the container."""
    if registry["keys"]:
        yield f"{plain(registry['uri'])}:"
        yield from _table([_key(each) for each in registry["keys"]])
    elif registry["verdict"] not in _NO_KEYS_KNOWN:
        yield f"{plain(registry['uri'])} holds no key of it."
    last = registry["last_pass"]
    if last["problem"]:
        yield f"{_INDENT}The last pass ended in {last['result']}: {plain(last['problem'])}"


def _key(key: Document) -> tuple[str, str, str, str]:
    owner = f"host {key['owner']}" if key["state"] == "other-host" else key["state"]
    return key["key"], "-" if key["stored"] is None else key["stored"], owner, key["what"]


def _table(rows: list[tuple[str, ...]], indent: str = _INDENT) -> Iterator[str]:
    """Yield the lines of a table. They are whole, because the reason stands at their end."""
    return (f"{indent}{line}" for line in table_lines(rows)) if rows else iter(())
