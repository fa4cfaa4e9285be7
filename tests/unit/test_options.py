"""The flags, in every spelling that registrator's users have in their unit files."""

from __future__ import annotations

from collections.abc import Mapping

import click
import pytest
from click.testing import CliRunner

from controller.config.converters import BETWEEN
from controller.config.flags import (
    CONNECTION,
    ETCDCTL,
    FLAGS,
    PASSWORD_VARIABLES,
    SWITCHES,
    connection_options,
    environment_variable,
    options,
    rewrite,
)
from controller.config.settings import WrongUsage

URI = "etcd://10.0.0.1:2379/services"

Heard = tuple[str, dict[str, str], tuple[str, ...]]

TAKING_A_WORD = [flag.name for flag in (*FLAGS, *CONNECTION)]
REGISTRATORS = [flag.name for flag in FLAGS if not flag.ours]
ON_OR_OFF = [switch.name for switch in SWITCHES]
REGISTRATORS_SWITCHES = [switch.name for switch in SWITCHES if not switch.ours]

#: Every variable that is looked at.
VARIABLES = (
    *map(environment_variable, TAKING_A_WORD + ON_OR_OFF),
    *PASSWORD_VARIABLES,
    *(variable for names in ETCDCTL.values() for variable in names),
)

#: Go's spellings of the two truth values.
TRUE, FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


@click.group()
def program() -> None:
    """A program with commands that tell what they heard."""


@program.command("run")
@options
def run(words: dict[str, str], uris: tuple[str, ...]) -> Heard:
    """What ``run`` heard."""
    return "run", words, uris


@program.command("reconcile")
@options
def reconcile(words: dict[str, str], uris: tuple[str, ...]) -> Heard:
    """What ``reconcile`` heard."""
    return "reconcile", words, uris


@program.command("deregister")
@connection_options
def deregister(words: dict[str, str], uris: tuple[str, ...]) -> Heard:
    """What ``deregister`` heard."""
    return "deregister", words, uris


def hear(*args: str, env: Mapping[str, str] | None = None) -> Heard:
    """What the program hears of this command line in this environment."""
    clean = dict.fromkeys(VARIABLES)
    words = rewrite(list(args), commands=("run", "reconcile", "deregister"))
    result = CliRunner().invoke(program, words, env={**clean, **(env or {})}, standalone_mode=False)
    if result.exception:
        raise result.exception
    heard: Heard = result.return_value
    return heard


def test_a_uri_alone_is_run_with_every_default() -> None:
    """Each flag has a word: its default, and nothing for a switch that is off."""
    expected = {flag.name: flag.default for flag in (*FLAGS, *CONNECTION)} | dict.fromkeys(ON_OR_OFF, "")
    expected |= {"etcd-password": ""}
    assert hear(URI) == ("run", expected, (URI,))


@pytest.mark.parametrize("after", [False, True], ids=["before the URI", "after the URI"])
@pytest.mark.parametrize("spelling", ["-{} word", "-{}=word", "--{} word", "--{}=word"])
@pytest.mark.parametrize("name", REGISTRATORS)
def test_registrators_flags_are_heard_in_each_spelling(name: str, spelling: str, after: bool) -> None:
    """One dash or two, the word apart or behind an equals sign, before or after the URI."""
    flag = spelling.format(name).split()
    command, words, uris = hear(*([URI, *flag] if after else [*flag, URI]))
    assert (command, words[name], uris) == ("run", "word", (URI,))


@pytest.mark.parametrize("spelling", ["--{} word", "--{}=word"])
@pytest.mark.parametrize("name", [flag.name for flag in (*FLAGS, *CONNECTION) if flag.ours])
def test_our_flags_have_two_dashes(name: str, spelling: str) -> None:
    """Those that registrator does not know are spelled in one way only."""
    assert hear(*spelling.format(name).split(), URI)[1][name] == "word"


@pytest.mark.parametrize(("dashes"), ["-", "--"])
@pytest.mark.parametrize("name", REGISTRATORS_SWITCHES)
def test_a_switch_alone_is_on_and_takes_no_word(name: str, dashes: str) -> None:
    """What follows it is not its value, as with Go's flags."""
    for line in ([f"{dashes}{name}", URI], [URI, f"{dashes}{name}"]):
        _, words, uris = hear(*line)
        assert (words[name], uris) == ("true", (URI,))


@pytest.mark.parametrize("dashes", ["-", "--"])
@pytest.mark.parametrize("value", TRUE + FALSE)
@pytest.mark.parametrize("name", ON_OR_OFF)
def test_a_switch_takes_gos_truth_values(name: str, value: str, dashes: str) -> None:
    """``-internal=false`` and its like, wherever they stand."""
    for line in ([f"{dashes}{name}={value}", URI], [URI, f"{dashes}{name}={value}"]):
        assert hear(*line)[1][name] == ("true" if value in TRUE else "")


@pytest.mark.parametrize("name", [switch.name for switch in SWITCHES if switch.ours])
def test_our_switches_have_two_dashes(name: str) -> None:
    """As our flags that take a word."""
    assert hear(f"--{name}", URI)[1][name] == "true"
    with pytest.raises(click.UsageError):
        hear(f"-{name}", URI)


@pytest.mark.parametrize("value", ["maybe", "", "yes"])
def test_a_switch_takes_no_other_value(value: str) -> None:
    """What Go would refuse is refused, with the flag's name."""
    with pytest.raises(WrongUsage) as wrong:
        hear(f"-internal={value}", URI)
    assert wrong.value.problems == [f"-internal {value!r}: it must be true or false"]


def test_the_last_word_of_a_switch_counts() -> None:
    """As with Go's flags."""
    assert hear("-internal", "-internal=false", URI)[1]["internal"] == ""
    assert hear("-internal=false", "-internal", URI)[1]["internal"] == "true"


def test_a_negative_word_is_a_word() -> None:
    """registrator's own default for ``-retry-attempts`` is -1."""
    assert hear("-retry-attempts", "-1", URI)[1]["retry-attempts"] == "-1"


def test_a_word_that_only_looks_like_a_switch_is_left_alone() -> None:
    """Only the switches themselves are rewritten."""
    _, words, uris = hear("-tags", "internal=false", "etcd://a/explicit=true")
    assert (words["tags"], uris) == ("internal=false", ("etcd://a/explicit=true",))


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
    """Where no command is named, as in registrator's command line."""
    heard, _, uris = hear(*args)
    assert (heard, uris) == (command, (URI,))


@pytest.mark.parametrize("first", ["-h", "--help", "--version"])
def test_help_and_version_are_the_programs_own(first: str) -> None:
    """They are not turned into ``run``'s."""
    assert rewrite([first], commands=("run",)) == [first]


def test_no_words_at_all_are_run() -> None:
    """So that the missing URI is what is complained about."""
    assert rewrite([], commands=("run",)) == ["run"]


@pytest.mark.parametrize("name", [flag.name for flag in FLAGS if flag.repeated])
def test_a_flag_that_may_be_repeated_keeps_every_word(name: str) -> None:
    """As it was given, spaces and commas included. Its variable holds several with whitespace between them, and all the
    flags beat all of the variable."""
    env = {environment_variable(name): " a=b,c \n d=e "}
    assert hear(f"--{name}", "a=b c,d", f"--{name}=e=f", URI, env=env)[1][name].split(BETWEEN) == ["a=b c,d", "e=f"]
    assert hear(URI, env=env)[1][name].split(BETWEEN) == ["a=b,c", "d=e"]


@pytest.mark.parametrize("name", TAKING_A_WORD)
def test_every_flag_has_a_variable(name: str) -> None:
    """The variable stands in for the flag, and the flag beats it."""
    env = {environment_variable(name): "from-env"}
    assert hear(URI, env=env)[1][name] == "from-env"
    assert hear(f"--{name}", "from-flag", URI, env=env)[1][name] == "from-flag"


@pytest.mark.parametrize("name", TAKING_A_WORD)
def test_a_variable_set_to_nothing_is_an_empty_word(name: str) -> None:
    """So that ``WHARFINGER_LISTEN=`` serves nothing, as ``--listen ''`` does."""
    assert hear(URI, env={environment_variable(name): ""})[1][name] == ""


@pytest.mark.parametrize("name", ON_OR_OFF)
def test_every_switch_has_a_variable(name: str) -> None:
    """Set to true or false; the switch itself beats it; set to nothing it is not set."""
    variable = environment_variable(name)
    assert hear(URI, env={variable: "true"})[1][name] == "true"
    assert hear(URI, env={variable: "false"})[1][name] == ""
    assert hear(URI, env={variable: ""})[1][name] == ""
    assert hear(f"--{name}=false", URI, env={variable: "true"})[1][name] == ""
    assert hear(f"--{name}", URI, env={variable: "false"})[1][name] == "true"


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
def test_variables_are_named_after_their_flags(name: str, variable: str) -> None:
    """In capitals, with underscores between the words."""
    assert environment_variable(name) == variable


@pytest.mark.parametrize("line", [["-nonsense", URI], ["--ip"], ["-ip"], ["--interval"]], ids=" ".join)
def test_what_nobody_knows_is_refused(line: list[str]) -> None:
    """An unknown flag, or one without its word."""
    with pytest.raises(click.UsageError):
        hear(*line)


@pytest.mark.parametrize(
    ("name", "variable"),
    [(f"etcd-{name}", variable) for name in ("ca", "cert", "key", "user") for variable in ETCDCTL[name]],
)
def test_etcdctls_own_variables_are_heard(name: str, variable: str) -> None:
    """Of its v3 and its v2; ours beats them, and the flag beats all."""
    env = {variable: "etcdctl's"}
    assert hear(URI, env=env)[1][name] == "etcdctl's"
    ours = {**env, environment_variable(name): "ours"}
    assert hear(URI, env=ours)[1][name] == "ours"
    assert hear(f"--{name}=flag", URI, env=ours)[1][name] == "flag"


def test_etcdctls_variables_are_these() -> None:
    """A promise to operators who have them set already."""
    assert {variable for names in ETCDCTL.values() for variable in names} == {
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


@pytest.mark.parametrize("command", ["run", "deregister"])
@pytest.mark.parametrize("variable", PASSWORD_VARIABLES)
def test_the_password_comes_from_the_environment(command: str, variable: str) -> None:
    """Ours before etcdctl's."""
    assert hear(command, URI, env={variable: "secret"})[1]["etcd-password"] == "secret"
    both = dict(zip(PASSWORD_VARIABLES, ("ours", "etcdctl's"), strict=True))
    assert hear(command, URI, env=both)[1]["etcd-password"] == "ours"


@pytest.mark.parametrize("command", ["run", "reconcile", "deregister"])
def test_the_password_is_never_a_flag(command: str) -> None:
    """Command lines can be read by everybody on the host."""
    with pytest.raises(click.UsageError):
        hear(command, "--etcd-password=secret", URI)


def test_connection_options_are_those_of_the_connection_alone() -> None:
    """A command that speaks about another host has no use for the rest."""
    expected = {flag.name: "" for flag in CONNECTION} | {"etcd-password": "", "etcd-ca": "ca.pem"}
    assert hear("deregister", "--etcd-ca", "ca.pem", URI) == ("deregister", expected, (URI,))
    with pytest.raises(click.UsageError):
        hear("deregister", "--interval=1", URI)
