"""The groups in which the help, README and ``wharfinger config`` show the flags, and the help of the commands that have
them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click
from attrs import frozen

from controller.config.flags import CONNECTION_FLAGS, FLAGS, SWITCHES, Flag, Switch
from controller.config.near_misses import Command

#: How many columns an option takes at least, so that what is said of the options begins at one place in all groups. It
#: is the most that click gives them.
_OPTION_WIDTH = 30

#: The flags and switches by their names.
_BY_NAME: dict[str, Flag | Switch] = {each.name: each for each in (*FLAGS, *CONNECTION_FLAGS, *SWITCHES)}


@frozen
class FlagGroup:
    """Flags and switches that are shown together."""

    title: str
    #: Their names, in the order in which they are shown.
    names: tuple[str, ...]

    @property
    def flags(self) -> Sequence[Flag | Switch]:
        """The flags and switches themselves."""
        return [_BY_NAME[name] for name in self.names]


#: Every flag and switch is in one of these.
FLAG_GROUPS = (
    FlagGroup(
        "Flags of registrator",
        (
            "ip",
            "internal",
            "ip-from-container",
            "explicit",
            "useIpFromLabel",
            "tags",
            "ttl",
            "ttl-refresh",
            "deregister",
            "resync",
            "cleanup",
            "retry-attempts",
            "retry-interval",
        ),
    ),
    FlagGroup("Address", ("network", "ip-family", "all-bindings")),
    FlagGroup(
        "Which containers",
        ("health", "filter", "one-offs", "stop-grace", "no-drain-on-stop", "strict-names"),
    ),
    FlagGroup(
        "Registry",
        (
            "hostname",
            "value-format",
            "record-ttl",
            "etcd-ca",
            "etcd-cert",
            "etcd-key",
            "etcd-user",
            "etcd-password-file",
        ),
    ),
    FlagGroup("Safety", ("delete-guard", "take-over", "adopt")),
    FlagGroup(
        "Running and serving",
        (
            "interval",
            "pass-timeout",
            "heartbeat",
            "no-hints",
            "docker-host",
            "listen",
            "web-token-file",
            "log-format",
            "log-level",
        ),
    ),
)


class GroupedCommand(Command):
    """A command whose help shows its own options first, and then the flags of the agent by their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all options. click itself writes them in one list."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        by_name = {name: each for each in options for name in _names(each)}
        groups = [[by_name[name] for name in group.names if name in by_name] for group in FLAG_GROUPS]
        grouped = [option for group in groups for option in group]
        _write(ctx, formatter, "Options", (each for each in options if each not in grouped))
        for group, members in zip(FLAG_GROUPS, groups, strict=True):
            _write(ctx, formatter, group.title, members)


def _names(option: click.Option) -> Iterator[str]:
    return (spelling.lstrip("-") for spelling in option.opts)


def _write(ctx: click.Context, formatter: click.HelpFormatter, title: str, options: Iterable[click.Option]) -> None:
    """Write the options under the title, except those that are hidden. If nothing is left, write nothing."""
    if records := [record for option in options if (record := option.get_help_record(ctx))]:
        with formatter.section(title):
            formatter.write_dl([(option.ljust(_OPTION_WIDTH), text) for option, text in records])
