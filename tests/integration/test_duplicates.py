"""Two that want one thing: two containers with one id, two agents on one host."""

from __future__ import annotations

import pytest

from tests.support.host import Host
from tests.support.waiting import wait_until

SHARED = "worker/shared"
DUPLICATES = 'wharfinger_entries_refused{reason="duplicate",registry="etcd"}'


def address_of(host: Host, name: str) -> str:
    """Where the published port of a container is reached, its own id aside."""
    return host.expected()[host.key(name)]


def start_both(host: Host) -> None:
    """Start two containers with one id, one after the other."""
    for name in ("senior", "junior"):
        host.start(name, flags="-e SERVICE_ID=shared")


@pytest.mark.parametrize("ended", ["senior", "junior"])
def test_of_two_containers_with_one_id_the_senior_has_it(host: Host, ended: str) -> None:
    """The younger is refused, in every pass the same and without a write. When one ends the other has the key: with
    registrator the end of one takes it from both."""
    start_both(host)
    agent = host.agent(interval=0.05).wait_ready()
    index = host.etcd.index()
    assert host.keys() == {SHARED: address_of(host, "senior")}
    agent.wait_for_passes(20)
    assert (host.etcd.index(), agent.metrics()[DUPLICATES]) == (index, 1)
    host.engine.docker("rm", "--force", ended)
    (left,) = {"senior", "junior"} - {ended}
    host.wait_for({SHARED: address_of(host, left)})
    wait_until(lambda: agent.metrics()[DUPLICATES] == 0, 10, "the refusal to end")


def test_the_senior_is_the_one_that_was_made_first_not_the_one_seen_first(host: Host) -> None:
    """A restart makes nobody younger, and another agent decides the same."""
    start_both(host)
    host.engine.docker("restart", "senior")
    for _ in range(2):
        done = host.reconcile()
        assert host.keys() == {SHARED: address_of(host, "senior")}
        assert "! junior 9000/tcp  container 'senior' already has worker/shared  (duplicate)" in done.stdout


def test_two_agents_on_one_host_do_no_harm(host: Host) -> None:
    """As while one is replaced by the next: not one change to the key of a container that stays, and one only, its
    creation, to that of one that starts. In the end there is what one agent alone would have come to."""
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
