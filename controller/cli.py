"""The commands that work on registries. Each of them reads its options, sets up the log, and runs.

``controller.program`` loads this module, and all libraries with it, only when one of these commands is asked for.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

import click

from controller.commands import deregister, reconcile, run
from controller.commands.build import Effects, start_log, warn_of_variables
from controller.config.flags import (
    all_options,
    connection_options,
    empty_variables,
    naming_unknown_variables,
    unknown_variables,
    variables_in_use,
)
from controller.config.near_misses import Command
from controller.config.settings import RawOptions, Settings, parse_owner_settings, parse_settings

#: Passes to a command the effects that ``controller.program.main`` was given; without any, those of the real program.
_pass_effects = click.make_pass_decorator(Effects, ensure=True)


@click.command("run", cls=Command)
@all_options
@_pass_effects
def run_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...]) -> int:
    """Keep the registry in step with this host's containers until told to stop.

    URI is etcd://HOST:PORT[,HOST:PORT...]/PREFIX for etcd's v2 API, or etcd3:// for its v3 API. skydns2:// and
    skydns3://, followed by HOST:PORT/DOMAIN, write records that SkyDNS and CoreDNS read. A scheme with an s at its end,
    as in etcds://, uses TLS. Several URIs are kept in step independently of each other. If there is none, those in
    WHARFINGER_REGISTRY are used, separated by whitespace. SIGTERM and SIGINT end the program and leave the entries in
    place; with -ttl, they expire unless an agent renews them. SIGHUP starts a pass at once.
    """
    return run.run(_begin(raw, uris, effects), effects)


@click.command("reconcile", cls=Command)
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
@all_options
@_pass_effects
def reconcile_command(effects: Effects, /, raw: RawOptions, uris: tuple[str, ...], **given: Any) -> int:
    """Do exactly one pass over each registry, print what it did, and end.

    Each URI is one as in 'wharfinger run --help'. If there is none, those in WHARFINGER_REGISTRY are used. The exit
    code is 1 after any failure, and 3 if deletes were held back, with or without --exit-code. A single pass cannot see
    a delete several times in a row, as --delete-guard asks. With --take-over the pass begins once the agent of the
    other engine has been silent for long enough.
    """
    settings = _begin(raw, uris, effects)
    return reconcile.reconcile_once(
        settings, reconcile.ReconcileOptions(**given), effects, colour=_wants_colour(sys.stdout)
    )


@click.command("deregister", cls=Command)
@click.option("--hostname", metavar="NAME", default="", help="Remove the entries of this host; required.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove the entries without asking for confirmation.")
@click.option("--force", is_flag=True, help="Do not check first whether the host's agent is alive.")
@click.option(
    "--wait",
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
    start_log("text", "warning", effects, colour=_wants_colour(sys.stderr))
    warn_of_variables(unknown=unknown_variables())
    return deregister.deregister(settings, deregister.DeregisterOptions(**given), effects)


#: The commands by their names.
COMMANDS: dict[str, click.Command] = {
    each.name: each for each in (run_command, reconcile_command, deregister_command) if each.name
}


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
