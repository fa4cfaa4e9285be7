"""A container that is being stopped leaves etcd while it still answers."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException

import pytest

from tests.support.agent import Agent
from tests.support.host import Host, on_both
from tests.support.waiting import wait_until

#: An interval in seconds that is longer than any test: only hints make a pass after the first one.
NEVER = 3600.0

#: Seconds within which a change must be in etcd, on a busy machine, too.
SOON = 10.0

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start(host: Host, *names: str, flags: str = "") -> dict[str, str]:
    """Start servers that take their time to end. Return the entries that they should have."""
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: host.engine.run(f"--name {name} -P {flags} patient:1"), names))
    entries = host.expected()
    for name in names:
        wait_until_it_says(entries[host.key(name)], "serving")
    return entries


def says(place: str) -> str:
    """Return what the server at this address and port says; an empty text if it does not answer."""
    try:
        with _opener.open(f"http://{place}/", timeout=2) as response:
            return str(response.read().decode().strip())
    except (OSError, HTTPException):
        return ""


def wait_until_it_says(place: str, word: str) -> None:
    """Wait until the server at this address and port says this word."""
    wait_until(lambda: says(place) == word, SOON, f"the server at {place} to say {word!r}")


@contextmanager
def stopping(host: Host, entries: dict[str, str], *names: str, how: str = "stop") -> Iterator[None]:
    """Begin to stop these containers with these entries. When this is entered, they have got their signal; and at the
    end, they have ended."""
    with ThreadPoolExecutor(len(names)) as pool:
        stops = [pool.submit(host.engine.docker, *how.split(), "--time", "60", name) for name in names]
        try:
            for name in names:
                wait_until_it_says(entries[host.key(name)], "stopping")
            yield
        finally:
            for name in names:
                host.engine.docker("exec", name, "sh", "-c", "echo yes > /end")
            for each in stops:
                each.result()


def agent_of(host: Host, *flags: str) -> Agent:
    """Start an agent whose passes are made by hints alone."""
    agent = host.agent(*flags, interval=NEVER).wait_ready()
    wait_until(lambda: agent.total("hints_flowing") == 1, SOON, "hints to flow")
    return agent


def wait_for_no_change(agent: Agent) -> None:
    """Wait until a hint turned out to change nothing."""
    wait_until(lambda: agent.total("hints_total", outcome="no-change") > 0, SOON, "a hint that changes nothing")


@on_both("host")
def test_a_container_that_is_stopped_leaves_while_it_still_answers(host: Host) -> None:
    """One has the default signal, and one another. The log says why, and nothing else changes at their end."""
    start(host, "web", "db")
    right = start(host, "proxy", flags="--stop-signal QUIT")
    agent = agent_of(host)
    host.wait_for(right, SOON)
    with stopping(host, right, "web", "proxy"):
        host.wait_for({host.key("db"): right[host.key("db")]}, SOON)
        assert says(right[host.key("web")]) == says(right[host.key("proxy")]) == "stopping"
        assert agent.total("containers_excluded", reason="draining") == 2
    assert host.keys() == host.expected()
    lines = [line for line in agent.log().splitlines() if "reason=draining" in line]
    for name, signal in (("web", "TERM"), ("proxy", "QUIT")):
        (line,) = (line for line in lines if host.key(name) in line)
        assert f"because='the engine has sent it the signal {signal}'" in line
    assert agent.passes("engine-error") == agent.passes("registry-error") == 0


def test_a_signal_that_does_not_stop_a_container_changes_nothing(host: Host) -> None:
    """HUP makes many servers read their configuration again."""
    right = start(host, "web")
    agent = agent_of(host)
    host.wait_for(right, SOON)
    host.engine.docker("kill", "--signal", "HUP", "web")
    wait_for_no_change(agent)
    assert host.keys() == right
    assert "draining" not in agent.log()


@on_both("host")
def test_a_container_that_is_restarted_leaves_and_comes_back(host: Host) -> None:
    """Its next run has another port of the host."""
    right = start(host, "web")
    agent = agent_of(host)
    host.wait_for(right, SOON)
    with stopping(host, right, "web", how="restart"):
        host.wait_for({}, SOON)
    host.wait_for(host.expected(), SOON)
    assert agent.log().count("reason=draining") == 1


def test_a_container_that_goes_on_to_run_comes_back_when_its_grace_is_over(host: Host) -> None:
    """Somebody sent it TERM, which it takes for something else."""
    right = start(host, "web", flags="-l SERVICE_STOP_GRACE=1.5")
    agent_of(host)
    host.wait_for(right, SOON)
    host.engine.docker("kill", "--signal", "TERM", "web")
    host.wait_for({}, SOON)
    host.wait_for(right, SOON)
    wait_until_it_says(right[host.key("web")], "stopping")


@pytest.mark.parametrize(("flags", "label"), [((), "SERVICE_DRAIN=false"), (("--no-drain-on-stop",), "x=y")], ids=str)
def test_without_draining_a_container_is_registered_until_it_has_ended(
    host: Host, flags: tuple[str, ...], label: str
) -> None:
    """The container may say so itself, or the operator for all of the host."""
    right = start(host, "web", flags=f"-l {label}")
    agent = agent_of(host, *flags)
    host.wait_for(right, SOON)
    with stopping(host, right, "web"):
        wait_for_no_change(agent)
        assert host.keys() == right
    host.wait_for({}, SOON)


@on_both("host")
def test_an_agent_that_is_started_during_a_stop_does_not_register_the_container(host: Host) -> None:
    """The engine remembers the signal. A single pass beside the agent knows of it, too, and so does a new agent."""
    right = start(host, "web", "db")
    agent = agent_of(host)
    host.wait_for(right, SOON)
    with stopping(host, right, "web"):
        left = {key: value for key, value in right.items() if key != host.key("web")}
        host.wait_for(left, SOON)
        agent.terminate()
        assert "0 to create" in host.reconcile().stdout
        agent = host.agent().wait_ready()
        agent.wait_for_passes(2)
        assert host.keys() == left
        assert "action=create" not in agent.log()


@on_both("host")
def test_all_containers_may_be_stopped_at_once(host: Host) -> None:
    """The guard holds nothing back, because the engine told of each of them by itself."""
    names = [f"web{number}" for number in range(4)]
    right = start(host, *names)
    agent = agent_of(host)
    host.wait_for(right, SOON)
    with stopping(host, right, *names):
        host.wait_for({}, SOON)
        assert {says(place) for place in right.values()} == {"stopping"}
    assert agent.log().count("reason=draining") == 4
    assert "held back" not in agent.log()


def test_a_new_container_takes_over_the_key_of_one_that_is_being_stopped(host: Host) -> None:
    """Both have one SERVICE_ID. The key has the new value while the old one still answers."""
    start(host, "blue", flags="-e SERVICE_ID=x")
    agent_of(host)
    wait_until(lambda: {*host.keys()} == {"worker/x"}, SOON, "the key of the old container")
    places = start(host, "blue2", flags="-e SERVICE_ID=x")
    old, new = places[host.key("blue")], places[host.key("blue2")]
    assert host.keys() == {"worker/x": old}
    with stopping(host, places, "blue"):
        host.wait_for({"worker/x": new}, SOON)
        assert says(old) == "stopping"
    assert host.keys() == {"worker/x": new}
