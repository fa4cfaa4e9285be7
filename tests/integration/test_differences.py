"""The deliberate differences from registrator, each on a real engine."""

from __future__ import annotations

import pytest

from tests.support.agent import run_once
from tests.support.host import Host
from tests.support.private_engine import PrivateEngine

SUBNET = "172.28.0.0/16"


def test_a_renamed_container_is_registered_under_its_new_name(host: Host) -> None:
    """A rename moves the entry to the new name. registrator keeps the old name for ever, and adds the new one at its
    next start."""
    host.start("before", "other")
    agent = host.agent().wait_ready()
    assert host.keys() == host.expected()
    host.engine.docker("rename", "before", "after")
    host.wait_for(host.expected())
    assert host.keys().keys() == {host.key("after"), host.key("other")}
    assert agent.running


@pytest.mark.parametrize("network", ["backend", "bridge"])
def test_a_container_in_the_network_of_another_is_registered_with_its_address(host: Host, network: str) -> None:
    """A container in another's network gets the other's address, also on a user-defined network, where registrator
    writes an empty address."""
    host.engine.docker("network", "create", "--subnet", SUBNET, "backend")
    host.engine.run(f"--name net --network {network} noports:1")
    host.engine.run("--name side --network container:net -e SERVICE_NAME=side worker:1")
    assert host.reconcile().returncode == 0
    address = host.engine.inspect("net")["NetworkSettings"]["Networks"][network]["IPAddress"]
    assert host.keys() == {f"side/{host.owner}:side:9000": f"{address}:9000"}


def test_a_published_port_is_registered_with_the_hosts_address_on_every_network(networked_host: Host) -> None:
    """Without `-ip`, a published port is registered with the address from which this host reaches etcd, on any network.
    On a user-defined network, registrator pairs the container's address with the host's port, and nobody can reach
    that."""
    host, engine = networked_host, networked_host.engine
    assert isinstance(engine, PrivateEngine)
    engine.docker("network", "create", "--subnet", SUBNET, "backend")
    host.start("there", flags="--network backend")
    host.start("here")
    done = run_once(engine.socket_url, "reconcile", host.uri, through=engine.run_in_namespace)
    assert done.returncode == 0, done.stderr
    assert host.keys() == host.expected()


def test_a_port_without_an_address_that_others_can_reach_is_refused(host: Host) -> None:
    """A host that reaches etcd over loopback has no address that others could reach, so the port is refused. A port
    that is published on a named address gets that address."""
    host.start("guess")
    host.engine.run("--name told -p 127.0.0.1:18003:9000 worker:1")
    done = run_once(host.engine.socket_url, "reconcile", host.uri)
    assert done.returncode == 0
    assert host.keys() == {host.key("told"): "127.0.0.1:18003"}
    assert "! guess 9000/tcp  this host reaches etcd from 127.0.0.1" in done.stdout
    assert "(no-address)" in done.stdout


#: Metadata that asks for a key where none may be, and the reason for its refusal.
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
    "SERVICE_ID={owner}:good:9000": "bad-id",
}


def test_names_that_lead_outside_the_prefix_are_refused_and_other_containers_are_registered(host: Host) -> None:
    """Such names are refused, and nothing is written for them; other containers are registered. registrator writes them
    outside the prefix."""
    outside = f"{host.prefix.rpartition('/')[0]}/other/victim"
    host.etcd.put(outside, "untouched")
    for number, metadata in enumerate(EVIL):
        variable = metadata.format(owner=host.owner)
        host.engine.docker("run", "-d", "--name", f"evil{number}", "-P", "-e", variable, "worker:1")
    host.start("good")
    before = host.etcd.keys().keys() | host.etcd.ls_dirs()
    done = host.reconcile()
    assert done.returncode == 0
    assert host.keys().keys() == {host.key("good")}
    added = (host.etcd.keys().keys() | host.etcd.ls_dirs()) - before
    assert added == {host.prefix, f"{host.prefix}/worker", f"{host.prefix}/{host.key('good')}"}
    assert host.etcd.get(outside) == "untouched"
    refused = {line.split()[1]: line.rpartition("  ")[2] for line in done.stdout.splitlines() if line.startswith("!")}
    assert refused == {f"evil{number}": f"({reason})" for number, reason in enumerate(EVIL.values())}


def test_the_owner_is_the_name_of_the_engines_host(host: Host) -> None:
    """The owner is the engine's name for its host, not the name of the machine or container that the agent runs in."""
    host.start("one")
    name = host.engine.docker("info", "--format", "{{.Name}}")
    assert host.reconcile().returncode == 0
    assert host.keys().keys() == {f"worker/{name}:one:9000"}


def test_the_first_pass_deletes_the_orphans_of_this_host(host: Host) -> None:
    """The first pass deletes the orphans that an earlier agent left, and their empty directories. registrator's
    `-cleanup` does nothing on etcd."""
    orphans = [host.key("ghost"), f"gone/{host.owner}:gone:53:udp", f"team/db/{host.owner}:old.one:80"]
    for orphan in orphans:
        host.etcd.put(f"{host.prefix}/{orphan}", "192.0.2.1:80")
    host.etcd.put(f"{host.prefix}/worker/core-02:theirs:9000", "192.0.2.2:80")
    host.start("here")
    done = host.reconcile()
    assert done.returncode == 0
    assert done.stdout.count("(orphan: ") == len(orphans)
    assert host.keys() == host.expected() | {"worker/core-02:theirs:9000": "192.0.2.2:80"}
    assert host.etcd.ls_dirs(host.prefix) == [f"{host.prefix}/worker"]
