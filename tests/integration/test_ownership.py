"""Ownership of entries: custom ids, hosts with one name, the owner record and the delete guard, on real parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import Agent, run_once
from tests.support.engine import DockerEngine, Unavailable
from tests.support.etcd_server import EtcdServer, etcd_binary
from tests.support.host import Host, on_both
from tests.support.images import build_test_images
from tests.support.private_engine import PrivateEngine, private_engine
from tests.support.waiting import wait_until
from tests.support.wiretap import Moment, Wiretap

#: A container that asks for this id, and the key that it gets.
SHARED = "-e SERVICE_ID=shared"
KEY = "worker/shared"

#: An interval in seconds that is longer than any test: the agent makes a pass only when SIGHUP tells it to.
ONLY_WHEN_TOLD = 3600.0


@pytest.fixture(scope="module")
def other_engine(engine: DockerEngine) -> Iterator[PrivateEngine]:
    """A second engine with the same name as the first, as on a cloned machine, but with an id of its own."""
    found = private_engine(hostname=engine.docker("info", "--format", "{{.Name}}"))
    if isinstance(found, Unavailable):
        pytest.skip(f"no second Docker engine: {found.reason}")
    try:
        give_own_id(found)
        build_test_images(found)
        assert engine_id(found) != engine_id(engine)
        yield found
    finally:
        found.close()


def give_own_id(engine: PrivateEngine) -> None:
    """Give an engine its own id: up to version 24, engines take it from /etc/docker, which all on this machine
    share."""
    engine.stop()
    subprocess.run(engine.run_in_namespace(["mkdir", "-p", "/etc/docker"]), check=True)
    subprocess.run(engine.run_in_namespace(["mount", "-t", "tmpfs", "tmpfs", "/etc/docker"]), check=True)
    engine.start()


def engine_id(engine: DockerEngine) -> str:
    """Return the engine's id."""
    return engine.docker("info", "--format", "{{.ID}}")


@pytest.fixture
def other(host: Host, other_engine: PrivateEngine, tmp_path: Path) -> Iterator[Host]:
    """A second host with the same name, whose agents write below the same prefix."""
    folder = tmp_path / "other"
    folder.mkdir()
    other_engine.remove_all()
    second = Host(other_engine, host.etcd, folder, host.api)
    second.prefix = host.prefix
    try:
        yield second
    finally:
        second.close()


@pytest.fixture
def pair(host: Host, other: Host) -> tuple[Host, Host]:
    """Two hosts with different names. Their agents need the flags of `named()`."""
    host.owner, other.owner = "core-01", "core-02"
    return host, other


def named(host: Host) -> tuple[str, str]:
    """Return the flags that give a host's agent its name."""
    return "--hostname", host.owner


def value_of(host: Host, name: str) -> str:
    """Return the value that the entry of a running container must have."""
    return host.expected()[host.key(name)]


def refused(agent: Agent, reason: str = "conflict") -> float:
    """Return how many ports the agent's last pass refused for this reason."""
    return agent.metrics()[f'wharfinger_entries_refused{{reason="{reason}",registry="etcd"}}']


def make_pass(agent: Agent) -> None:
    """Have an agent with a long interval make a pass, and wait for its end."""
    before = agent.passes()
    agent.signal(signal.SIGHUP)
    wait_until(lambda: agent.passes() > before, 20, "a pass")


def plan_of(host: Host, *flags: str) -> dict[str, Any]:
    """Return what a dry run would do, from its JSON."""
    document: dict[str, Any] = json.loads(host.reconcile("--dry-run", "-o", "json", *flags).stdout)
    return document


def test_of_two_hosts_with_one_id_the_first_keeps_it_until_its_container_ends(pair: tuple[Host, Host]) -> None:
    """The second host is refused in every pass, without a write, with the reason in log, metric and plan. It gets the
    key when the first host's container ends. With registrator the second host takes the key, and when its container
    ends, there is none."""
    first, second = pair
    for each in pair:
        each.start("one", flags=SHARED)
    one, two = (each.agent(*named(each), interval=0.1).wait_ready() for each in pair)
    assert first.keys() == {KEY: value_of(first, "one")}
    index = first.etcd.index()
    two.wait_for_passes(10)
    assert (first.etcd.index(), refused(two), refused(one)) == (index, 1, 0)
    assert two.log().count("port refused") == 1
    assert [each["reason"] for each in plan_of(second, *named(second))["refused"]] == ["conflict"]
    first.engine.docker("rm", "--force", "one")
    first.wait_for({KEY: value_of(second, "one")})
    wait_until(lambda: refused(two) == 0, 10, "the refusal to end")
    second.engine.docker("rm", "--force", "one")
    first.wait_for({})


def test_the_end_of_a_refused_container_leaves_the_key_of_the_other_host(pair: tuple[Host, Host]) -> None:
    """The owner record says which host has the key, so the end of the refused container changes nothing, even if both
    hosts would write the same value."""
    first, second = pair
    flags = ("-ip", "192.0.2.1")
    for each in pair:
        each.engine.run(f"--name one -p 18080:9000 {SHARED} worker:1")
        assert each.reconcile(*named(each), *flags).returncode == 0
    assert first.keys() == {KEY: "192.0.2.1:18080"}
    (refusal,) = plan_of(second, *named(second), *flags)["refused"]
    assert (refusal["container"], refusal["reason"]) == ("one", "conflict")
    index = first.etcd.index()
    second.engine.docker("rm", "--force", "one")
    assert second.reconcile(*named(second), *flags).returncode == 0
    assert (first.etcd.index(), first.keys()) == (index, {KEY: "192.0.2.1:18080"})


def test_a_standby_with_the_same_address_and_port_gets_the_id_and_keeps_it(pair: tuple[Host, Host]) -> None:
    """A standby with the same address and port gets the id when the first host gives it up, and keeps it. The two do
    not take turns at removing and writing the key."""
    agents = []
    for each in pair:
        each.engine.run(f"--name one -p 18080:9000 {SHARED} worker:1")
        agents.append(each.agent(*named(each), "-ip", "192.0.2.1", interval=0.05).wait_ready())
    first, second = agents
    assert refused(second) == 1
    pair[0].engine.docker("rm", "--force", "one")
    wait_until(lambda: refused(second) == 0, 10, "the second to get it")
    first.wait_for_passes(10)
    index = pair[0].etcd.index()
    for agent in agents:
        agent.wait_for_passes(10)
    assert (pair[0].etcd.index(), pair[0].keys()) == (index, {KEY: "192.0.2.1:18080"})
    first.kill9()
    pair[1].engine.docker("rm", "--force", "one")
    pair[0].wait_for({})


def test_an_id_that_another_owner_has_is_refused_and_never_touched(host: Host) -> None:
    """A key that this host's owner record does not claim is left alone, although a container asks for it."""
    host.etcd.put(f"{host.prefix}/{KEY}", "192.0.2.9:80")
    host.start("one", flags=SHARED)
    agent = host.agent(interval=0.1).wait_ready()
    before = host.etcd.node(f"{host.prefix}/{KEY}")
    agent.wait_for_passes(5)
    assert refused(agent) == 1
    host.engine.docker("rm", "--force", "one")
    agent.wait_for_passes(2)
    assert host.etcd.node(f"{host.prefix}/{KEY}") == before


def test_keys_of_others_are_counted(host: Host) -> None:
    """Keys of others are counted as foreign, also those whose value cannot be read."""
    for key, value in {"worker/core-99:c:80": "192.0.2.9:80", "x/y": "not an address", "z/{": '{"a":1}'}.items():
        host.etcd.put(f"{host.prefix}/{key}", value)
    host.start("one")
    seen = host.agent().wait_ready().metrics()
    assert seen['wharfinger_entries_foreign{registry="etcd"}'] == 3
    assert seen['wharfinger_entries_unreadable{registry="etcd"}'] == 2
    assert seen['wharfinger_entries_actual{registry="etcd"}'] == 0


#: Changes of a container with a custom id, and the number of writes that a new agent makes for each. If the container
#: is new or has another port, the first writes are the owner record, the agent note and the key. If it is gone, they
#: are the note, the delete of the key, and the delete of the directory that it leaves empty. A fourth write is the
#: owner record without the claims that are over.
CHANGES = {"new": 3, "moved": 4, "gone": 4}
MOMENTS = [
    pytest.param(change, number, answered, id=f"{change}-{number}-{'after' if answered else 'before'}")
    for change, writes in CHANGES.items()
    for number in range(1, writes + 1)
    for answered in (False, True)
]


def cause_change(host: Host, change: str) -> None:
    """Cause a change of the containers, from a state that is registered."""
    if change != "new":
        host.start("one", flags=SHARED)
        assert host.reconcile().returncode == 0
    match change:
        case "new":
            host.start("one", flags=SHARED)
        case "moved":
            host.engine.docker("restart", "one")
            assert host.keys()[KEY] != value_of(host, "one")
        case "gone":
            host.engine.docker("rm", "--force", "one")


def kill_at(host: Host, number: int, *, answered: bool) -> None:
    """Run an agent and kill it at its n-th write: right before etcd gets the request, or, if `answered`, after etcd has
    made the write and before the agent gets the answer."""
    agents: list[Agent] = []

    def meddle(moment: Moment) -> bool:
        if moment.is_write and (moment.number, moment.answered) == (number, answered):
            agents[0].kill9()
            return False
        return True

    with Wiretap(host.etcd.endpoint, meddle) as tap:
        uri = f"etcd://{tap.endpoint}{host.prefix}"
        agents.append(host.run("--interval", "0.1", "-ip", host.engine.address, uri))
        assert agents[0].wait(20) == -signal.SIGKILL


@pytest.mark.parametrize(("change", "number", "answered"), MOMENTS)
def test_an_agent_killed_at_any_of_its_writes_leaves_no_orphan(
    host: Host, change: str, number: int, answered: bool
) -> None:
    """An agent is killed at any of its writes, and its container ends meanwhile. The next agent, which remembers
    nothing, removes whatever was written."""
    cause_change(host, change)
    kill_at(host, number, answered=answered)
    host.engine.remove_all()
    assert host.reconcile().returncode == 0
    assert host.keys() == {}


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_after_an_agent_was_killed_at_any_of_its_writes_the_next_one_registers_the_same(
    host: Host, number: int, answered: bool
) -> None:
    """An agent is killed at any of its writes while its container goes on. After the next agent's pass, the key is
    registered and belongs to this host: another host is refused."""
    cause_change(host, "new")
    kill_at(host, number, answered=answered)
    assert host.reconcile().returncode == 0
    assert host.keys() == {KEY: value_of(host, "one")}
    assert plan_of(host, "--hostname", "core-99")["refused"][0]["reason"] == "conflict"


def test_a_custom_id_whose_container_ended_while_the_agent_was_down_is_removed(host: Host) -> None:
    """If a container with a custom id ends while the agent is down, the agent's next start removes the key. registrator
    would leave it for ever."""
    host.start("one", flags=SHARED)
    host.start("two")
    agent = host.agent().wait_ready()
    agent.kill9()
    host.engine.docker("rm", "--force", "one")
    agent.start()
    host.wait_for({host.key("two"): value_of(host, "two")})


def test_of_two_engines_with_one_name_the_second_writes_nothing_and_says_what_to_do(host: Host, other: Host) -> None:
    """Of two engines with one name, as after a machine was cloned, the second writes nothing, and its log, readiness
    and error name the flags that help. Otherwise each would delete the other's entries as orphans."""
    host.start("one")
    other.start("two")
    host.agent().wait_ready()
    index, right = host.etcd.index(), host.expected()
    second = other.agent(interval=0.1)
    wait_until(lambda: second.get("/readyz")[1].startswith("owner-conflict"), 20, "the conflict to be seen")
    second.wait_for_passes(2, "owner-conflict")
    assert (host.etcd.index(), host.keys()) == (index, right)
    assert second.get("/healthz") == (200, "ok\n")
    for said in (second.get("/readyz")[1], second.log(), other.reconcile().stderr):
        assert "--hostname" in said
        assert "--take-over" in said
    assert other.reconcile().returncode == 1
    with_own_name = other.reconcile("--hostname", "core-02")
    assert with_own_name.returncode == 0
    assert host.keys() == right | {"worker/core-02:two:9000": value_of(other, "two")}


def wait_until_ready_page_says(agent: Agent, text: str) -> None:
    """Wait until /readyz of an agent that is not ready contains this text."""
    wait_until(lambda: text in agent.get("/readyz")[1], 30, text)


@on_both("host")
def test_a_host_that_replaces_another_takes_over_its_name_with_a_flag(host: Host, other: Host) -> None:
    """With `--take-over`, the new engine's entries replace the old engine's, once the old agent has been silent for as
    long as its note says that it may take to answer. Until then only a liveness query is written. If the old agent runs
    again, it stops writing."""
    host.start("one")
    other.start("two")
    old = host.agent("--pass-timeout", "5").wait_ready()
    right = host.expected()
    old.kill9()
    new = other.agent("--take-over")
    wait_until_ready_page_says(new, "--take-over waits for a sign of life until")
    assert "35 seconds in all" in new.log()
    index = host.store.index()
    new.wait_for_passes(5, "owner-conflict")
    assert (host.store.index(), host.keys()) == (index, right)
    host.shorten_note()
    new.wait_ready(20)
    assert new.log().count("pass failed") <= 2
    other.wait_for(other.expected())
    old.start()
    wait_until_ready_page_says(old, "owner-conflict")
    new.wait_for_passes(2)
    index = host.store.index()
    old.wait_for_passes(1, "owner-conflict")
    assert (host.store.index(), other.keys()) == (index, other.expected())


def test_a_host_whose_engine_has_lost_its_id_comes_back_by_itself(other: Host, other_engine: PrivateEngine) -> None:
    """Its agent waits for a sign of life of the agent that had the name, although nobody gave `--take-over`, because
    all entries point at its own address. Until then only a liveness query is written."""
    other.start("one")
    before = other.agent("--pass-timeout", "5").wait_ready()
    before.kill9()
    lose_id(other_engine)
    other.engine.docker("start", "one")
    agent = other.agent()
    wait_until_ready_page_says(
        agent, "as every entry under the name points at this host, waits for a sign of life until"
    )
    index = other.store.index()
    agent.wait_for_passes(2, "owner-conflict")
    assert other.store.index() == index
    other.shorten_note()
    agent.wait_ready(20)
    other.wait_for(other.expected())


def lose_id(engine: PrivateEngine) -> None:
    """Start an engine with an id of its own anew, so that it has another one."""
    before = engine_id(engine)
    engine.stop()
    subprocess.run(engine.run_in_namespace(["rm", "/etc/docker/key.json"]), check=True)
    engine.start()
    assert engine_id(engine) != before


@on_both("host")
def test_two_hosts_that_keep_take_over_do_not_take_the_name_from_each_other(host: Host, other: Host) -> None:
    """Whichever of two agents with `--take-over` is restarted, the agent that has the name answers the other agent's
    liveness query and keeps the name. The other agent says that it cannot have the name."""
    host.start("one")
    other.start("two")
    first = host.agent("--take-over", interval=0.1).wait_ready()
    right = host.expected()
    second = other.agent("--take-over", interval=0.1)
    for restarted in (second, first, second):
        restarted.restart()
        wait_until_ready_page_says(second, "is alive, as it has answered")
        first.wait_ready()
        assert host.keys() == right
    assert second.running
    assert "--hostname" in second.get("/readyz")[1]


def test_two_agents_on_one_host_lose_no_entry_with_a_custom_id(host: Host) -> None:
    """Two agents on one host write one owner record. Their conflicts cost a pass, but no entry."""
    host.start("stays", flags="-e SERVICE_ID=stays")
    agents = [host.agent(interval=0.05).wait_ready() for _ in range(2)]
    begin = host.etcd.index() + 1
    for turn in range(4):
        host.start(f"new{turn}", flags=f"-e SERVICE_ID=new{turn}")
        host.engine.docker("restart", f"new{turn}")
        host.engine.docker("rm", "--force", f"new{turn - turn % 2}")
    right = {f"worker/{name}": value for name, value in ids(host).items()}
    host.wait_for(right)
    for agent in agents:
        agent.wait_for_passes(5)
        assert agent.running
    assert host.keys() == right
    changed = {change["node"]["key"] for change in host.etcd.changes(host.prefix, begin)}
    assert changed
    assert f"{host.prefix}/worker/stays" not in changed
    for agent in agents:
        agent.kill9()
    host.engine.remove_all()
    assert host.reconcile("--force").returncode == 0
    assert host.keys() == {}


def ids(host: Host) -> dict[str, str]:
    """Return the containers whose custom id is their name, with the values that their entries must have."""
    return {key.split(":")[1]: value for key, value in host.expected().items()}


def test_the_owner_record_is_hidden_from_listings_and_watches(host: Host, fresh_etcd: EtcdServer) -> None:
    """`etcdctl ls --recursive /`, a recursive GET and a watch of the prefix show the entry, but not the owner
    record."""
    host.etcd = fresh_etcd
    host.start("one", flags=SHARED)
    assert host.reconcile().returncode == 0
    key = f"{host.prefix}/{KEY}"
    command = [etcd_binary("etcdctl"), "--endpoints", f"http://{fresh_etcd.endpoint}", "ls", "--recursive", "/"]
    listed = subprocess.run(
        command, env=os.environ | {"ETCDCTL_API": "2"}, capture_output=True, text=True, check=True
    ).stdout
    assert key in listed.split()
    assert "_" not in listed
    assert list(fresh_etcd.keys("/")) == [key]
    assert [change["node"]["key"] for change in fresh_etcd.changes(host.prefix, 1)] == [key]
    assert json.loads(fresh_etcd.get(record_of(host)) or "")["claims"].keys() == {key}


def record_of(host: Host) -> str:
    """Return the key of a host's owner record, as documented."""
    return f"/_wharfinger/{host.prefix.replace('/', '%2F')}/{host.owner}/record"


def test_one_command_removes_the_entries_of_a_hosts_old_name(host: Host) -> None:
    """The entries of a host's old name stay after it was renamed, until `deregister --hostname` removes them. With
    registrator, each new container of its own changes the name."""
    host.start("one")
    assert host.reconcile("--hostname", "old").returncode == 0
    assert host.reconcile("--hostname", "new").returncode == 0
    value = value_of(host, "one")
    assert host.keys() == {"worker/old:one:9000": value, "worker/new:one:9000": value}
    done = run_once(host.engine.socket_url, "deregister", "--hostname", "old", "--yes", "--wait", "2", host.uri)
    assert done.returncode == 0
    assert host.keys() == {"worker/new:one:9000": value}


HELD = 'wharfinger_deletes_held_back{registry="etcd"}'
GUARDED = 'wharfinger_guarded_passes_total{registry="etcd"}'


#: Minimum seconds between the first and the last of the passes that must call for a suspicious delete.
GUARD_SECONDS = 2.0


def remove(host: Host, *names: str) -> None:
    """Kill and remove these containers, so that the engine does not know them any more."""
    host.engine.docker("rm", "--force", *names)


def test_many_stopped_containers_are_deregistered_in_one_pass(host: Host) -> None:
    """Many keys are deleted in one pass if the engine says that each of their containers exists and is stopped. Such
    deletes are never suspicious."""
    names = [f"c{number}" for number in range(8)]
    host.start(*names)
    agent = host.agent(interval=ONLY_WHEN_TOLD).wait_ready()
    host.engine.docker("kill", *names)
    make_pass(agent)
    assert (agent.metrics()[HELD], agent.metrics()[GUARDED], host.keys()) == (0, 0, {})


def test_the_ends_that_the_engine_tells_of_are_no_mass_delete(host: Host) -> None:
    """If events told that the containers have ended, their keys are deleted at once, however many they are."""
    names = [f"c{number}" for number in range(8)]
    host.start(*names)
    agent = host.agent(interval=ONLY_WHEN_TOLD).wait_ready()
    remove(host, *names[:6])
    host.wait_for(host.expected())
    assert (len(host.keys()), agent.metrics()[HELD], agent.metrics()[GUARDED]) == (2, 0, 0)


def test_a_mass_delete_waits_until_three_passes_have_seen_it(host: Host) -> None:
    """A mass delete for containers that were removed, and of whose ends no event told, waits for three passes and two
    seconds. Meanwhile the metric and the log show the deletes, and new entries are registered."""
    names = [f"c{number}" for number in range(8)]
    host.start(*names)
    agent = host.agent("--no-hints", interval=ONLY_WHEN_TOLD).wait_ready()
    before = host.keys()
    remove(host, *names[:6])
    make_pass(agent)
    assert (agent.metrics()[HELD], host.keys()) == (6, before)
    host.start("new")
    make_pass(agent)
    assert (agent.metrics()[HELD], agent.metrics()[GUARDED]) == (6, 2)
    assert host.keys() == before | {host.key("new"): value_of(host, "new")}
    time.sleep(GUARD_SECONDS)  # until the guard has waited for long enough
    make_pass(agent)
    assert (agent.metrics()[HELD], host.keys()) == (0, host.expected())
    assert agent.log().count("deletes held back until seen again") == 1
    assert agent.log().count("no deletes held back any more") == 1


def test_containers_that_return_while_their_deletes_are_held_back_keep_their_keys(host: Host) -> None:
    """If all containers are recreated while the deletes of their keys are held back, the keys stay and are only
    updated."""
    names = [f"c{number}" for number in range(5)]
    host.start(*names)
    agent = host.agent("--no-hints", interval=ONLY_WHEN_TOLD).wait_ready()
    begin = host.etcd.index() + 1
    remove(host, *names)
    make_pass(agent)
    make_pass(agent)
    assert agent.metrics()[HELD] == 5
    host.start(*names)
    make_pass(agent)
    assert (agent.metrics()[HELD], host.keys()) == (0, host.expected())
    assert {change["action"] for change in host.etcd.changes(host.prefix, begin)} <= {"compareAndSwap"}


def test_the_entries_of_an_emptied_engine_are_deleted_after_three_passes_and_two_seconds(host: Host) -> None:
    """If the engine suddenly has no containers, their entries are deleted once three passes and two seconds have called
    for it. The engine may have been started with another data folder, which is a mistake, or somebody may have removed
    all containers on purpose."""
    host.start(*(f"c{number}" for number in range(6)))
    agent = host.agent("--no-hints", interval=ONLY_WHEN_TOLD).wait_ready()
    host.engine.remove_all()
    make_pass(agent)
    make_pass(agent)
    make_pass(agent)
    assert len(host.keys()) == 6
    time.sleep(GUARD_SECONDS)  # until the guard has waited for long enough
    make_pass(agent)
    assert host.keys() == {}


def test_reconcile_holds_back_a_mass_delete_with_exit_code_3_unless_forced(host: Host) -> None:
    """`reconcile` cannot see three passes, so each run holds a mass delete back, prints it, and ends with exit code 3.
    `--force` makes the deletes."""
    names = [f"c{number}" for number in range(6)]
    host.start(*names)
    assert host.reconcile().returncode == 0
    remove(host, *names[:5])
    for flags in (("--dry-run",), (), ()):
        done = host.reconcile(*flags)
        assert done.returncode == 3
        assert done.stdout.count("  held back: ") == 5
        assert len(host.keys()) == 6
    assert host.reconcile("--force").returncode == 0
    assert host.keys() == host.expected()


@pytest.mark.parametrize("percent", ["0", "90"])
def test_the_delete_guard_can_be_turned_off_or_raised(host: Host, percent: str) -> None:
    """`--delete-guard` turns the guard off, or raises the percentage."""
    names = [f"c{number}" for number in range(6)]
    host.start(*names)
    assert host.reconcile().returncode == 0
    remove(host, *names[:5])
    assert host.reconcile("--delete-guard", percent).returncode == 0
    assert host.keys() == host.expected()
