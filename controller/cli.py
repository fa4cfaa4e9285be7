"""The command line: the commands, the help, and how an error ends the program. Each command that works on registries
reads its options, sets up the log, and runs.

``controller.program`` loads this module, and all libraries with it, for everything that it does not answer by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TextIO

import click

from controller import __version__
from controller.commands import deregister, health, reconcile, run
from controller.commands.build import Effects, start_log, warn_of_variables
from controller.commands.exit_codes import ExitCode
from controller.config.converters import MAX_DURATION, duration
from controller.config.flags import (
    all_options,
    connection_options,
    empty_variables,
    naming_unknown_variables,
    origins,
    pass_options,
    rewrite,
    unknown_variables,
    uris_of_command_line,
    variables_in_use,
)
from controller.config.grouped_help import GroupedCommand
from controller.config.near_misses import Command
from controller.config.settings import RawOptions, Settings, parse_owner_settings, parse_settings
from controller.errors import RegistryUnavailable, Stop, WrongUsage
from controller.observe.api.values import encoded, problems_document
from controller.signals import unblock_signals

if TYPE_CHECKING:
    from controller.commands.surveys import SurveyedPlaces

#: How help is asked for. Go's flag package, and with it registrator, takes one hyphen as well as two.
_HELP = ("-h", "-help", "--help")

#: What stands at the end of the help of ``wharfinger run``. click leaves the lines after its mark as they are.
_EXAMPLES = """\b
Examples:
  wharfinger -ip 192.0.2.10 etcd://127.0.0.1:2379/services
  wharfinger -ttl 60 -ttl-refresh 20 etcd3s://etcd-1:2379,etcd-2:2379/services
  wharfinger -internal --network backend skydns3://etcd-1:2379/cluster.local
"""

#: The most seconds that ``wharfinger drain`` waits after the entries are gone.
LONGEST_WAIT = 600.0

#: Where the commands that ask the agent find it.
_agent_option = click.option(
    "--agent",
    metavar="URL",
    default="",
    help="Ask the agent whose HTTP server is at this URL. By default it is derived from WHARFINGER_LISTEN, where the "
    "agent listens, or else it is http://127.0.0.1:9119.",
)


def _duration(least: float, most: float) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Return what converts the duration of an option to seconds, which must lie between these."""

    def convert(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
        if text is None:
            return None
        try:
            seconds = duration(text)
        except ValueError as error:
            raise click.BadParameter(f"{text!r}: {error}") from error
        if not least <= seconds <= most:
            raise click.BadParameter(f"{text!r}: it must be from {least:.0f} to {most:.0f} seconds")
        return seconds

    return convert


#: Passes to a command the effects that ``controller.program.main`` was given; without any, those of the real program.
_pass_effects = click.make_pass_decorator(Effects, ensure=True)


def run_command_line(arguments: Sequence[str], effects: Effects | None = None) -> int:
    """Run the command that these arguments ask for, and return the program's exit code, one of ``ExitCode``.

    A wrong command line has the exit code 1, as every other failure. click's own exit code for it, 2, means here that
    changes are pending.
    """
    given = list(arguments)
    try:
        given = _for_click(given)
        code = cli.main(given, prog_name="wharfinger", standalone_mode=False, obj=effects)
    except (click.ClickException, Stop, RegistryUnavailable) as error:
        unblock_signals()  # A signal must end the program even if it waits because nobody reads standard error.
        _print_error(error, given)
        return ExitCode.FAILED
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.IN_SYNC


def _print_error(error: Exception, arguments: list[str]) -> None:
    """Print why the program ends. The last line says why, because logs are read from their end. If JSON is asked for,
    standard output gets a document that says the same."""
    match error:
        case click.ClickException():
            problems = [error.format_message()]
        case WrongUsage():
            problems = error.problems
        case _:
            problems = [str(error)]
    if isinstance(error, click.UsageError | WrongUsage):
        command = arguments[:1] if arguments and arguments[0] in cli.commands else []
        click.echo(f"Try '{' '.join(['wharfinger', *command, '--help'])}'.", err=True)
    for problem in problems:
        click.echo(f"wharfinger: {problem}", err=True)
    if _asks_for_json(arguments):
        click.echo(encoded(problems_document(problems)))


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON, of a command that can print it. The rest of it need not make
    sense."""
    command = cli.commands.get(arguments[0]) if arguments else None
    if command is None or not any("--output" in each.opts for each in command.params):
        return False
    in_one, in_two = {"-ojson", "--output=json"}, {("-o", "json"), ("--output", "json")}
    return not (in_one.isdisjoint(arguments) and in_two.isdisjoint(pairwise(arguments)))


def _for_click(arguments: list[str]) -> list[str]:
    """Return the arguments as click understands them. Raises WrongUsage."""
    first = arguments[0] if arguments else ""
    if first in _HELP:
        return [first]
    return arguments if first == "health" else rewrite(arguments, cli.commands)


@click.group(context_settings={"help_option_names": [*_HELP], "max_content_width": 100})
@click.version_option(__version__, "-version", "--version")  # For the help: controller.program answers it.
@click.pass_context
def cli(context: click.Context) -> None:
    """Keep a part of etcd in step with the containers of this Docker host.

    'wharfinger [OPTIONS] URI' does the same as 'wharfinger run [OPTIONS] URI'. 'wharfinger run --help' shows the
    options: those of registrator, and some more.
    """
    # 'run' waits for the signals itself. A signal has to end every other command.
    if context.invoked_subcommand != "run":
        unblock_signals()


@cli.command("run", cls=GroupedCommand, short_help="Keep the registry in step until told to stop.", epilog=_EXAMPLES)
@all_options
@_pass_effects
def run_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...]) -> int:
    """Keep the registry in step with this host's containers until told to stop.

    URI is etcd://HOST:PORT[,HOST:PORT...]/PREFIX for etcd's v2 API, or etcd3:// for its v3 API. skydns2:// and
    skydns3://, followed by HOST:PORT/DOMAIN, write records that SkyDNS and CoreDNS read. A scheme with an s at its end,
    as in etcds://, uses TLS. One with +srv at its end, as in etcd3+srv://DOMAIN/PREFIX, has its endpoints looked up in
    the SRV records of a DNS domain. Several URIs are kept in step independently of each other. If there is none, those
    in WHARFINGER_REGISTRY are used, separated by whitespace. SIGTERM and SIGINT end the program and leave the entries
    in place; with -ttl, they expire unless an agent renews them. SIGHUP starts a pass at once.
    """
    return run.run(_begin(raw, uris, effects), effects)


@cli.command("reconcile", cls=GroupedCommand, short_help="Make one pass, print what it did, and end.")
@click.option("--dry-run", is_flag=True, help="Print what a pass would change, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Print text or JSON.")
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit with 0 only if every port that should be registered is. Exit with 1 after any failure, or else with 3 "
    "if deletes are held back, or else with 2 if changes are pending, or else with 4 if ports are refused or "
    "containers cannot be read. Without this option, the exit code is 1, 3 or 0.",
)
@click.option("--force", is_flag=True, help="Make the deletes that --delete-guard would hold back.")
@click.option("--wide", is_flag=True, help="Print whole lines on a terminal. By default they are cut to its width.")
@pass_options
@_pass_effects
def reconcile_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], **given: Any) -> int:
    """Do exactly one pass over each registry, print what it did, and end.

    Each URI is one as in 'wharfinger run --help'. If there is none, those in WHARFINGER_REGISTRY are used. The exit
    code is 1 after any failure, and 3 if deletes were held back, with or without --exit-code. A single pass cannot see
    a delete several times in a row, as --delete-guard asks. With --take-over the pass begins once the agent of the
    other engine has been silent for long enough. Flags that concern the agent alone, such as --interval, are accepted
    and not shown here.
    """
    settings = _begin(raw, uris, effects)
    return reconcile.reconcile_once(
        settings, reconcile.ReconcileOptions(**given), effects, colour=_wants_colour(sys.stdout)
    )


@cli.command("config", cls=GroupedCommand, short_help="Print the settings, and where each is from.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Print text or JSON.")
@all_options
@_pass_effects
def config_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], output: str) -> int:
    """Print the settings that 'wharfinger run' would have with these options, and where each of them is from.

    A setting is from a flag, or from an environment variable, which is named, or it is the default. Secrets are shown
    as ***. Neither the engine nor a registry is asked. If settings are wrong, every problem is printed, and the exit
    code is 1.
    """
    from controller.commands import config  # noqa: PLC0415 - the agent does not need it

    settings = _begin(raw, uris, effects)
    config.print_config(settings, config.Given(raw, origins()), effects, output)
    return ExitCode.IN_SYNC


@cli.command("deregister", cls=Command)
@click.option("--hostname", metavar="NAME", default="", help="Remove the entries of this host; required.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove the entries without asking for confirmation.")
@click.option("--force", is_flag=True, help="Do not check first whether the host's agent is alive.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(*deregister.WAITS),
    help="Wait this many seconds for a sign that the host's agent is alive. By default, wait as long as the agent's "
    "note says that it may take to answer, or 45 seconds if there is no note. After a shorter wait, a living agent may "
    "be taken for a dead one.",
)
@click.option("--missing-ok", is_flag=True, help="Exit with 0 if nobody has this name.")
@connection_options
@_pass_effects
def deregister_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], hostname: str, **given: Any) -> int:
    """Remove the entries of one host that is taken out of service.

    The host is named as in the ids of its entries. It may also be a name that registrator left behind: registrator
    uses the random host name of its own container. Stop the host's agent first, or it would register the entries again
    at once. Each URI is one as in 'wharfinger run --help'. If there is none, those in WHARFINGER_REGISTRY are used.
    Several registries are emptied independently of each other. The exit code is 1 if nobody has the name.
    """
    settings = naming_unknown_variables(
        lambda: parse_owner_settings({**raw, "hostname": hostname}, uris, variables_in_use())
    )
    _start_log_of_command(effects)
    return deregister.deregister(settings, deregister.DeregisterOptions(**given), effects)


@cli.command("drain", cls=Command)
@click.argument("containers", nargs=-1, metavar="[CONTAINER...]")
@click.option("--all", "everything", is_flag=True, help="Drain all containers, those included that start later.")
@click.option(
    "--for",
    "seconds",
    metavar="DURATION",
    callback=_duration(1, MAX_DURATION),
    help="End the drain by itself after this time, such as 90s, 30m, 2h or 1d. By default, 'wharfinger undrain' ends "
    "it.",
)
@click.option(
    "--wait",
    metavar="DURATION",
    callback=_duration(0, LONGEST_WAIT),
    help="Return this long after the entries are gone from every registry. The exit code is 1 if the agent has not "
    "removed them within its interval and the time of a pass, which is cut to a minute. By default, return "
    "when the drain is written down.",
)
@click.option("--yes", is_flag=True, help="Drain all containers without asking for confirmation.")
@_agent_option
@_pass_effects
def drain_command(effects: Effects, /, **given: Any) -> int:
    """Take the entries of containers away while the containers run.

    CONTAINER is a name, an id or the beginning of an id. The drain of a container ends when the container does: one
    that is started again, or takes its name, has entries. The agent is asked for its registries and its engine, so run
    this where the agent runs, as in 'docker exec wharfinger wharfinger drain web'. The password for etcd is taken from
    the environment, or from the agent's password file. A container that does not run, or a registry that does not
    answer, does not keep the others from being drained, and makes the exit code 1.

    Whatever does not answer, this takes no more than 30 seconds. With --wait it may take up to 70 seconds more, and
    then the time of --wait.
    """
    from controller.commands import drain  # noqa: PLC0415 - the agent does not need it

    _start_log_of_command(effects)
    return drain.drain(drain.DrainOptions(**given), effects)


@cli.command("undrain", cls=Command)
@click.argument("containers", nargs=-1, metavar="[CONTAINER...]")
@click.option("--all", "everything", is_flag=True, help="End every drain of this host, those of containers, too.")
@_agent_option
@_pass_effects
def undrain_command(effects: Effects, /, **given: Any) -> int:
    """Give containers that are drained their entries back.

    CONTAINER is a name, an id or the beginning of an id, as for 'wharfinger drain'. The exit code is 1 if a container
    was not drained by its name, or still drains because all containers do. Whatever does not answer, this takes no more
    than 30 seconds.
    """
    from controller.commands import drain  # noqa: PLC0415 - the agent does not need it

    _start_log_of_command(effects)
    return drain.undrain(drain.UndrainOptions(**given), effects)


@cli.command("list", cls=Command)
@click.option("--owner", metavar="NAME", default="", help="Show the entries of this host alone.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json"]),
    default="table",
    help="Print a table, one that is not cut to the terminal's width and has keys and explanations, or JSON.",
)
@click.option(
    "--watch", is_flag=True, help="Look every two seconds, and print it again if it has changed, until Ctrl-C."
)
@_agent_option
@connection_options
@_pass_effects
def list_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], agent: str, **given: Any) -> int:
    """Show everything in a registry, of all hosts.

    Each URI is one as in 'wharfinger run --help'. If none is given as an argument, the registries of the running agent
    are read, the options of the connection do not count, and an asterisk marks the agent's own entries. This reads the
    whole registry, and says what it cost. With --watch it reads again only if something was written to etcd. The exit
    code is 1 if a registry cannot be read; the others are shown all the same.
    """
    from controller.commands.list import ListOptions, list_entries  # noqa: PLC0415 - the agent does not need it

    return list_entries(ListOptions(**given), _places(raw, uris, agent, effects), effects)


@cli.command("hosts", cls=Command, short_help="Show who writes to a registry.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Print a table or JSON.")
@_agent_option
@connection_options
@_pass_effects
def hosts_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], agent: str, **given: Any) -> int:
    """Show who writes to a registry: each host, its engine, its version, and whether its agent is alive and drains.

    Each URI is one as in 'wharfinger run --help'. If none is given as an argument, the registries of the running agent
    are read, the options of the connection do not count, and an asterisk marks the agent's host. An agent is known to
    be alive if it has --heartbeat, or entries with a lifetime (-ttl). This reads the whole registry, and says what it
    cost.
    """
    from controller.commands.hosts import HostsOptions, list_hosts  # noqa: PLC0415 - the agent does not need it

    return list_hosts(HostsOptions(**given), _places(raw, uris, agent, effects), effects)


def _places(raw: RawOptions, uris: tuple[str, ...], agent: str, effects: Effects) -> SurveyedPlaces:
    """Return the registries that a command shows, once the log is set up. Raises WrongUsage and Stop."""
    from controller.commands.surveys import chosen_places  # noqa: PLC0415 - the agent does not need it

    _start_log_of_command(effects)
    return chosen_places(raw, uris_of_command_line(uris), variables_in_use(), agent)


@cli.command("explain", cls=GroupedCommand, short_help="Say why a container is registered or not.")
@click.argument("container", metavar="CONTAINER")
@_agent_option
@click.option("--no-agent", is_flag=True, help="Do not ask an agent. Decide by the flags of this command.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Print text or JSON.")
@pass_options
@_pass_effects
def explain_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], **given: Any) -> int:
    """Say why a container is registered or not: what was decided about each of its ports, and by what.

    CONTAINER is a name, an id or the beginning of an id, also of a container that does not run. The running agent is
    asked, so run this where it runs, as in 'docker exec wharfinger wharfinger explain web'. Without an agent, or with
    --no-agent, one pass over each URI is made that changes nothing, by the flags that are given here, which are
    those of 'wharfinger run'. The exit code is 1 if there is no such container, if several may be meant, or if nothing
    is known of it.
    """
    from controller.commands import explain  # noqa: PLC0415 - the agent does not need it

    _start_log_of_command(effects)
    return explain.explain(
        explain.ExplainOptions(**given),
        lambda: naming_unknown_variables(lambda: parse_settings(raw, uris, variables_in_use(), effects.environment)),
        effects,
    )


@cli.command("health", cls=Command)
@click.argument("url", default="")
def health_command(url: str) -> int:
    """Ask the agent on this host whether it is alive. The exit code is 0 if it is, and 1 if not.

    URL is the agent's /healthz. By default it is derived from WHARFINGER_LISTEN, where the agent listens. If that is
    empty, the agent has no HTTP server and cannot be asked, and the exit code is 0. A flag --listen of the agent is not
    seen here.
    """
    answer = health.ask(url)
    click.echo(answer.text, err=not answer.good)
    return ExitCode.IN_SYNC if answer.good else ExitCode.FAILED


def _start_log_of_command(effects: Effects) -> None:
    """Set up the log of a command that has no flags for it."""
    start_log("text", "warning", effects, colour=_wants_colour(sys.stderr))
    warn_of_variables(unknown=unknown_variables())


def _begin(raw: RawOptions, uris: tuple[str, ...], effects: Effects) -> Settings:
    """Return the settings, once the log is set up as they say. Raises WrongUsage."""
    settings = naming_unknown_variables(lambda: parse_settings(raw, uris, variables_in_use(), effects.environment))
    start_log(settings.log_format, settings.log_level, effects, colour=_wants_colour(sys.stderr))
    warn_of_variables(empty=empty_variables(), unknown=unknown_variables())
    return settings


def _wants_colour(stream: TextIO | None) -> bool:
    """Return whether to write colours to the stream: if it is a terminal, and NO_COLOR is not set (https://no-color.org).

    A stream that was closed when the program started is None.
    """
    return stream is not None and stream.isatty() and not os.environ.get("NO_COLOR")
