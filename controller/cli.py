"""The command line: what each command does, from its settings to its exit code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import click
from attrs import evolve

from controller import logs
from controller.clock import Clock
from controller.deregister import Owner, has_record, is_alive, leaving, remove
from controller.errors import RegistryUnavailable, Stop
from controller.health import Health
from controller.journal import Journal
from controller.loop import Loop, Pace
from controller.metrics import Metrics
from controller.notify import Notifier
from controller.options import connection_options, options, rewrite
from controller.probe import ask, default_url
from controller.reconcile import reconcile
from controller.registry import Registry
from controller.render import as_json, as_text, removal
from controller.server import router, serve
from controller.service import run_until_signalled
from controller.settings import Settings, WrongUsage, parse, parse_owner
from controller.signals import hold_signals, release_signals
from controller.wiring import dry_registry_for, engine_for, layout_for, registry_for, task_for
from model.guard import OFF
from model.plan import Plan
from model.report import Memory, PassReport, Result, summary
from model.stored import Lifetime

log = logs.logger("wharfinger")

IN_SYNC, WRONG, PENDING, HELD_BACK = 0, 1, 2, 3

#: A question that nobody answers goes by itself so many seconds after the waiting for an answer is over.
LINGER = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code. Anything wrong is 1, wrong usage included: 2 means that changes are
    pending, as in diff and terraform, and 3 that deletes are held back."""
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
    except (Stop, RegistryUnavailable) as stop:
        click.echo(f"wharfinger: {stop}", err=True)
        return WRONG
    except (click.Abort, KeyboardInterrupt):
        return WRONG
    return code if isinstance(code, int) else IN_SYNC


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("wharfinger"), message="wharfinger %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Keep a part of etcd in step with the containers of this Docker host.

    'wharfinger [OPTIONS] URI' runs the loop, as 'wharfinger run' does; its options are registrator's own and a few
    more: see 'wharfinger run --help'.
    """
    # The loop waits for them; whatever else runs is to end by them.
    if context.invoked_subcommand != "run":
        release_signals()


@cli.command("run")
@options
def run(words: dict[str, str], uris: tuple[str, ...]) -> int:
    """Keep the registry in step with this host's containers until told to stop.

    URI is etcd://HOST:PORT[,HOST:PORT...]/PREFIX, or etcds:// for TLS; or skydns2://HOST:PORT/DOMAIN, for records that
    SkyDNS and CoreDNS read. SIGTERM and SIGINT end the program and leave the entries; SIGHUP makes it look at once.
    """
    settings = _begin(words, uris)
    metrics, clock = Metrics(settings.registry.scheme), Clock()
    health = Health(settings.interval, settings.pass_timeout, clock)
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET", ""))
    engine = engine_for(settings, metrics.engine_failed)
    registry = registry_for(settings.registry, settings.credentials, settings.lifetime, metrics.registry_failed)
    loop = Loop(
        partial(reconcile, task_for(settings, clock), engine, registry),
        Pace(settings.interval, clock=clock),
        (metrics, health, Journal(), notifier),
    )
    hold_signals()
    if settings.listen:
        serve(router(health, metrics.app()), settings.listen)
    _greet(settings)
    return run_until_signalled(loop, notifier.stopping)


@cli.command("reconcile")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.option("--exit-code", is_flag=True, help="Exit with 0 when in sync, 2 when changes are pending, 1 when wrong.")
@click.option("--force", is_flag=True, help="Delete what the guard would hold back.")
@options
def reconcile_once(words: dict[str, str], uris: tuple[str, ...], **how: Any) -> int:
    """Do exactly one pass, print what it did, and end.

    The exit code is 3 when deletes were held back, which one pass alone cannot make sure of: see --delete-guard.
    """
    settings = _begin(words, uris)
    uri, credentials = settings.registry, settings.credentials
    make = dry_registry_for if how["dry_run"] else registry_for
    registry = make(uri, credentials, settings.lifetime)
    task = task_for(settings, Clock())
    if how["force"]:
        task = evolve(task, guard=OFF)
    report = reconcile(task, engine_for(settings), registry, Memory())
    if report.planned or how["output"] == "json":
        click.echo(as_json(report) if how["output"] == "json" else as_text(report, colour=_colour(sys.stdout)))
    if not report.succeeded:
        click.echo(f"wharfinger: {report.result.value}: {report.problem}", err=True)
    return _exit_code(report, asked=how["exit_code"])


def _exit_code(report: PassReport, *, asked: bool) -> int:
    if not report.succeeded:
        return WRONG
    if report.plan.held_back:
        return HELD_BACK
    return PENDING if asked and report.pending else IN_SYNC


@cli.command("deregister")
@click.option("--hostname", metavar="NAME", default="", help="Whose entries are to go.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Do not find out first whether the owner's agent is alive.")
@click.option("--wait", type=click.FloatRange(0, 600), default=5, show_default=True, help="Seconds to find out.")
@connection_options
def deregister(words: dict[str, str], uris: tuple[str, ...], hostname: str, **how: Any) -> int:
    """Remove the entries of one host, named as in their ids: a host that is taken out of service, or a name that
    registrator's random container hostnames left behind.

    Its agent must have been stopped: a living one would register them again at once.
    """
    settings = parse_owner({**words, "hostname": hostname}, uris)
    logs.configure("text", "warning", colour=_colour(sys.stderr))
    owner = Owner(settings.owner, layout_for(settings.registry), Clock())
    question = Lifetime(ttl=LINGER + round(how["wait"]), refresh=LINGER)
    registry = registry_for(settings.registry, settings.credentials, question)
    planned = leaving(owner, registry)
    for change in planned.changes:
        click.echo(removal(change))
    if how["dry_run"] or not (planned.changes or has_record(owner, registry)):
        click.echo(summary(planned))
        return IN_SYNC
    _make_sure(owner, registry, planned, how)
    return _remove(owner, registry, planned)


def _make_sure(owner: Owner, registry: Registry, planned: Plan, how: dict[str, Any]) -> None:
    """Raise Stop unless it is safe to go on, and meant."""
    if not how["force"] and is_alive(owner, registry, time.sleep, how["wait"]):
        raise Stop(f"the agent of {owner.name!r} is alive and would register them again; stop it first, or use --force")
    if how["yes"]:
        return
    if not sys.stdin.isatty():
        raise Stop("nobody is there to confirm; say --yes if these entries are to go")
    click.confirm(f"Remove these {len(planned.changes)} entries of {owner.name!r}?", abort=True)


def _remove(owner: Owner, registry: Registry, planned: Plan) -> int:
    outcomes = list(remove(owner, registry, planned))
    for outcome in outcomes:
        if outcome.result is not Result.APPLIED:
            click.echo(f"wharfinger: {outcome.change.key} stays: {outcome.detail}", err=True)
    removed = sum(outcome.result is Result.APPLIED for outcome in outcomes)
    click.echo(f"Removed {removed} of {len(outcomes)} entries of {owner.name!r}.")
    return IN_SYNC if removed == len(outcomes) else WRONG


@cli.command("health")
@click.argument("url", default="")
def health_of(url: str) -> int:
    """Ask the agent on this host whether it is alive; the exit code is 0 if it is.

    URL is that of its /healthz, by default where WHARFINGER_LISTEN says that it listens.
    """
    answer = ask(url or default_url(os.environ.get("WHARFINGER_LISTEN", "")))
    click.echo(answer.text, err=not answer.good)
    return IN_SYNC if answer.good else WRONG


def _begin(words: dict[str, str], uris: tuple[str, ...]) -> Settings:
    settings = parse(words, uris)
    logs.configure(settings.log_format, settings.log_level, colour=_colour(sys.stderr))
    return settings


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
