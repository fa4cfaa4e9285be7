"""The program: it finds the command that is asked for, runs it, and returns an exit code.

This module loads only what ``wharfinger health`` needs. That command runs twice a minute, also on a busy machine, and
would spend most of its time on loading libraries that it does not use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from controller.commands import health
from controller.commands.exit_codes import ExitCode
from controller.config.near_misses import Command
from controller.errors import RegistryUnavailable, Stop, WrongUsage
from controller.signals import unblock_signals

if TYPE_CHECKING:
    from controller.commands.build import Effects

#: The names of the commands in ``controller.cli``.
REGISTRY_COMMANDS = ("deregister", "reconcile", "run")

#: How help is asked for. Go's flag package, and with it registrator, takes one hyphen as well as two.
_HELP = ("-h", "-help", "--help")

#: How the version is asked for.
_VERSION = ("-version", "--version")


def main(arguments: Sequence[str] | None = None, effects: Effects | None = None) -> int:
    """Run the program and return its exit code, one of ``ExitCode``.

    ``arguments`` are those after the program's name, by default those of this process. A wrong command line has the
    exit code 1, as every other failure. click's own exit code for it, 2, means here that changes are pending.
    """
    given: list[str] = []
    try:
        given = _for_click(list(sys.argv[1:] if arguments is None else arguments))
        code = cli.main(given, prog_name="wharfinger", standalone_mode=False, obj=effects)
    except (click.ClickException, Stop, RegistryUnavailable) as error:
        unblock_signals()  # A signal must end the program even if it waits because nobody reads standard error.
        _print_error(error, given[:1])
        return ExitCode.FAILED
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.IN_SYNC


def _print_error(error: Exception, command: list[str]) -> None:
    """Print why the program ends. The last line says why, because logs are read from their end. ``command`` holds the
    name of the command, if there is one."""
    match error:
        case click.ClickException():
            problems = [error.format_message()]
        case WrongUsage():
            problems = error.problems
        case _:
            problems = [str(error)]
    if isinstance(error, click.UsageError | WrongUsage):
        click.echo(f"Try '{' '.join(['wharfinger', *command, '--help'])}'.", err=True)
    for problem in problems:
        click.echo(f"wharfinger: {problem}", err=True)


def _for_click(arguments: list[str]) -> list[str]:
    """Return the arguments as click understands them. Raises WrongUsage."""
    first = arguments[0] if arguments else ""
    if first in {*_HELP, *_VERSION}:
        return [first]
    if first == "health":
        return arguments
    from controller.config.flags import rewrite  # noqa: PLC0415 - it loads all flags

    return rewrite(arguments, REGISTRY_COMMANDS)


class _Commands(click.Group):
    """The commands. Those that work on registries are loaded when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, as the help lists them."""
        return sorted([*super().list_commands(ctx), *REGISTRY_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or None if there is none."""
        if cmd_name not in REGISTRY_COMMANDS:
            return super().get_command(ctx, cmd_name)
        from controller.cli import COMMANDS  # noqa: PLC0415 - it loads all libraries

        return COMMANDS[cmd_name]


@click.group(cls=_Commands, context_settings={"help_option_names": [*_HELP], "max_content_width": 100})
@click.version_option(None, *_VERSION, package_name="wharfinger", message="wharfinger %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Keep a part of etcd in step with the containers of this Docker host.

    'wharfinger [OPTIONS] URI' does the same as 'wharfinger run [OPTIONS] URI'. 'wharfinger run --help' shows the
    options: those of registrator, and some more.
    """
    # 'run' waits for the signals itself. A signal has to end every other command.
    if context.invoked_subcommand != "run":
        unblock_signals()


@cli.command("health", cls=Command)
@click.argument("url", default="")
def health_command(url: str) -> int:
    """Ask the agent on this host whether it is alive. The exit code is 0 if it is, and 1 if not.

    URL is the agent's /healthz. By default it is derived from WHARFINGER_LISTEN, where the agent listens. If that is
    empty, the agent has no HTTP server and cannot be asked, and the exit code is 0. A flag --listen of the agent is not
    seen here.
    """
    answer = health.fetch_health(url) if url else health.ask_agent(os.environ.get("WHARFINGER_LISTEN"))
    click.echo(answer.text, err=not answer.good)
    return ExitCode.IN_SYNC if answer.good else ExitCode.FAILED
