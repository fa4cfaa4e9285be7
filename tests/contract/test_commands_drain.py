"""``wharfinger drain`` and ``wharfinger undrain``, against a running agent, a real etcd and an engine that answers as a
real one did."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.commands.exit_codes import ExitCode
from model.drain_order import NO_DRAIN, DrainedContainer, DrainOrder
from model.record import RecordKeys
from tests.support.agent import PROGRAM, Agent, run_once
from tests.support.command_host import OWNER, Host, on_a_terminal
from tests.support.processes import free_ports
from tests.support.secure_etcd import TlsEtcd, authority
from tests.support.waiting import wait_until

IN_SYNC, WRONG, *_ = ExitCode

ORDER_KEY = RecordKeys("/services").drain_order(OWNER)

#: The most seconds that the command says that it takes.
BOUND = 30.0


@pytest.fixture
def agent(host: Host) -> Iterator[Agent]:
    """A running agent, which has registered three containers. One more container has ended."""
    host.runs("a", "b", "c", "old")
    host.stops("old")
    agent = host.agent("--pass-timeout=1").wait_ready()
    yield agent
    agent.terminate()


def asking(agent: Agent, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command that asks the agent where it listens. Nothing else tells it of the agent's flags."""
    return run_once("", *args, env={"WHARFINGER_LISTEN": agent.listen})


def order(host: Host) -> DrainOrder | None:
    """Return the drain order in etcd; None if there is no key."""
    value = host.etcd.store.get(ORDER_KEY)
    return None if value is None else DrainOrder.decode(value)


def ids(*names: str) -> set[str]:
    """Return the ids of the entries of these containers."""
    return {f"{OWNER}:{name}:80" for name in names}


def test_containers_are_drained_and_get_their_entries_back(host: Host, agent: Agent) -> None:
    """The output has a line for each container. An order that drains nothing is removed."""
    done = asking(agent, "drain", "a", "b", "--wait=0.1s")
    assert (done.returncode, done.stdout, done.stderr) == (IN_SYNC, "a drains.\nb drains.\n", "")
    assert host.registered == ids("c")
    done = asking(agent, "undrain", "b")
    assert (done.returncode, done.stdout, done.stderr) == (IN_SYNC, "b drains no longer.\n", "")
    wait_until(lambda: host.registered == ids("b", "c"), what="the entry to return")
    assert asking(agent, "undrain", "a").returncode == IN_SYNC
    wait_until(lambda: host.registered == ids("a", "b", "c"), what="the entry to return")
    assert host.etcd.store.get(ORDER_KEY) is None


def test_the_agent_is_asked_at_a_url_that_is_given(host: Host, agent: Agent) -> None:
    """As with ``--listen`` among its flags, which the environment does not show."""
    done = run_once("", "drain", "a", f"--agent=http://{agent.listen}", "--wait=0")
    assert (done.returncode, host.registered) == (IN_SYNC, ids("b", "c"))


def test_a_drain_ends_by_itself(host: Host, agent: Agent) -> None:
    """Its end is printed, and written down as a moment."""
    done = asking(agent, "drain", "a", "--for=1s", "--wait=0")
    assert done.returncode == IN_SYNC
    assert done.stdout.startswith("a drains until 20")
    wait_until(lambda: host.registered == ids("a", "b", "c"), what="the entry to return")
    assert asking(agent, "drain", "b").returncode == IN_SYNC
    assert {*(order(host) or NO_DRAIN).containers} == {"b"}, "a later drain takes what has ended out of the order"


def test_containers_that_cannot_be_drained_do_not_keep_the_others_from_it(host: Host, agent: Agent) -> None:
    """Each is named. If none is left, nothing is written."""
    done = asking(agent, "drain", "nobody", "a", "old", "--wait=0")
    assert (done.returncode, done.stdout) == (WRONG, "a drains.\n")
    assert done.stderr.splitlines() == [
        "wharfinger: there is no container 'nobody'",
        "wharfinger: container 'old' does not run: it is exited",
    ]
    assert host.registered == ids("b", "c")
    index = host.etcd.store.index()
    assert asking(agent, "drain", "nobody").returncode == WRONG
    assert host.etcd.store.index() == index


def test_containers_that_have_ended_are_taken_out_of_the_order(host: Host, agent: Agent) -> None:
    """So it does not grow when containers are replaced again and again."""
    assert asking(agent, "drain", "a", "b").returncode == IN_SYNC
    host.runs("b", "c")
    assert asking(agent, "drain", "c").returncode == IN_SYNC
    assert {*(order(host) or NO_DRAIN).containers} == {"b", "c"}


def test_drains_at_the_same_moment_are_all_kept(host: Host, agent: Agent) -> None:
    """Each command compares with what it has read, and tries again."""
    with ThreadPoolExecutor(3) as pool:
        done = [*pool.map(lambda name: asking(agent, "drain", name, "--wait=0"), "abc")]
    assert [each.returncode for each in done] == [IN_SYNC] * 3
    assert {*(order(host) or NO_DRAIN).containers} == {"a", "b", "c"}
    assert host.registered == set()


def test_a_drain_of_all_containers_needs_a_confirmation(host: Host, agent: Agent) -> None:
    """Without a terminal nobody can confirm, so --yes has to."""
    done = asking(agent, "drain", "--all")
    assert (done.returncode, done.stdout) == (WRONG, "")
    assert (
        done.stderr == "wharfinger: nobody is there to confirm; say --yes if all containers of this host are to drain\n"
    )
    url = f"--agent=http://{agent.listen}"
    code, shown = on_a_terminal([*PROGRAM, "drain", "--all", "--for=1h", url], "n")
    assert (code, order(host)) == (WRONG, None)
    assert f"Drain all containers of '{OWNER}', and those that start later until 20" in shown
    assert on_a_terminal([*PROGRAM, "drain", "--all", url], "y")[0] == IN_SYNC
    wait_until(lambda: host.registered == set(), what="all entries to go")


def test_a_container_drains_on_while_all_do(host: Host, agent: Agent) -> None:
    """undrain says so, and what to do. The end of the drain of all ends those of containers, too."""
    asking(agent, "drain", "a")
    done = asking(agent, "drain", "--all", "--yes", "--wait=0")
    assert (done.returncode, done.stdout) == (IN_SYNC, f"All containers of '{OWNER}' drain.\n")
    assert host.registered == set()
    done = asking(agent, "undrain", "a", "b")
    assert (done.returncode, done.stdout) == (WRONG, "a drains no longer.\n")
    assert done.stderr.splitlines() == [
        "wharfinger: the operator does not drain 'b' by name",
        f"wharfinger: all containers of '{OWNER}' drain; end that with 'wharfinger undrain --all', and then drain by "
        "name those that are to drain on",
    ]
    asking(agent, "drain", "b")
    done = asking(agent, "undrain", "--all")
    assert (done.returncode, done.stdout) == (IN_SYNC, f"The operator drains no container of '{OWNER}' any more.\n")
    wait_until(lambda: host.registered == ids("a", "b", "c"), what="the entries to return")


def test_a_name_that_others_wrote_does_not_control_the_terminal(host: Host, agent: Agent) -> None:
    """Whoever can write to etcd can write any name into the order."""
    odd = DrainedContainer("odd", "", "\x1b[31mred")
    host.etcd.store.put(ORDER_KEY, NO_DRAIN.with_containers([odd]).encode())
    done = asking(agent, "undrain", "odd")
    assert (done.returncode, done.stdout) == (IN_SYNC, "\\x1b[31mred drains no longer.\n")


def test_a_drain_of_all_needs_no_engine_and_keys_that_stay_are_named(host: Host, agent: Agent) -> None:
    """The engine's list makes no sense, so the agent does not act. The command gives up after the time that the agent's
    note says."""
    host.docker.list_is_odd = True
    agent.wait_for_passes(1, "engine-error")
    begun = time.monotonic()
    done = asking(agent, "drain", "--all", "--yes", "--wait=0")
    assert (done.returncode, done.stdout) == (WRONG, f"All containers of '{OWNER}' drain.\n")
    assert f"the agent has not removed /services/nginx/{OWNER}:a:80, " in done.stderr
    assert time.monotonic() - begun < BOUND


def test_each_registry_is_drained_by_itself(host: Host) -> None:
    """One that is down does not keep the other from it, and makes the exit code 1."""
    host.runs("a", "b")
    down = f"etcd3://127.0.0.1:{free_ports(1)[0]}/services"
    both = Agent(f"unix://{host.socket}", "-ip=10.0.0.1", host.uri, down, log_path=host.folder / "both.log").start()
    try:
        wait_until(lambda: host.registered == ids("a", "b"), what="the entries")
        done = asking(both, "drain", "a", "--wait=0")
        assert (done.returncode, done.stdout) == (WRONG, f"{host.uri}: a drains.\n")
        assert done.stderr.startswith(f"wharfinger: {down}: ")
        assert host.registered == ids("b")
    finally:
        both.terminate()


def test_the_connection_is_that_of_the_agents_flags(host: Host, tmp_path: Path) -> None:
    """The files for TLS are those of the agent's flags, which nothing else tells."""
    host.runs("a")
    ours = authority(tmp_path / "ours")
    client = ours.issue("agent@core-07.example")
    server = TlsEtcd(ours, ours.issue("127.0.0.1")).start()
    flags = (f"--etcd-ca={ours.path}", f"--etcd-cert={client.cert}", f"--etcd-key={client.key}", "-ip=10.0.0.1")
    uri = f"{server.scheme}s://{server.endpoint}/services"
    agent = Agent(f"unix://{host.socket}", *flags, uri, log_path=tmp_path / "tls.log").start()
    try:
        agent.wait_ready()
        done = asking(agent, "drain", "a", "--wait=0")
        assert (done.returncode, done.stderr) == (IN_SYNC, "")
        wait_until(lambda: agent.total("entries_actual") == 0, what="a pass without the entry")
    finally:
        agent.terminate()
        server.close()


def test_an_etcd_that_does_not_answer_ends_the_command_in_time(host: Host, agent: Agent) -> None:
    """So no ``ExecStop=`` waits for it for long."""
    host.etcd.freeze()
    try:
        begun = time.monotonic()
        done = asking(agent, "drain", "a", "--wait=60s")
        assert time.monotonic() - begun < BOUND
    finally:
        host.etcd.thaw()
    assert (done.returncode, done.stdout) == (WRONG, "")
    assert done.stderr.startswith("wharfinger: ")


def test_without_an_agent_the_commands_say_what_to_do(host: Host) -> None:
    """The agent has ended, or has no HTTP server."""
    for args in (["drain", "a"], ["drain", "--all", "--yes"], ["undrain", "--all"]):
        gone = run_once("", *args, env={"WHARFINGER_LISTEN": f"127.0.0.1:{free_ports(1)[0]}"})
        assert (gone.returncode, "give its URL with --agent" in gone.stderr) == (WRONG, True)
        silent = run_once("", *args, env={"WHARFINGER_LISTEN": ""})
        assert (silent.returncode, "start it with --listen" in silent.stderr) == (WRONG, True)


def test_the_page_of_the_agent_has_its_owner(host: Host, agent: Agent) -> None:
    """And the registries as they were given."""
    status, body = agent.get("/api/v1/agent")
    page = json.loads(body)
    assert (status, page["version"], page["owner"]) == (200, 1, OWNER)
    assert page["registries"] == [{"uri": host.uri}]
    assert page["engine"]["url"] == f"unix://{host.socket}"
