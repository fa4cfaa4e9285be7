"""The program as it is called: registrator's command lines, the plan on paper, exit codes, and wrong usage."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.agent import PROGRAM, run_once
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.processes import REPOSITORY, clean_environment
from tests.support.waiting import wait_until

NOWHERE = "unix:///nonexistent/docker.sock"
ESCAPE = "\x1b["

#: registrator's flags as its users write them, by what is registered then: the published or the container's own port.
COMMAND_LINES = {
    "-ip 192.0.2.7 URI": "192.0.2.7:18100",
    "URI -ip 192.0.2.7": "192.0.2.7:18100",
    "run --ip=192.0.2.7 -internal=false URI": "192.0.2.7:18100",
    "-internal=true URI": "OWN:9000",
    "-cleanup -ip 192.0.2.7 -resync 60 -retry-attempts -1 -retry-interval 2000 -deregister always URI": (
        "192.0.2.7:18100"
    ),
    "-tags a,b -ttl 60 -ttl-refresh 20 -explicit=false -useIpFromLabel my.ip URI": "192.0.2.8:18100",
}


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_registrators_command_lines_work_unchanged(host: Host, line: str) -> None:
    """Flags before and after the URI, with one dash or two, Go's way of writing switches."""
    host.engine.run("--name one -p 18100:9000 -l my.ip=192.0.2.8/24 worker:1")
    host.run(*line.replace("URI", host.uri).split()).wait_ready()
    own = host.engine.inspect("one")["NetworkSettings"]["IPAddress"]
    assert host.keys() == {host.key("one"): COMMAND_LINES[line].replace("OWN", own)}


def test_flags_that_are_not_needed_are_accepted_and_logged_once(host: Host) -> None:
    """The log names them at the start, and never again."""
    flags = "-cleanup -retry-attempts -1 -retry-interval 2000 -resync 60"
    agent = host.agent(*flags.split()).wait_ready()
    agent.wait_for_passes(3)
    said = [line.rpartition("=")[2] for line in agent.log().splitlines() if "flag is not needed" in line]
    assert said == ["-cleanup", "-resync", "-retry-attempts", "-retry-interval"]


def some_of_everything(host: Host) -> dict[str, str]:
    """One key in order, one missing, one changed by hand, one orphan, one container that is refused; returns the keys
    that there should be."""
    host.start("same", "changed", "new")
    expected = host.expected()
    assert host.reconcile().returncode == 0
    host.etcd.delete(f"{host.prefix}/{host.key('new')}")
    host.etcd.put(f"{host.prefix}/{host.key('changed')}", "192.0.2.9:9")
    host.etcd.put(f"{host.prefix}/{host.key('ghost')}", "192.0.2.8:8")
    host.engine.run("--name evil -P -e SERVICE_NAME=../evil worker:1")
    return expected


def test_a_dry_run_prints_the_plan_and_writes_nothing(host: Host) -> None:
    """One line a change, sorted by key, with old and new value and the reason; the same again the next time."""
    right = some_of_everything(host)
    changed, ghost, new = (host.key(name) for name in ("changed", "ghost", "new"))
    index = host.etcd.index()
    for _ in range(2):
        done = host.reconcile("--dry-run")
        assert done.returncode == 0
        assert done.stderr == ""
        assert done.stdout.splitlines() == [
            f"~ {host.prefix}/{changed}  192.0.2.9:9 -> {right[changed]}  (changed)",
            f"- {host.prefix}/{ghost}  192.0.2.8:8  (orphan)",
            f"+ {host.prefix}/{new}  {right[new]}  (new)",
            "! evil 9000/tcp  SERVICE_NAME '../evil' has the path part '..'  (bad-name)",
            "Plan: 1 to create, 1 to update, 1 to delete, 1 in sync, 1 refused.",
        ]
    assert host.etcd.index() == index


def test_reconcile_prints_what_it_did(host: Host) -> None:
    """The same lines, and that they are done; then there is nothing more to do."""
    right = some_of_everything(host)
    done = host.reconcile()
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [
        "Plan: 1 to create, 1 to update, 1 to delete, 1 in sync, 1 refused.",
        "Applied 3 of 3 changes.",
    ]
    assert host.keys() == right
    assert host.reconcile().stdout.splitlines()[1:] == [
        "Plan: 0 to create, 0 to update, 0 to delete, 3 in sync, 1 refused."
    ]


def test_json_tells_the_same(host: Host) -> None:
    """For programs: one document with each change, each refusal, and the counts."""
    right = some_of_everything(host)
    done = host.reconcile("--dry-run", "-o", "json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert [(each["action"], each["key"], each["reason"], each["value"]) for each in told["changes"]] == [
        ("update", f"{host.prefix}/{host.key('changed')}", "changed", right[host.key("changed")]),
        ("delete", f"{host.prefix}/{host.key('ghost')}", "orphan", None),
        ("create", f"{host.prefix}/{host.key('new')}", "new", right[host.key("new")]),
    ]
    assert [(each["container"], each["reason"]) for each in told["refused"]] == [("evil", "bad-name")]
    assert told["counts"] == {
        "create": 1,
        "update": 1,
        "delete": 1,
        "in_sync": 1,
        "refused": 1,
        "foreign": 0,
        "held_back": 0,
    }
    assert (told["result"], told["owner"]) == ("success", host.owner)


def test_the_exit_code_tells_whether_something_is_pending(host: Host) -> None:
    """2 with changes pending, 0 in sync, 1 when it cannot be told; and without --exit-code 0 for a good pass."""
    host.etcd.put(f"{host.prefix}/{host.key('ghost')}", "192.0.2.8:8")
    assert host.reconcile("--dry-run", "--exit-code").returncode == 2
    assert host.reconcile("--dry-run").returncode == 0
    assert host.reconcile("--exit-code").returncode == 0
    assert host.reconcile("--dry-run", "--exit-code").returncode == 0
    assert host.reconcile("--dry-run", "--exit-code", "--docker-host", NOWHERE).returncode == 1
    assert host.reconcile("--dry-run", "--exit-code", "--no-such-flag").returncode == 1
    assert host.reconcile("--dry-run", "--exit-code", "-ttl", "3").returncode == 1


def test_json_tells_of_failure_too(host: Host) -> None:
    """A program that reads it needs no second way to learn what went wrong."""
    done = host.reconcile("-o", "json", "--docker-host", NOWHERE)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["result"] == "engine-error"
    assert told["problem"].startswith("cannot read the Docker engine: ")


def test_etcd_may_have_an_ipv6_address(host: Host) -> None:
    """In brackets, as in every URL."""
    server = EtcdServer("[::1]")
    host.start("one")
    try:
        done = run_once(
            host.engine.socket_url, "reconcile", "-ip", "2001:db8::7", f"etcd://{server.start().endpoint}/services"
        )
        assert (done.returncode, done.stderr) == (0, "")
        port = host.expected()[host.key("one")].rpartition(":")[2]
        assert server.keys() == {f"/services/{host.key('one')}": f"[2001:db8::7]:{port}"}
    finally:
        server.close()


@pytest.mark.parametrize(
    ("docker_host", "variable", "flag"),
    [("HERE", "", ""), (NOWHERE, "HERE", ""), (NOWHERE, "", "HERE"), (NOWHERE, NOWHERE, "HERE")],
)
def test_the_engine_is_found_by_flag_then_variable_then_docker_host(
    host: Host, docker_host: str, variable: str, flag: str
) -> None:
    """Docker's own variable counts; ours and the flag count for more."""
    here = host.engine.socket_url
    flags = ["--docker-host", flag.replace("HERE", here)] if flag else []
    env = {"WHARFINGER_DOCKER_HOST": variable.replace("HERE", here)} if variable else {}
    done = run_once(docker_host.replace("HERE", here), "reconcile", "--dry-run", *flags, host.uri, env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_flags_have_environment_variables(host: Host) -> None:
    """As in a unit file or a compose file; the command line counts for more."""
    host.start("one")
    env = {"WHARFINGER_HOSTNAME": "core-07", "WHARFINGER_IP": "192.0.2.7", "WHARFINGER_INTERNAL": "true"}
    done = run_once(host.engine.socket_url, "reconcile", "-internal=false", host.uri, env=env)
    assert done.returncode == 0, done.stderr
    port = host.expected()[host.key("one")].rpartition(":")[2]
    assert host.keys() == {"worker/core-07:one:9000": f"192.0.2.7:{port}"}


def test_a_taken_port_is_a_clear_error_at_the_start() -> None:
    """Before anything is contacted; not a loop that nobody can watch."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_once(NOWHERE, "--listen", where, "etcd://127.0.0.1:1/services")
    assert done.returncode == 1
    assert done.stderr.startswith(f"wharfinger: cannot listen on {where}: ")
    assert "Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


#: Command lines that make no sense, and what is said of them: all at once.
WRONG = {
    "": ["at least one registry URI is needed"],
    "etcd://a/x etcd://b,a/x": ["'etcd://a/x' and 'etcd://b,a/x' are the same place"],
    "consul://127.0.0.1:8500": ["the scheme 'consul' is not supported"],
    "127.0.0.1:2379/services": ["it has no scheme"],
    "etcd://127.0.0.1:port/services": ["'port' is not a port number"],
    "etcd://127.0.0.1:2379/../services": ["the prefix has the path part '..'"],
    "-ttl 30 etcd://h/x": ["-ttl and -ttl-refresh go together"],
    "-ttl-refresh 30 etcd://h/x": ["-ttl and -ttl-refresh go together"],
    "-ttl 30 -ttl-refresh 30 etcd://h/x": ["-ttl 30 must be greater than -ttl-refresh 30"],
    "-tags {{.Name}} etcd://h/x": ["templates are not supported"],
    "-ip 0.0.0.0 -ttl x -deregister never -retry-attempts many --interval 0 --log-level loud --hostname a:b nothing": [
        "-ip '0.0.0.0'",
        "-ttl 'x'",
        "-deregister 'never'",
        "-retry-attempts 'many'",
        "-interval '0'",
        "-log-level 'loud'",
        "-hostname 'a:b'",
        "registry URI 'nothing'",
    ],
    "-internal=perhaps etcd://h/x": ["-internal 'perhaps': it must be true or false"],
    "--no-such-flag etcd://h/x": ["No such option"],
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_usage_is_told_all_at_once_in_plain_words(line: str) -> None:
    """Before anything is contacted, with exit code 1 and without a traceback."""
    done = run_once(NOWHERE, *shlex.split(line))
    assert done.returncode == 1
    assert done.stdout == ""
    for problem in WRONG[line]:
        assert problem in done.stderr
    assert "Traceback" not in done.stderr
    assert "error: " not in done.stderr


@pytest.mark.parametrize(("flag", "said"), [("--help", "Usage: wharfinger"), ("--version", "wharfinger ")])
def test_help_and_version_need_nothing(flag: str, said: str) -> None:
    """Neither engine nor registry nor settings."""
    done = run_once(NOWHERE, flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)


def test_only_a_terminal_gets_colour_unless_told_otherwise(host: Host) -> None:
    """A pipe gets none, neither the plan nor the log; nor a terminal with NO_COLOR, as https://no-color.org asks."""
    host.etcd.put(f"{host.prefix}/{host.key('ghost')}", "192.0.2.8:8")
    argv = [*PROGRAM, "reconcile", "--dry-run", host.uri]
    for env, coloured in ((), True), ({"NO_COLOR": "1"}, False):
        shown = on_terminal(argv, host, dict(env))
        assert "Plan: 0 to create, 0 to update, 1 to delete" in shown
        assert (ESCAPE in shown) is coloured
    piped, agent = host.reconcile("--dry-run"), host.agent("--log-level", "debug").wait_ready()
    assert "1 to delete" in piped.stdout
    assert "change applied" in agent.log()
    assert ESCAPE not in piped.stdout + piped.stderr + agent.log()


def on_terminal(argv: list[str], host: Host, env: Mapping[str, str]) -> str:
    """What a command prints on a terminal."""
    ours, theirs = os.openpty()
    environment = clean_environment(DOCKER_HOST=host.engine.socket_url, TERM="xterm") | dict(env)
    subprocess.run(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=REPOSITORY, check=True)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # a terminal whose other end is closed has no end of file, but an error
        while more := os.read(ours, 65536):
            shown += more
    os.close(ours)
    return shown.decode()


def test_an_agent_without_a_page_runs(host: Host, tmp_path: Path) -> None:
    """An empty `--listen` opens no port."""
    host.start("one")
    agent = host.agent("--listen", "")
    host.wait_for(host.expected())
    assert agent.get("/healthz")[0] == 0
    assert "listen=none" in agent.log()
    wait_until(lambda: "first pass succeeded" in agent.log(), 10, "the log to say so")
