"""Tests of the delete guard with a real etcd, and with an engine whose list contradicts what it says of each
container."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.commands.exit_codes import ExitCode
from tests.support.agent import Agent, run_once
from tests.support.command_host import OWNER, Host
from tests.support.etcd_server import usable_scheme
from tests.support.etcd_v3 import EtcdV3
from tests.support.host import SCHEMES
from tests.support.waiting import wait_until

IN_SYNC, _, _, HELD_BACK, _ = ExitCode

SIX = tuple("abcdef")

#: What is counted of the deletes that are held back, for the registry of this version of etcd.
HELD_FOR = f'wharfinger_deletes_held_back{{registry="{usable_scheme()}"}}'


def ids(*names: str) -> set[str]:
    """Return the ids of the entries of these containers."""
    return {f"{OWNER}:{name}:80" for name in names}


@contextmanager
def running_agent(host: Host, *flags: str) -> Iterator[Agent]:
    """Run an agent, wait until its first pass has succeeded, and stop the agent afterwards."""
    agent = host.agent(*flags)
    try:
        yield agent.wait_ready()
    finally:
        agent.terminate()


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c"), SIX], ids=len)
def test_a_list_that_is_empty_for_a_second_deletes_nothing(host: Host, names: tuple[str, ...]) -> None:
    """Five passes see the empty list, but the engine says of each container that it runs. So nothing is written,
    however few entries the host has."""
    host.runs(*names)
    with running_agent(host) as agent:
        index = host.etcd.store.index()
        host.docker.list_is_empty = True
        wait_until(lambda: agent.metrics()[HELD_FOR] == len(names), what="the guard to hold the deletes back")
        time.sleep(1.0)  # less than the two seconds for which the guard holds deletes back
        host.docker.list_is_empty = False
        wait_until(lambda: agent.metrics()[HELD_FOR] == 0, what="the guard to let go")
        assert (host.registered, host.etcd.store.index()) == (ids(*names), index)
        assert f"{len(names)} running" in agent.log()


@pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])
def test_one_pass_without_a_lifetime_keeps_the_entries_of_a_stopped_agent(host: Host, api: int) -> None:
    """That is what the runbook tells operators to do who want to look in peace. Neither the entries that the pass would
    delete nor the others expire any more, and none is deleted."""
    uri = f"{SCHEMES[api]}://{host.etcd.endpoint}/services-{api}"
    flags = (f"unix://{host.socket}", "reconcile", "-ip=10.0.0.1", uri)
    host.runs("a", b="custom")
    assert run_once(*flags, "-ttl=60", "-ttl-refresh=20").returncode == IN_SYNC
    assert [expires(host, api, name) for name in (f"{OWNER}:a:80", "custom")] == [True, True]
    host.docker.list_is_empty = True
    done = run_once(*flags, "-ttl=0", "-ttl-refresh=0", env={"WHARFINGER_TTL": "60", "WHARFINGER_TTL_REFRESH": "20"})
    assert done.returncode == HELD_BACK
    assert done.stdout.count("(ttl-unwanted: ") == done.stdout.count("  held back: ") == 2
    assert [expires(host, api, name) for name in (f"{OWNER}:a:80", "custom")] == [False, False]


def expires(host: Host, api: int, name: str) -> bool:
    """Return whether the key with this id has a lifetime."""
    key = f"/services-{api}/nginx/{name}"
    if api == 3:
        pair = EtcdV3(host.etcd.endpoint).node(key)
        assert pair is not None
        return pair.lease != 0
    node = host.etcd.node(key)
    assert node is not None
    return "ttl" in node


def test_sighups_do_not_shorten_the_wait(host: Host) -> None:
    """Each SIGHUP makes a pass, so up to a hundred passes may see the empty list within one second. The guard still
    waits for two seconds."""
    host.runs("a", "b")
    with running_agent(host, "--interval=60") as agent:
        index = host.etcd.store.index()
        host.docker.list_is_empty = True
        until = time.monotonic() + 1.0
        passes = f'wharfinger_passes_total{{registry="{usable_scheme()}",result="success"}}'
        while time.monotonic() < until:
            agent.signal(signal.SIGHUP)
            time.sleep(0.01)  # a hundred passes in a second are enough
        assert agent.metrics()[passes] > 5
        host.docker.list_is_empty = False
        agent.signal(signal.SIGHUP)
        wait_until(lambda: agent.metrics()[HELD_FOR] == 0, what="the guard to let go")
        assert (host.registered, host.etcd.store.index()) == (ids("a", "b"), index)


def test_a_list_that_stays_empty_counts_after_two_seconds(host: Host) -> None:
    """The deletes are made after three passes and two seconds although the engine says of each container that it runs,
    because an engine may go on to say so of containers that it has lost."""
    host.runs(*SIX)
    with running_agent(host):
        began = time.monotonic()
        host.docker.list_is_empty = True
        wait_until(lambda: host.registered == set(), what="the keys to go")
        assert time.monotonic() - began >= 2.0


def test_many_stopped_containers_are_deregistered_in_one_pass(host: Host) -> None:
    """The engine says of each container that it exists and does not run. No number of such deletes is suspicious."""
    host.runs(*SIX)
    assert host.reconcile().returncode == IN_SYNC
    host.stops(*SIX)
    done = host.reconcile()
    assert (done.returncode, host.registered) == (IN_SYNC, set())
    assert "Applied 6 of 6 changes." in done.stdout


def test_a_single_pass_says_what_waits_and_why(host: Host) -> None:
    """One container has stopped, one runs although the list lacks it, and one gets no answer from the engine. The
    output says that the deletes for the last two wait, and why."""
    host.runs("a", "b", "c")
    assert host.reconcile().returncode == IN_SYNC
    host.stops("a")
    host.docker.list_is_empty = True
    host.docker.slow["c"] = 60.0
    waiting = [
        f"! /services/nginx/{OWNER}:b:80  10.0.0.1:8080  held back: its container runs, although the engine's list "
        "does not have it  (orphan: no container backs it)",
        f"! /services/nginx/{OWNER}:c:80  10.0.0.1:8080  held back: the engine does not say whether its container "
        "runs  (orphan: no container backs it)",
    ]
    dry = host.reconcile("--dry-run")
    assert (dry.returncode, len(host.registered)) == (HELD_BACK, 3)
    assert [line for line in dry.stdout.splitlines() if line.startswith("!")] == waiting
    done = host.reconcile()
    assert (done.returncode, host.registered) == (HELD_BACK, ids("b", "c"))
    forced = host.reconcile("--force")
    assert (forced.returncode, host.registered) == (IN_SYNC, set())


def test_a_container_that_gives_no_answer_does_not_hold_up_the_deletes_of_others(host: Host) -> None:
    """The engine is asked about the silent container first, but the pass decides about the other containers without
    waiting for that answer."""
    host.runs(*SIX)
    with running_agent(host):
        host.docker.slow["a"] = 60.0
        host.stops(*SIX)
        wait_until(lambda: host.registered == ids("a"), what="the keys of the others to go")
        wait_until(lambda: host.registered == set(), what="the last key to go")


@pytest.mark.parametrize("percent", ["0", "100"])
def test_a_guard_of_100_percent_is_not_one_that_is_off(host: Host, percent: str) -> None:
    """With 100 percent, no number of deletes is suspicious, but a container keeps its key while the engine says that it
    runs. With 0 percent, the guard is off."""
    host.runs("a", "b")
    assert host.reconcile().returncode == IN_SYNC
    host.docker.list_is_empty = True
    done = host.reconcile("--delete-guard", percent)
    assert (done.returncode, host.registered) == ((IN_SYNC, set()) if percent == "0" else (HELD_BACK, ids("a", "b")))
