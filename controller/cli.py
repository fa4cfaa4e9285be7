"""The command line: what each command does, from its settings to its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import click

from controller import logs
from controller.commands import deregister as deregistering
from controller.commands import reconcile as oneshot
from controller.commands import run as running
from controller.commands.exit_codes import IN_SYNC, WRONG
from controller.commands.health import ask, default_url
from controller.config.flags import connection_options, options, rewrite
from controller.config.settings import Settings, WrongUsage, parse, parse_owner
from controller.errors import RegistryUnavailable, Stop
from controller.signals import unblock_signals


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
        unblock_signals()


@cli.command("run")
@options
def run(words: dict[str, str], uris: tuple[str, ...]) -> int:
    """Keep the registry in step with this host's containers until told to stop.

    URI is etcd://HOST:PORT[,HOST:PORT...]/PREFIX for etcd's v2 API or etcd3:// for its v3 API; skydns2:// or skydns3://
    and HOST:PORT/DOMAIN for records that SkyDNS and CoreDNS read; each with an s behind the scheme for TLS. More than
    one are kept in step each on its own. SIGTERM and SIGINT end the program and leave the entries; SIGHUP makes it look
    at once.
    """
    return running.run(_begin(words, uris))


@cli.command("reconcile")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit with 0 when in sync, 2 when changes are pending, 3 when held back, 1 when wrong.",
)
@click.option("--force", is_flag=True, help="Delete what the guard would hold back.")
@options
def reconcile_once(words: dict[str, str], uris: tuple[str, ...], **how: Any) -> int:
    """Do exactly one pass over each registry, print what it did, and end.

    The exit code is 3 when deletes were held back, which one pass alone cannot make sure of: see --delete-guard.
    """
    return oneshot.reconcile_once(_begin(words, uris), oneshot.ReconcileOptions(**how), colour=_colour(sys.stdout))


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

    Its agent must have been stopped: a living one would register them again at once. Of several registries each is
    emptied on its own.
    """
    settings = parse_owner({**words, "hostname": hostname}, uris)
    logs.configure("text", "warning", colour=_colour(sys.stderr))
    return deregistering.deregister(settings, deregistering.DeregisterOptions(**how))


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
