"""The command line: it parses each command's options, runs the command, and turns the result into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import click

from controller import logs
from controller.commands import deregister, health, reconcile, run
from controller.commands.build import Effects
from controller.commands.exit_codes import ExitCode
from controller.config.flags import all_options, connection_options, rewrite
from controller.config.settings import RawOptions, Settings, WrongUsage, parse_owner_settings, parse_settings
from controller.errors import RegistryUnavailable, Stop
from controller.reconcile.deregister import MAX_WAIT
from controller.signals import unblock_signals


def main(arguments: Sequence[str] | None = None, effects: Effects | None = None) -> int:
    """Run the program and return its exit code, one of ``ExitCode``.

    ``arguments`` are those after the program's name, by default those of this process. The exit code of a wrong command
    line is 1, as of every other failure: click's own 2 would mean here that changes are pending.
    """
    try:
        rewritten = rewrite(list(sys.argv[1:] if arguments is None else arguments), commands=cli.commands)
        code = cli.main(rewritten, prog_name="wharfinger", standalone_mode=False, obj=effects or Effects())
    except click.ClickException as error:
        error.show()
        return ExitCode.FAILED
    except WrongUsage as wrong:
        for problem in wrong.problems:
            click.echo(f"wharfinger: {problem}", err=True)
        click.echo("Try 'wharfinger --help'.", err=True)
        return ExitCode.FAILED
    except (Stop, RegistryUnavailable) as stop:
        click.echo(f"wharfinger: {stop}", err=True)
        return ExitCode.FAILED
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.IN_SYNC


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("wharfinger"), message="wharfinger %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Keep a part of etcd in step with the containers of this Docker host.

    'wharfinger [OPTIONS] URI' does the same as 'wharfinger run [OPTIONS] URI'. 'wharfinger run --help' shows the
    options: those of registrator, and some more.
    """
    # 'run' waits for the signals itself. Every other command is to be ended by them.
    if context.invoked_subcommand != "run":
        unblock_signals()


@cli.command("run")
@all_options
@click.pass_obj
def run_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...]) -> int:
    """Keep the registry in step with this host's containers until told to stop.

    URI is etcd://HOST:PORT[,HOST:PORT...]/PREFIX for etcd's v2 API, or etcd3:// for its v3 API. skydns2:// and
    skydns3://, followed by HOST:PORT/DOMAIN, write records that SkyDNS and CoreDNS read. A scheme with an s at its end,
    as in etcds://, uses TLS. Several URIs are kept in step independently of each other. SIGTERM and SIGINT end the
    program and leave the entries in place. SIGHUP starts a pass at once.
    """
    return run.run(_begin(raw, uris), effects)


@cli.command("reconcile")
@click.option("--dry-run", is_flag=True, help="Print what a pass would change, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Print text or JSON.")
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit with 0 if all is in sync, 2 if changes are pending, 3 if deletes are held back, 1 after any failure.",
)
@click.option("--force", is_flag=True, help="Make the deletes that --delete-guard would hold back.")
@all_options
@click.pass_obj
def reconcile_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], **given: Any) -> int:
    """Do exactly one pass over each registry, print what it did, and end.

    The exit code is 3 if deletes were held back. A single pass cannot see a delete several times in a row, as
    --delete-guard asks. With --take-over the pass begins once the agent of the other engine has been silent for long
    enough.
    """
    settings = _begin(raw, uris)
    return reconcile.reconcile_once(
        settings, reconcile.ReconcileOptions(**given), effects, colour=_wants_colour(sys.stdout)
    )


@cli.command("deregister")
@click.option("--hostname", metavar="NAME", default="", help="Remove the entries of this host; required.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove the entries without asking for confirmation.")
@click.option("--force", is_flag=True, help="Do not check first whether the host's agent is alive.")
@click.option(
    "--wait",
    type=click.FloatRange(0, MAX_WAIT),
    help="Wait this many seconds for a sign that the host's agent is alive. By default it is as long as the agent may "
    "take, as it wrote down when it started, or 45 seconds if it wrote nothing. After a shorter wait a living agent "
    "can be taken for a dead one.",
)
@click.option("--missing-ok", is_flag=True, help="Exit with 0 if nobody has this name.")
@connection_options
@click.pass_obj
def deregister_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], hostname: str, **given: Any) -> int:
    """Remove the entries of one host that is taken out of service.

    The host is named as in the ids of its entries. It may also be a name that registrator left behind: registrator
    uses the random host name of its own container. Stop the host's agent first, or it would register the entries again
    at once. Several registries are emptied independently of each other. The exit code is 1 if nobody has the name.
    """
    settings = parse_owner_settings({**raw, "hostname": hostname}, uris)
    logs.configure("text", "warning", colour=_wants_colour(sys.stderr))
    return deregister.deregister(settings, deregister.DeregisterOptions(**given), effects)


@cli.command("health")
@click.argument("url", default="")
def health_command(url: str) -> int:
    """Ask the agent on this host whether it is alive. The exit code is 0 if it is, and 1 if not.

    URL is the agent's /healthz. By default it is derived from WHARFINGER_LISTEN, where the agent listens.
    """
    answer = health.fetch_health(url or health.health_url(os.environ.get("WHARFINGER_LISTEN", "")))
    click.echo(answer.text, err=not answer.good)
    return ExitCode.IN_SYNC if answer.good else ExitCode.FAILED


def _begin(raw: RawOptions, uris: tuple[str, ...]) -> Settings:
    """Return the settings, once the log is set up as they say. Raises WrongUsage."""
    settings = parse_settings(raw, uris)
    logs.configure(settings.log_format, settings.log_level, colour=_wants_colour(sys.stderr))
    return settings


def _wants_colour(stream: Any) -> bool:
    """Whether to write colours to the stream: to a terminal, unless https://no-color.org says otherwise."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")
