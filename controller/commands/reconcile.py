"""One pass over each registry, printed: ``wharfinger reconcile``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import click
from attrs import evolve, frozen

from controller.commands.build import Effects, engine_for, pass_settings
from controller.commands.exit_codes import ExitCode
from controller.commands.one_place import refuse_one_place_given_twice
from controller.commands.parallel import run_in_parallel
from controller.commands.plan_text import as_text
from controller.commands.progress_line import progress_line
from controller.commands.render import as_json
from controller.commands.tables import terminal_width
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.effects.clock import Clock, Deadline
from controller.reconcile.deregister import MAX_WAIT
from controller.reconcile.one_pass import reconcile
from controller.reconcile.progress import Progress
from controller.registry.base import Sweeping
from controller.registry.factory import Use, open_registry
from controller.source.docker import NO_HINTING, Hinting
from model.guard import OFF
from model.memory import Memory, memory_after
from model.report import PassReport
from model.sweep import SweepRule

#: Seconds to wait for an inspect. They are more than in the agent, because no next pass would use a later answer.
PATIENCE = 5.0

#: With several registries, the first of these that any of them calls for is the exit code.
_WORST_FIRST = (
    ExitCode.FAILED,
    ExitCode.HELD_BACK,
    ExitCode.PENDING,
    ExitCode.NOT_ALL_REGISTERED,
    ExitCode.IN_SYNC,
)

#: Seconds between two passes while --take-over waits for a sign of life.
LOOK_INTERVAL = 1.0


@frozen
class ReconcileOptions:
    """The command line options of ``wharfinger reconcile`` alone."""

    #: Whether to print the plan and change nothing.
    dry_run: bool
    #: How to print the reports: ``text`` or ``json``.
    output: str
    #: Whether pending changes, and ports that are not registered, have exit codes of their own.
    exit_code: bool
    #: Whether to make the deletes that the guard would hold back.
    force: bool
    #: Whether to print whole lines on a terminal, which otherwise are cut to its width.
    wide: bool


def reconcile_once(settings: Settings, options: ReconcileOptions, effects: Effects, *, colour: bool) -> ExitCode:
    """Do one pass over each registry, all at the same time; print the reports, and return the exit code.

    The reports are printed in the order of the command line. Raises Stop when a registry cannot be used as configured,
    and WrongUsage when two of them turn out to be one place.
    """
    reports = _reports(settings, options, effects)
    if options.output == "json":
        labels = [each.label for each in settings.registries]
        click.echo(as_json(dict(zip(labels, reports, strict=True))))
    width = None if options.wide else terminal_width(sys.stdout)
    for each, report in zip(settings.registries, reports, strict=True):
        heading = each.given if len(reports) > 1 else ""
        if options.output == "text":
            if each is not settings.registries[0]:
                click.echo()
            _print(heading, report, colour=colour, width=width)
        if not report.succeeded:
            before = f"{heading}: " if heading else ""
            click.echo(f"wharfinger: {before}{report.result.value}: {report.problem}", err=True)
    exit_codes = [_exit_code(report, tell_all=options.exit_code) for report in reports]
    return min(exit_codes, key=_WORST_FIRST.index)


def _reports(settings: Settings, options: ReconcileOptions, effects: Effects) -> list[PassReport]:
    """Do the passes, and return their reports in the order of the command line. Meanwhile a terminal shows how far they
    have come."""
    several = len(settings.registries) > 1
    with progress_line(sys.stderr, effects.background, effects.clock) as note:
        refuse_one_place_given_twice(settings, effects)
        passes = [
            _pass_over(each, settings, options, effects, partial(note, each.label if several else ""))
            for each in settings.registries
        ]
        return run_in_parallel(passes, effects.background)


def _pass_over(
    each: RegistrySettings,
    settings: Settings,
    options: ReconcileOptions,
    effects: Effects,
    on_progress: Callable[[Progress], object] = lambda progress: None,
) -> Callable[[], PassReport]:
    """Return the pass over one registry. It has an engine client of its own, so that no pass waits for another.
    ``on_progress`` is told what it does at each moment."""
    registry = open_registry(
        each.uri,
        each.credentials,
        settings.lifetime,
        use=Use(options.dry_run, Sweeping(SweepRule(at_once=True))),
        transports=effects.transports,
    )
    of_pass = evolve(pass_settings(settings, each, effects), on_progress=on_progress)
    if options.force:
        of_pass = evolve(of_pass, guard=OFF)
    hinting = Hinting(stop_rule=settings.stop_rule) if settings.hints else NO_HINTING
    engine = engine_for(settings, effects, patience=PATIENCE, hinting=hinting)
    one_pass = partial(reconcile, of_pass, engine, registry)
    return partial(_pass_after_wait, one_pass, effects.clock)


def dry_pass(each: RegistrySettings, settings: Settings, effects: Effects) -> Callable[[], PassReport]:
    """Return a pass over one registry that changes nothing, and that waits for no sign of life."""
    options = ReconcileOptions(dry_run=True, output="", exit_code=False, force=False, wide=False)
    return _pass_over(each, evolve(settings, take_over=False), options, effects)


def _pass_after_wait(one_pass: Callable[[Memory], PassReport], clock: Clock) -> PassReport:
    """Make a pass, and return its report. As long as a pass only waits for a sign of life, because of --take-over, wait
    and make another one; return the last report."""
    memory, deadline = Memory(), Deadline.after(MAX_WAIT, clock)
    while (report := one_pass(memory)).waits and not deadline.passed:
        if not memory.take_over:
            click.echo(f"wharfinger: {report.problem}", err=True)
        memory = memory_after(report, memory)
        clock.sleep(LOOK_INTERVAL)
    return report


def _print(heading: str, report: PassReport, *, colour: bool, width: int | None) -> None:
    """Print one report. ``heading`` names the registry; it is empty if there is only one. ``colour`` and ``width`` are
    as for ``as_text``."""
    if heading:
        click.echo(f"{heading}:")
    if report.planned:
        click.echo(as_text(report, colour=colour, width=width))
    elif heading:
        click.echo(f"No plan: {report.result.value}.")


def _exit_code(report: PassReport, *, tell_all: bool) -> ExitCode:
    """Return the exit code that one report calls for. Without ``tell_all`` it is one that means a failure, or that
    deletes were held back, or else 0."""
    if not report.succeeded:
        return ExitCode.FAILED
    if report.plan.held_back:
        return ExitCode.HELD_BACK
    if tell_all and report.pending:
        return ExitCode.PENDING
    return ExitCode.NOT_ALL_REGISTERED if tell_all and report.not_registered else ExitCode.IN_SYNC
