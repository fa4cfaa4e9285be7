"""The command line: the one place that wires things together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import click

from controller import logs
from controller.clock import Clock
from controller.engine import Engine, EngineSettings, connect
from controller.errors import Stop
from controller.etcd2 import Endpoints, Etcd2Reader, Etcd2Registry
from controller.health import Health
from controller.journal import Journal
from controller.loop import Loop, Pace
from controller.metrics import Metrics
from controller.options import options, rewrite
from controller.reconcile import Task, reconcile
from controller.registry import DryRun
from controller.render import as_json, as_text
from controller.route import Route
from controller.server import router, serve
from controller.service import hold_signals, run_until_signalled
from controller.settings import Settings, WrongUsage, parse
from model.desired import Deregister
from model.layout import PlainLayout
from model.report import PassReport

log = logs.logger("wharfinger")

IN_SYNC, WRONG, PENDING = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code. Anything wrong is 1, wrong usage included: 2 means that changes are
    pending, as in diff and terraform."""
    try:
        words = rewrite(list(sys.argv[1:] if arguments is None else arguments), commands=cli.commands)
        code = cli.main(words, prog_name="wharfinger", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return WRONG
    except WrongUsage as wrong:
        for problem in wrong.problems:
            click.echo(f"wharfinger: {problem}", err=True)
        click.echo("Try 'wharfinger --help'.", err=True)
        return WRONG
    except Stop as stop:
        click.echo(f"wharfinger: {stop}", err=True)
        return WRONG
    except (click.Abort, KeyboardInterrupt):
        return WRONG
    return code if isinstance(code, int) else IN_SYNC


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("wharfinger"), message="wharfinger %(version)s")
def cli() -> None:
    """Keep a part of etcd in step with the containers of this Docker host.

    'wharfinger [OPTIONS] URI' runs the loop, as 'wharfinger run' does; its options are registrator's own and a few
    more: see 'wharfinger run --help'.
    """


@cli.command("run")
@options
def run(words: dict[str, str], uris: tuple[str, ...]) -> int:
    """Keep the registry in step with this host's containers until told to stop.

    URI is etcd://HOST:PORT[,HOST:PORT...]/PREFIX. SIGTERM and SIGINT end the program and leave the entries; SIGHUP
    makes it look at once.
    """
    settings = parse(words, uris)
    logs.configure(settings.log_format, settings.log_level, colour=_colour(sys.stderr))
    metrics = Metrics(settings.registry.scheme)
    clock = Clock()
    health = Health(settings.interval, settings.pass_timeout, clock)
    engine = _engine(settings, metrics.engine_failed)
    registry = Etcd2Registry(
        Endpoints(settings.registry.endpoints, metrics.registry_failed), settings.registry.prefix, settings.lifetime
    )
    loop = Loop(
        partial(reconcile, _task(settings, clock), engine, registry),
        Pace(settings.interval, clock=clock),
        (metrics, health, Journal()),
    )
    hold_signals()
    if settings.listen:
        serve(router(health, metrics.app()), settings.listen)
    _greet(settings)
    return run_until_signalled(loop)


@cli.command("reconcile")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.option("--exit-code", is_flag=True, help="Exit with 0 when in sync, 2 when changes are pending, 1 when wrong.")
@options
def reconcile_once(words: dict[str, str], uris: tuple[str, ...], dry_run: bool, output: str, exit_code: bool) -> int:
    """Do exactly one pass, print what it did, and end."""
    settings = parse(words, uris)
    logs.configure(settings.log_format, settings.log_level, colour=_colour(sys.stderr))
    endpoints = Endpoints(settings.registry.endpoints, on_error=lambda: None)
    prefix = settings.registry.prefix
    registry = (
        DryRun(Etcd2Reader(endpoints, prefix)) if dry_run else Etcd2Registry(endpoints, prefix, settings.lifetime)
    )
    report = reconcile(_task(settings, Clock()), _engine(settings), registry, {})
    if report.planned or output == "json":
        click.echo(as_json(report) if output == "json" else as_text(report, colour=_colour(sys.stdout)))
    if not report.succeeded:
        click.echo(f"wharfinger: {report.result.value}: {report.problem}", err=True)
    return _exit_code(report, asked=exit_code)


def _exit_code(report: PassReport, *, asked: bool) -> int:
    if not report.succeeded:
        return WRONG
    return PENDING if asked and report.pending else IN_SYNC


def _task(settings: Settings, clock: Clock) -> Task:
    return Task(
        rules=settings.rules,
        layout=PlainLayout.under(settings.registry.prefix),
        lifetime=settings.lifetime,
        guess_address=Route(settings.registry.endpoints).local_address,
        seconds=settings.pass_timeout,
        clock=clock,
    )


def _engine(settings: Settings, on_error: Callable[[], None] = lambda: None) -> Engine:
    where = EngineSettings(settings.docker_host, os.environ)
    stopped_too = settings.rules.deregister is Deregister.ON_SUCCESS
    return Engine(partial(connect, where), stopped_too=stopped_too, on_error=on_error)


def _colour(stream: Any) -> bool:
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


def _greet(settings: Settings) -> None:
    log.info(
        "started",
        version=version("wharfinger"),
        registry=settings.registry.scheme,
        endpoints=[f"{host}:{port}" for host, port in settings.registry.endpoints],
        prefix=settings.registry.prefix or "/",
        interval=settings.interval,
        listen=str(settings.listen) if settings.listen else "none",
    )
    for name in settings.needless:
        log.info("flag is needless here: every pass compares and repairs everything", flag=f"-{name}")
