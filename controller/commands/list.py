"""Show everything in a registry, of all hosts: ``wharfinger list``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

import click
from attrs import frozen

from controller.commands.build import Effects
from controller.commands.exit_codes import ExitCode
from controller.commands.surveys import (
    RegistrySurvey,
    SurveyedPlaces,
    exit_code,
    marked,
    open_surveys,
    print_json,
    print_text,
    read_all,
)
from controller.commands.tables import table_lines, terminal_width
from model.drain_order import moment_of
from model.host_port import HostPort
from model.survey import UNKNOWN_SECONDS, EntryState, SurveyedEntry

#: Seconds between two looks with --watch.
WATCH_INTERVAL = 2.0

#: Characters of a container's id that a table shows, as docker does.
_ID_CHARACTERS = 12

_HEADINGS = ("SERVICE", "ID", "ADDRESS", "OWNER", "CONTAINER", "STATE", "LEASE")
_WIDE_HEADINGS = (*_HEADINGS, "KEY", "DETAIL")


@frozen
class ListOptions:
    """The command line options of ``wharfinger list`` alone."""

    #: Show the entries of this owner alone; empty: of all owners.
    owner: str
    #: ``table``, ``wide`` or ``json``.
    output: str
    #: Whether to print again each time that something has changed, until SIGINT.
    watch: bool


def list_entries(options: ListOptions, places: SurveyedPlaces, effects: Effects) -> ExitCode:
    """Print all entries, and return the exit code. Raises Stop for credentials that cannot be used."""
    surveys = open_surveys(places, effects)
    if options.watch:
        return _watch(options, surveys, places.this_owner, effects)
    read_all(surveys, effects)
    _print(options, surveys, places.this_owner)
    return exit_code(surveys)


def _watch(options: ListOptions, surveys: Sequence[RegistrySurvey], this_owner: str, effects: Effects) -> ExitCode:
    """Print all entries each time that something has changed, until SIGINT."""
    before: Hashable = None
    try:
        while True:
            read_all(surveys, effects)
            now = tuple(_what_counts(each, options) for each in surveys)
            if now != before:
                click.clear()
                if options.output != "json":
                    click.echo(f"At {moment_of(round(effects.clock.wall()))}:")
                _print(options, surveys, this_owner)
                exit_code(surveys)
                before = now
            effects.clock.sleep(WATCH_INTERVAL)
    except KeyboardInterrupt:
        return ExitCode.IN_SYNC


def _what_counts(survey: RegistrySurvey, options: ListOptions) -> Hashable:
    """Return what is shown of a registry, without what changes by itself: how long keys last, and what it cost."""
    entries = [
        (each.stored.key, each.stored.value, each.owner, each.container, each.state, each.detail)
        for each in _entries(survey, options)
    ]
    return survey.problem, tuple(entries)


def _print(options: ListOptions, surveys: Sequence[RegistrySurvey], this_owner: str) -> None:
    if options.output == "json":
        print_json(surveys, partial(_document, options=options, this_owner=this_owner))
    else:
        print_text(surveys, partial(_lines, options=options, this_owner=this_owner))


def _entries(survey: RegistrySurvey, options: ListOptions) -> list[SurveyedEntry]:
    return [each for each in survey.findings.entries if options.owner in {"", each.owner}]


def _document(survey: RegistrySurvey, options: ListOptions, this_owner: str) -> dict[str, Any]:
    return {"entries": [_entry_document(each, this_owner) for each in _entries(survey, options)]}


def _entry_document(entry: SurveyedEntry, this_owner: str) -> dict[str, Any]:
    address, port = entry.place or (None, None)
    left = entry.stored.ttl
    return {
        "key": entry.stored.key,
        "value": entry.stored.value,
        "service": entry.service,
        "id": entry.id,
        "address": address,
        "port": port,
        "owner": entry.owner or None,
        "this_host": bool(entry.owner) and entry.owner == this_owner,
        "container": entry.container or None,
        "state": entry.state.value,
        "detail": entry.detail or None,
        "expires": left is not None,
        "seconds_left": None if left == UNKNOWN_SECONDS else left,
    }


def _lines(survey: RegistrySurvey, options: ListOptions, this_owner: str) -> list[str]:
    entries, wide = _entries(survey, options), options.output == "wide"
    rows = [_row(each, wide=wide) for each in entries]
    width = None if wide else terminal_width(sys.stdout)
    table: Sequence[Sequence[str]] = [_WIDE_HEADINGS if wide else _HEADINGS, *rows]
    if this_owner:
        table = marked(table, [each.owner == this_owner for each in entries])
    return [*(table_lines(table, width) if rows else []), _summary(entries)]


def _row(entry: SurveyedEntry, *, wide: bool) -> tuple[str, ...]:
    row = (
        entry.service or "-",
        entry.id,
        str(HostPort(*entry.place)) if entry.place else "-",
        entry.owner or "-",
        _container_text(entry.container),
        entry.state.value,
        _lease_text(entry.stored.ttl),
    )
    return (*row, entry.stored.key, entry.detail or "-") if wide else row


def _container_text(container: str) -> str:
    """Return a container as a table shows it: by its name, or by the beginning of its id."""
    is_id = len(container) == 64 and all(each in "0123456789abcdef" for each in container)
    return container[:_ID_CHARACTERS] if is_id else container or "-"


def _lease_text(left: int | None) -> str:
    """Return as a table shows it how long a key lasts."""
    if left is None:
        return "-"
    return "?" if left == UNKNOWN_SECONDS else f"{left}s"


def _summary(entries: Sequence[SurveyedEntry]) -> str:
    """Return how many entries there are, in all and by state."""
    counts = Counter(each.state for each in entries)
    by_state = ", ".join(f"{counts[state]} {state.value}" for state in EntryState if counts[state])
    noun = "entry" if len(entries) == 1 else "entries"
    return f"{len(entries)} {noun}{': ' if by_state else ''}{by_state}."
