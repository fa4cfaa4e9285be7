"""Two agents of one host, one of whose prefixes lies within the other's, on real parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import run_once
from tests.support.engine import DockerEngine
from tests.support.etcd_server import EtcdServer
from tests.support.host import SCHEMES, Host
from tests.support.waiting import wait_until

APIS = pytest.mark.parametrize("outer", SCHEMES, ids=["v2", "v3"], indirect=True)


@pytest.fixture
def outer(engine: DockerEngine, etcd: EtcdServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """Yield the host of the outer agent: a clean engine and an unused prefix."""
    engine.remove_all()
    found = Host(engine, etcd, tmp_path, api=request.param)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def inner(outer: Host, tmp_path: Path) -> Iterator[Host]:
    """Yield the same host with a prefix within the first one, as the shipped units once had it."""
    folder = tmp_path / "inner"
    folder.mkdir()
    found = Host(outer.engine, outer.etcd, folder, api=outer.api)
    found.prefix = f"{outer.prefix}/registrator"
    try:
        yield found
    finally:
        found.close()


def both(outer: Host) -> dict[str, str]:
    """Return the entries of both agents when everything is registered."""
    expected = outer.expected()
    return expected | {f"registrator/{key}": value for key, value in expected.items()}


@APIS
@pytest.mark.parametrize("inner_first", [False, True], ids=["outer first", "inner first"])
def test_agents_with_prefixes_in_one_another_both_register_and_then_write_nothing(
    outer: Host, inner: Host, inner_first: bool
) -> None:
    """Both agents register their entries, and do not delete each other's. The log of the outer agent says once that
    another agent has the inner prefix, and which command clears it."""
    outer.start("one", "two")
    hosts = (inner, outer) if inner_first else (outer, inner)
    agents = {host: host.agent(interval=0.1).wait_ready() for host in hosts}
    outer.wait_for(both(outer))
    for agent in agents.values():
        agent.wait_for_passes(2)
    index = outer.store.index()
    for agent in agents.values():
        agent.wait_for_passes(10)
    assert (outer.store.index(), outer.keys()) == (index, both(outer))
    log = agents[outer].log()
    assert log.count("a prefix within this one has agents of its own") == 1
    assert "wharfinger deregister --hostname" in log
    outer.engine.docker("rm", "--force", "one")
    outer.wait_for(both(outer))


@APIS
def test_an_entry_that_would_land_below_an_inner_prefix_is_refused(outer: Host, inner: Host) -> None:
    """The outer agent refuses an entry whose key would lie below the inner prefix, and the plan says why. The inner
    agent's entry of the same container is not changed."""
    outer.start("one", flags="-e SERVICE_NAME=registrator/worker")
    assert inner.reconcile().returncode == 0
    before = outer.keys()
    done = outer.reconcile()
    assert done.returncode == 0
    assert "1 refused" in done.stdout
    assert inner.prefix in done.stdout
    assert outer.keys() == before


@APIS
def test_an_abandoned_inner_prefix_is_cleared_by_one_command(outer: Host, inner: Host) -> None:
    """`deregister` with the inner URI removes the keys and records of the inner prefix. `deregister` with the outer URI
    leaves them alone."""
    outer.start("one")
    for host in (inner, outer):
        assert host.reconcile().returncode == 0
    assert outer.keys() == both(outer)
    removed = deregister(outer, outer.uri)
    assert removed == 0
    assert outer.keys() == {f"registrator/{key}": value for key, value in outer.expected().items()}
    assert outer.reconcile().returncode == 0
    assert deregister(outer, inner.uri) == 0
    assert outer.keys() == outer.expected()


def deregister(host: Host, uri: str) -> int:
    """Remove the host's entries from the registry with this URI, and return the exit code."""
    return run_once(
        host.engine.socket_url, "deregister", "--hostname", host.owner, "--yes", "--wait", "1", uri
    ).returncode


@APIS
def test_an_inner_agent_may_come_and_go_while_the_outer_one_runs(outer: Host, inner: Host) -> None:
    """When the inner agent is killed and started again, and containers start meanwhile, neither agent loses an
    entry."""
    agent = outer.agent(interval=0.1).wait_ready()
    outer.start("one")
    second = inner.agent(interval=0.1).wait_ready()
    outer.wait_for(both(outer))
    second.kill9()
    outer.start("two")
    wait_until(lambda: outer.expected().items() <= outer.keys().items(), 20, "the outer agent to register it")
    second.start().wait_ready()
    outer.wait_for(both(outer))
    agent.wait_for_passes(5)
    assert outer.keys() == both(outer)
