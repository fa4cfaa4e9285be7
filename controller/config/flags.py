"""The command line flags. Each flag has an environment variable.

registrator's flags have the same names and defaults here, and can be spelled as Go's flag package allows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

import click
from attrs import frozen
from click.core import ParameterSource

from controller.config.converters import SEPARATOR
from controller.config.default_endpoints import ENDPOINTS_VARIABLE
from controller.config.near_misses import URIS, closest
from controller.errors import WrongUsage

T = TypeVar("T")


@frozen
class Flag:
    """A flag that takes a value."""

    #: The name without dashes. The environment variable is made from it.
    name: str
    #: What stands for the value in the help text.
    metavar: str
    #: The help text.
    help: str
    #: The text of a flag that is not given; empty by default.
    default: str = ""
    #: Whether registrator does not have this flag. Such a flag is written with two dashes, registrator's flags with one
    #: or two.
    new: bool = False
    #: Environment variables of other programs that mean the same. The flag's own variable has precedence.
    other_variables: tuple[str, ...] = ()
    #: Whether the flag may be given several times. Its environment variable then holds several values, separated by
    #: whitespace.
    repeatable: bool = False
    #: None: an empty value is valid. Otherwise an empty value on the command line is wrong usage, and this text tells
    #: the operator what to do instead. An empty environment variable then counts as not set, with a warning.
    instead_of_empty: str | None = None
    #: Whether it is about what the agent does between its passes and beside them. ``reconcile`` accepts such a flag, so
    #: that it can be given the flags of the agent, and its help does not show it.
    of_agent: bool = False

    @property
    def spelling(self) -> str:
        """The flag as the documents write it: ``-ip``, and ``--interval`` if it is not registrator's."""
        return _spelling(self.name, new=self.new)


@frozen
class Switch:
    """A flag that is on or off. It is off by default."""

    #: The name without dashes. The environment variable is made from it.
    name: str
    #: The help text.
    help: str
    #: Whether registrator does not have this flag, as in ``Flag``.
    new: bool = False
    #: Whether it is about what the agent does between its passes and beside them, as in ``Flag``.
    of_agent: bool = False

    @property
    def spelling(self) -> str:
        """The switch as the documents write it, as in ``Flag``."""
        return _spelling(self.name, new=self.new)

    @property
    def opposite(self) -> str:
        """The name by which it is switched off: ``no-internal``, and ``hints`` for ``no-hints``."""
        return self.name.removeprefix("no-") if self.name.startswith("no-") else f"no-{self.name}"


def _spelling(name: str, *, new: bool) -> str:
    return f"--{name}" if new else f"-{name}"


@frozen
class Origin:
    """What gave a setting its value."""

    #: ``default``, ``variable``, ``flag``, ``argument`` or ``file``.
    kind: str
    #: The environment variable, or the file; empty for the others.
    name: str = ""


#: The environment variables in which etcdctl has the same, first those of its v3 and then those of its v2.
ETCDCTL_VARIABLES = {
    "ca": ("ETCDCTL_CACERT", "ETCDCTL_CA_FILE"),
    "cert": ("ETCDCTL_CERT", "ETCDCTL_CERT_FILE"),
    "key": ("ETCDCTL_KEY", "ETCDCTL_KEY_FILE"),
    "user": ("ETCDCTL_USER", "ETCDCTL_USERNAME"),
    "password": ("ETCDCTL_PASSWORD",),
}

#: The environment variables in which registrator 9 has the same. etcd itself has the last two for its own certificate.
REGISTRATOR_VARIABLES = {"ca": "ETCD_CA_CERT_FILE", "cert": "ETCD_CERT_FILE", "key": "ETCD_KEY_FILE"}

#: The flags of a pass and of the agent. Those that are not ``new`` are registrator's, as documented at
#: https://gliderlabs.github.io/registrator/latest/user/run/
FLAGS = (
    Flag(
        "ip",
        "ADDRESS",
        "Register this address. By default it is the address on which the port is published, or else the address of "
        "the interface through which this host reaches etcd. With -internal or -ip-from-container, it counts for "
        "containers with host networking alone.",
        instead_of_empty="give this host's address, or leave the flag out to have it found out",
    ),
    Flag(
        "useIpFromLabel",
        "LABEL",
        "Register the address in this label of a container, if it has the label. The label has precedence over -ip.",
    ),
    Flag(
        "tags",
        "TAGS",
        'Add these tags, separated by commas, to every entry. {{.Field}} and {{index .Field "key"}} stand for what an '
        "inspect of the container says.",
    ),
    Flag(
        "deregister",
        "WHEN",
        "Remove the entries of a stopped container: always, or on-success, which means unless the container failed.",
        "always",
    ),
    Flag(
        "ttl",
        "SECONDS",
        "Let keys expire this long after they were last renewed, also while the agent is stopped or cannot read the "
        "engine or etcd. With 0 they never expire.",
        "0",
    ),
    Flag("ttl-refresh", "SECONDS", "Renew keys that expire this often. It must be less than -ttl.", "0"),
    Flag(
        "resync",
        "SECONDS",
        "Run a pass at least this often. By v3, look for forgotten keys of this host as often.",
        of_agent=True,
    ),
    Flag("retry-attempts", "N", "Accepted for compatibility and ignored: the agent never gives up.", of_agent=True),
    Flag(
        "retry-interval",
        "MS",
        "Accepted for compatibility and ignored: the wait grows with each failed pass.",
        of_agent=True,
    ),
    Flag(
        "interval",
        "SECONDS",
        "Wait this long between passes. If -resync, -ttl-refresh or --heartbeat is less, it counts instead.",
        "1",
        new=True,
        of_agent=True,
    ),
    Flag(
        "delete-guard",
        "PERCENT",
        "Hold a delete back until three passes in a row, and two seconds, have called for it, in two cases: if the "
        "engine says that the container still runs, or gives no answer about it; and if, stopped containers aside, "
        "more than this percentage of the host's keys, and more than three, would be deleted. With 100, no number is "
        "too large. With 0 there is no guard: whatever the engine's list lacks is deleted at once.",
        "50",
        new=True,
    ),
    Flag("pass-timeout", "SECONDS", "Let a pass take this long at most.", "10", new=True),
    Flag(
        "hostname",
        "NAME",
        "Register entries with this name as their owner. By default it is the host's name as the engine reports it.",
        new=True,
    ),
    Flag(
        "listen",
        "HOST:PORT",
        "Serve metrics and health at this address. With an empty value there is no HTTP server.",
        "0.0.0.0:9119",
        new=True,
        of_agent=True,
    ),
    Flag(
        "web-token-file",
        "FILE",
        "Answer only those who send the token in the first line of this file (Authorization: Bearer TOKEN), except for "
        "/healthz, /readyz and /metrics.",
        new=True,
        instead_of_empty="give a file, or leave the flag out to show the pages to everybody",
        of_agent=True,
    ),
    Flag(
        "docker-host",
        "URL",
        "Connect to the Docker engine at this URL: unix:///PATH or tcp://HOST:PORT. By default it is DOCKER_HOST, or "
        "else that of DOCKER_CONTEXT, or else a socket in one of the usual places.",
        new=True,
    ),
    Flag(
        "heartbeat",
        "SECONDS",
        "Show in etcd that the agent is alive: renew a key this often, which expires after three times as long. This "
        "must not be less than --pass-timeout. With 0 there is no such key.",
        "0",
        new=True,
        of_agent=True,
    ),
    Flag("log-format", "FORMAT", "Write the log as text or json.", "text", new=True),
    Flag(
        "log-level",
        "LEVEL",
        "Log from this level on: trace, debug, info, warning or error. With debug there are lines about each pass. "
        "With trace, each request to etcd and to the engine is logged, too.",
        "info",
        new=True,
    ),
    Flag(
        "value-format",
        "FORMAT",
        "Write the values of etcd:// and etcd3:// as hostport (HOST:PORT) or json.",
        "hostport",
        new=True,
    ),
    Flag(
        "record-ttl",
        "SECONDS",
        "Let DNS servers and their clients keep an answer from a skydns2:// or skydns3:// record this long, unless "
        "SERVICE_TTL of the container says otherwise. With 0 the record does not say. By default it is 30 for "
        "skydns3:// and 0 for skydns2://.",
        new=True,
    ),
    Flag(
        "health",
        "WHICH",
        "Register any container, or only those that are healthy or have no HEALTHCHECK.",
        "any",
        new=True,
    ),
    Flag(
        "filter",
        "FILTER",
        "Register only containers that docker ps --filter shows. The flag may be given several times. The environment "
        "variable may hold several filters, separated by whitespace.",
        new=True,
        repeatable=True,
    ),
    Flag(
        "stop-grace",
        "SECONDS",
        "Take the entries of a container back this long after a signal that should stop it, if it still runs. If the "
        "engine gives the container longer to end, it is 10 seconds more than that. SERVICE_STOP_GRACE of a container "
        "has precedence.",
        "120",
        new=True,
    ),
    Flag(
        "network",
        "NAME",
        "Register the address that a container has in this network; needs -internal or -ip-from-container. "
        "SERVICE_NETWORK of a container has precedence.",
        new=True,
    ),
    Flag(
        "ip-family",
        "FAMILY",
        "Register only ipv4 addresses or only ipv6 addresses. With any, IPv4 is preferred to IPv6.",
        "any",
        new=True,
    ),
)

#: How to connect to etcd. The password is never a flag, because every user of the host can read command lines.
CONNECTION_FLAGS = (
    Flag(
        "etcd-ca",
        "FILE",
        "Verify the certificate of etcd with the CA certificate in this file. By default the system's CAs are used.",
        new=True,
        other_variables=(*ETCDCTL_VARIABLES["ca"], REGISTRATOR_VARIABLES["ca"]),
    ),
    Flag(
        "etcd-cert",
        "FILE",
        "Authenticate to etcd with the client certificate in this file; needs --etcd-key.",
        new=True,
        other_variables=(*ETCDCTL_VARIABLES["cert"], REGISTRATOR_VARIABLES["cert"]),
    ),
    Flag(
        "etcd-key",
        "FILE",
        "Use the private key in this file for the client certificate of --etcd-cert.",
        new=True,
        other_variables=(*ETCDCTL_VARIABLES["key"], REGISTRATOR_VARIABLES["key"]),
    ),
    Flag(
        "etcd-user",
        "NAME",
        "Log in to etcd as this user. The password is taken from --etcd-password-file, or else from the environment "
        "variable WHARFINGER_ETCD_PASSWORD.",
        new=True,
        other_variables=ETCDCTL_VARIABLES["user"],
    ),
    Flag(
        "etcd-password-file",
        "FILE",
        "Read the password of --etcd-user from the first line of this file.",
        new=True,
    ),
)
#: The switches of a pass and of the agent.
SWITCHES = (
    Switch("internal", "Register the containers' own addresses and exposed ports."),
    Switch(
        "ip-from-container",
        "Register the containers' own addresses and exposed ports, but of published ports alone. With -internal it has "
        "no effect.",
    ),
    Switch("explicit", "Register only ports to which a container gives a name with SERVICE_NAME."),
    Switch("cleanup", "Accepted for compatibility and ignored: orphans are always removed.", of_agent=True),
    Switch(
        "take-over",
        "Take the owner name from another engine. This first waits until the agent of that engine has shown no sign of "
        "life for as long as it may take, and applies until the first pass that writes the owner record.",
        new=True,
    ),
    Switch(
        "adopt",
        "Take over keys under custom ids that were there before, hold the right value and belong to no other host. "
        "This applies until the first pass that writes the owner record.",
        new=True,
    ),
    Switch("all-bindings", "Register an entry for each published binding of a port, not only for the first.", new=True),
    Switch(
        "strict-names",
        "Refuse a SERVICE_NAME that has anything but ASCII letters, digits and '-', and a SERVICE_ID that has anything "
        "but these, '_', '.' and ':'. Also refuse names, and ids of one name, that differ in case alone from those "
        "that another container of this host already has.",
        new=True,
    ),
    Switch(
        "one-offs", "Register the containers of docker compose run, too. By default they have no entries.", new=True
    ),
    Switch(
        "no-drain-on-stop",
        "Keep the entries of a container that is being stopped until it has ended. By default they go as soon as the "
        "engine sends the signal that stops it, while it still answers. SERVICE_DRAIN=false of a container does the "
        "same for that container.",
        new=True,
    ),
    Switch(
        "no-hints",
        "Do not follow the engine's events, by which the agent learns at once of containers that start, end or change. "
        "Without them it reads the engine's list once in each interval, and does the same a little later.",
        new=True,
    ),
)

#: The environment variables that may hold the password for etcd. The first one that is set is used.
PASSWORD_VARIABLES = ("WHARFINGER_ETCD_PASSWORD", *ETCDCTL_VARIABLES["password"])

#: The environment variable that holds the registry URIs, separated by whitespace, if none is on the command line.
REGISTRY_VARIABLE = "WHARFINGER_REGISTRY"

#: What the environment variables of this program begin with.
_PREFIX = "WHARFINGER_"

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def environment_variable(name: str) -> str:
    """Return the environment variable of a flag: ``WHARFINGER_TTL_REFRESH`` for ``ttl-refresh``, and
    ``WHARFINGER_USE_IP_FROM_LABEL`` for ``useIpFromLabel``."""
    spaced = "".join(f"_{char}" if char.isupper() else char for char in name)
    return f"{_PREFIX}{spaced.replace('-', '_').upper()}"


def password_in_environment() -> str:
    """Return the password for etcd that an environment variable holds; an empty text if none does."""
    return os.environ.get(password_variable(), "")


def password_variable() -> str:
    """Return the environment variable that holds the password for etcd; an empty text if none is set to one."""
    name = next((each for each in PASSWORD_VARIABLES if each in os.environ), "")
    return name if os.environ.get(name) else ""


def all_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command all flags and the registry URIs.

    The command is called with ``raw``, as described at ``controller.config.settings.RawOptions``, and with ``uris``.
    """
    return _with_options(command, (*FLAGS, *CONNECTION_FLAGS), SWITCHES)


def pass_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command what ``all_options`` does. Its help does not show the flags that are ``of_agent``."""
    return _with_options(command, (*FLAGS, *CONNECTION_FLAGS), SWITCHES, agent=False)


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the flags of the connection and the registry URIs, as ``all_options`` does."""
    return _with_options(command, CONNECTION_FLAGS, ())


def uris_of_command_line(uris: tuple[str, ...]) -> tuple[str, ...]:
    """Return the registry URIs of the running command if they were given as arguments; none if they come from the
    environment."""
    source = click.get_current_context().get_parameter_source(URIS)
    return uris if source is ParameterSource.COMMANDLINE else ()


def _with_options(
    command: Callable[..., Any], flags: Sequence[Flag], switches: Sequence[Switch], *, agent: bool = True
) -> Callable[..., Any]:
    """Give a click command these flags, these switches and the registry URIs. ``agent`` says whether its help shows
    those that are ``of_agent``."""

    @wraps(command)
    def collect(uris: tuple[str, ...], **given: Any) -> Any:
        raw = {"etcd-password": password_in_environment(), ENDPOINTS_VARIABLE: os.environ.get(ENDPOINTS_VARIABLE, "")}
        for flag in flags:
            value = given.pop(_parameter(flag.name))
            raw[flag.name] = SEPARATOR.join(value) if flag.repeatable else value
        for switch in switches:
            raw[switch.name] = "true" if given.pop(_parameter(switch.name)) else ""
        _refuse_password_on_command_line()
        _refuse_empty_values(flags)
        return command(raw=raw, uris=uris, **given)

    decorated: Callable[..., Any] = click.argument(URIS, nargs=-1, metavar="[URI...]", envvar=REGISTRY_VARIABLE)(
        collect
    )
    # click shows the option first that was added last.
    for switch in reversed(switches):
        decorated = _switch_option(switch, hidden=switch.of_agent and not agent)(decorated)
    for flag in reversed(flags):
        decorated = _flag_option(flag, hidden=flag.of_agent and not agent)(decorated)
    return decorated


def _refuse_password_on_command_line() -> None:
    """Refuse etcdctl's ``name:password`` as an argument: every user of the host can read command lines. It is accepted
    in the environment variables."""
    context, name = click.get_current_context(), _parameter("etcd-user")
    if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and ":" in context.params[name]:
        raise WrongUsage(
            ["--etcd-user: a command line must not contain the password; put it in the file of --etcd-password-file"]
        )


def _refuse_empty_values(flags: Sequence[Flag]) -> None:
    """Raise WrongUsage if a flag has an empty value on the command line and may not have one. The cause is most likely
    a shell variable that is not set."""
    problems = [
        f"{flag.spelling} '': it is empty; {flag.instead_of_empty}"
        for flag in flags
        if flag.instead_of_empty and _is_empty(flag, ParameterSource.COMMANDLINE)
    ]
    if problems:
        raise WrongUsage(problems)


def empty_variables() -> list[str]:
    """Return the environment variables of the running command's flags that are empty and therefore count as not set."""
    return [
        environment_variable(flag.name)
        for flag in FLAGS
        if flag.instead_of_empty and _is_empty(flag, ParameterSource.ENVIRONMENT)
    ]


def variables_in_use() -> dict[str, str]:
    """Return the environment variables that give the running command's options their values, by the names of the
    options."""
    context = click.get_current_context()
    flags = {_parameter(each.name): each for each in (*FLAGS, *CONNECTION_FLAGS)}
    return {
        flags[parameter].name: next(each for each in _variables(flags[parameter]) if each in os.environ)
        for parameter in context.params.keys() & flags.keys()
        if context.get_parameter_source(parameter) is ParameterSource.ENVIRONMENT
    }


def origins() -> dict[str, Origin]:
    """Return what gave the flags and switches of the running command their values, by their names, and the registry
    URIs theirs, under ``URIS``. A variable that counts as not set gives none."""
    variables = variables_in_use() | {each.name: environment_variable(each.name) for each in SWITCHES}
    flags = [each.name for each in (*FLAGS, *CONNECTION_FLAGS, *SWITCHES)]
    found = {name: _origin(_parameter(name), "flag", variables.get(name, "")) for name in flags}
    return found | {URIS: _origin(URIS, "argument", REGISTRY_VARIABLE)}


def _origin(parameter: str, on_command_line: str, variable: str) -> Origin:
    """Return what gave a parameter of the running command its value: the variable, if any variable did."""
    source = click.get_current_context().get_parameter_source(parameter)
    if source is ParameterSource.ENVIRONMENT and variable not in empty_variables():
        return Origin("variable", variable)
    return Origin(on_command_line if source is ParameterSource.COMMANDLINE else "default")


def _variables(flag: Flag) -> list[str]:
    """Return the environment variables of a flag, in the order of their precedence."""
    return [environment_variable(flag.name), *flag.other_variables]


def unknown_variables() -> dict[str, str]:
    """Return the environment variables that look like those of this program and are none of them. The value of each is
    the variable that may have been meant; empty if none is like it."""
    flags = (*FLAGS, *CONNECTION_FLAGS, *SWITCHES)
    known = {REGISTRY_VARIABLE, *PASSWORD_VARIABLES, *(environment_variable(each.name) for each in flags)}
    names = {each.removeprefix(_PREFIX): each for each in sorted(known) if each.startswith(_PREFIX)}
    found = (each for each in sorted(os.environ) if each.startswith(_PREFIX) and each not in known)
    return {each: names.get(closest(each.removeprefix(_PREFIX), names), "") for each in found}


def naming_unknown_variables(parse: Callable[[], T]) -> T:
    """Return what ``parse`` returns. Raises its WrongUsage, in which the environment variables that have no effect are
    named before the problems, because one of them may be the cause."""
    try:
        return parse()
    except WrongUsage as error:
        unknown = [
            f"environment variable {each} is not known and has no effect{f'; did you mean {meant}?' if meant else ''}"
            for each, meant in unknown_variables().items()
        ]
        raise WrongUsage([*unknown, *error.problems]) from None


def _is_empty(flag: Flag, source: ParameterSource) -> bool:
    """Return whether the flag has an empty value that comes from this source."""
    context, name = click.get_current_context(), _parameter(flag.name)
    return context.get_parameter_source(name) is source and not context.params[name]


def _parameter(name: str) -> str:
    """Return the name by which click passes the flag's value on."""
    return f"option_{name.replace('-', '_')}"


class _Option(click.Option):
    """An option whose environment variable may be set to an empty text: ``WHARFINGER_LISTEN=`` means ``--listen ''``.

    click itself takes such a variable for one that is not set.
    """

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return _first_set([self.envvar] if isinstance(self.envvar, str) else self.envvar or ())


class _SwitchOption(click.Option):
    """A switch, whose environment variable is named if its value makes no sense."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        text = super().resolve_envvar_value(ctx)
        try:
            click.BOOL.convert(text or "false", self, ctx)
        except click.BadParameter:
            raise WrongUsage([f"{self.envvar} {text!r}: it must be true or false"]) from None
        return text


def _first_set(variables: Iterable[str]) -> str | None:
    """Return the value of the first of these environment variables that is set, or None."""
    return next((os.environ[name] for name in variables if name in os.environ), None)


def _flag_option(flag: Flag, *, hidden: bool) -> Callable[..., Any]:
    spellings = [f"--{flag.name}"] if flag.new else [f"-{flag.name}", f"--{flag.name}"]
    return click.option(
        *spellings,
        _parameter(flag.name),
        cls=_Option,
        metavar=flag.metavar,
        multiple=flag.repeatable,
        default=[] if flag.repeatable else flag.default,
        show_default=bool(flag.default),
        envvar=_variables(flag),
        show_envvar=True,
        hidden=hidden,
        help=flag.help,
    )


def _switch_option(switch: Switch, *, hidden: bool) -> Callable[..., Any]:
    spellings = [f"--{switch.name}/--{switch.opposite}"]
    if not switch.new:
        spellings.insert(0, f"-{switch.name}/-{switch.opposite}")
    return click.option(
        *spellings,
        _parameter(switch.name),
        cls=_SwitchOption,
        default=False,
        envvar=environment_variable(switch.name),
        show_envvar=True,
        hidden=hidden,
        help=switch.help,
    )


def rewrite(arguments: list[str], commands: Container[str]) -> list[str]:
    """Rewrite a command line of registrator as one that click understands.

    ``run`` is put in front if the first argument is none of ``commands``. A switch in Go's spelling is replaced:
    ``-internal=false`` becomes ``--no-internal``. Raises WrongUsage if the value of such a switch is no truth value.
    """
    if not arguments or arguments[0] not in commands:
        arguments = ["run", *arguments]
    return [_rewrite_go_switch(argument) for argument in arguments]


def _rewrite_go_switch(argument: str) -> str:
    name, equals, value = argument.partition("=")
    found = next((each for each in SWITCHES if each.name == name.lstrip("-")), None)
    if not equals or not name.startswith("-") or found is None:
        return argument
    if value in _TRUE:
        return f"--{found.name}"
    if value in _FALSE:
        return f"--{found.opposite}"
    raise WrongUsage([f"-{found.name} {value!r}: it must be true or false"])
