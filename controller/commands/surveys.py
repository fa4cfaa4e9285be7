"""Reading everything of one or several registries, for the commands that show it: ``wharfinger list`` and ``hosts``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click
from attrs import frozen

from controller.commands.build import Effects
from controller.commands.exit_codes import ExitCode
from controller.commands.parallel import run_in_parallel
from controller.commands.running_agent import find_agent
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import RawOptions, parse_connection
from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable, Stop, masked, plain
from controller.registry.factory import layout_for, open_surveyor
from model.survey import Findings, Survey

#: Seconds that reading one registry may take.
TIMEOUT = 30.0

#: The version of the JSON documents. It changes if a document can no longer be read as before; new fields do not count.
VERSION = 1


#: What is shown of a registry that was not read.
_NOTHING = Survey({}, {})


@frozen
class SurveyedPlaces:
    """The registries to read."""

    registries: tuple[RegistrySettings, ...]
    #: The owner of the entries of the agent that was asked for the registries; empty if none was asked.
    this_owner: str = ""


def chosen_places(raw: RawOptions, uris: tuple[str, ...], variables: Mapping[str, str], agent: str) -> SurveyedPlaces:
    """Return the registries of these URIs, which are reached as ``raw`` says, or if there is none, those of the running
    agent, whose URL ``agent`` may be. ``variables`` is as for ``parse_settings``. Raises WrongUsage, and Stop if there
    is no agent to ask."""
    if uris:
        return SurveyedPlaces(parse_connection(raw, uris, raw["etcd-password"], variables))
    try:
        found = find_agent(agent)
    except Stop as error:
        raise Stop(f"{error}; or name a registry, as in etcd://127.0.0.1:2379/services") from error
    return SurveyedPlaces(found.registries(), found.owner)


class RegistrySurvey:
    """What was read last of one registry."""

    def __init__(self, settings: RegistrySettings, effects: Effects) -> None:
        """Nothing is read yet. Raises Stop for credentials that cannot be used."""
        self.settings = settings
        #: Why it cannot be read; empty if it was read.
        self.problem = ""
        self._layout = layout_for(settings.uri)
        #: What was read, and what it shows; empty if nothing was read.
        self.survey = _NOTHING
        self.findings = Findings(_NOTHING, self._layout)
        #: How many seconds it took.
        self.seconds = 0.0
        self._surveyor = open_surveyor(settings.uri, settings.credentials, effects.transports)
        self._clock = effects.clock

    @property
    def uri(self) -> str:
        """The registry's URI, without user and password."""
        return masked(self.settings.given)

    def read(self) -> None:
        """Read everything, unless nothing was written since it was last read."""
        begun, deadline = self._clock.monotonic(), Deadline.after(TIMEOUT, self._clock)
        try:
            if self._is_current(deadline):
                return
            self.survey, self.problem = self._surveyor.survey(deadline), ""
        except RegistryUnavailable as error:
            self.survey, self.problem = _NOTHING, str(error)
        self.findings = Findings(self.survey, self._layout)
        self.seconds = self._clock.monotonic() - begun

    def _is_current(self, deadline: Deadline) -> bool:
        """Return whether it was read, and nothing was written since. Raises RegistryUnavailable."""
        known = self.survey.store_position
        return known is not None and self._surveyor.store_position(deadline) == known

    @property
    def cost(self) -> str:
        """What it cost to read it, as a sentence."""
        return (
            f"It took {_counted(self.survey.requests, 'request')} and {self.seconds:.2f} seconds to read "
            f"{_counted(self.survey.keys, 'key')}."
        )

    def document(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said of it in JSON, with what a command ``shown`` of it."""
        cost = {"keys": self.survey.keys, "requests": self.survey.requests, "seconds": round(self.seconds, 3)}
        return {
            "registry": self.settings.label,
            "uri": self.uri,
            "prefix": self.settings.uri.prefix,
            "problem": self.problem or None,
            "cost": cost,
            **shown,
        }


def read_all(surveys: Sequence[RegistrySurvey], effects: Effects) -> None:
    """Read all registries at the same time."""
    run_in_parallel([each.read for each in surveys], effects.background)


def print_json(surveys: Sequence[RegistrySurvey], shown: Callable[[RegistrySurvey], Mapping[str, Any]]) -> None:
    """Print one JSON document about all registries, with what ``shown`` returns for each of them."""
    document = {"version": VERSION, "registries": [each.document(shown(each)) for each in surveys]}
    click.echo(json.dumps(document, indent=2, sort_keys=True))


def print_text(surveys: Sequence[RegistrySurvey], shown: Callable[[RegistrySurvey], Sequence[str]]) -> None:
    """Print the lines that ``shown`` returns for each registry, one registry after the other, each with what it cost to
    read. Of several registries, each has its URI before its lines."""
    for number, each in enumerate(surveys):
        if len(surveys) > 1:
            click.echo(("\n" if number else "") + plain(each.uri))
        if not each.problem:
            click.echo("\n".join([*shown(each), each.cost]))


def exit_code(surveys: Sequence[RegistrySurvey]) -> ExitCode:
    """Print the problem of each registry that cannot be read, and return the exit code."""
    for each in surveys:
        if each.problem:
            start = f"{plain(each.uri)}: " if len(surveys) > 1 else ""
            click.echo(f"wharfinger: {start}{each.problem}", err=True)
    return ExitCode.FAILED if any(each.problem for each in surveys) else ExitCode.IN_SYNC


def open_surveys(places: SurveyedPlaces, effects: Effects) -> list[RegistrySurvey]:
    """Return what reads these registries. Nothing is read yet. Raises Stop for credentials that cannot be used."""
    return [*map(partial(RegistrySurvey, effects=effects), places.registries)]


def marked(rows: Sequence[Sequence[str]], own: Sequence[bool]) -> list[Sequence[str]]:
    """Return the rows of a table with a column before them, in which an asterisk marks the own ones. The mark has a
    column of its own, so that no name can pretend to have it. The first row are the headings."""
    headings, *others = rows
    return [("", *headings), *(("*" if mark else "", *row) for row, mark in zip(others, own, strict=True))]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
