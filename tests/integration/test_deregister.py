"""`wharfinger deregister` never empties a host whose agent is alive, however slow the agent or its engine is."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from tests.support.agent import Agent, run_once
from tests.support.host import Host, on_both
from tests.support.private_engine import PrivateEngine
from tests.support.waiting import wait_until

#: Seconds between passes: longer than the five seconds for which 0.1.0 waited for an agent's sign of life.
INTERVAL = 7.0


def deregister(host: Host, *flags: str, owner: str = "") -> subprocess.CompletedProcess[str]:
    """Run `wharfinger deregister` for an owner name, by default that of this host."""
    return run_once("", "deregister", "--hostname", owner or host.owner, "--yes", *flags, host.uri)


def assert_alive(host: Host, done: subprocess.CompletedProcess[str], registered: dict[str, str]) -> None:
    """Assert that deregister found the agent alive, that all keys are there, and that its liveness query is gone."""
    assert (done.returncode, host.keys()) == (1, registered)
    assert f"the agent of '{host.owner}' is alive" in done.stderr
    assert host.store.get(host.beside_record("question")) is None


def after(seconds: float, call: Callable[[], Any]) -> None:
    """Call a function after this many seconds, in a thread of its own."""
    threading.Timer(seconds, call).start()


@on_both("host")
def test_a_host_with_a_long_interval_is_alive(host: Host) -> None:
    """deregister waits for as long as the host's agent note says, prints this time, and finds the agent alive."""
    host.start("one", "two")
    agent = host.agent(interval=INTERVAL).wait_ready()
    agent.wait_for_passes(1)
    done = deregister(host)
    assert_alive(host, done, host.expected())
    assert "waiting up to 47 seconds for the agent" in done.stderr


@on_both("host")
def test_a_host_with_an_interval_of_an_hour_is_not_waited_for(host: Host) -> None:
    """If the agent may take an hour to answer, deregister fails at once and says how long it would have to wait. With
    --wait it goes on."""
    host.start("one")
    agent = host.agent(interval=3600.0).wait_ready()
    right = host.expected()
    done = deregister(host)
    assert (done.returncode, host.keys()) == (1, right)
    assert "may take 3640 seconds to show that it is alive" in done.stderr
    agent.terminate()
    assert deregister(host, "--wait", "0.5").returncode == 0
    assert host.keys() == {}


@on_both("breakable_host")
def test_a_host_whose_engine_hangs_is_alive(breakable_host: Host) -> None:
    """An agent answers the liveness query without its engine, also while it backs off."""
    host = breakable_host
    host.start(*(f"c{number}" for number in range(8)))
    agent = host.agent("--pass-timeout", "4").wait_ready()
    right = host.expected()
    assert isinstance(host.engine, PrivateEngine)
    owner = host.owner
    host.engine.freeze()
    agent.wait_for_passes(2, "engine-error")
    done = deregister(host, owner=owner)
    host.engine.thaw()
    assert_alive(host, done, right)
    assert len(right) == 8
    agent.wait_ready(40)
    assert host.keys() == right


@on_both("breakable_host")
def test_a_host_with_a_given_name_is_alive_although_its_engine_never_answered(breakable_host: Host) -> None:
    """An agent with --hostname knows its owner name without the engine. So it answers the liveness query even if its
    engine has never answered."""
    host = breakable_host
    host.start("one")
    named = ("--hostname", host.owner)
    agent = host.agent(*named).wait_ready()
    right = host.expected()
    assert isinstance(host.engine, PrivateEngine)
    host.engine.freeze()
    agent.restart()
    wait_until(lambda: agent.get("/readyz")[1].startswith("engine-error"), 30, "a pass without the engine")
    done = deregister(host)
    host.engine.thaw()
    assert_alive(host, done, right)


@on_both("host")
def test_an_agent_that_stands_still_for_less_than_the_wait_is_alive(host: Host) -> None:
    """An agent that was stopped answers the liveness query when it runs again, which is before the wait of deregister
    ends."""
    host.start("one")
    agent = host.agent().wait_ready()
    agent.signal(signal.SIGSTOP)
    after(2 * INTERVAL, lambda: agent.signal(signal.SIGCONT))
    assert_alive(host, deregister(host), host.expected())


@on_both("host")
def test_a_name_that_an_agent_had_before_can_be_deregistered_beside_its_new_one(host: Host) -> None:
    """An agent that has a new owner name answers only for the new one. So the old name can be deregistered while the
    agent runs."""
    host.start("one")
    agents: list[Agent] = []
    for name in ("old", "new"):
        agents.append(host.agent("--hostname", name).wait_ready())
        agents[0].terminate()
    value = host.expected()[host.key("one")]
    host.shorten_note("old")
    done = deregister(host, owner="old")
    assert (done.returncode, host.keys()) == (0, {"worker/new:one:9000": value})
    assert host.store.get(host.beside_record("agent", "old")) is None
    assert host.store.get(host.beside_record("agent", "new")) is not None
    assert "the agent of 'new' is alive" in deregister(host, owner="new").stderr


@on_both("host")
def test_a_host_without_its_record_is_asked_for_a_sign_of_life_all_the_same(host: Host) -> None:
    """Somebody removed the owner record and the agent note, and the agent has not written them again yet. deregister
    finds the host's entries by their ids, and waits for its agent all the same."""
    host.start("one")
    agent = host.agent(interval=INTERVAL).wait_ready()
    agent.wait_for_passes(1)
    for what in ("record", "agent"):
        host.store.delete(host.beside_record(what))
    done = deregister(host)
    assert "waiting up to 45 seconds" in done.stderr
    assert_alive(host, done, host.expected())
    agent.terminate()
    for what in ("record", "agent"):
        host.store.delete(host.beside_record(what))
    assert deregister(host, "--wait", "0.5").returncode == 0
    assert host.keys() == {}


@on_both("host")
def test_a_name_that_nobody_has_is_a_failure_and_the_owners_are_named(host: Host) -> None:
    """If nobody has the name, deregister fails and names the owners that there are: those with an owner record, and
    those that only the ids of keys name, such as hosts that ran registrator."""
    host.start("one")
    host.agent().wait_ready().terminate()
    host.store.put(f"{host.prefix}/worker/4f2a9c:b:80", "192.0.2.1:80")
    done = deregister(host, owner="cor-1")
    owners = ", ".join(f"'{name}'" for name in sorted((host.owner, "4f2a9c")))
    assert (done.returncode, done.stderr) == (
        1,
        f"wharfinger: nobody has the name 'cor-1'; the owners there are {owners}\n",
    )
    assert deregister(host, "--missing-ok", owner="cor-1").returncode == 0
    host.shorten_note()
    assert deregister(host).returncode == 0
    wait_until(lambda: host.keys() == {"worker/4f2a9c:b:80": "192.0.2.1:80"}, what="the entry of the other owner alone")
