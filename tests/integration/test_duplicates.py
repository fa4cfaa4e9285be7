"""Two containers with one id, and two agents on one host."""

from __future__ import annotations

import pytest

from tests.support.host import Host, on_both
from tests.support.waiting import wait_until

SHARED = "worker/shared"
DUPLICATES = 'wharfinger_entries_refused{reason="duplicate",registry="etcd"}'


def address_of(host: Host, name: str) -> str:
    """Return the address and host port of a container's published port, whatever its id."""
    return host.expected()[host.key(name)]


def start_both(host: Host) -> None:
    """Start two containers with one id, one after the other."""
    for name in ("older", "younger"):
        host.start(name, flags="-e SERVICE_ID=shared")


@pytest.mark.parametrize("ended", ["older", "younger"])
def test_of_two_containers_with_one_id_the_older_one_is_registered(host: Host, ended: str) -> None:
    """The younger container is refused in every pass, without a write. When either ends, the other has the key. With
    registrator, the end of one deletes the key of both."""
    start_both(host)
    agent = host.agent(interval=0.05).wait_ready()
    index = host.etcd.index()
    assert host.keys() == {SHARED: address_of(host, "older")}
    agent.wait_for_passes(20)
    assert (host.etcd.index(), agent.metrics()[DUPLICATES]) == (index, 1)
    host.engine.docker("rm", "--force", ended)
    (left,) = {"older", "younger"} - {ended}
    host.wait_for({SHARED: address_of(host, left)})
    wait_until(lambda: agent.metrics()[DUPLICATES] == 0, 10, "the refusal to end")


def test_the_older_container_is_the_one_that_was_created_first_even_after_a_restart(host: Host) -> None:
    """A restart does not make a container younger, and another agent decides the same."""
    start_both(host)
    host.engine.docker("restart", "older")
    for _ in range(2):
        done = host.reconcile()
        assert host.keys() == {SHARED: address_of(host, "older")}
        assert "! younger 9000/tcp  container 'older' already has worker/shared  (duplicate)" in done.stdout


def test_two_agents_on_one_host_register_the_same_as_one(host: Host) -> None:
    """Two agents on one host, as during an update, do not write the key of a container that stays. They write the key
    of a container that starts exactly once. The keys are the same as with one agent."""
    host.start("stays", "restarts", "leaves", "other")
    agents = [host.agent(interval=0.05).wait_ready() for _ in range(2)]
    begin = host.etcd.index() + 1
    for turn in range(8):
        host.start(f"new{turn}")
        host.engine.docker("restart", "restarts")
        host.engine.docker("rename", "other" if turn == 0 else f"other{turn - 1}", f"other{turn}")
    host.engine.docker("rm", "--force", "leaves")
    host.wait_for(host.expected())
    for agent in agents:
        agent.wait_for_passes(5)
    assert host.keys() == host.expected()
    changes = [(change["action"], change["node"]["key"]) for change in host.etcd.changes(host.prefix, begin)]
    created = [("create", f"{host.prefix}/{host.key(f'new{turn}')}") for turn in range(8)]
    assert [change for change in changes if ":new" in change[1]] == created
    assert not [change for change in changes if change[1].endswith(":stays:9000")]


#: Ways in which a container can ask for the default id of another container: of `victim`, whose port 9000 is published,
#: or of a container that does not exist.
ASKING = {
    "variable": ("-e", "SERVICE_ID={owner}:victim:9000"),
    "variable-of-the-port": ("-e", "SERVICE_9000_ID={owner}:victim:9000"),
    "label": ("-l", "SERVICE_ID={owner}:victim:9000"),
    "label-of-the-protocol": ("-l", "SERVICE_9000_TCP_ID={owner}:victim:9000"),
    "udp": ("-e", "SERVICE_ID={owner}:victim:9000:udp"),
    "another-port": ("-e", "SERVICE_ID={owner}:victim:1"),
    "binding": ("-e", "SERVICE_ID={owner}:victim:9000:8081"),
    "absent": ("-e", "SERVICE_ID={owner}:nobody:9000"),
    "longer-name": ("-e", "SERVICE_ID={owner}:longer-name2:9000"),
    "part-of-the-name": ("-e", "SERVICE_ID={owner}:part-of-the:9000"),
}


@on_both("host")
def test_a_container_that_asks_for_the_id_of_a_neighbour_is_refused(host: Host) -> None:
    """A container that asks for the default id of another one is refused, although it is the older one, and also while
    the other one does not run. The other container has its key whenever it runs."""
    for name, (flag, text) in ASKING.items():
        host.engine.docker("run", "-d", "--name", name, "-P", flag, text.format(owner=host.owner), "worker:1")
    done = host.reconcile()
    assert host.keys() == {}
    for name, (flag, text) in ASKING.items():
        kind, variable = "label" if flag == "-l" else "environment variable", text.partition("=")[0]
        assert f"! {name} 9000/tcp {kind} {variable} '" in " ".join(done.stdout.split())
        assert f"and this is '{name}'  (bad-id)" in done.stdout
    host.start("victim")
    for act, keys in (("kill", set()), ("start", {host.key("victim")})):
        host.engine.docker(act, "victim")
        assert host.reconcile().returncode == 0
        assert host.keys().keys() == keys


@on_both("host")
def test_a_key_that_a_container_had_under_a_neighbours_id_goes(host: Host) -> None:
    """A key under another container's id, which an earlier version registered, is deleted, because no container backs
    it any more."""
    host.start("taker", flags=f"-e SERVICE_ID={host.owner}:victim:9000")
    host.store.put(f"{host.prefix}/{host.key('victim')}", address_of(host, "taker"))
    host.store.put(f"{host.prefix}/worker/{host.owner}:other:9000", "192.0.2.9:1")
    assert host.reconcile().returncode == 0
    assert host.keys() == {}


@on_both("host")
def test_a_container_may_ask_for_its_own_default_id_until_it_has_another_name(host: Host) -> None:
    """A container may ask for its own default id. When it is renamed, it is refused, because the id then belongs to the
    next container that gets the old name."""
    for name, port in (("own", "9000"), ("free", "1")):
        host.start(name, flags=f"-e SERVICE_ID={host.owner}:{name}:{port}")
    agent = host.agent().wait_ready()
    both = {f"worker/{host.owner}:own:9000", f"worker/{host.owner}:free:1"}
    assert host.keys().keys() == both
    host.engine.docker("rename", "own", "former")
    wait_until(lambda: host.keys().keys() == both - {host.key("own")}, 10, "the key of the old name to go")
    host.start("own")
    wait_until(lambda: host.keys().keys() == both, 10, "the new container's key")
    assert host.keys()[host.key("own")] == address_of(host, "own")
    assert agent.running
