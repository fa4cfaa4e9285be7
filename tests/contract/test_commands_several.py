"""The commands with several registries, against a real etcd and an engine that answers as a real one did."""

from __future__ import annotations

import json
import subprocess

import pytest

from controller.commands.exit_codes import ExitCode
from model.record import RecordKeys
from tests.support.agent import PROGRAM, Agent, run_once
from tests.support.command_host import OWNER, Host, on_a_terminal
from tests.support.etcd_server import EtcdServer
from tests.support.processes import free_ports

IN_SYNC, WRONG, PENDING, HELD_BACK, NOT_ALL_REGISTERED = ExitCode

SIX = tuple("abcdef")

PLAN = "Plan: {} to create, 0 to update, {} to delete, {} in sync, 0 refused."
KEYS = ("/services/nginx", "/others/nginx")


@pytest.fixture
def others(host: Host) -> str:
    """Another prefix, empty."""
    for path in ("/others", RecordKeys("/others").path):
        host.etcd.store.delete(path, recursive=True)
    return f"{host.etcd.scheme}://{host.etcd.endpoint}/others"


@pytest.fixture
def down() -> str:
    """A registry that is down."""
    return f"etcd://127.0.0.1:{free_ports(1)[0]}/services"


def reconcile(host: Host, *args: str) -> subprocess.CompletedProcess[str]:
    """Run one pass over the registries among the arguments."""
    return run_once(f"unix://{host.socket}", "reconcile", "-ip=10.0.0.1", *args)


def deregister(*args: str) -> subprocess.CompletedProcess[str]:
    """Take the host out of the registries among the arguments."""
    return run_once("", "deregister", f"--hostname={OWNER}", "--wait=0.5", *args)


def test_each_plan_is_printed_under_its_registry(host: Host, others: str) -> None:
    """The heading is the URI as it was given. Below it is what one registry alone would print. The order is that of the
    command line."""
    host.runs("a")
    alone = reconcile(host, "--dry-run", others).stdout
    assert reconcile(host, host.uri).returncode == IN_SYNC
    done = reconcile(host, "--dry-run", others, host.uri)
    assert (done.returncode, done.stderr) == (IN_SYNC, "")
    assert done.stdout == f"{others}:\n{alone}\n{host.uri}:\n{PLAN.format(0, 0, 1)}\n"


def test_each_document_has_its_registrys_label(host: Host, others: str) -> None:
    """With one registry the document is all of the output. With several, each is an item of a list."""
    host.runs("a")
    alone = json.loads(reconcile(host, "--dry-run", "-o", "json", others).stdout)
    assert alone["registry"] == host.etcd.scheme
    both = json.loads(reconcile(host, "--dry-run", "-o", "json", host.uri, others).stdout)["registries"]
    assert [each["registry"] for each in both] == [host.etcd.scheme, f"{host.etcd.scheme}-2"]
    assert [each["changes"][0]["key"] for each in both] == [f"{key}/{OWNER}:a:80" for key in KEYS]
    assert both[1] == {**alone, "registry": both[1]["registry"]}


def test_the_worst_exit_code_of_several_registries_is_returned(host: Host, others: str, down: str) -> None:
    """1 is worse than 3, 3 than 2, 2 than 4, and 4 than 0, in any order on the command line."""
    ask = ("--dry-run", "--exit-code")
    host.runs(*SIX)
    assert reconcile(host, host.uri).returncode == IN_SYNC
    assert reconcile(host, *ask, others, host.uri).returncode == PENDING
    assert reconcile(host, *ask, host.uri, others).returncode == PENDING
    host.runs("a")
    assert reconcile(host, *ask, others, host.uri).returncode == HELD_BACK
    assert reconcile(host, *ask, host.uri, others).returncode == HELD_BACK
    assert reconcile(host, *ask, others, down, host.uri).returncode == WRONG
    assert reconcile(host, "--force", host.uri, others).returncode == IN_SYNC
    assert reconcile(host, *ask, host.uri, others).returncode == IN_SYNC
    host.runs("a", b="..")
    assert reconcile(host, *ask, host.uri, others).returncode == NOT_ALL_REGISTERED
    host.runs("a", "c", b="..")
    assert reconcile(host, *ask, host.uri, others).returncode == PENDING
    assert reconcile(host, *ask, others, down).returncode == WRONG


def test_an_owner_conflict_in_one_registry_does_not_affect_the_other(host: Host, others: str) -> None:
    """Each registry has an owner record of its own."""
    host.runs("a")
    host.etcd.store.put(RecordKeys("/others").record(OWNER), '{"engine":"ANOTHER","claims":{}}')
    done = reconcile(host, others, host.uri)
    assert (done.returncode, host.registered) == (WRONG, {f"{OWNER}:a:80"})
    assert done.stderr.startswith(f"wharfinger: {others}: owner-conflict: ")
    assert done.stdout.startswith(f"{others}:\nNo plan: owner-conflict.\n\n{host.uri}:\nCreate:\n+ ")


# deregister


@pytest.fixture
def registered(host: Host, others: str) -> tuple[str, str]:
    """Two registries with two entries of this host each."""
    host.runs("a", b="custom-b")
    assert reconcile(host, host.uri, others).returncode == IN_SYNC
    return host.uri, others


def left(host: Host) -> tuple[int, int]:
    """The number of entries in each of the two registries."""
    return len(host.etcd.store.keys("/services")), len(host.etcd.store.keys("/others"))


def test_deregister_empties_each_registry_and_prints_what_it_removed(host: Host, registered: tuple[str, str]) -> None:
    """The entries to be removed are listed under their registry, and then the numbers of those that were removed."""
    first, second = registered
    done = deregister("--yes", first, second)
    assert (done.returncode, done.stderr, left(host)) == (IN_SYNC, "", (0, 0))
    listed = [
        [f"{uri}:", f"- {key}/{OWNER}:a:80  10.0.0.1:8080", f"- {key}/custom-b  10.0.0.1:8080"]
        for uri, key in zip(registered, KEYS, strict=True)
    ]
    gone = [f"{uri}: Removed 2 of 2 entries of '{OWNER}'." for uri in registered]
    assert done.stdout.splitlines() == [*listed[0], *listed[1], *gone]
    again = deregister("--yes", first, second)
    assert again.stdout.splitlines() == [f"{first}:", PLAN.format(0, 0, 0), f"{second}:", PLAN.format(0, 0, 0)]


def test_a_dry_run_of_deregister_removes_nothing(host: Host, registered: tuple[str, str]) -> None:
    """It prints a plan for each registry."""
    before = host.etcd.store.index()
    done = deregister("--dry-run", *registered)
    assert (done.returncode, host.etcd.store.index()) == (IN_SYNC, before)
    assert done.stdout.splitlines().count(PLAN.format(0, 2, 0)) == 2


def test_the_others_are_emptied_while_one_registry_is_down(host: Host, registered: tuple[str, str], down: str) -> None:
    """The exit code is 1, and the message says which registry is down."""
    first, second = registered
    done = deregister("--yes", first, down, second)
    assert (done.returncode, left(host)) == (WRONG, (0, 0))
    assert done.stderr.startswith(f"wharfinger: {down}: http://127.0.0.1:")
    assert f"{down}:\n" not in done.stdout


@pytest.mark.parametrize(("word", "after"), [("y", (0, 0)), ("n", (2, 2))], ids=["yes", "no"])
def test_deregister_asks_once_for_all_registries(
    host: Host, registered: tuple[str, str], word: str, after: tuple[int, int]
) -> None:
    """It shows first what would be removed from each."""
    argv = [*PROGRAM, "deregister", f"--hostname={OWNER}", "--wait=0.2", *registered]
    code, shown = on_a_terminal(argv, word)
    assert (code, left(host)) == (IN_SYNC if word == "y" else WRONG, after)
    assert shown.count("[y/N]") == 1
    question = shown.index(f"Remove these 4 entries of '{OWNER}'? [y/N]")
    assert all(shown.index(f"- {key}/custom-b") < question for key in KEYS)


def test_a_registry_with_a_running_agent_is_left_alone(host: Host, registered: tuple[str, str]) -> None:
    """The agent does not write to the other registry any more, so that one is emptied."""
    fed, old = registered
    log = host.folder / "agent.log"
    agent = Agent(f"unix://{host.socket}", "-ip=10.0.0.1", "--interval=0.1", fed, log_path=log).start().wait_ready()
    try:
        done = deregister("--yes", "--wait=3", old, fed)
    finally:
        agent.terminate()
    assert (done.returncode, left(host)) == (WRONG, (2, 0))
    assert done.stderr.startswith(f"wharfinger: {fed}: the agent of '{OWNER}' is alive")
    assert done.stdout.splitlines()[-1] == f"{old}: Removed 2 of 2 entries of '{OWNER}'."


@pytest.mark.parametrize("scheme", ["etcd", "etcd3"])
@pytest.mark.parametrize("inner", ["", "/within"], ids=["same prefix", "prefix within the other"])
def test_two_spellings_of_one_cluster_are_refused_at_the_start(host: Host, scheme: str, inner: str) -> None:
    """Only the cluster id shows that both URIs mean one cluster. Neither ``reconcile`` nor ``run`` writes anything."""
    host.runs("a")
    port = host.etcd.endpoint.rpartition(":")[2]
    uris = f"{scheme}://127.0.0.1:{port}/services", f"{scheme}://localhost:{port}/services{inner}"
    index = host.etcd.store.index()
    for command in ("reconcile", "run"):
        done = run_once(f"unix://{host.socket}", command, "-ip=10.0.0.1", *uris, env={"WHARFINGER_LISTEN": ""})
        assert done.returncode == WRONG
        assert "are in the same etcd cluster and have keys in common" in done.stderr
        assert all(uri in done.stderr for uri in uris)
    assert (host.registered, host.etcd.store.index()) == (set(), index)


def test_two_clusters_with_one_prefix_are_two_places(host: Host, down: str) -> None:
    """Two registries are not taken for one place either while one of them does not answer."""
    host.runs("a")
    other = EtcdServer()
    try:
        second = f"{other.scheme}://{other.start().endpoint}/services"
        assert reconcile(host, host.uri, second).returncode == IN_SYNC
        assert other.store.keys("/services") == host.etcd.store.keys("/services") != {}
    finally:
        other.close()
    assert "same etcd cluster" not in reconcile(host, host.uri, down).stderr
