"""Taking a host out of every registry that is named, with a word to the operator: ``wharfinger deregister``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import click
from attrs import frozen

from controller.clock import Clock
from controller.commands.exit_codes import IN_SYNC, WRONG
from controller.commands.parallel import side_by_side
from controller.commands.render import removal
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import OwnerSettings
from controller.errors import RegistryUnavailable, Stop
from controller.reconcile.deregister import Owner, has_record, is_alive, leaving, remove
from controller.registry.factory import layout_for, open_registry
from model.plan import Plan
from model.report import Outcome, Result, summary
from model.stored import Lifetime

#: A question that nobody answers goes by itself so many seconds after the waiting for an answer is over.
LINGER = 60


@frozen
class DeregisterOptions:
    """What the command line says of it. ``wait`` is in seconds."""

    dry_run: bool
    yes: bool
    force: bool
    wait: float


class _Place:
    """One registry, and how far the host has been taken out of it. ``where`` is what its lines begin with, empty where
    there is but one; a ``problem`` is the end of it."""

    def __init__(self, each: RegistrySettings, owner: str, wait: float, where: str) -> None:
        question = Lifetime(ttl=LINGER + round(wait), refresh=LINGER)
        self.where = where
        self.problem = ""
        self.owner = Owner(owner, layout_for(each.uri), Clock())
        self.registry = open_registry(each.uri, each.credentials, question)
        self.planned = Plan()
        self.recorded = False
        self.outcomes: tuple[Outcome, ...] = ()

    def look(self) -> None:
        """Find out what there is to remove."""
        self.planned = leaving(self.owner, self.registry)
        self.recorded = bool(self.planned.changes) or has_record(self.owner, self.registry)

    def make_sure(self, wait: float) -> None:
        """Raise Stop if the owner's agent is alive."""
        if is_alive(self.owner, self.registry, time.sleep, wait):
            name = self.owner.name
            raise Stop(f"the agent of {name!r} is alive and would register them again; stop it first, or use --force")

    def empty(self) -> None:
        """Remove it."""
        self.outcomes = tuple(remove(self.owner, self.registry, self.planned))

    @property
    def emptied(self) -> bool:
        """Whether nothing is left of what there was."""
        return not self.problem and all(outcome.result is Result.APPLIED for outcome in self.outcomes)


def deregister(settings: OwnerSettings, how: DeregisterOptions) -> int:
    """Show what there is of the owner, and remove it where it is safe and meant: each registry on its own, so that one
    which is away keeps none of the others from being emptied. Returns the exit code. Raises Stop, or click's Abort,
    when nobody said yes."""
    several = len(settings.registries) > 1
    places = [
        _Place(each, settings.owner, how.wait, f"{each.given}: " if several else "") for each in settings.registries
    ]
    _at_each(places, _Place.look)
    there = [place for place in places if not place.problem]
    for place in there:
        _show(place, how)
    left = [place for place in there if place.recorded and not how.dry_run]
    if not how.force:
        _at_each(left, partial(_Place.make_sure, wait=how.wait))
    if left := [place for place in left if not place.problem]:
        _confirm(settings.owner, sum(len(place.planned.changes) for place in left), how)
        _at_each(left, _Place.empty)
    for place in left:
        _tell(place)
    return IN_SYNC if all(place.emptied for place in places) else WRONG


def _at_each(places: Sequence[_Place], step: Callable[[_Place], None]) -> None:
    """Take this step at each of them, all at once, and say where it could not be taken."""
    side_by_side([partial(_try, place, step) for place in places])
    for place in places:
        if place.problem:
            click.echo(f"wharfinger: {place.where}{place.problem}", err=True)


def _try(place: _Place, step: Callable[[_Place], None]) -> None:
    try:
        step(place)
    except (Stop, RegistryUnavailable) as error:
        place.problem = str(error)


def _show(place: _Place, how: DeregisterOptions) -> None:
    if place.where:
        click.echo(place.where.rstrip())
    for change in place.planned.changes:
        click.echo(removal(change))
    if how.dry_run or not place.recorded:
        click.echo(summary(place.planned))


def _confirm(owner: str, entries: int, how: DeregisterOptions) -> None:
    """Once for all of them. Raises Stop when there is nobody to ask."""
    if how.yes:
        return
    if not sys.stdin.isatty():
        raise Stop("nobody is there to confirm; say --yes if these entries are to go")
    click.confirm(f"Remove these {entries} entries of {owner!r}?", abort=True)


def _tell(place: _Place) -> None:
    if place.problem:
        return
    for outcome in place.outcomes:
        if outcome.result is not Result.APPLIED:
            click.echo(f"wharfinger: {place.where}{outcome.change.key} stays: {outcome.detail}", err=True)
    removed = sum(outcome.result is Result.APPLIED for outcome in place.outcomes)
    click.echo(f"{place.where}Removed {removed} of {len(place.outcomes)} entries of {place.owner.name!r}.")
