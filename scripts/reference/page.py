"""The page, section by section."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from controller.cli import cli
from controller.commands import exit_codes
from controller.config.flags import CONNECTION_FLAGS, FLAGS, SWITCHES, Flag, Switch, environment_variable
from controller.config.grouped_help import FLAG_GROUPS
from scripts.reference import environment, log_lines, log_meanings, service_variables
from scripts.reference.markdown import code, codes, table
from scripts.reference.reasons import WORDS

_HEAD = """\
# Reference

Every word that the program reads or writes. This page is generated from the code, and a test compares it with the code:
`.venv/bin/python -m scripts.reference > docs/reference.md` writes it anew. [questions.md](questions.md)
answers questions, and [metrics.md](metrics.md) lists the metrics."""

_VARIABLES = """\
## Variables of containers

A container sets these as labels or in its environment. A label overrides a variable of the environment. The name behind
`SERVICE_` may be in capital or small letters. A variable counts for all ports of the container. For one port it is
`SERVICE_<port>_<KEY>`, for one port by one protocol `SERVICE_<port>_<protocol>_<KEY>`, and for a range of ports
`SERVICE_<first>-<last>_<KEY>`. The one that selects the fewest ports counts. Any other variable that begins with
`SERVICE_` becomes an attribute in JSON values (`--value-format json`), and does nothing else."""

_FLAGS = """\
## Flags

These commands take the flags, as far as they count there: {commands}.

The other commands that take a URI have those that begin with `--etcd`. registrator's flags may be written with one
hyphen or two. A flag on the command line has precedence over its variable. Of several variables the first one that is
set counts."""

_COMMANDS = """\
## Commands

The options that only some commands have. `wharfinger COMMAND --help` says more."""

_ENVIRONMENT = """\
## Environment

These variables belong to no flag. Each flag has one of its own, in the table [above](#flags)."""

_EXIT_CODES = """\
## Exit codes

A command ends with one of these. Only `reconcile` has others than 0 and 1. If several apply, the first of 1, 3, 2 and 4
counts."""

_REASONS = """\
## Reasons and results

Each list is closed: the program says no other word there."""

_LOG = """\
## Log

A line of the log has the time, the level, the message, the logger in brackets and the fields. With several registries,
each line about one of them has the field `registry`, too. The messages are constant, so they can be searched for. A
field that has nothing to say is left out. At the level `trace` there is also a line for each request to etcd and to the
engine."""


def page() -> str:
    """Return the whole page."""
    sections = [
        _HEAD,
        _VARIABLES,
        _service_variables(),
        _FLAGS.format(commands=codes(_with_flags())),
        *_flags(),
        _COMMANDS,
        *_commands(),
        _ENVIRONMENT,
        table(("Variable", "Meaning"), ((code(name), about) for name, about in environment.MEANINGS.items())),
        _EXIT_CODES,
        table(("Code", "Meaning"), _exit_codes()),
        _REASONS,
        *_reasons(),
        _LOG,
        _log(),
    ]
    return "\n\n".join(sections) + "\n"


def _with_flags() -> list[str]:
    """Return the names of the commands that take flags of a pass."""
    return [name for name, each in cli.commands.items() if any("--value-format" in param.opts for param in each.params)]


def _service_variables() -> str:
    rows = (
        (code(service_variables.variable(key)), _counts_for(key), about)
        for key, about in service_variables.MEANINGS.items()
    )
    return table(("Variable", "Counts", "Meaning"), rows)


def _counts_for(key: str) -> str:
    if service_variables.of_container(key):
        return "for the container only"
    of_record = service_variables.of_record(key)
    return "for the container or a port, under `skydns…://` only" if of_record else "for the container or a port"


def _flags() -> Iterator[str]:
    """Yield heading and table of each group of flags."""
    for group in FLAG_GROUPS:
        rows = ((code(_spelling(each)), codes(_variables(each)), _default(each), each.help) for each in group.flags)
        yield f"### {group.title}"
        yield table(("Flag", "Variable", "Default", "Meaning"), rows)


def _spelling(flag: Flag | Switch) -> str:
    return f"{flag.spelling} {flag.metavar}" if isinstance(flag, Flag) else flag.spelling


def _variables(flag: Flag | Switch) -> list[str]:
    others = flag.other_variables if isinstance(flag, Flag) else ()
    return [environment_variable(flag.name), *others]


def _default(flag: Flag | Switch) -> str:
    return code(flag.default) if isinstance(flag, Flag) else "off"


def _commands() -> Iterator[str]:
    """Yield heading and table of each command that has options of its own."""
    shared = {(f"--{each.name}", each.help) for each in (*FLAGS, *CONNECTION_FLAGS, *SWITCHES)}
    for name, command in sorted(cli.commands.items()):
        options = [each for each in command.params if isinstance(each, click.Option)]
        # deregister has an option --hostname, too, which means something else.
        own = [each for each in options if not {(spelling, each.help) for spelling in each.opts} & shared]
        if own:
            yield f"### {name}"
            yield table(("Option", "Meaning"), ((code(_option(each)), each.help or "") for each in own))


def _option(option: click.Option) -> str:
    if option.is_flag:
        return ", ".join(option.opts)
    choices = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else ""
    return f"{', '.join(option.opts)} {option.metavar or choices}"


def _exit_codes() -> Iterator[tuple[str, str]]:
    """Yield each exit code with the comment above it."""
    source = inspect.getsource(exit_codes.ExitCode)
    for comment, number in re.findall(r"((?: +#: .*\n)+) +\w+ = (\d+)", source):
        yield code(number), " ".join(re.sub(r"^ *#: ", "", comment, flags=re.M).split()).replace("``", "`")


def _reasons() -> Iterator[str]:
    for words in WORDS:
        yield f"### {words.heading}"
        yield words.where
        yield table(("Word", "Meaning"), words.rows())


def _log() -> str:
    return table(("Message", "Level", "Fields", "Meaning"), _log_rows(log_lines.log_lines()))


def _log_rows(lines: list[log_lines.LogLine]) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each message. A message that is logged at two levels, or in two places, has one row."""
    for message in dict.fromkeys(line.message for line in lines):
        of_message = [line for line in lines if line.message == message]
        levels = dict.fromkeys(line.level for line in of_message)
        fields = dict.fromkeys(name for line in of_message for name in line.fields)
        shown = codes(fields) + (", the traceback" if any(line.traceback for line in of_message) else "")
        about = log_meanings.MEANINGS.get(message, "")
        yield code(message), ", ".join(levels), shown.removeprefix(", "), about
