"""Keys that somebody else wrote and that a container wants under a custom id, on real parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.agent import run_once
from tests.support.host import Host, on_both
from tests.support.wiretap import Moment, Wiretap

#: A container with a custom id and a fixed port, so that its key and value are known before it starts.
CONTAINER = "--name one -p 18080:9000 -e SERVICE_ID=shared worker:1"
KEY = "worker/shared"


def wanted(host: Host) -> str:
    """Return the value that the container's entry should have."""
    return f"{host.engine.address}:18080"


def put(host: Host, value: str) -> None:
    """Write this value to the key, as a person or another program would."""
    host.store.put(f"{host.prefix}/{KEY}", value)


def run_container(host: Host) -> None:
    """Start the container whose entry has the key."""
    host.engine.run(CONTAINER)


def end_container(host: Host) -> None:
    """Remove the container."""
    host.engine.docker("rm", "--force", "one")


def is_write(moment: Moment) -> bool:
    """Return whether a request to etcd may write, with either API."""
    return moment.method in {"PUT", "DELETE"} or moment.path.endswith("/kv/txn")


def reconcile_through(host: Host, meddle: Callable[[Moment], bool]) -> None:
    """Run `wharfinger reconcile` through a wiretap that calls ``meddle`` for each of its requests to etcd."""
    with Wiretap(host.etcd.endpoint, meddle) as tap:
        uri = host.uri.replace(host.etcd.endpoint, tap.endpoint)
        run_once(host.engine.socket_url, "reconcile", "-ip", host.engine.address, uri)


@on_both("host")
@pytest.mark.parametrize("restarted", [False, True], ids=["same run", "restarted"])
def test_a_key_that_was_there_before_is_refused_and_outlives_the_container(host: Host, restarted: bool) -> None:
    """Somebody wrote by hand the very value that the container wants. The agent does not write the key, and the refusal
    names --adopt. The key stays when the container ends, because this host did not create it."""
    agent = host.agent(interval=0.1).wait_ready()
    put(host, wanted(host))
    before = host.store.node(f"{host.prefix}/{KEY}")
    run_container(host)
    if restarted:
        agent.restart().wait_ready()
    agent.wait_for_passes(5)
    assert agent.total("entries_refused", reason="conflict") == 1
    assert "--adopt" in agent.log()
    end_container(host)
    agent.wait_for_passes(5)
    assert host.store.node(f"{host.prefix}/{KEY}") == before, "its versions are the same, too"
    assert host.keys() == {KEY: wanted(host)}


@on_both("host")
def test_a_host_without_a_record_takes_over_what_registrator_wrote(host: Host) -> None:
    """The first pass of a host that has no owner record takes over a key that already holds the wanted value, even if
    `reconcile` makes the pass. The key is deleted when its container ends."""
    put(host, wanted(host))
    run_container(host)
    assert host.reconcile().returncode == 0
    end_container(host)
    assert host.reconcile().returncode == 0
    assert host.keys() == {}


@on_both("host")
def test_adopt_takes_over_a_key_that_was_there_before(host: Host) -> None:
    """A pass with --adopt takes the key over. Later passes without the flag keep it, and delete it when its container
    ends."""
    assert host.reconcile().returncode == 0
    put(host, wanted(host))
    run_container(host)
    assert "--adopt" in host.reconcile().stdout
    assert "1 in sync, 0 refused" in host.reconcile("--adopt").stdout
    assert "1 in sync, 0 refused" in host.reconcile().stdout
    end_container(host)
    assert host.reconcile().returncode == 0
    assert host.keys() == {}


@on_both("host")
@pytest.mark.parametrize("other_value", [False, True], ids=["the wanted value", "another value"])
def test_a_key_that_somebody_writes_right_before_this_host_is_left_alone(host: Host, other_value: bool) -> None:
    """A pass finds the key absent, and somebody writes it right before the pass writes the claim on it to the owner
    record. The same pass withdraws the claim. Later passes, which remember nothing, neither change nor delete the
    key."""
    assert host.reconcile().returncode == 0
    run_container(host)
    value = "192.0.2.9:80" if other_value else wanted(host)

    def meddle(moment: Moment) -> bool:
        if is_write(moment) and not host.keys():
            put(host, value)
        return True

    reconcile_through(host, meddle)
    assert host.keys() == {KEY: value}
    assert "--adopt" in host.reconcile().stdout or other_value
    end_container(host)
    assert host.reconcile().returncode == 0
    assert host.keys() == {KEY: value}


@on_both("host")
def test_a_key_that_somebody_writes_where_this_host_deleted_one_is_left_alone(host: Host) -> None:
    """The pass that deletes a key also withdraws the claim on it. So a key that somebody writes there at any time after
    that pass is not taken for this host's."""
    run_container(host)
    assert host.reconcile().returncode == 0
    end_container(host)
    assert host.reconcile().returncode == 0
    assert host.keys() == {}
    put(host, wanted(host))
    assert host.reconcile().returncode == 0
    assert host.keys() == {KEY: wanted(host)}


@on_both("host")
def test_a_create_whose_answer_was_lost_is_this_hosts(host: Host) -> None:
    """etcd creates the key, and the answer to the agent is lost. The next pass finds the key in sync, and the key is
    deleted when its container ends."""
    assert host.reconcile().returncode == 0
    run_container(host)
    cut = False

    def meddle(moment: Moment) -> bool:
        nonlocal cut
        cut = cut or (is_write(moment) and moment.answered and host.keys() != {})
        return not cut

    reconcile_through(host, meddle)
    assert (cut, host.keys()) == (True, {KEY: wanted(host)})
    assert "1 in sync, 0 refused" in host.reconcile().stdout
    end_container(host)
    assert host.reconcile().returncode == 0
    assert host.keys() == {}
