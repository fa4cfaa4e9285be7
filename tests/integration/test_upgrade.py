"""Upgrade a fleet from 0.1.0 to this version, and roll it back. Both versions run on one etcd, and no key of a running
container is lost.

The source of 0.1.0 comes from the repository's history.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import Agent, run_once
from tests.support.engine import Unavailable
from tests.support.etcd_v3 import EtcdV3
from tests.support.first_version import first_version
from tests.support.host import Host, on_both
from tests.support.processes import REPOSITORY
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the source of 0.1.0."""
    found = first_version(tmp_path_factory.mktemp("first-version"))
    if isinstance(found, Unavailable):
        pytest.skip(f"0.1.0 cannot be taken out of the history: {found.reason}")
    return found


class Fleet:
    """Two hosts, core-1 and core-2, each with an agent of either version. Both hosts are on one engine: each agent
    registers the containers with its own host's label."""

    def __init__(self, host: Host, old_tree: Path) -> None:
        self.host = host
        self.trees = {"old": old_tree, "new": REPOSITORY}
        self.agents: dict[str, Agent] = {}
        #: The key and value that each running container should have, by the container's name.
        self.right: dict[str, tuple[str, str]] = {}
        self._since = host.store.index() + 1

    def run(self, owner: str, version: str, *more: str) -> None:
        """Stop the agent of a host, if it has one, and start an agent of this version (`old` or `new`), with ``more``
        flags."""
        if running := self.agents.get(owner):
            running.terminate()
        flags = ("--hostname", owner, "--filter", f"label=host={owner}", *more)
        self.agents[owner] = self.host.agent(*flags, interval=0.4, tree=self.trees[version]).wait_ready()
        self.agents[owner].wait_for_passes(2)

    def starts(self, owner: str, name: str, entry_id: str = "") -> None:
        """Start a container on a host; ``entry_id`` is its SERVICE_ID."""
        self.host.start(name, flags=f"--label host={owner}" + (f" -e SERVICE_ID={entry_id}" if entry_id else ""))
        (binding, *_) = self.host.engine.inspect(name)["NetworkSettings"]["Ports"]["9000/tcp"]
        key = f"worker/{entry_id or f'{owner}:{name}:9000'}"
        self.right[name] = key, f"{self.host.engine.address}:{binding['HostPort']}"

    def ends(self, *names: str) -> None:
        """Remove these containers."""
        for name in names:
            self.host.engine.docker("rm", "--force", name)
            del self.right[name]

    def settles(self) -> None:
        """Wait until etcd has exactly the keys of the running containers, and check that it still has them after two
        more passes of each agent."""
        self.host.wait_for(dict(self.right.values()))
        for agent in self.agents.values():
            agent.wait_for_passes(2)
        assert self.host.keys() == dict(self.right.values())

    def touched(self) -> set[str]:
        """Return the keys that were written or deleted since the last call, without the prefix."""
        store, since = self.host.store, self._since
        if isinstance(store, EtcdV3):
            keys = {event.key for event in store.changes(self.host.prefix, since)}
        else:
            keys = {change["node"]["key"] for change in store.changes(self.host.prefix, since)}
        self._since = store.index() + 1
        return {key.removeprefix(f"{self.host.prefix}/") for key in keys}

    def claimed(self, owner: str) -> set[str]:
        """Return the keys that an owner record claims, without the prefix."""
        record = json.loads(self.host.store.get(self.host.beside_record("record", owner)) or "{}")
        assert record.keys() == {"engine", "claims"}
        return {key.removeprefix(f"{self.host.prefix}/") for key in record["claims"]}


@pytest.fixture
def fleet(host: Host, old_tree: Path) -> Iterator[Fleet]:
    """Yield a fleet whose agents are of 0.1.0. Each host has a container under a default id and one under a custom
    id."""
    fleet = Fleet(host, old_tree)
    for owner in ("core-1", "core-2"):
        fleet.starts(owner, f"web-{owner}")
        fleet.starts(owner, f"db-{owner}", f"id-{owner}")
        fleet.run(owner, "old")
    fleet.settles()
    assert len(fleet.touched()) == 4
    yield fleet
    for agent in fleet.agents.values():
        agent.kill9()


@on_both("host")
def test_an_upgrade_host_by_host_and_a_roll_back_keep_every_key(fleet: Fleet) -> None:
    """The two agents are upgraded one after the other, and rolled back one after the other. After each step, containers
    start and end, and a custom id goes from the first host to the second. The keys of containers that run all along are
    neither deleted nor written again."""
    first, second = "core-1", "core-2"
    steps = [(first, "new"), (second, "new"), (first, "old"), (second, "old")]
    for owner, version in steps:
        fleet.run(owner, version)
        fleet.starts(second, "new")
        fleet.starts(first, "shared", "shared")
        fleet.settles()
        fleet.starts(second, "standby", "shared")
        standby = fleet.right.pop("standby")
        fleet.settles()
        fleet.ends("shared", "new")
        fleet.right["standby"] = standby
        fleet.settles()
        fleet.ends("standby")
        fleet.settles()
        stayed = {key for key, _ in fleet.right.values()}
        assert not fleet.touched() & stayed
        assert {"worker/id-core-1", "worker/id-core-2"} <= fleet.claimed("core-1") | fleet.claimed("core-2")


@on_both("host")
def test_a_large_fleet_in_which_some_hosts_run_the_first_version_keeps_every_key(fleet: Fleet) -> None:
    """Because of the many other hosts, this version reads only the keys that matter to its host, and finds orphans by a
    sweep. Meanwhile 0.1.0 writes on another host. A custom id goes from that host to this one."""
    old, new = "core-1", "core-2"
    for number in range(25):
        record = json.dumps({"engine": f"neighbour-{number}", "claims": {}})
        for name in ("record", "agent"):
            fleet.host.store.put(fleet.host.beside_record(name, f"neighbour-{number}"), record)
    fleet.run(new, "new", "-resync", "1")
    fleet.touched()
    fleet.starts(old, "holder", "shared")
    fleet.starts(new, "short")
    fleet.settles()
    fleet.starts(new, "standby", "shared")
    standby = fleet.right.pop("standby")
    fleet.host.store.put(f"{fleet.host.prefix}/worker/{new}:ghost:9000", "192.0.2.1:1")
    fleet.settles()
    fleet.ends("holder", "short")
    fleet.right["standby"] = standby
    fleet.settles()
    fleet.ends("standby")
    fleet.settles()
    assert not fleet.touched() & {key for key, _ in fleet.right.values()}


@on_both("host")
def test_what_ended_while_an_agent_of_the_other_version_was_to_come_is_removed_by_that_one(fleet: Fleet) -> None:
    """Containers end after one version's agent was killed. The agent of the other version, which starts next, deletes
    their keys, because each version understands the other version's owner record."""
    for version in ("new", "old"):
        fleet.starts("core-1", "ends", "ends")
        fleet.starts("core-1", "ends-too")
        fleet.settles()
        fleet.agents["core-1"].kill9()
        fleet.ends("ends", "ends-too")
        fleet.run("core-1", version)
        fleet.settles()
    assert fleet.touched() == {"worker/ends", "worker/core-1:ends-too:9000"}


@on_both("host")
def test_each_version_can_deregister_a_host_of_the_other_and_neither_a_living_one(fleet: Fleet) -> None:
    """`deregister` of each version removes a dead host of the other version, and refuses a host whose agent is alive.
    0.1.0 leaves the agent note. The next agent of this version replaces the note, and this version's `deregister`
    removes it."""

    def deregister(tree: Path, *flags: str) -> int:
        command = ("deregister", "--hostname", "core-1", "--yes", *flags, fleet.host.uri)
        return run_once("", *command, tree=tree).returncode

    assert deregister(REPOSITORY) == 1
    fleet.run("core-1", "new")
    assert deregister(fleet.trees["old"]) == 1
    fleet.settles()
    fleet.agents["core-1"].terminate()
    assert deregister(fleet.trees["old"], "--wait", "0.5") == 0
    note = fleet.host.beside_record("agent", "core-1")
    before = fleet.host.store.get(note)
    assert before
    fleet.run("core-1", "new")
    fleet.settles()
    assert fleet.host.store.get(note) not in {None, before}
    fleet.run("core-1", "old")
    fleet.agents.pop("core-1").terminate()
    assert deregister(REPOSITORY, "--wait", "0.5") == 0
    assert fleet.host.store.get(note) is None
    left = {key: value for key, value in fleet.right.values() if "core-2" in key}
    wait_until(lambda: fleet.host.keys() == left, what="the entries of core-2 alone")
