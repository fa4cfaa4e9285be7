"""The command line flags, in every spelling that unit files for registrator contain."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from controller.config.converters import SEPARATOR
from controller.config.flags import (
    CONNECTION_FLAGS,
    ETCDCTL_VARIABLES,
    FLAGS,
    PASSWORD_VARIABLES,
    REGISTRATOR_VARIABLES,
    REGISTRY_VARIABLE,
    SWITCHES,
    all_options,
    connection_options,
    empty_variables,
    environment_variable,
    naming_unknown_variables,
    rewrite,
    unknown_variables,
    variables_in_use,
)
from controller.config.settings import RawOptions
from controller.errors import WrongUsage

URI = "etcd://10.0.0.1:2379/services"

#: The command that is called, the texts of its options, and the registry URIs.
Parsed = tuple[str, RawOptions, tuple[str, ...]]

TAKING_A_VALUE = [flag.name for flag in (*FLAGS, *CONNECTION_FLAGS)]
REGISTRATOR_FLAGS = [flag.name for flag in FLAGS if not flag.new]
SWITCH_NAMES = [switch.name for switch in SWITCHES]
REGISTRATOR_SWITCHES = [switch.name for switch in SWITCHES if not switch.new]

#: Every environment variable that is read.
VARIABLES = (
    *map(environment_variable, TAKING_A_VALUE + SWITCH_NAMES),
    *PASSWORD_VARIABLES,
    REGISTRY_VARIABLE,
    *(variable for names in ETCDCTL_VARIABLES.values() for variable in names),
    *REGISTRATOR_VARIABLES.values(),
    "ETCD_ENDPOINTS",
)

#: Go's spellings of the two truth values.
TRUE, FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


@click.group()
def program() -> None:
    """A program with commands that return what they were called with."""


@program.command("run")
@all_options
def run(raw: RawOptions, uris: tuple[str, ...]) -> Parsed:
    """Return what ``run`` was called with."""
    return "run", raw, uris


@program.command("reconcile")
@all_options
def reconcile(raw: RawOptions, uris: tuple[str, ...]) -> Parsed:
    """Return what ``reconcile`` was called with."""
    return "reconcile", raw, uris


@program.command("deregister")
@connection_options
def deregister(raw: RawOptions, uris: tuple[str, ...]) -> Parsed:
    """Return what ``deregister`` was called with."""
    return "deregister", raw, uris


def parse(*args: str, env: Mapping[str, str] | None = None) -> Parsed:
    """Return what the program makes of this command line in this environment."""
    clean = dict.fromkeys(VARIABLES)
    arguments = rewrite(list(args), commands=("run", "reconcile", "deregister"))
    result = CliRunner().invoke(program, arguments, env={**clean, **(env or {})}, standalone_mode=False)
    if result.exception:
        raise result.exception
    parsed: Parsed = result.return_value
    return parsed


def test_a_uri_alone_runs_the_agent_with_every_default() -> None:
    """Each flag has the text of its default, and each switch is off."""
    expected = {flag.name: flag.default for flag in (*FLAGS, *CONNECTION_FLAGS)} | dict.fromkeys(SWITCH_NAMES, "")
    expected |= {"etcd-password": "", "ETCD_ENDPOINTS": ""}
    assert parse(URI) == ("run", expected, (URI,))


@pytest.mark.parametrize("after", [False, True], ids=["before the URI", "after the URI"])
@pytest.mark.parametrize("spelling", ["-{} value", "-{}=value", "--{} value", "--{}=value"])
@pytest.mark.parametrize("name", REGISTRATOR_FLAGS)
def test_registrators_flags_are_understood_in_each_spelling(name: str, spelling: str, after: bool) -> None:
    """With one dash or two, with a space or an equals sign before the value, before or after the URI."""
    flag = spelling.format(name).split()
    command, raw, uris = parse(*([URI, *flag] if after else [*flag, URI]))
    assert (command, raw[name], uris) == ("run", "value", (URI,))


@pytest.mark.parametrize("spelling", ["--{} value", "--{}=value"])
@pytest.mark.parametrize("name", [flag.name for flag in (*FLAGS, *CONNECTION_FLAGS) if flag.new])
def test_flags_that_registrator_does_not_have_are_written_with_two_dashes(name: str, spelling: str) -> None:
    """The value follows a space or an equals sign."""
    assert parse(*spelling.format(name).split(), URI)[1][name] == "value"


@pytest.mark.parametrize(("dashes"), ["-", "--"])
@pytest.mark.parametrize("name", REGISTRATOR_SWITCHES)
def test_a_switch_alone_is_on_and_takes_no_value(name: str, dashes: str) -> None:
    """The next argument is not its value, as with Go's flags."""
    for line in ([f"{dashes}{name}", URI], [URI, f"{dashes}{name}"]):
        _, raw, uris = parse(*line)
        assert (raw[name], uris) == ("true", (URI,))


@pytest.mark.parametrize("dashes", ["-", "--"])
@pytest.mark.parametrize("value", TRUE + FALSE)
@pytest.mark.parametrize("name", SWITCH_NAMES)
def test_a_switch_takes_gos_truth_values(name: str, value: str, dashes: str) -> None:
    """``-internal=false`` turns the switch off, before or after the URI."""
    for line in ([f"{dashes}{name}={value}", URI], [URI, f"{dashes}{name}={value}"]):
        assert parse(*line)[1][name] == ("true" if value in TRUE else "")


@pytest.mark.parametrize("name", [switch.name for switch in SWITCHES if switch.new])
def test_switches_that_registrator_does_not_have_are_written_with_two_dashes(name: str) -> None:
    """One dash is an error."""
    assert parse(f"--{name}", URI)[1][name] == "true"
    with pytest.raises(click.UsageError):
        parse(f"-{name}", URI)


@pytest.mark.parametrize("value", ["maybe", "", "yes"])
def test_a_switch_takes_no_other_value(value: str) -> None:
    """A value that Go refuses is refused, and the message names the switch."""
    with pytest.raises(WrongUsage) as wrong:
        parse(f"-internal={value}", URI)
    assert wrong.value.problems == [f"-internal {value!r}: it must be true or false"]


def test_a_variable_of_a_switch_that_makes_no_sense_is_named() -> None:
    """The switch on the command line has precedence over it."""
    with pytest.raises(WrongUsage) as wrong:
        parse(URI, env={"WHARFINGER_ALL_BINDINGS": "maybe"})
    assert wrong.value.problems == ["WHARFINGER_ALL_BINDINGS 'maybe': it must be true or false"]
    assert parse("--all-bindings", URI, env={"WHARFINGER_ALL_BINDINGS": "maybe"})[1]["all-bindings"] == "true"


def test_the_last_occurrence_of_a_switch_counts() -> None:
    """Earlier ones are overridden, as with Go's flags."""
    assert parse("-internal", "-internal=false", URI)[1]["internal"] == ""
    assert parse("-internal=false", "-internal", URI)[1]["internal"] == "true"


def test_a_negative_number_is_a_value_and_not_a_flag() -> None:
    """registrator's default for ``-retry-attempts`` is -1."""
    assert parse("-retry-attempts", "-1", URI)[1]["retry-attempts"] == "-1"


def test_an_argument_that_only_looks_like_a_switch_is_left_alone() -> None:
    """Only switches are rewritten, and no values or URIs."""
    _, raw, uris = parse("-tags", "internal=false", "etcd://a/explicit=true")
    assert (raw["tags"], uris) == ("internal=false", ("etcd://a/explicit=true",))


@pytest.mark.parametrize(
    ("args", "command"),
    [
        ([URI], "run"),
        (["run", URI], "run"),
        (["-internal", URI], "run"),
        (["reconcile", URI], "reconcile"),
        (["reconcile", "-ip=10.0.0.1", URI, "-internal=false"], "reconcile"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_run_is_the_default_command(args: list[str], command: str) -> None:
    """It is run if no command is named, as in command lines of registrator."""
    parsed_command, _, uris = parse(*args)
    assert (parsed_command, uris) == (command, (URI,))


def test_an_empty_command_line_is_run() -> None:
    """The error is then about the missing URI."""
    assert rewrite([], commands=("run",)) == ["run"]


@pytest.mark.parametrize("name", [flag.name for flag in FLAGS if flag.repeatable])
def test_a_repeatable_flag_keeps_every_value(name: str) -> None:
    """Spaces and commas are kept. The environment variable holds several values, separated by whitespace. It is ignored
    if the flag is given."""
    env = {environment_variable(name): " a=b,c \n d=e "}
    assert parse(f"--{name}", "a=b c,d", f"--{name}=e=f", URI, env=env)[1][name].split(SEPARATOR) == ["a=b c,d", "e=f"]
    assert parse(URI, env=env)[1][name].split(SEPARATOR) == ["a=b,c", "d=e"]


@pytest.mark.parametrize("name", TAKING_A_VALUE)
def test_every_flag_has_an_environment_variable(name: str) -> None:
    """The variable replaces the flag, and the flag has precedence over it."""
    env = {environment_variable(name): "from-env"}
    assert parse(URI, env=env)[1][name] == "from-env"
    assert parse(f"--{name}", "from-flag", URI, env=env)[1][name] == "from-flag"


@pytest.mark.parametrize("name", TAKING_A_VALUE)
def test_an_environment_variable_set_to_nothing_is_an_empty_value(name: str) -> None:
    """``WHARFINGER_LISTEN=`` means the same as ``--listen ''``."""
    assert parse(URI, env={environment_variable(name): ""})[1][name] == ""


@pytest.mark.parametrize("name", SWITCH_NAMES)
def test_every_switch_has_an_environment_variable(name: str) -> None:
    """It is true or false, an empty one counts as not set, and the switch has precedence over it."""
    variable = environment_variable(name)
    assert parse(URI, env={variable: "true"})[1][name] == "true"
    assert parse(URI, env={variable: "false"})[1][name] == ""
    assert parse(URI, env={variable: ""})[1][name] == ""
    assert parse(f"--{name}=false", URI, env={variable: "true"})[1][name] == ""
    assert parse(f"--{name}", URI, env={variable: "false"})[1][name] == "true"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("ip", "WHARFINGER_IP"),
        ("ttl-refresh", "WHARFINGER_TTL_REFRESH"),
        ("useIpFromLabel", "WHARFINGER_USE_IP_FROM_LABEL"),
        ("docker-host", "WHARFINGER_DOCKER_HOST"),
        ("internal", "WHARFINGER_INTERNAL"),
        ("take-over", "WHARFINGER_TAKE_OVER"),
        ("etcd-password-file", "WHARFINGER_ETCD_PASSWORD_FILE"),
    ],
)
def test_environment_variables_are_named_after_their_flags(name: str, variable: str) -> None:
    """The name is in capitals, with underscores between its words."""
    assert environment_variable(name) == variable


@pytest.mark.parametrize("line", [["-nonsense", URI], ["--ip"], ["-ip"], ["--interval"]], ids=" ".join)
def test_an_unknown_flag_or_one_without_its_value_is_refused(line: list[str]) -> None:
    """Both are usage errors."""
    with pytest.raises(click.UsageError):
        parse(*line)


@pytest.mark.parametrize(
    ("name", "variable"),
    [(f"etcd-{name}", variable) for name in ("ca", "cert", "key", "user") for variable in ETCDCTL_VARIABLES[name]],
)
def test_environment_variables_of_etcdctl_are_understood(name: str, variable: str) -> None:
    """Wharfinger's own variable has precedence over them, and the flag over all."""
    env = {variable: "etcdctl's"}
    assert parse(URI, env=env)[1][name] == "etcdctl's"
    ours = {**env, environment_variable(name): "ours"}
    assert parse(URI, env=ours)[1][name] == "ours"
    assert parse(f"--{name}=flag", URI, env=ours)[1][name] == "flag"


def test_the_supported_variables_of_etcdctl_are_these() -> None:
    """Operators may have set them already, so none of them must be dropped."""
    assert {variable for names in ETCDCTL_VARIABLES.values() for variable in names} == {
        "ETCDCTL_CACERT",
        "ETCDCTL_CERT",
        "ETCDCTL_KEY",
        "ETCDCTL_USER",
        "ETCDCTL_PASSWORD",
        "ETCDCTL_CA_FILE",
        "ETCDCTL_CERT_FILE",
        "ETCDCTL_KEY_FILE",
        "ETCDCTL_USERNAME",
    }


@pytest.mark.parametrize("name", REGISTRATOR_VARIABLES)
def test_environment_variables_of_registrator_9_are_understood(name: str) -> None:
    """Those of etcdctl have precedence over them, wharfinger's own over both, and the flag over all."""
    env = {REGISTRATOR_VARIABLES[name]: "registrator's"}
    assert parse(URI, env=env)[1][f"etcd-{name}"] == "registrator's"
    env[ETCDCTL_VARIABLES[name][-1]] = "etcdctl's"
    assert parse(URI, env=env)[1][f"etcd-{name}"] == "etcdctl's"
    env[environment_variable(f"etcd-{name}")] = "ours"
    assert parse(URI, env=env)[1][f"etcd-{name}"] == "ours"
    assert parse(f"--etcd-{name}=flag", URI, env=env)[1][f"etcd-{name}"] == "flag"


@pytest.mark.parametrize("command", ["run", "reconcile", "deregister"])
def test_the_endpoints_of_registrator_9_are_handed_on(command: str) -> None:
    """The settings say for which registries they count."""
    assert parse(command, URI, env={"ETCD_ENDPOINTS": "a:1,b:2"})[1]["ETCD_ENDPOINTS"] == "a:1,b:2"


@pytest.mark.parametrize("command", ["run", "deregister"])
@pytest.mark.parametrize("variable", PASSWORD_VARIABLES)
def test_the_password_comes_from_the_environment(command: str, variable: str) -> None:
    """Wharfinger's own variable has precedence over etcdctl's."""
    assert parse(command, URI, env={variable: "secret"})[1]["etcd-password"] == "secret"
    both = dict(zip(PASSWORD_VARIABLES, ("ours", "etcdctl's"), strict=True))
    assert parse(command, URI, env=both)[1]["etcd-password"] == "ours"


@pytest.mark.parametrize("command", ["run", "reconcile", "deregister"])
def test_the_password_is_never_a_flag(command: str) -> None:
    """Every user of the host can read command lines."""
    with pytest.raises(click.UsageError):
        parse(command, "--etcd-password=secret", URI)


def test_connection_options_are_the_flags_of_the_connection_alone() -> None:
    """``deregister`` is about another host, so the other flags mean nothing to it."""
    expected = {flag.name: "" for flag in CONNECTION_FLAGS} | {
        "etcd-password": "",
        "ETCD_ENDPOINTS": "",
        "etcd-ca": "ca.pem",
    }
    assert parse("deregister", "--etcd-ca", "ca.pem", URI) == ("deregister", expected, (URI,))
    with pytest.raises(click.UsageError):
        parse("deregister", "--interval=1", URI)


def test_a_password_on_the_command_line_is_refused() -> None:
    """etcdctl's ``name:password`` is accepted in the environment only. The message does not show the password."""
    with pytest.raises(WrongUsage, match="--etcd-password-file") as wrong:
        parse("--etcd-user", "agent:secret", URI)
    assert "secret" not in str(wrong.value)
    assert parse(URI, env={"WHARFINGER_ETCD_USER": "agent:secret"})[1]["etcd-user"] == "agent:secret"


@pytest.mark.parametrize("command", ["run", "reconcile"])
@pytest.mark.parametrize("line", [["-ip", ""], ["--ip", ""], ["-ip="], ["--ip="], ["-ip", "10.0.0.1", "-ip", ""]])
@pytest.mark.parametrize("env", [{}, {"WHARFINGER_IP": "10.0.0.1"}], ids=["no variable", "a variable"])
def test_an_empty_address_on_the_command_line_is_wrong_usage(
    command: str, line: list[str], env: dict[str, str]
) -> None:
    """The value is most likely a shell variable that is not set, so the message says what to do. If the flag is given
    several times, its last value counts."""
    with pytest.raises(WrongUsage) as wrong:
        parse(command, *line, URI, env=env)
    (problem,) = wrong.value.problems
    assert problem.startswith("-ip '': it is empty; give this host's address, or leave the flag out")
    assert parse("-ip", "", "-ip", "10.0.0.1", URI)[1]["ip"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("line", "env", "expected"),
    [
        ([], {"WHARFINGER_IP": ""}, ["WHARFINGER_IP"]),
        ([], {"WHARFINGER_IP": "10.0.0.1"}, []),
        (["-ip", "10.0.0.1"], {"WHARFINGER_IP": ""}, []),
        ([], {}, []),
        ([], {"WHARFINGER_LISTEN": "", "WHARFINGER_TAGS": ""}, []),
    ],
    ids=["empty", "set", "overridden", "not set", "may be empty"],
)
def test_an_empty_variable_of_the_address_counts_as_not_set_and_is_named(
    line: list[str], env: dict[str, str], expected: list[str]
) -> None:
    """The flag has its default. The variable is named so that the program can warn about it."""

    @click.command()
    @all_options
    def command(raw: RawOptions, uris: tuple[str, ...]) -> tuple[str, list[str]]:
        return raw["ip"], empty_variables()

    clean = dict.fromkeys(VARIABLES)
    result = CliRunner().invoke(command, [*line, URI], env={**clean, **env}, standalone_mode=False)
    assert result.return_value == (line[-1] if line else env.get("WHARFINGER_IP", ""), expected)


@pytest.mark.parametrize("command", ["run", "reconcile", "deregister"])
def test_the_registry_may_be_in_a_variable(command: str) -> None:
    """It holds several URIs, separated by whitespace. Those of the command line have precedence over it, and an empty
    one counts as not set."""
    env = {"WHARFINGER_REGISTRY": f" {URI}\n  etcd3://a/x "}
    assert parse(command, env=env)[2] == (URI, "etcd3://a/x")
    assert parse(command, "etcd://b/y", env=env)[2] == ("etcd://b/y",)
    assert parse(command, env={"WHARFINGER_REGISTRY": ""})[2] == ()


def test_the_variables_that_give_options_their_values_are_named() -> None:
    """The flag has precedence over them, and so has the first variable over the others."""

    @click.command()
    @all_options
    def command(raw: RawOptions, uris: tuple[str, ...]) -> dict[str, str]:
        return variables_in_use()

    env = {
        "WHARFINGER_TTL": "30",
        "WHARFINGER_INTERVAL": "5",
        "WHARFINGER_FILTER": "a=b",
        "WHARFINGER_ETCD_KEY": "ours",
        "ETCDCTL_KEY": "etcdctl's",
        "ETCDCTL_CA_FILE": "ca.pem",
        "WHARFINGER_INTERNAL": "true",
    }
    clean = dict.fromkeys(VARIABLES)
    result = CliRunner().invoke(command, ["--interval=1", URI], env={**clean, **env}, standalone_mode=False)
    assert result.return_value == {
        "ttl": "WHARFINGER_TTL",
        "filter": "WHARFINGER_FILTER",
        "etcd-key": "WHARFINGER_ETCD_KEY",
        "etcd-ca": "ETCDCTL_CA_FILE",
    }


def test_variables_that_nothing_reads_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is found with the variable that may have been meant. Those of other programs are not looked at."""
    for variable in [name for name in os.environ if name.startswith("WHARFINGER_")]:
        monkeypatch.delenv(variable)
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "x")
    assert unknown_variables() == {}
    for variable in ("WHARFINGER_INTERVALL", "WHARFINGER_URIS", "WHARFINGER_ETCD_PASSWORT", "WHARFINGER_", "OTHER_IP"):
        monkeypatch.setenv(variable, "x")
    assert unknown_variables() == {
        "WHARFINGER_": "",
        "WHARFINGER_ETCD_PASSWORT": "WHARFINGER_ETCD_PASSWORD",
        "WHARFINGER_INTERVALL": "WHARFINGER_INTERVAL",
        "WHARFINGER_URIS": "",
    }


def test_wrong_usage_names_variables_that_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come before the problems, so that the last line says what is wrong. What is right is returned as it is."""

    def fail() -> None:
        raise WrongUsage(["at least one registry URI is needed"])

    for variable in [name for name in os.environ if name.startswith("WHARFINGER_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("WHARFINGER_REGISTRY_URI", URI)
    with pytest.raises(WrongUsage) as wrong:
        naming_unknown_variables(fail)
    assert wrong.value.problems == [
        "environment variable WHARFINGER_REGISTRY_URI is not known and has no effect; "
        "did you mean WHARFINGER_REGISTRY?",
        "at least one registry URI is needed",
    ]
    assert naming_unknown_variables(lambda: 7) == 7


def test_readme_has_every_flag_of_the_agent() -> None:
    """A flag that README does not name is not found by those who need it."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    names = [each.name for each in (*FLAGS, *CONNECTION_FLAGS)] + [each.name for each in SWITCHES]
    missing = [name for name in names if not re.search(rf"-{name}\b", readme)]
    assert missing == []


#: The flags that registrator 9.2 has, from its source.
FLAGS_OF_REGISTRATOR_9 = {
    "cleanup",
    "deregister",
    "explicit",
    "internal",
    "ip",
    "ip-from-container",
    "resync",
    "retry-attempts",
    "retry-interval",
    "tags",
    "ttl",
    "ttl-refresh",
    "useIpFromLabel",
}


def test_every_flag_of_registrator_9_is_accepted_and_explained() -> None:
    """docs/migrate.md says what each flag does here, and names the variables for etcd. No other flag counts as one of
    registrator's."""
    assert {*REGISTRATOR_FLAGS, *REGISTRATOR_SWITCHES} == FLAGS_OF_REGISTRATOR_9
    page = (Path(__file__).parents[2] / "docs/migrate.md").read_text()
    table = page.partition("| registrator 9 | here |\n")[2].partition("\n\n")[0]
    explained = [row.split(" | ")[0] for row in table.splitlines()]
    assert {*re.findall(r"`-([\w-]+)`", " ".join(explained))} == FLAGS_OF_REGISTRATOR_9
    variables = {*re.findall(r"`(ETCD_\w+)`", " ".join(explained))}
    assert variables == {*REGISTRATOR_VARIABLES.values(), "ETCD_ENDPOINTS"}
