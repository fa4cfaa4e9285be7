"""One pass over each registry, printed: ``wharfinger reconcile``."""

from __future__ import annotations

from functools import partial

import click
from attrs import evolve, frozen

from controller.clock import Clock
from controller.commands.build import engine_for, task_for
from controller.commands.exit_codes import HELD_BACK, IN_SYNC, PENDING, WRONG
from controller.commands.parallel import side_by_side
from controller.commands.render import as_json, as_text
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.reconcile.one_pass import reconcile
from controller.registry.factory import open_registry
from model.guard import OFF
from model.report import Memory, PassReport

#: Of several registries, the first of these that one of them calls for is the exit code.
_WORST_FIRST = (WRONG, HELD_BACK, PENDING, IN_SYNC)


@frozen
class ReconcileOptions:
    """What the command line says of the one pass. ``output`` is ``text`` or ``json``."""

    dry_run: bool
    output: str
    exit_code: bool
    force: bool


def reconcile_once(settings: Settings, how: ReconcileOptions, *, colour: bool) -> int:
    """Do exactly one pass over each registry, all at once, and print them in the order of the command line; returns the
    exit code. Raises Stop for what cannot be had."""
    reports = side_by_side([_pass_over(each, settings, how) for each in settings.registries])
    if how.output == "json":
        labels = [each.label for each in settings.registries]
        click.echo(as_json(dict(zip(labels, reports, strict=True))))
    for each, report in zip(settings.registries, reports, strict=True):
        where = each.given if len(reports) > 1 else ""
        if how.output == "text":
            _print(where, report, colour=colour)
        if not report.succeeded:
            before = f"{where}: " if where else ""
            click.echo(f"wharfinger: {before}{report.result.value}: {report.problem}", err=True)
    return min((_exit_code(report, asked=how.exit_code) for report in reports), key=_WORST_FIRST.index)


def _pass_over(each: RegistrySettings, settings: Settings, how: ReconcileOptions) -> partial[PassReport]:
    """The pass, with a client of the engine of its own."""
    registry = open_registry(each.uri, each.credentials, settings.lifetime, dry_run=how.dry_run)
    task = task_for(settings, each.uri, Clock())
    if how.force:
        task = evolve(task, guard=OFF)
    return partial(reconcile, task, engine_for(settings), registry, Memory())


def _print(where: str, report: PassReport, *, colour: bool) -> None:
    """``where`` is the registry's heading; empty where there is but one."""
    if where:
        click.echo(f"{where}:")
    if report.planned:
        click.echo(as_text(report, colour=colour))
    elif where:
        click.echo(f"No plan: {report.result.value}.")


def _exit_code(report: PassReport, *, asked: bool) -> int:
    if not report.succeeded:
        return WRONG
    if report.plan.held_back:
        return HELD_BACK
    return PENDING if asked and report.pending else IN_SYNC
