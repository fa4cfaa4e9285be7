"""The command line: wrong usage, help, and exit codes."""

from __future__ import annotations

import pytest

from tests.support.schemas import validated
from tests.unit.conftest import Ran

pytestmark = pytest.mark.usefixtures("logging_restored")

URI = "etcd://127.0.0.1:1/services"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "wharfinger: at least one registry URI is needed, as in etcd://127.0.0.1:2379/services; none was given"),
        (
            ["reconcile"],
            "wharfinger: at least one registry URI is needed, as in etcd://127.0.0.1:2379/services; none was given",
        ),
        (
            ["consul://x/y"],
            "wharfinger: registry URI 'consul://x/y': this program is for etcd and does not write to Consul; ",
        ),
        (["help"], "registry URI 'help': it has no scheme; did you mean 'wharfinger --help'?"),
        (
            ["skydns2://x"],
            "registry URI 'skydns2://x': a DNS domain is needed behind the host, as in HOST:PORT/cluster.local",
        ),
        (["-ttl", "5", URI], "wharfinger: -ttl and -ttl-refresh go together: give both, or neither"),
        (["-internal=maybe", URI], "wharfinger: -internal 'maybe': it must be true or false"),
        (["--nonsense", URI], "No such option '--nonsense'"),
        (["reconcile", "-o", "xml", URI], "'xml' is not one of 'text', 'json'"),
        (["-ip"], "requires an argument"),
        (
            ["--web-token-file", "", URI],
            "it is empty; give a file, or leave the flag out to show the pages to everybody",
        ),
        (["--web-token-file", "/nowhere/token", URI], "--web-token-file '/nowhere/token': it cannot be read"),
        (["drain"], "wharfinger: name containers, or give --all"),
        (["drain", "--all", "web"], "wharfinger: name containers, or give --all, and not both"),
        (["undrain"], "wharfinger: name containers, or give --all"),
        (["drain", "--for=soon", "web"], "'soon': it is no duration such as 90s, 30m, 2h or 1d"),
        (["drain", "--for=0", "web"], "'0': it must be from 1 to 31536000 seconds"),
        (["drain", "--wait=1h", "web"], "'1h': it must be from 0 to 600 seconds"),
        (["list", "-o", "text", URI], "'text' is not one of 'table', 'wide', 'json'"),
        (["hosts", "consul://x/y"], "wharfinger: registry URI 'consul://x/y': this program is for etcd"),
        (["list", "--etcd-user=name", URI], "a user name and a password go together: give both, or neither"),
        (["drain", "-all"], "No such option '-all'. Did you mean '--all'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_has_exit_code_1_and_ends_in_the_message(ran: Ran, args: list[str], message: str) -> None:
    """The exit code is never 2, which means that changes are pending. The last line says what is wrong, because logs
    are read from their end, and the line before it points to the help."""
    code, out, err = ran(*args)
    assert (code, out) == (1, "")
    hint, last = err.splitlines()
    assert hint.startswith("Try 'wharfinger ")
    assert hint.endswith("--help'.")
    assert message in last
    assert last.startswith("wharfinger: ")


def test_all_mistakes_in_a_command_line_are_reported_at_once(ran: Ran) -> None:
    """Each has a line, after a line that points to the help of the command."""
    code, _, err = ran("reconcile", "-tags={{x}}", "--interval=0", "--listen=9119", "consul://x")
    assert code == 1
    hint, *problems = err.splitlines()
    assert hint == "Try 'wharfinger reconcile --help'."
    assert [line.split()[0] for line in problems] == ["wharfinger:"] * 4


@pytest.mark.parametrize("asking", [["-o", "json"], ["-ojson"], ["--output", "json"], ["--output=json"]], ids=" ".join)
@pytest.mark.parametrize(
    ("args", "problems"),
    [
        (
            ["consul://x", "-tags={{x}}"],
            ["-tags '{{x}}': it has '{{x}}'", "registry URI 'consul://x': this program is for etcd"],
        ),
        (["--nonsense", URI], ["No such option '--nonsense'"]),
        (["-internal=maybe", URI], ["-internal 'maybe': it must be true or false"]),
        (["--etcd-ca=/nowhere/ca", URI], ["--etcd-ca '/nowhere/ca': it cannot be read"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_json_where_json_is_asked_for(
    ran: Ran, asking: list[str], args: list[str], problems: list[str]
) -> None:
    """On standard output, so that a program finds one document there, whatever happens. Standard error has the lines
    for people all the same."""
    code, out, err = ran("reconcile", *asking, *args)
    found = validated("problems", out)["problems"]
    assert code == 1
    assert len(found) == len(problems)
    assert all(any(problem in each for each in found) for problem in problems)
    assert [line.removeprefix("wharfinger: ") for line in err.splitlines()[1:]] == found


@pytest.mark.parametrize("args", [["reconcile", "-o", "text"], ["run", "-o", "json"], ["-o", "json"], ["-ojson", URI]])
def test_wrong_usage_is_text_alone_otherwise(ran: Ran, args: list[str]) -> None:
    """Also where a command cannot print JSON."""
    code, out, _ = ran(*args)
    assert (code, out) == (1, "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--help"], ["run", "reconcile", "etcd"]),
        (["-h"], ["run", "reconcile"]),
        (["-help"], ["run", "reconcile", "etcd"]),
        (["-help", "-ip"], ["run", "reconcile", "etcd"]),
        (["-ip", "10.0.0.1", "-help"], ["-ttl-refresh", "--useIpFromLabel"]),
        (["health", "-help"], ["Ask the agent"]),
        (["run", "--help"], ["-ttl-refresh", "--useIpFromLabel", "WHEN", "0.0.0.0:9119]"]),
        (["reconcile", "-h"], ["--dry-run", "--exit-code", "--output", "-ip"]),
        (["config", "--help"], ["--output", "-ip", "WHARFINGER_IP"]),
        (["drain", "--help"], ["--all", "--for DURATION", "--wait", "--yes", "--agent URL", "30 seconds"]),
        (["undrain", "--help"], ["--all", "--agent URL", "30 seconds"]),
        (["list", "--help"], ["[URI...]", "--owner NAME", "[table|wide|json]", "--watch", "--agent URL", "--etcd-ca"]),
        (["hosts", "--help"], ["[URI...]", "[table|json]", "--agent URL", "--etcd-ca"]),
        (["--version"], ["wharfinger 0."]),
        (["-version"], ["wharfinger 0."]),
    ],
    ids=" ".join,
)
def test_help_and_version_have_exit_code_0(ran: Ran, args: list[str], words: list[str]) -> None:
    """They are written to standard output. As with Go's flag package, one hyphen is enough."""
    code, out, err = ran(*args)
    assert (code, err) == (0, "")
    assert [word for word in words if word not in out] == []


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("run", "SIGTERM and SIGINT end the program and leave the entries in place; with -ttl, they expire unless"),
        ("run", "With -internal or -ip-from-container, it counts for containers with host networking"),
        ("run", "last renewed, also while the agent is stopped or cannot read the engine or etcd."),
        ("run", "If -resync, -ttl-refresh or --heartbeat is less, it counts instead."),
        ("list", "If none is given as an argument, the registries of the running agent are read,"),
        ("hosts", "If none is given as an argument, the registries of the running agent are read,"),
        ("run", "If there is none, those in WHARFINGER_REGISTRY are used"),
        ("reconcile", "those in WHARFINGER_REGISTRY are used"),
        ("deregister", "those in WHARFINGER_REGISTRY are used"),
        (
            "reconcile",
            "The exit code is 1 after any failure, and 3 if deletes were held back, with or without --exit-code",
        ),
        ("reconcile", "Exit with 0 only if every port that should be registered is."),
        ("reconcile", "or else with 4 if ports are refused or containers cannot be read."),
    ],
)
def test_the_help_says_what_is_so(ran: Ran, command: str, sentence: str) -> None:
    """Other tests show that each of these sentences is true."""
    _, out, _ = ran(command, "--help")
    assert sentence in " ".join(out.split())


SECRET = "correct-horse"

ENGINE_CURE = "it must not contain a user or a password, which an engine does not ask for"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([f"etcd://agent:{SECRET}@h/x"], "give the user with --etcd-user"),
        ([f"etcd:/agent:{SECRET}@h/x"], "it has no scheme"),
        ([f"agent:{SECRET}@h:2379/x"], "it has no scheme"),
        ([f"consul://agent:{SECRET}@h/x"], "this program is for etcd and does not write to Consul"),
        (["--docker-host", f"tcp://agent:{SECRET}@h:2375", URI], ENGINE_CURE),
        (["--docker-host", f"https://agent:{SECRET}@h:2376", URI], ENGINE_CURE),
        (["--docker-host", f"agent:{SECRET}@h:2375", URI], ENGINE_CURE),
        (["reconcile", "--docker-host", f"tcp://{SECRET}@h:2375", URI], ENGINE_CURE),
        ([f"-ip=http://agent:{SECRET}@h:1", URI], "-ip 'http://***@h:1'"),
        (["health", f"http://agent:{SECRET}@127.0.0.1:1/healthz"], "cannot ask http://***@127.0.0.1:1/healthz"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_no_message_shows_the_password_in_a_url(ran: Ran, args: list[str], message: str) -> None:
    """The message says what to do instead. The program ends, because waiting would not help."""
    code, out, err = ran(*args)
    assert (code, out) == (1, "")
    assert message in err
    assert SECRET not in err


@pytest.mark.parametrize("command", ["run", "reconcile"])
def test_the_password_in_docker_host_is_not_shown(ran: Ran, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """The same is true of the variable that other programs define."""
    monkeypatch.setenv("DOCKER_HOST", f"tcp://agent:{SECRET}@h:2375")
    code, out, err = ran(command, URI)
    assert (code, out) == (1, "")
    assert f"DOCKER_HOST 'tcp://***@h:2375': {ENGINE_CURE}" in err
    assert SECRET not in err
