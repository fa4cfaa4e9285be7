"""Containers whose inspect hangs, is slow or trickles. They hold up no other container, and their entries stay."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.agent import Agent, run_once
from tests.support.engine_proxy import EngineProxy
from tests.support.host import Host, on_both

#: Seconds after a change within which etcd must be right: an interval of 0.2 s, a pass that waits for the first inspect
#: of a container, and the rest for a busy machine.
SOON = 10.0


@contextmanager
def frozen_shims(host: Host, *names: str) -> Iterator[None]:
    """Freeze the shims of these containers, and run `docker kill` for each container, which waits for its shim. Each
    inspect of these containers hangs until the context ends. Then the shims go on, and the containers end."""
    shims = [_parent_of(host.engine.inspect(name)["State"]["Pid"]) for name in names]
    kills: list[subprocess.Popen[bytes]] = []
    try:
        for shim in shims:
            os.kill(shim, signal.SIGSTOP)
        for name in names:
            kill = ["docker", "kill", name]
            kills.append(subprocess.Popen(kill, env=host.engine.environment, stdout=subprocess.DEVNULL))
        yield
    finally:
        for shim in shims:
            os.kill(shim, signal.SIGCONT)
        for each in kills:
            each.wait(30)


def _parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^PPid:\s+(\d+)$", status, re.MULTILINE)[0])


@pytest.fixture
def proxy(host: Host) -> Iterator[EngineProxy]:
    """Yield a proxy between agents and the host's engine."""
    with EngineProxy(host.engine.socket_url) as proxy:
        yield proxy


def inspect_path(host: Host, name: str) -> str:
    """Return the path of the request that inspects a container."""
    return f"/containers/{host.engine.inspect(name)['Id']}/json"


def agent_through(proxy: EngineProxy, host: Host, *flags: str) -> Agent:
    """Start an agent that reaches the engine through the proxy."""
    return host.agent("--docker-host", proxy.url, *flags)


def assert_others_come_and_go(host: Host, stay: dict[str, str]) -> None:
    """Assert that another container is registered in time when it starts, and that its key is deleted in time when it
    ends. ``stay`` has the entries that are there before and after."""
    host.start("other")
    port = host.engine.inspect("other")["NetworkSettings"]["Ports"]["9000/tcp"][0]["HostPort"]
    host.wait_for({**stay, host.key("other"): f"{host.engine.address}:{port}"}, SOON)
    host.engine.docker("rm", "--force", "other")
    host.wait_for(stay, SOON)


@on_both("host")
def test_a_container_whose_shim_stands_still_holds_up_no_other(host: Host) -> None:
    """The agent starts while two inspects hang. It registers the container that it can read, and says which ones it
    cannot read. When the shims go on and the two containers end, etcd has the right entries."""
    host.start("stays", "hung-1", "hung-2")
    right = host.expected()
    with frozen_shims(host, "hung-1", "hung-2"):
        agent = host.agent().wait_ready()
        stay = {host.key("stays"): right[host.key("stays")]}
        host.wait_for(stay, SOON)
        assert_others_come_and_go(host, stay)
        assert agent.passes("registry-error") == agent.passes("engine-error") == 0
        assert agent.total("containers_unknown") == 2
        assert re.search(r"container unreadable.*hung-1.*its inspect has not answered for", agent.log())
    host.wait_for(stay, SOON)


@on_both("host")
def test_the_entries_of_a_container_whose_inspect_hangs_stay(host: Host, proxy: EngineProxy) -> None:
    """The entries of a container whose inspect hangs stay, even if the agent has just started and has never read the
    container, and even if the keys have a lifetime that must be renewed."""
    host.start("stays", "hung")
    agent_through(proxy, host).wait_ready().terminate()
    right = host.expected()
    assert host.keys() == right
    proxy.hang(inspect_path(host, "hung"))
    agent = agent_through(proxy, host, "-ttl", "6", "-ttl-refresh", "2").wait_ready()
    for _ in range(8):
        time.sleep(1.0)  # between two looks at keys that must not expire
        assert host.keys() == right
    assert_others_come_and_go(host, right)
    assert agent.total("containers_unknown") == 1


@on_both("host")
@pytest.mark.parametrize("number", [10, 20])
def test_an_agent_registers_the_others_at_once_however_many_hang(host: Host, proxy: EngineProxy, number: int) -> None:
    """The inspects of ten or all of twenty containers hang. The agent registers the remaining containers at once."""
    names = [f"c-{each}" for each in range(20)]
    host.start(*names)
    right = {key: value for key, value in host.expected().items() if key in map(host.key, names[number:])}
    proxy.hang(*(inspect_path(host, each) for each in names[:number]))
    agent = agent_through(proxy, host).wait_ready()
    host.wait_for(right, SOON)
    assert_others_come_and_go(host, right)
    assert agent.total("containers_unknown") == number


@on_both("host")
def test_a_container_whose_inspect_trickles_holds_up_no_other(host: Host, proxy: EngineProxy) -> None:
    """An inspect answer comes a byte a second, so the time-out of its connection begins anew with each byte. The agent
    gives the inspect up and asks again later, and other containers do not wait for it."""
    host.start("stays", "trickles")
    right = host.expected()
    proxy.trickling = {inspect_path(host, "trickles")}
    agent_through(proxy, host).wait_ready()
    stay = {host.key("stays"): right[host.key("stays")]}
    assert_others_come_and_go(host, stay)
    proxy.trickling = set()
    host.wait_for(right, 30.0)


@on_both("host")
def test_an_inspect_that_takes_three_seconds_is_used_when_it_comes(host: Host, proxy: EngineProxy) -> None:
    """The agent asks for a slow inspect once, and uses the answer when it comes. No pass waits for the answer. An event
    of the container's start would make the agent ask again."""
    host.start("stays", "slow")
    path = inspect_path(host, "slow")
    proxy.delays = {path: 3.0}
    agent_through(proxy, host, "--no-hints").wait_ready()
    host.wait_for(host.expected(), 3.0 + SOON)
    assert proxy.asked.count(path) == 1


def test_reconcile_waits_a_little_longer_and_says_what_does_not_answer(host: Host, proxy: EngineProxy) -> None:
    """`reconcile` waits some seconds for inspects, because it makes no next pass that could use a late answer. It uses
    the answer that comes in time, names the container whose inspect hangs, and registers the other containers."""
    host.start("stays", "slow", "hung")
    proxy.hang(inspect_path(host, "hung"))
    proxy.delays = {inspect_path(host, "slow"): 2.0}
    flags = ("--docker-host", proxy.url, "-ip", host.engine.address)
    began = time.monotonic()
    done = run_once(host.engine.socket_url, "reconcile", *flags, host.uri)
    assert time.monotonic() - began < 30
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"! hung  cannot be read, its entries stay: its inspect has not answered for \d\.\d s", done.stdout
    )
    right = host.expected()
    assert host.keys() == {host.key(each): right[host.key(each)] for each in ("stays", "slow")}


# Who the engine is.

#: Answers to /info, as status and body, that a socket proxy or an engine of another kind may give. None of them says
#: who the engine is.
REFUSALS = {
    "403": (403, b'{"message": "Forbidden"}'),
    "404": (404, b'{"message": "page not found"}'),
    "501": (501, b"<h1>Not Implemented</h1>"),
    "nothing": (200, b"{}"),
    "no document": (200, b"[]"),
    "no JSON": (200, b"OK"),
}


@on_both("host")
@pytest.mark.parametrize("refused", REFUSALS)
def test_an_engine_that_does_not_say_who_it_is_is_used_if_the_host_has_a_name(
    host: Host, proxy: EngineProxy, refused: str
) -> None:
    """If the engine does not answer /info as it should, an agent with --hostname works without the engine's id."""
    proxy.answers["/info"] = REFUSALS[refused]
    host.start("web")
    agent_through(proxy, host, "--hostname", host.owner).wait_ready()
    host.wait_for(host.expected(), SOON)
    assert_others_come_and_go(host, host.expected())


@pytest.mark.parametrize("refused", REFUSALS)
def test_without_a_name_the_error_of_an_engine_that_does_not_say_who_it_is_names_the_flag(
    host: Host, proxy: EngineProxy, refused: str
) -> None:
    """Without --hostname and without the engine's answer to /info, nothing is registered, because the owner name is not
    known. The error names --hostname."""
    proxy.answers["/info"] = REFUSALS[refused]
    host.start("web")
    flags = ("--docker-host", proxy.url, "-ip", host.engine.address)
    done = run_once(host.engine.socket_url, "reconcile", *flags, host.uri)
    assert (done.returncode, host.keys()) == (1, {})
    assert re.fullmatch(r"wharfinger: engine-error: .*give one with --hostname\n", done.stderr)


@on_both("host")
def test_an_engine_that_hangs_when_asked_who_it_is_holds_up_no_pass(host: Host, proxy: EngineProxy) -> None:
    """An agent with --hostname starts although /info hangs. Only its first pass waits for the answer, and only for a
    moment."""
    proxy.hang("/info")
    host.start("web")
    agent = agent_through(proxy, host, "--hostname", host.owner).wait_ready()
    host.wait_for(host.expected(), SOON)
    agent.wait_for_passes(10, timeout=SOON)
    assert proxy.asked.count("/info") == 1


def test_a_host_that_is_renamed_keeps_its_entries_and_says_so(host: Host, proxy: EngineProxy) -> None:
    """After a new connection, the agent asks the engine for its name again. If the name has changed, the agent reports
    it, and keeps the old name as its owner name while it runs."""
    host.start("web")
    agent = agent_through(proxy, host).wait_ready()
    right, index = host.expected(), host.etcd.index()
    proxy.answers["/info"] = (200, b'{"Name": "renamed", "ID": ""}')
    proxy.answers["/containers/json"] = (500, b'{"message": "broken"}')
    agent.wait_for_passes(1, "engine-error")
    del proxy.answers["/containers/json"]
    agent.wait_for_passes(2)
    assert (host.keys(), host.etcd.index()) == (right, index)
    status, body = agent.get("/readyz")
    assert (status, "The engine calls this host 'renamed' now" in body) == (200, True)
    assert "the host has another name" in agent.log()
