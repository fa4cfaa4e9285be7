"""The delete guard, with a real etcd and an engine that says one thing in its list and another of each container."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.commands.exit_codes import ExitCode
from tests.support.agent import Agent
from tests.support.command_host import OWNER, Host
from tests.support.waiting import wait_until

IN_SYNC, _, _, HELD_BACK = ExitCode

SIX = tuple("abcdef")

HELD_FOR = 'wharfinger_deletes_held_back{registry="etcd"}'


def ids(*names: str) -> set[str]:
    """Return the ids of the entries of these containers."""
    return {f"{OWNER}:{name}:80" for name in names}


@contextmanager
def running_agent(host: Host, *flags: str) -> Iterator[Agent]:
    """Run an agent whose first pass succeeded, and end it afterwards."""
    agent = host.agent(*flags)
    try:
        yield agent.wait_ready()
    finally:
        agent.terminate()


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c"), SIX], ids=len)
def test_a_list_that_is_empty_for_a_second_deletes_nothing(host: Host, names: tuple[str, ...]) -> None:
    """Five passes see it. The engine says of each container that it runs, and nothing is written, however few the
    entries are."""
    host.runs(*names)
    with running_agent(host) as agent:
        index = host.etcd.index()
        host.docker.list_is_empty = True
        wait_until(lambda: agent.metrics()[HELD_FOR] == len(names), what="the guard to hold the deletes back")
        time.sleep(1.0)
        host.docker.list_is_empty = False
        wait_until(lambda: agent.metrics()[HELD_FOR] == 0, what="the guard to let go")
        assert (host.registered, host.etcd.index()) == (ids(*names), index)
        assert f"{len(names)} running" in agent.log()


def test_sighups_do_not_shorten_the_wait(host: Host) -> None:
    """Each makes a pass, so that a hundred of them may see the empty list within a second."""
    host.runs("a", "b")
    with running_agent(host, "--interval=60") as agent:
        index = host.etcd.index()
        host.docker.list_is_empty = True
        until = time.monotonic() + 1.0
        passes = 'wharfinger_passes_total{registry="etcd",result="success"}'
        while time.monotonic() < until:
            agent.signal(signal.SIGHUP)
            time.sleep(0.01)
        assert agent.metrics()[passes] > 5
        host.docker.list_is_empty = False
        agent.signal(signal.SIGHUP)
        wait_until(lambda: agent.metrics()[HELD_FOR] == 0, what="the guard to let go")
        assert (host.registered, host.etcd.index()) == (ids("a", "b"), index)


def test_a_list_that_stays_empty_counts_after_two_seconds(host: Host) -> None:
    """What three passes and two seconds say is believed, as an engine may go on to answer for what it has lost."""
    host.runs(*SIX)
    with running_agent(host):
        began = time.monotonic()
        host.docker.list_is_empty = True
        wait_until(lambda: host.registered == set(), what="the keys to go")
        assert time.monotonic() - began >= 2.0


def test_many_stopped_containers_are_deregistered_in_one_pass(host: Host) -> None:
    """The engine says of each that it is there and does not run. Nothing is suspicious about that."""
    host.runs(*SIX)
    assert host.reconcile().returncode == IN_SYNC
    host.stops(*SIX)
    done = host.reconcile()
    assert (done.returncode, host.registered) == (IN_SYNC, set())
    assert "Applied 6 of 6 changes." in done.stdout


def test_a_single_pass_says_what_waits_and_why(host: Host) -> None:
    """One container stopped, one runs although the list lacks it, and one gives no answer."""
    host.runs("a", "b", "c")
    assert host.reconcile().returncode == IN_SYNC
    host.stops("a")
    host.docker.list_is_empty = True
    host.docker.slow["c"] = 60.0
    waiting = [
        f"! /services/nginx/{OWNER}:b:80  10.0.0.1:8080  (orphan)  held back: see --delete-guard  (container running)",
        f"! /services/nginx/{OWNER}:c:80  10.0.0.1:8080  (orphan)  held back: see --delete-guard  (container unknown)",
    ]
    dry = host.reconcile("--dry-run")
    assert (dry.returncode, len(host.registered)) == (HELD_BACK, 3)
    assert [line for line in dry.stdout.splitlines() if line.startswith("!")] == waiting
    done = host.reconcile()
    assert (done.returncode, host.registered) == (HELD_BACK, ids("b", "c"))
    forced = host.reconcile("--force")
    assert (forced.returncode, host.registered) == (IN_SYNC, set())


def test_a_container_that_gives_no_answer_does_not_hold_up_the_deletes_of_others(host: Host) -> None:
    """It is asked for first, and the pass does not wait for it alone."""
    host.runs(*SIX)
    with running_agent(host):
        host.docker.slow["a"] = 60.0
        host.stops(*SIX)
        wait_until(lambda: host.registered == ids("a"), what="the keys of the others to go")
        wait_until(lambda: host.registered == set(), what="the last key to go")


@pytest.mark.parametrize("percent", ["0", "100"])
def test_a_guard_of_100_percent_is_not_one_that_is_off(host: Host, percent: str) -> None:
    """With 100, no number of deletes is suspicious, but a container that the engine says to run keeps its key."""
    host.runs("a", "b")
    assert host.reconcile().returncode == IN_SYNC
    host.docker.list_is_empty = True
    done = host.reconcile("--delete-guard", percent)
    assert (done.returncode, host.registered) == ((IN_SYNC, set()) if percent == "0" else (HELD_BACK, ids("a", "b")))
