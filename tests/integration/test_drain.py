"""The operator drains containers of a real engine, in a real etcd."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from tests.support.agent import Agent, run_once
from tests.support.host import Host, on_both
from tests.support.waiting import wait_until

#: The most seconds that the commands say that they take, beside what --wait asks for.
BOUND = 30.0


def command(agent: Agent, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside the agent. It sees none of the agent's flags, and no other etcd and engine."""
    return run_once("unix:///nowhere.sock", *args, env={"WHARFINGER_LISTEN": agent.listen})


def drain(agent: Agent, *args: str) -> subprocess.CompletedProcess[str]:
    """Drain, wait until the entries are gone, and expect that it succeeds."""
    done = command(agent, "drain", *args, "--wait=0")
    assert (done.returncode, done.stderr) == (0, "")
    return done


def undrain(agent: Agent, *args: str) -> None:
    """End a drain, and expect that it succeeds."""
    done = command(agent, "undrain", *args)
    assert (done.returncode, done.stderr) == (0, "")


@on_both("host")
def test_a_drained_container_still_answers_and_gets_its_entries_back(host: Host) -> None:
    """Its entries are gone when the command returns, and nothing happens to the container. An agent that is started
    again goes on obeying."""
    agent = host.agent().wait_ready()
    host.engine.run("--name web -p 80 web:latest")
    key = f"web/{host.owner}:web:80"
    address = wait_until(lambda: host.keys().get(key, ""), what="the entry")
    drain(agent, "web")
    assert host.keys() == {}
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
        assert answer.status == 200
    agent.restart().wait_ready()
    agent.wait_for_passes(3)
    assert host.keys() == {}
    assert agent.total("drain_order", scope="containers") == 1
    undrain(agent, "web")
    host.wait_for({key: address})


def test_a_container_is_named_by_name_id_or_the_beginning_of_its_id(host: Host) -> None:
    """As for docker itself."""
    agent = host.agent().wait_ready()
    host.start("one", "two", "three")
    host.wait_for(host.expected())
    ids = {each["Name"].lstrip("/"): each["Id"] for each in host.engine.inspect_all()}
    drain(agent, "one", ids["two"], ids["three"][:12])
    assert host.keys() == {}
    undrain(agent, ids["one"][:12], "two", ids["three"])
    host.wait_for(host.expected())


@on_both("host")
def test_a_new_run_and_a_new_container_of_the_name_are_not_drained(host: Host) -> None:
    """The drain is about the container that the operator saw. An order that has ended so shows nowhere."""
    agent = host.agent().wait_ready()
    host.start("again", "other")
    host.wait_for(host.expected())
    drain(agent, "again", "other")
    host.engine.docker("restart", "--time=0", "again")
    host.engine.docker("rm", "--force", "other")
    host.start("other")
    host.wait_for(host.expected())
    wait_until(lambda: agent.total("drain_order") == 0, what="the drain to end")


@on_both("host")
def test_a_drain_of_all_takes_in_containers_that_start_later_and_outlasts_the_agent(host: Host) -> None:
    """The order is in etcd. undrain of one container says that all drain."""
    agent = host.agent().wait_ready()
    host.start("early")
    host.wait_for(host.expected())
    drain(agent, "--all", "--yes")
    host.start("late")
    agent.kill9()
    agent.start().wait_ready()
    agent.wait_for_passes(3)
    assert host.keys() == {}
    assert agent.total("drain_order", scope="all") == 1
    done = command(agent, "undrain", "early")
    assert (done.returncode, "wharfinger undrain --all" in done.stderr) == (1, True)
    undrain(agent, "--all")
    host.wait_for(host.expected())


@on_both("host")
def test_a_drain_ends_by_itself(host: Host) -> None:
    """The agent needs no command for that."""
    agent = host.agent().wait_ready()
    host.start("web")
    host.wait_for(host.expected())
    drain(agent, "web", "--for=2s")
    assert host.keys() == {}
    host.wait_for(host.expected())
    wait_until(lambda: "the operator no longer drains a container" in agent.log(), 5, "the line of the log")


def test_wait_returns_after_the_entries_are_gone(host: Host) -> None:
    """The time of --wait begins then."""
    agent = host.agent(interval=1.0).wait_ready()
    host.start("web")
    host.wait_for(host.expected())
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(command, agent, "drain", "web", "--wait=2s")
        wait_until(lambda: host.keys() == {}, what="the entry to go")
        gone = time.monotonic()
        assert done.result().returncode == 0
    assert time.monotonic() - gone >= 1.5


@on_both("breakable_host")
def test_an_etcd_that_does_not_answer_does_not_hold_the_command(breakable_host: Host) -> None:
    """It ends within its bound, with exit code 1, and without the time of --wait. Nothing was drained."""
    host = breakable_host
    agent = host.agent().wait_ready()
    host.start("web")
    host.wait_for(host.expected())
    host.etcd.freeze()
    begun = time.monotonic()
    done = command(agent, "drain", "web", "--wait=60s")
    assert time.monotonic() - begun < BOUND
    assert (done.returncode, done.stdout) == (1, "")
    host.etcd.thaw()
    assert host.keys() == host.expected()
