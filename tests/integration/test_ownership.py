"""Whose an entry is: custom ids, hosts of one name, the owner record, the guard; on real engines and a real etcd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import Agent, run_once
from tests.support.engine import DockerEngine, Unavailable
from tests.support.etcd_server import EtcdServer, etcd_binary
from tests.support.host import Host
from tests.support.images import build_test_images
from tests.support.private_engine import PrivateEngine, private_engine
from tests.support.waiting import wait_until
from tests.support.wiretap import Moment, Wiretap

#: A container that asks for this id, and the key that it gets.
SHARED = "-e SERVICE_ID=shared"
KEY = "worker/shared"

#: Longer than a test: an agent with it makes a pass when it is told to, and no other.
WHEN_TOLD = 3600.0


@pytest.fixture(scope="module")
def other_engine(engine: DockerEngine) -> Iterator[PrivateEngine]:
    """A second engine: of the same name as the first, as on a cloned machine, and with an id of its own."""
    found = private_engine(hostname=engine.docker("info", "--format", "{{.Name}}"))
    if isinstance(found, Unavailable):
        pytest.skip(f"no second Docker engine: {found.reason}")
    try:
        give_own_id(found)
        build_test_images(found)
        assert identity(found) != identity(engine)
        yield found
    finally:
        found.close()


def give_own_id(engine: PrivateEngine) -> None:
    """Up to version 24 an engine takes its id from /etc/docker, which it would share with this machine's others."""
    engine.stop()
    subprocess.run(engine.run_in_namespace(["mkdir", "-p", "/etc/docker"]), check=True)
    subprocess.run(engine.run_in_namespace(["mount", "-t", "tmpfs", "tmpfs", "/etc/docker"]), check=True)
    engine.start()


def identity(engine: DockerEngine) -> str:
    """The engine's id."""
    return engine.docker("info", "--format", "{{.ID}}")


@pytest.fixture
def other(host: Host, other_engine: PrivateEngine, tmp_path: Path) -> Iterator[Host]:
    """A second host of the same name, whose agents write below the same prefix."""
    folder = tmp_path / "other"
    folder.mkdir()
    other_engine.remove_all()
    second = Host(other_engine, host.etcd, folder)
    second.prefix = host.prefix
    try:
        yield second
    finally:
        second.close()


@pytest.fixture
def pair(host: Host, other: Host) -> tuple[Host, Host]:
    """Two hosts with names of their own: give their agents `named()`."""
    host.owner, other.owner = "core-01", "core-02"
    return host, other


def named(host: Host) -> tuple[str, str]:
    """The flags that give a host's agent its name."""
    return "--hostname", host.owner


def value_of(host: Host, name: str) -> str:
    """What the entry of a running container has to say."""
    return host.expected()[host.key(name)]


def refused(agent: Agent, reason: str = "conflict") -> float:
    """How many ports the agent's last pass refused for this reason."""
    return agent.metrics()[f'wharfinger_entries_refused{{reason="{reason}",registry="etcd"}}']


def look(agent: Agent) -> None:
    """Have an agent with a long interval make a pass."""
    before = agent.passes()
    agent.signal(signal.SIGHUP)
    wait_until(lambda: agent.passes() > before, 20, "a pass")


def plan_of(host: Host, *flags: str) -> dict[str, Any]:
    """What a dry run would do, as a program reads it."""
    document: dict[str, Any] = json.loads(host.reconcile("--dry-run", "-o", "json", *flags).stdout)
    return document


def test_of_two_hosts_with_one_id_the_first_keeps_it_until_it_lets_go(pair: tuple[Host, Host]) -> None:
    """The second is refused in every pass, without a write, with a reason in log, metric and plan; and it gets the key
    when the first one's container ends. With registrator the second takes it, and its end leaves none."""
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


def test_the_end_of_the_one_that_was_refused_takes_nothing_from_the_other(pair: tuple[Host, Host]) -> None:
    """Not even where both would write the same value, as behind one address: whose it is is written down."""
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


def test_one_that_waited_gets_the_id_even_with_the_same_value(pair: tuple[Host, Host]) -> None:
    """As a standby behind an address that moves: the two do not take turns at removing and writing it."""
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


def test_an_id_that_a_stranger_holds_is_refused_and_never_touched(host: Host) -> None:
    """What nobody wrote down as ours is not ours, whatever we want."""
    host.etcd.put(f"{host.prefix}/{KEY}", "192.0.2.9:80")
    host.start("one", flags=SHARED)
    agent = host.agent(interval=0.1).wait_ready()
    before = host.etcd.node(f"{host.prefix}/{KEY}")
    agent.wait_for_passes(5)
    assert refused(agent) == 1
    host.engine.docker("rm", "--force", "one")
    agent.wait_for_passes(2)
    assert host.etcd.node(f"{host.prefix}/{KEY}") == before


def test_others_keys_are_counted(host: Host) -> None:
    """Those that nobody can read among them."""
    for key, value in {"worker/core-99:c:80": "192.0.2.9:80", "x/y": "not an address", "z/{": '{"a":1}'}.items():
        host.etcd.put(f"{host.prefix}/{key}", value)
    host.start("one")
    seen = host.agent().wait_ready().metrics()
    assert seen['wharfinger_entries_foreign{registry="etcd"}'] == 3
    assert seen['wharfinger_entries_unreadable{registry="etcd"}'] == 2
    assert seen['wharfinger_entries_actual{registry="etcd"}'] == 0


#: What happens to a container with a custom id, and how many writes an agent makes of it. The first is the record,
#: unless the container is gone: then the key goes first, and the directory that it leaves empty.
CHANGES = {"new": 2, "moved": 3, "gone": 3}
MOMENTS = [
    pytest.param(change, number, answered, id=f"{change}-{number}-{'after' if answered else 'before'}")
    for change, writes in CHANGES.items()
    for number in range(1, writes + 1)
    for answered in (False, True)
]


def bring_about(host: Host, change: str) -> None:
    """Let the containers change, from a state that is registered."""
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
    """Run an agent, and kill it at its n-th write: right before etcd hears of it, or when it was done and the agent has
    not heard of that."""
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
def test_killed_at_any_of_its_writes_it_leaves_no_orphan(host: Host, change: str, number: int, answered: bool) -> None:
    """The container ends while nobody looks; the next agent, which knows nothing, removes what there is of it."""
    bring_about(host, change)
    kill_at(host, number, answered=answered)
    host.engine.remove_all()
    assert host.reconcile().returncode == 0
    assert host.keys() == {}


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_killed_at_any_of_its_writes_the_next_one_ends_where_it_would_have(
    host: Host, number: int, answered: bool
) -> None:
    """The container goes on, and its key is there and its host's: another one is refused."""
    bring_about(host, "new")
    kill_at(host, number, answered=answered)
    assert host.reconcile().returncode == 0
    assert host.keys() == {KEY: value_of(host, "one")}
    assert plan_of(host, "--hostname", "core-99")["refused"][0]["reason"] == "conflict"


def test_an_unwanted_custom_id_goes_after_a_restart_of_the_agent(host: Host) -> None:
    """Nothing of it is in the agent's memory; registrator would leave it for ever."""
    host.start("one", flags=SHARED)
    host.start("two")
    agent = host.agent().wait_ready()
    agent.kill9()
    host.engine.docker("rm", "--force", "one")
    agent.start()
    host.wait_for({host.key("two"): value_of(host, "two")})


def test_of_two_engines_with_one_name_the_second_writes_nothing_and_says_what_cures_it(host: Host, other: Host) -> None:
    """As with a cloned machine: each would take the other's entries for orphans of its own."""
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


def test_a_host_that_replaces_another_takes_its_name_over(host: Host, other: Host) -> None:
    """With a flag, which is needed once: the old engine's entries go, the new one's come, and the old agent, should it
    still be there, stops writing."""
    host.start("one")
    other.start("two")
    old = host.agent().wait_ready()
    other.agent("--take-over").wait_ready().kill9()
    wait_until(lambda: old.get("/readyz")[1].startswith("owner-conflict"), 20, "the old agent to stand back")
    other.wait_for(other.expected())
    index = host.etcd.index()
    assert other.reconcile().returncode == 0
    old.wait_for_passes(1, "owner-conflict")
    assert (host.etcd.index(), other.keys()) == (index, other.expected())


def test_two_agents_that_both_may_take_over_do_not_take_turns(host: Host, other: Host) -> None:
    """The flag counts once a run: the one that was there first stands back."""
    first = host.agent("--take-over", interval=0.1).wait_ready()
    second = other.agent("--take-over", interval=0.1).wait_ready()
    wait_until(lambda: first.get("/readyz")[1].startswith("owner-conflict"), 20, "the first agent to stand back")
    index = host.etcd.index()
    second.wait_for_passes(10)
    first.wait_for_passes(1, "owner-conflict")
    assert host.etcd.index() == index


def test_two_agents_on_one_host_share_its_custom_ids_without_harm(host: Host) -> None:
    """Both write one record; what they do to each other costs a pass, and no entry."""
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
    """The containers whose custom id is their name, with what their entries have to say."""
    return {key.split(":")[1]: value for key, value in host.expected().items()}


def test_the_record_is_hidden_from_who_lists_the_store(host: Host, fresh_etcd: EtcdServer) -> None:
    """`etcdctl ls --recursive /`, a recursive GET of everything, and a watch of the prefix show the entry alone."""
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
    """Where a host's record is, as documented."""
    return f"/_wharfinger/{host.prefix.replace('/', '%2F')}/{host.owner}/record"


def test_a_host_that_changes_its_name_leaves_entries_that_one_command_removes(host: Host) -> None:
    """The old name's entries are not the new one's to delete: they are let be until the operator says that the name
    is gone. With registrator each new container of its own changes the name."""
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


def test_many_deletes_at_once_wait_until_three_passes_saw_them(host: Host) -> None:
    """Meanwhile they are in metric, log and readiness text, and what is new is registered all the same."""
    names = [f"c{number}" for number in range(8)]
    host.start(*names)
    agent = host.agent(interval=WHEN_TOLD).wait_ready()
    before = host.keys()
    host.engine.docker("kill", *names[:6])
    look(agent)
    assert (agent.metrics()[HELD], host.keys()) == (6, before)
    host.start("new")
    look(agent)
    assert (agent.metrics()[HELD], agent.metrics()[GUARDED]) == (6, 2)
    assert host.keys() == before | {host.key("new"): value_of(host, "new")}
    look(agent)
    assert (agent.metrics()[HELD], host.keys()) == (0, host.expected())
    assert agent.log().count("deletes held back until seen again") == 1
    assert agent.log().count("no deletes held back any more") == 1


def test_what_returns_while_it_is_held_back_is_never_absent(host: Host) -> None:
    """As after an engine that was seen empty for a moment: the keys are updated where they are."""
    names = [f"c{number}" for number in range(5)]
    host.start(*names)
    agent = host.agent(interval=WHEN_TOLD).wait_ready()
    begin = host.etcd.index() + 1
    host.engine.docker("kill", *names)
    look(agent)
    look(agent)
    assert agent.metrics()[HELD] == 5
    host.engine.docker("start", *names)
    look(agent)
    assert (agent.metrics()[HELD], host.keys()) == (0, host.expected())
    assert {change["action"] for change in host.etcd.changes(host.prefix, begin)} <= {"compareAndSwap"}


def test_an_engine_that_was_emptied_is_believed_at_the_third_look(host: Host) -> None:
    """It may be the wrong engine, or a new one on the old socket; and it may be meant."""
    host.start(*(f"c{number}" for number in range(6)))
    agent = host.agent(interval=WHEN_TOLD).wait_ready()
    host.engine.remove_all()
    look(agent)
    look(agent)
    assert len(host.keys()) == 6
    look(agent)
    assert host.keys() == {}


def test_one_pass_alone_ends_with_3_and_force_makes_it_delete(host: Host) -> None:
    """It cannot look three times, so it says what it holds back, however often it is run."""
    names = [f"c{number}" for number in range(6)]
    host.start(*names)
    assert host.reconcile().returncode == 0
    host.engine.docker("kill", *names[:5])
    for flags in (("--dry-run",), (), ()):
        done = host.reconcile(*flags)
        assert done.returncode == 3
        assert done.stdout.count("held back: see --delete-guard") == 5
        assert len(host.keys()) == 6
    assert host.reconcile("--force").returncode == 0
    assert host.keys() == host.expected()


@pytest.mark.parametrize("percent", ["0", "90"])
def test_the_guard_can_be_set(host: Host, percent: str) -> None:
    """Off, or for a host where much comes and goes."""
    names = [f"c{number}" for number in range(6)]
    host.start(*names)
    assert host.reconcile().returncode == 0
    host.engine.docker("kill", *names[:5])
    assert host.reconcile("--delete-guard", percent).returncode == 0
    assert host.keys() == host.expected()
