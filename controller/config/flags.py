"""The flags: registrator's own, in Go's spelling too, and ours. Each has an environment variable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import click
from attrs import frozen
from click.core import ParameterSource

from controller.config.converters import BETWEEN
from controller.config.settings import WrongUsage


@frozen
class Flag:
    """One flag that takes a word. ``ours`` have two dashes only, registrator's one or two. ``also`` are environment
    variables of other programs that mean the same. One that is ``repeated`` may be given several times; its variable
    then holds several words, separated by whitespace."""

    name: str
    metavar: str
    about: str
    default: str = ""
    ours: bool = False
    also: tuple[str, ...] = ()
    repeated: bool = False


@frozen
class Switch:
    """One flag that is on or off."""

    name: str
    about: str
    ours: bool = False


#: etcdctl's own names for the same, of its v3 and its v2.
ETCDCTL = {
    "ca": ("ETCDCTL_CACERT", "ETCDCTL_CA_FILE"),
    "cert": ("ETCDCTL_CERT", "ETCDCTL_CERT_FILE"),
    "key": ("ETCDCTL_KEY", "ETCDCTL_KEY_FILE"),
    "user": ("ETCDCTL_USER", "ETCDCTL_USERNAME"),
    "password": ("ETCDCTL_PASSWORD",),
}

#: registrator's flags: https://gliderlabs.github.io/registrator/latest/user/run/
FLAGS = (
    Flag("ip", "ADDRESS", "The address to register; else a binding's own, else the one that faces etcd."),
    Flag("useIpFromLabel", "LABEL", "Take the address from this label of the container, where it has it."),
    Flag("tags", "TAGS", "Tags for every entry, separated by commas."),
    Flag("deregister", "WHEN", "Remove a stopped container's entries: always, or on-success.", "always"),
    Flag("ttl", "SECONDS", "Let keys expire this long after their last renewal; 0 for never.", "0"),
    Flag("ttl-refresh", "SECONDS", "How often to renew them; less than -ttl.", "0"),
    Flag("resync", "SECONDS", "Look at least this often. Every pass is a resync."),
    Flag("retry-attempts", "N", "Accepted, and needless: it never gives up."),
    Flag("retry-interval", "MS", "Accepted, and needless: it backs off by itself."),
    Flag("interval", "SECONDS", "Time between passes.", "1", ours=True),
    Flag(
        "delete-guard", "PERCENT", "Hold back deletes of more than this part of the entries; 0: never.", "50", ours=True
    ),
    Flag("pass-timeout", "SECONDS", "How long a pass may take.", "10", ours=True),
    Flag("hostname", "NAME", "Owner of the entries; else the engine's name.", ours=True),
    Flag("listen", "HOST:PORT", "Serve metrics and health here; empty for none.", "0.0.0.0:9119", ours=True),
    Flag("docker-host", "URL", "The engine; else DOCKER_HOST, else a socket that is there.", ours=True),
    Flag("log-format", "FORMAT", "text or json.", "text", ours=True),
    Flag("log-level", "LEVEL", "debug, info, warning or error.", "info", ours=True),
    Flag("value-format", "FORMAT", "Values of etcd:// and etcd3://: hostport or json.", "hostport", ours=True),
    Flag("health", "WHICH", "Register any container, or only those that are healthy.", "any", ours=True),
    Flag(
        "filter",
        "FILTER",
        "Register only what docker ps --filter shows; repeatable. Whitespace separates several in the variable.",
        ours=True,
        repeated=True,
    ),
    Flag("network", "NAME", "Which network's address -internal takes; SERVICE_NETWORK beats it.", ours=True),
    Flag(
        "ip-family", "FAMILY", "Register only addresses that are ipv4 or ipv6; any: IPv4, else IPv6.", "any", ours=True
    ),
)

#: How to reach etcd. The password is never a flag: command lines can be read by everybody on the host.
CONNECTION = (
    Flag("etcd-ca", "FILE", "Verify etcd by this CA; else by the system's.", ours=True, also=ETCDCTL["ca"]),
    Flag("etcd-cert", "FILE", "Client certificate.", ours=True, also=ETCDCTL["cert"]),
    Flag("etcd-key", "FILE", "Its key.", ours=True, also=ETCDCTL["key"]),
    Flag(
        "etcd-user",
        "NAME",
        "User name; the password is in WHARFINGER_ETCD_PASSWORD, or",
        ours=True,
        also=ETCDCTL["user"],
    ),
    Flag("etcd-password-file", "FILE", "in the first line of this file.", ours=True),
)
SWITCHES = (
    Switch("internal", "Register the containers' own addresses and exposed ports."),
    Switch("explicit", "Register only what SERVICE_NAME names."),
    Switch("cleanup", "Accepted, and needless: orphans always go."),
    Switch("take-over", "Take the owner name from another engine, once.", ours=True),
    Switch("all-bindings", "An entry for each published binding of a port, not only the first.", ours=True),
)

PASSWORD_VARIABLES = ("WHARFINGER_ETCD_PASSWORD", *ETCDCTL["password"])

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def environment_variable(name: str) -> str:
    """``WHARFINGER_TTL_REFRESH`` for ``ttl-refresh``, ``WHARFINGER_USE_IP_FROM_LABEL`` for ``useIpFromLabel``."""
    spaced = "".join(f"_{char}" if char.isupper() else char for char in name)
    return f"WHARFINGER_{spaced.replace('-', '_').upper()}"


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all flags and the registry's URI. It is called with ``words``, a word for each flag by name (an
    empty one for a flag not given, those of a repeated one with BETWEEN between them), and ``uris``."""

    @wraps(command)
    def gather(uris: tuple[str, ...], **given: Any) -> Any:
        words = {flag.name: _one_word(given.pop(_variable(flag.name))) for flag in (*FLAGS, *CONNECTION)}
        words |= {"etcd-password": _first_set(PASSWORD_VARIABLES) or ""}
        _keep_passwords_off_the_command_line()
        words |= {switch.name: "true" if given.pop(_variable(switch.name)) else "" for switch in SWITCHES}
        return command(words=words, uris=uris, **given)

    decorated: Callable[..., Any] = click.argument("uris", nargs=-1, metavar="URI...")(gather)
    for switch in reversed(SWITCHES):
        decorated = _switch(switch)(decorated)
    for flag in reversed((*FLAGS, *CONNECTION)):
        decorated = _flag(flag)(decorated)
    return decorated


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of the connection and the registry's URI, as ``options`` does."""

    @wraps(command)
    def gather(uris: tuple[str, ...], **given: Any) -> Any:
        words = {flag.name: given.pop(_variable(flag.name)) for flag in CONNECTION}
        words |= {"etcd-password": _first_set(PASSWORD_VARIABLES) or ""}
        _keep_passwords_off_the_command_line()
        return command(words=words, uris=uris, **given)

    decorated: Callable[..., Any] = click.argument("uris", nargs=-1, metavar="URI...")(gather)
    for flag in reversed(CONNECTION):
        decorated = _flag(flag)(decorated)
    return decorated


def _keep_passwords_off_the_command_line() -> None:
    """etcdctl's ``name:password`` is for its variables: everybody on the host can read command lines."""
    context, name = click.get_current_context(), _variable("etcd-user")
    if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and ":" in context.params[name]:
        raise WrongUsage(["--etcd-user: a password has no place on a command line; see --etcd-password-file"])


def _one_word(given: str | tuple[str, ...]) -> str:
    return given if isinstance(given, str) else BETWEEN.join(given)


def _variable(name: str) -> str:
    return f"option_{name.replace('-', '_')}"


class _Option(click.Option):
    """An option whose variable counts when it is set to nothing, too: ``WHARFINGER_LISTEN=`` is ``--listen ''``."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return _first_set([self.envvar] if isinstance(self.envvar, str) else self.envvar or ())


def _first_set(variables: Iterable[str]) -> str | None:
    return next((os.environ[name] for name in variables if name in os.environ), None)


def _flag(flag: Flag) -> Callable[..., Any]:
    spellings = [f"--{flag.name}"] if flag.ours else [f"-{flag.name}", f"--{flag.name}"]
    return click.option(
        *spellings,
        _variable(flag.name),
        cls=_Option,
        metavar=flag.metavar,
        multiple=flag.repeated,
        default=[] if flag.repeated else flag.default,
        show_default=bool(flag.default),
        envvar=[environment_variable(flag.name), *flag.also],
        help=flag.about,
    )


def _switch(switch: Switch) -> Callable[..., Any]:
    spellings = [f"--{switch.name}/--no-{switch.name}"]
    if not switch.ours:
        spellings.insert(0, f"-{switch.name}/-no-{switch.name}")
    return click.option(
        *spellings,
        _variable(switch.name),
        default=False,
        envvar=environment_variable(switch.name),
        help=switch.about,
    )


def rewrite(words: list[str], commands: Iterable[str]) -> list[str]:
    """Make a registrator command line one of ours: ``run`` where no command is named, ``-internal=false`` (Go's
    spelling) as ``--no-internal``. Raises WrongUsage."""
    if not words or words[0] not in {*commands, "-h", "--help", "--version"}:
        words = ["run", *words]
    return [_from_go(word) for word in words]


def _from_go(word: str) -> str:
    name, equals, value = word.partition("=")
    switch = name.lstrip("-")
    if not equals or not name.startswith("-") or switch not in {each.name for each in SWITCHES}:
        return word
    if value in _TRUE:
        return f"--{switch}"
    if value in _FALSE:
        return f"--no-{switch}"
    raise WrongUsage([f"-{switch} {value!r}: it must be true or false"])
