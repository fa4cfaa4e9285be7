"""Two containers with one id, and two agents on one host."""

from __future__ import annotations

import pytest

from tests.support.host import Host
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
