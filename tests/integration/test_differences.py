"""The deliberate differences from registrator, each on a real engine: what it does wrong, and what is done instead."""

from __future__ import annotations

import pytest

from tests.support.agent import run_once
from tests.support.host import Host
from tests.support.private_engine import PrivateEngine

SUBNET = "172.28.0.0/16"


def test_a_renamed_container_is_registered_under_its_new_name(host: Host) -> None:
    """registrator keeps the old name for ever, and adds the new one at its next start."""
    host.start("before", "other")
    agent = host.agent().wait_ready()
    assert host.keys() == host.expected()
    host.engine.docker("rename", "before", "after")
    host.wait_for(host.expected())
    assert host.keys().keys() == {host.key("after"), host.key("other")}
    assert agent.running


@pytest.mark.parametrize("network", ["backend", "bridge"])
def test_a_container_in_anothers_network_has_its_address(host: Host, network: str) -> None:
    """On a user-defined network, too, where registrator writes an empty address."""
    host.engine.docker("network", "create", "--subnet", SUBNET, "backend")
    host.engine.run(f"--name net --network {network} noports:1")
    host.engine.run("--name side --network container:net -e SERVICE_NAME=side worker:1")
    assert host.reconcile().returncode == 0
    address = host.engine.inspect("net")["NetworkSettings"]["Networks"][network]["IPAddress"]
    assert host.keys() == {f"side/{host.owner}:side:9000": f"{address}:9000"}


def test_a_published_port_goes_with_the_hosts_address_on_every_network(networked_host: Host) -> None:
    """Without `-ip`: the address from which this host reaches etcd. registrator pairs the container's with the host's
    port when the network is a user-defined one, and nobody can dial that."""
    host, engine = networked_host, networked_host.engine
    assert isinstance(engine, PrivateEngine)
    engine.docker("network", "create", "--subnet", SUBNET, "backend")
    host.start("there", flags="--network backend")
    host.start("here")
    done = run_once(engine.socket_url, "reconcile", host.uri, through=engine.run_in_namespace)
    assert done.returncode == 0, done.stderr
    assert host.keys() == host.expected()


def test_an_address_that_can_only_be_guessed_wrong_is_refused(host: Host) -> None:
    """Who reaches etcd over loopback does not know an address that others could dial; one that a binding names is
    known."""
    host.start("guess")
    host.engine.run("--name told -p 127.0.0.1:18003:9000 worker:1")
    done = host.reconcile("-ip", "")
    assert done.returncode == 0
    assert host.keys() == {host.key("told"): "127.0.0.1:18003"}
    assert "! guess 9000/tcp  this host reaches etcd from 127.0.0.1" in done.stdout
    assert "(no-address)" in done.stdout


#: What a container may say to be registered where it should not be, and the reason for which it is refused.
EVIL = {
    "SERVICE_NAME=../evil": "bad-name",
    "SERVICE_NAME=a//b": "bad-name",
    "SERVICE_NAME=/root": "bad-name",
    "SERVICE_NAME=_hidden": "bad-name",
    "SERVICE_NAME=team/_hidden/db": "bad-name",
    "SERVICE_NAME=two\nlines": "bad-name",
    "SERVICE_ID=../../other/victim": "bad-id",
    "SERVICE_ID=_hidden": "bad-id",
    "SERVICE_ID=core-02:x:80": "bad-id",
}


def test_names_that_would_leave_the_prefix_are_refused_and_stop_nobody(host: Host) -> None:
    """registrator writes them wherever they land. Here the other containers are registered, and nothing else is."""
    outside = f"{host.prefix.rpartition('/')[0]}/other/victim"
    host.etcd.put(outside, "untouched")
    for number, metadata in enumerate(EVIL):
        host.engine.docker("run", "-d", "--name", f"evil{number}", "-P", "-e", metadata, "worker:1")
    host.start("good")
    before = host.etcd.keys().keys() | host.etcd.ls_dirs()
    done = host.reconcile()
    assert done.returncode == 0
    assert host.keys().keys() == {host.key("good")}
    added = (host.etcd.keys().keys() | host.etcd.ls_dirs()) - before
    assert added == {host.prefix, f"{host.prefix}/worker", f"{host.prefix}/{host.key('good')}"}
    assert host.etcd.get(outside) == "untouched"
    refused = {line.split()[1]: line.rpartition("  ")[2] for line in done.stdout.splitlines() if line[0] == "!"}
    assert refused == {f"evil{number}": f"({reason})" for number, reason in enumerate(EVIL.values())}


def test_the_owner_is_the_engines_host_wherever_the_agent_runs(host: Host) -> None:
    """Not the name of the machine or container that the agent itself happens to run in."""
    host.start("one")
    name = host.engine.docker("info", "--format", "{{.Name}}")
    assert host.reconcile().returncode == 0
    assert host.keys().keys() == {f"worker/{name}:one:9000"}


def test_orphans_of_this_host_go_in_the_first_pass(host: Host) -> None:
    """What an agent before this one left. registrator's `-cleanup` does nothing on etcd."""
    orphans = [host.key("ghost"), f"gone/{host.owner}:gone:53:udp", f"team/db/{host.owner}:old.one:80"]
    for orphan in orphans:
        host.etcd.put(f"{host.prefix}/{orphan}", "192.0.2.1:80")
    host.etcd.put(f"{host.prefix}/worker/core-02:theirs:9000", "192.0.2.2:80")
    host.start("here")
    done = host.reconcile()
    assert done.returncode == 0
    assert done.stdout.count("(orphan)") == len(orphans)
    assert host.keys() == host.expected() | {"worker/core-02:theirs:9000": "192.0.2.2:80"}
    assert host.etcd.ls_dirs(host.prefix) == [f"{host.prefix}/worker"]
