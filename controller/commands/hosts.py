"""Show who writes to a registry: ``wharfinger hosts``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

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
from model.drain_order import moment_of, until_text
from model.survey import SurveyedOwner

_HEADINGS = ("OWNER", "ENGINE", "VERSION", "ENTRIES", "ALIVE", "DRAINING")


@frozen
class HostsOptions:
    """The command line options of ``wharfinger hosts`` alone."""

    #: ``table`` or ``json``.
    output: str


def list_hosts(options: HostsOptions, places: SurveyedPlaces, effects: Effects) -> ExitCode:
    """Print all owners, and return the exit code. Raises Stop for credentials that cannot be used."""
    surveys, now = open_surveys(places, effects), effects.clock.wall()
    read_all(surveys, effects)
    if options.output == "json":
        print_json(surveys, partial(_document, this_owner=places.this_owner, now=now))
    else:
        print_text(surveys, partial(_lines, this_owner=places.this_owner, now=now))
    return exit_code(surveys)


def _document(survey: RegistrySurvey, this_owner: str, now: float) -> dict[str, Any]:
    return {"hosts": [_owner_document(each, this_owner) for each in survey.findings.owners(now)]}


def _owner_document(owner: SurveyedOwner, this_owner: str) -> dict[str, Any]:
    return {
        "owner": owner.name,
        "this_host": owner.name == this_owner,
        "recorded": owner.recorded,
        "engine": owner.engine or None,
        "version": owner.version or None,
        "entries": owner.entries,
        "alive": owner.alive.value,
        "draining": _drain_document(owner),
    }


def _drain_document(owner: SurveyedOwner) -> dict[str, Any]:
    order = owner.drain_order
    containers = sorted(order.containers.values(), key=lambda each: (each.name, each.id))
    return {
        "readable": not owner.drain_order_unreadable,
        "all": order.all_until is not None,
        "all_until": None if order.all_until is None else moment_of(order.all_until),
        "containers": [{"id": each.id, "name": each.name, "until": moment_of(each.until)} for each in containers],
    }


def _lines(survey: RegistrySurvey, this_owner: str, now: float) -> list[str]:
    owners = survey.findings.owners(now)
    table: Sequence[Sequence[str]] = [_HEADINGS, *map(_row, owners)]
    if this_owner:
        table = marked(table, [each.name == this_owner for each in owners])
    lines = table_lines(table, terminal_width(sys.stdout)) if owners else []
    return [*lines, f"{len(owners)} {'host' if len(owners) == 1 else 'hosts'}."]


def _row(owner: SurveyedOwner) -> tuple[str, ...]:
    return (
        owner.name,
        (owner.engine or "-") if owner.recorded else "no owner record",
        owner.version or "-",
        str(owner.entries),
        owner.alive.value,
        _drain_text(owner),
    )


def _drain_text(owner: SurveyedOwner) -> str:
    """Return what the operator drains of a host, as a table shows it."""
    order = owner.drain_order
    if owner.drain_order_unreadable:
        return "unreadable"
    parts = [] if order.all_until is None else [f"all{until_text(order.all_until)}"]
    if order.containers:
        last = max(each.until for each in order.containers.values())
        number = len(order.containers)
        parts.append(f"{number} {'container' if number == 1 else 'containers'}{until_text(last)}")
    return ", ".join(parts) or "no"
