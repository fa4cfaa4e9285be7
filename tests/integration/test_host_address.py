"""An agent that does not know this host's address. It holds the entries of containers that run, and reports it."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from tests.support.agent import Agent, run_once
from tests.support.host import SCHEMES, Host, on_both
from tests.support.private_engine import PrivateEngine
from tests.support.waiting import wait_until

HELD = 'wharfinger_entries_held{{registry="{}"}}'
REFUSED = 'wharfinger_entries_refused{{reason="no-address",registry="{}"}}'


def registered(host: Host, *names: str, flags: str = "") -> dict[str, str]:
    """Start containers, register them with one pass with `-ip`, and return the entries."""
    host.start(*names, flags=flags)
    assert host.reconcile().returncode == 0
    assert len(host.keys()) == len(names)
    return host.keys()


def unaddressed(host: Host, *flags: str) -> Agent:
    """Start an agent without `-ip` that reaches etcd over the loopback, so that it finds no address. Wait until /readyz
    says so."""
    agent = host.run("--interval", "0.2", *flags, host.uri)
    wait_until(lambda: "no-address" in agent.get("/readyz")[1] or not agent.running, 15, "the agent to say so")
    return agent


def one_pass(host: Host, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run exactly one pass, without `-ip`."""
    return run_once(host.engine.socket_url, "reconcile", *flags, host.uri, env=env)


@on_both("host")
def test_an_agent_that_lost_its_ip_flag_holds_the_entries_of_running_containers(host: Host) -> None:
    """Without an address, the agent writes nothing for containers that run. It is not ready, and says that -ip helps.
    It still deletes the entry of a container that ends, and it registers a container that starts only when it has -ip
    again."""
    before = registered(host, "one", "two")
    agent = unaddressed(host)
    status, text = agent.get("/readyz")
    assert (status, agent.passes()) == (503, 0)
    assert "give the host's address with -ip" in text
    agent.wait_for_passes(5, "no-address", timeout=15)
    assert host.keys() == before
    label = SCHEMES[host.api]
    assert (agent.metrics()[HELD.format(label)], agent.metrics()[REFUSED.format(label)]) == (2, 2)
    assert agent.log().count("pass failed") == 1
    assert "first pass succeeded" not in agent.log()
    host.start("new")
    host.engine.docker("rm", "--force", "two")
    host.wait_for({host.key("one"): before[host.key("one")]})
    agent.terminate()
    host.agent().wait_ready()
    host.wait_for(host.expected())


@on_both("host")
def test_a_container_that_was_replaced_keeps_its_entry_only_with_the_same_port(host: Host) -> None:
    """A container may be replaced while the host's address is unknown. Its key is held if the new container has the
    same port, and deleted if it has another one."""
    host.engine.run("--name same -p 18011:9000 worker:1")
    host.engine.run("--name moved -p 18012:9000 worker:1")
    assert host.reconcile().returncode == 0
    before = host.keys()
    host.engine.docker("rm", "--force", "same", "moved")
    host.engine.run("--name same -p 18011:9000 worker:1")
    host.engine.run("--name moved -p 18013:9000 worker:1")
    done = one_pass(host)
    assert host.keys() == {host.key("same"): before[host.key("same")]}
    assert f"! {host.prefix}/{host.key('same')}  {before[host.key('same')]}  held" in done.stdout
    assert "2 refused, 1 held." in done.stdout


@on_both("host")
def test_a_key_under_a_custom_id_is_held_and_stays_this_hosts(host: Host) -> None:
    """A held key under a custom id keeps its claim in the owner record, so it is deleted when its container ends. A key
    that somebody else wrote is left alone."""
    host.store.put(f"{host.prefix}/worker/theirs", "192.0.2.9:80")
    before = registered_custom(host)
    host.start("late", flags="-e SERVICE_ID=theirs")
    one_pass(host)
    assert host.keys() == before
    host.engine.docker("rm", "--force", "mine", "late")
    one_pass(host)
    assert host.keys() == {"worker/theirs": "192.0.2.9:80"}


def registered_custom(host: Host) -> dict[str, str]:
    """Register a container under a custom id, and return everything under the prefix."""
    host.start("mine", flags="-e SERVICE_ID=custom")
    assert host.reconcile().returncode == 0
    assert host.keys().keys() == {"worker/custom", "worker/theirs"}
    return host.keys()


@on_both("host")
def test_held_entries_do_not_expire(host: Host) -> None:
    """Held entries are renewed with `-ttl`, so they do not expire."""
    lifetime = ("-ttl", "3", "-ttl-refresh", "1")
    host.start("one")
    assert host.reconcile(*lifetime).returncode == 0
    before = host.keys()
    agent = unaddressed(host, *lifetime)
    until = time.monotonic() + 6
    while time.monotonic() < until:
        assert host.keys() == before
        time.sleep(0.2)  # between two looks at keys that must stay as they are
    assert agent.running


@pytest.mark.parametrize(
    ("scheme", "place", "flags"),
    [
        ("etcd", "{prefix}", ("--value-format", "json")),
        ("etcd3", "{prefix}", ("--value-format", "json")),
        ("skydns2", "/test-{pid}.local", ()),
        ("skydns3", "/test-{pid}.local", ()),
    ],
)
def test_entries_are_held_in_every_layout(host: Host, scheme: str, place: str, flags: tuple[str, ...]) -> None:
    """Entries are held in each layout, because each one reads the port back from the values that it has written. Where
    a key has a hash in place of the id, the owner record claims the key."""
    uri = f"{scheme}://{host.etcd.endpoint}{place.format(prefix=host.prefix, pid=os.getpid())}"
    host.start("one", "Two")
    assert run_once(host.engine.socket_url, "reconcile", "-ip", "192.0.2.1", *flags, uri).returncode == 0
    done = run_once(host.engine.socket_url, "reconcile", "-o", "json", *flags, uri)
    document = json.loads(done.stdout)
    assert (done.returncode, document["result"], document["changes"]) == (1, "no-address", [])
    assert (len(document["held"]), len(document["refused"])) == (2, 2)
    assert all("192.0.2.1" in each["value"] for each in document["held"])


def test_an_address_of_the_family_that_is_not_wanted_holds_the_entries(networked_host: Host) -> None:
    """The ports are published on both families, but the host has only an IPv4 address. With `--ip-family ipv6`, their
    entries are held."""
    host, engine = networked_host, networked_host.engine
    assert isinstance(engine, PrivateEngine)
    # The engine chooses ports for each family by itself, so both families have the same port only if it is given.
    engine.run("--name one -p 18301:9000 worker:1")
    engine.run("--name two -p 18302:9000 worker:1")
    assert host.reconcile().returncode == 0
    before = host.keys()
    flags = ("reconcile", "--ip-family", "ipv6", host.uri)
    done = run_once(engine.socket_url, *flags, through=engine.run_in_namespace)
    assert done.returncode == 1
    assert "which is not an IPv6 address; give the host's address with -ip" in done.stderr
    assert host.keys() == before


def test_a_container_that_lacks_an_address_of_its_own_is_not_held(host: Host) -> None:
    """If a container has lost its own address, its entry is deleted, because `-ip` would not help. The entry of a
    container with host networking is held, because it lacks the host's address."""
    host.engine.run("--name net --network host worker:1")
    host.engine.run("--name own worker:1")
    assert host.reconcile("-internal").returncode == 0
    assert host.keys().keys() == {host.key("net"), host.key("own")}
    host.engine.docker("network", "disconnect", "bridge", "own")
    done = one_pass(host, "-internal")
    assert host.keys().keys() == {host.key("net")}
    assert "container 'own' has no address of its own" in done.stdout


@pytest.mark.parametrize("command", ["run", "reconcile"])
def test_an_empty_ip_flag_is_wrong_usage(host: Host, command: str) -> None:
    """With an empty `-ip`, the command ends at once, says what to do, and changes nothing."""
    before = registered(host, "one")
    for flag in (["-ip", ""], ["--ip="]):
        done = run_once(host.engine.socket_url, command, *flag, host.uri)
        assert done.returncode == 1
        assert "-ip '': it is empty; give this host's address, or leave the flag out" in done.stderr
    assert host.keys() == before


def test_an_empty_ip_variable_counts_as_not_set_with_a_warning(host: Host) -> None:
    """An empty WHARFINGER_IP counts as not set, with a warning. The program then looks for the host's address by
    itself, and here finds none."""
    before = registered(host, "one")
    done = one_pass(host, WHARFINGER_IP="")
    assert (done.returncode, host.keys()) == (1, before)
    assert "environment variable is empty and counts as not set" in done.stderr
    assert "WHARFINGER_IP" in done.stderr
