"""Entries that exclude each other: what happens when two want one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from model.entry import Entry, Refusal, RefusalReason, ancestors


def resolve_conflicts(
    decisions: Iterable[Entry | Refusal], path: Callable[[Entry], str]
) -> tuple[tuple[Entry, ...], tuple[Refusal, ...]]:
    """Of several entries that exclude each other the first stays, and the others are refused: those with one path, and
    those of which one's path is a directory of the other's."""
    entries: dict[str, Entry] = {}
    directories: dict[str, Entry] = {}
    refusals: list[Refusal] = []
    for decision in decisions:
        if isinstance(decision, Refusal):
            refusals.append(decision)
            continue
        own = path(decision)
        above = tuple(ancestors(own))
        holders = (*map(entries.get, (own, *above)), directories.get(own))
        if holder := next(filter(None, holders), None):
            refusals.append(_duplicate(decision, own, holder, path(holder)))
            continue
        entries[own] = decision
        directories |= dict.fromkeys(above, decision)
    return tuple(sorted(entries.values(), key=lambda each: each.identity)), tuple(refusals)


def _duplicate(entry: Entry, path: str, holder: Entry, held: str) -> Refusal:
    instead = "" if held == path else f", which leaves no room for {path}"
    detail = f"container {holder.container.name!r} already has {held}{instead}"
    return Refusal(entry.container, entry.container_port, RefusalReason.DUPLICATE, detail)
