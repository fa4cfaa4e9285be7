"""The program's command line: registrator's command lines, printed plans, exit codes and wrong usage."""

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

#: Command lines as registrator's users write them, and the address and port that each registers. OWN is the container's
#: own address.
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
    """Flags may stand before and after the URI, with one dash or two, and switches may be written as in Go."""
    host.engine.run("--name one -p 18100:9000 -l my.ip=192.0.2.8/24 worker:1")
    host.run(*line.replace("URI", host.uri).split()).wait_ready()
    own = host.engine.inspect("one")["NetworkSettings"]["IPAddress"]
    assert host.keys() == {host.key("one"): COMMAND_LINES[line].replace("OWN", own)}


def test_flags_that_are_not_needed_are_accepted_and_logged_once(host: Host) -> None:
    """Flags that ask for what every pass does anyway are accepted. The log mentions each once, at the start."""
    flags = "-cleanup -retry-attempts -1 -retry-interval 2000 -resync 60"
    agent = host.agent(*flags.split()).wait_ready()
    agent.wait_for_passes(3)
    said = [line.rpartition("=")[2] for line in agent.log().splitlines() if "flag is not needed" in line]
    assert said == ["-cleanup", "-resync", "-retry-attempts", "-retry-interval"]


def prepare_one_of_each_change(host: Host) -> dict[str, str]:
    """Prepare a key in sync, a missing key, a changed key, an orphan and a refused container. Return the keys that
    there should be."""
    host.start("same", "changed", "new")
    expected = host.expected()
    assert host.reconcile().returncode == 0
    host.etcd.delete(f"{host.prefix}/{host.key('new')}")
    host.etcd.put(f"{host.prefix}/{host.key('changed')}", "192.0.2.9:9")
    host.etcd.put(f"{host.prefix}/{host.key('ghost')}", "192.0.2.8:8")
    host.engine.run("--name evil -P -e SERVICE_NAME=../evil worker:1")
    return expected


def test_a_dry_run_prints_the_plan_and_writes_nothing(host: Host) -> None:
    """It prints one line for each change, grouped by what the change does, with old and new value and the reason. A
    second run prints the same."""
    right = prepare_one_of_each_change(host)
    changed, ghost, new = (host.key(name) for name in ("changed", "ghost", "new"))
    index = host.etcd.index()
    for _ in range(2):
        done = host.reconcile("--dry-run")
        assert done.returncode == 0
        assert done.stderr == ""
        assert done.stdout.splitlines() == [
            "Create:",
            f"+ {host.prefix}/{new}  {right[new]}  (new)",
            "",
            "Update:",
            f"~ {host.prefix}/{changed}  192.0.2.9:9 -> {right[changed]}  (changed)",
            "",
            "Delete:",
            f"- {host.prefix}/{ghost}  192.0.2.8:8  (orphan: no container backs it)",
            "",
            "Refused:",
            "! evil 9000/tcp  environment variable SERVICE_NAME '../evil' has the path part '..'  (bad-name)",
            "",
            "Plan: 1 to create, 1 to update, 1 to delete, 1 in sync, 1 refused.",
        ]
    assert host.etcd.index() == index


def test_reconcile_prints_the_plan_and_how_many_changes_it_applied(host: Host) -> None:
    """It prints the plan and how many changes it applied. A second run has nothing to do."""
    right = prepare_one_of_each_change(host)
    done = host.reconcile()
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [
        "Plan: 1 to create, 1 to update, 1 to delete, 1 in sync, 1 refused.",
        "Applied 3 of 3 changes.",
    ]
    assert host.keys() == right
    assert host.reconcile().stdout.splitlines()[2:] == [
        "",
        "Plan: 0 to create, 0 to update, 0 to delete, 3 in sync, 1 refused.",
    ]


def test_json_output_has_the_same_plan_as_the_text(host: Host) -> None:
    """With `-o json`, it prints one document with each change, each refusal, and the counts."""
    right = prepare_one_of_each_change(host)
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


def test_the_exit_code_says_whether_changes_are_pending(host: Host) -> None:
    """With `--exit-code`: 2 if changes are pending, 0 if all is in sync, 1 on any error. Without it, a successful pass
    ends with 0."""
    host.etcd.put(f"{host.prefix}/{host.key('ghost')}", "192.0.2.8:8")
    assert host.reconcile("--dry-run", "--exit-code").returncode == 2
    assert host.reconcile("--dry-run").returncode == 0
    assert host.reconcile("--exit-code").returncode == 0
    assert host.reconcile("--dry-run", "--exit-code").returncode == 0
    assert host.reconcile("--dry-run", "--exit-code", "--docker-host", NOWHERE).returncode == 1
    assert host.reconcile("--dry-run", "--exit-code", "--no-such-flag").returncode == 1
    assert host.reconcile("--dry-run", "--exit-code", "-ttl", "3").returncode == 1


def test_the_exit_code_says_whether_every_port_is_registered(host: Host) -> None:
    """With `--exit-code`, 0 means that every port that should be registered is, and 4 that one cannot be. A container
    that is to be ignored changes nothing."""
    host.engine.run("--name ignored -P -e SERVICE_IGNORE=yes worker:1")
    host.start("one")
    assert host.reconcile("--exit-code").returncode == 0
    host.engine.run("--name lonely --network none --expose 80 worker:1")
    assert host.reconcile("--exit-code", "-internal").returncode == 4
    host.start("two")
    assert host.reconcile("--dry-run", "--exit-code", "-internal").returncode == 2
    assert host.reconcile("-internal").returncode == 0


def test_readyz_tells_what_is_registered_and_not_what_was_planned(host: Host) -> None:
    """It says so from the first pass on, which creates the entries. The next pass is an hour away."""
    host.start("one", "two")
    host.engine.run("--name evil -P -e SERVICE_NAME=../evil worker:1")
    agent = host.agent(interval=3600).wait_ready()
    assert agent.get("/readyz") == (200, "ok: 2 of 2 entries in sync, 1 refused.\n")


def test_json_output_reports_a_failed_pass(host: Host) -> None:
    """If the pass fails, the JSON document has the result and the problem."""
    done = host.reconcile("-o", "json", "--docker-host", NOWHERE)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["result"] == "engine-error"
    assert told["problem"].startswith("cannot read the Docker engine: ")


def test_a_registry_may_have_an_ipv6_address(host: Host) -> None:
    """A registry's URI may have an IPv6 address in brackets."""
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
def test_the_engine_is_chosen_by_flag_then_by_own_variable_then_by_docker_host(
    host: Host, docker_host: str, variable: str, flag: str
) -> None:
    """`--docker-host` has precedence over WHARFINGER_DOCKER_HOST, and that over DOCKER_HOST."""
    here = host.engine.socket_url
    flags = ["--docker-host", flag.replace("HERE", here)] if flag else []
    env = {"WHARFINGER_DOCKER_HOST": variable.replace("HERE", here)} if variable else {}
    done = run_once(docker_host.replace("HERE", here), "reconcile", "--dry-run", *flags, host.uri, env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_flags_can_be_set_by_environment_variables(host: Host) -> None:
    """Flags can be set by environment variables, as in unit and compose files. The command line has precedence."""
    host.start("one")
    env = {"WHARFINGER_HOSTNAME": "core-07", "WHARFINGER_IP": "192.0.2.7", "WHARFINGER_INTERNAL": "true"}
    done = run_once(host.engine.socket_url, "reconcile", "-internal=false", host.uri, env=env)
    assert done.returncode == 0, done.stderr
    port = host.expected()[host.key("one")].rpartition(":")[2]
    assert host.keys() == {"worker/core-07:one:9000": f"192.0.2.7:{port}"}


def test_a_port_in_use_ends_the_agent_at_its_start_with_a_clear_error() -> None:
    """If the port of `--listen` is in use, the agent ends with one line that says so, before it contacts anything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run_once(NOWHERE, "--listen", where, "etcd://127.0.0.1:1/services")
    assert done.returncode == 1
    assert done.stderr.startswith(f"wharfinger: cannot listen on {where}: ")
    assert "Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


#: Wrong command lines, and what the one error message for each must contain.
WRONG = {
    "": ["at least one registry URI is needed"],
    "etcd://a/x etcd://b,a/x": ["'etcd://a/x' and 'etcd://b,a/x' are the same place"],
    "consul://127.0.0.1:8500": ["this program is for etcd and does not write to Consul"],
    "127.0.0.1:2379/services": ["it has no scheme"],
    "etcd://127.0.0.1:port/services": ["'port' is not a port number"],
    "etcd://127.0.0.1:2379/../services": ["the prefix has the path part '..'"],
    "-ttl 30 etcd://h/x": ["-ttl and -ttl-refresh go together"],
    "-ttl-refresh 30 etcd://h/x": ["-ttl and -ttl-refresh go together"],
    "-ttl 30 -ttl-refresh 30 etcd://h/x": ["-ttl 30 must be greater than -ttl-refresh 30"],
    "-tags {{toUpper}} etcd://h/x": ["it has '{{toUpper}}', and only {{.Field}} and"],
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
    "-ipp 192.0.2.7 -useipfromlabel x --dryrun etcd://h/x": [
        "No such option '-ipp'. Did you mean '-ip'?",
        "No such option '-useipfromlabel'. Did you mean '-useIpFromLabel'?",
        "'--dry-run' is an option of 'wharfinger deregister' and 'wharfinger reconcile'",
    ],
    "reconcil --dry-run etcd://h/x": ["did you mean 'wharfinger reconcile'?"],
    "-ttl -1 -ttl-refresh 5 --docker-host banana etcd://h/x": [
        "-ttl '-1': it must not be negative",
        "--docker-host 'banana': it is no URL; give unix:///PATH or tcp://HOST:PORT",
    ],
    "--docker-host /var/run/docker.sock etcd://h/x": ["give unix:///var/run/docker.sock"],
    "--docker-host ssh://me@core-01 etcd://h/x": ["ssh:// is not supported; forward the engine's socket"],
    "--etcd-user me --etcd-password-file /dev/null etcd://h/x": [
        "--etcd-password-file '/dev/null': it has nothing in its first line"
    ],
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_usage_is_reported_in_one_message_with_all_problems(line: str) -> None:
    """Wrong usage ends with exit code 1 and a message that names every problem, without a traceback, before anything is
    contacted. Each problem has one line, and the last line is a problem."""
    done = run_once(NOWHERE, *shlex.split(line))
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()[1:]
    assert len(lines) == len(WRONG[line])
    for problem in WRONG[line]:
        assert [each for each in lines if problem in each] != []
    assert "Traceback" not in done.stderr
    assert "error: " not in done.stderr


def test_variables_are_checked_and_unknown_ones_named() -> None:
    """A DOCKER_HOST that cannot be the engine's is wrong usage. A variable that nothing reads is warned of, without its
    value. The registries may be in a variable, which the argument overrides."""
    done = run_once("/var/run/docker.sock", env={"WHARFINGER_REGISTRY": "etcd://h/x"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("give unix:///var/run/docker.sock")
    env = {"WHARFINGER_REGISTRY": "etcd://127.0.0.1:1/a \n etcd3://127.0.0.1:1/b", "WHARFINGER_ETCD_PASSWORT": "secret"}
    done = run_once(NOWHERE, "reconcile", env=env)
    assert done.stdout.splitlines()[::3] == ["etcd://127.0.0.1:1/a:", "etcd3://127.0.0.1:1/b:"]
    assert "variable=WHARFINGER_ETCD_PASSWORT did_you_mean=WHARFINGER_ETCD_PASSWORD" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    done = run_once(NOWHERE, "reconcile", env={"WHARFINGER_REGISTRY_URI": "etcd://h/x"})
    assert "WHARFINGER_REGISTRY_URI is not known and has no effect; did you mean WHARFINGER_REGISTRY?" in done.stderr
    assert "at least one registry URI is needed" in done.stderr.splitlines()[-1]
    for command in ("reconcile", "run", "deregister --hostname core-01"):
        done = run_once(NOWHERE, *command.split(), "rubbish", env=env)
        assert done.stderr.splitlines()[-1].startswith("wharfinger: registry URI 'rubbish': ")


@pytest.mark.parametrize(
    ("flag", "said"),
    [("--help", "Usage: wharfinger"), ("-help", "Usage: wharfinger"), ("-version", "wharfinger ")],
)
def test_help_and_version_need_neither_engine_nor_registry(flag: str, said: str) -> None:
    """`--help` and `--version` work without engine, registry and settings."""
    done = run_once(NOWHERE, flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)


def test_output_is_coloured_only_on_a_terminal_and_without_no_color(host: Host) -> None:
    """The plan is coloured on a terminal, but not with NO_COLOR (https://no-color.org). On a pipe, neither plan nor log
    is."""
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
    """Run a command on a terminal and return what it prints there."""
    ours, theirs = os.openpty()
    environment = clean_environment(DOCKER_HOST=host.engine.socket_url, TERM="xterm") | dict(env)
    subprocess.run(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=REPOSITORY, check=True)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # reading from a terminal whose other end is closed raises an error
        while more := os.read(ours, 65536):
            shown += more
    os.close(ours)
    return shown.decode()


def test_an_agent_with_an_empty_listen_address_opens_no_port(host: Host, tmp_path: Path) -> None:
    """With an empty `--listen`, the agent runs and opens no port."""
    host.start("one")
    agent = host.agent("--listen", "")
    host.wait_for(host.expected())
    assert agent.get("/healthz")[0] == 0
    assert "listen=none" in agent.log()
    wait_until(lambda: "first pass succeeded" in agent.log(), 10, "the log to say so")
