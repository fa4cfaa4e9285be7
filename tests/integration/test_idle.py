"""An agent writes nothing while nothing happens, and `-ttl` lets its keys expire without it (v2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.host import Host
from tests.support.waiting import wait_until

RENEWALS = 'wharfinger_operations_total{action="renew",registry="etcd",result="applied"}'


def lifetimes(host: Host) -> dict[str, int | None]:
    """Return each key's remaining seconds as etcd says; None for a key without a lifetime."""
    nodes = {key: host.etcd.node(f"{host.prefix}/{key}") for key in sorted(host.keys())}
    return {key: node.get("ttl") for key, node in nodes.items() if node}


def test_a_hundred_idle_passes_write_nothing(host: Host) -> None:
    """While nothing changes, etcd's index does not move, also with a refused port and keys of others."""
    host.start("one", "two", "six")
    right = host.expected() | {"foreign/key": "not ours"}
    host.engine.run("--name evil -P -e SERVICE_NAME=../evil worker:1")
    host.etcd.put(f"{host.prefix}/foreign/key", "not ours")
    agent = host.agent(interval=0.05).wait_ready()
    index = host.etcd.index()
    agent.wait_for_passes(100)
    assert host.etcd.index() == index
    assert host.keys() == right


def test_renewals_keep_keys_alive_and_wake_no_watcher(host: Host) -> None:
    """With `-ttl`, renewals keep the keys alive without waking a watcher. registrator writes each key again at each
    refresh, which wakes all watchers."""
    host.start("one", "two")
    agent = host.agent("-ttl", "4", "-ttl-refresh", "1").wait_ready()
    right, renewed = host.expected(), agent.metrics()[RENEWALS]
    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(host.etcd.watch, host.prefix, 5)
        while not woken.done():
            assert host.keys() == right
            assert all(left for left in lifetimes(host).values())
        assert woken.result() is None
    assert agent.metrics()[RENEWALS] >= renewed + 2 * len(right)
    begin = host.etcd.index() + 1
    host.engine.docker("kill", "one")
    woken_now = host.etcd.watch(host.prefix, 10, since=begin)
    assert woken_now
    assert woken_now["node"]["key"] == f"{host.prefix}/{host.key('one')}"


def test_keys_with_a_lifetime_expire_when_the_agent_is_gone(host: Host) -> None:
    """With `-ttl`, the keys of an agent that was killed expire. Keys without a lifetime stay."""
    host.start("one")
    agent = host.agent("-ttl", "2", "-ttl-refresh", "1").wait_ready()
    host.etcd.put(f"{host.prefix}/foreign/key", "stays")
    agent.kill9()
    host.wait_for({"foreign/key": "stays"})


def test_keys_get_the_lifetime_that_the_flags_say_and_keep_their_value(host: Host) -> None:
    """Keys get the lifetime that `-ttl` sets, or none, whatever lifetime they had before. Their values stay the
    same."""
    host.start("one", "two")
    right = host.expected()
    for ttl in (0, 600, 60, 600, 0):
        assert host.reconcile("-ttl", str(ttl), "-ttl-refresh", str(ttl // 2)).returncode == 0
        assert host.keys() == right
        assert all(left is None if ttl == 0 else left and ttl / 2 < left <= ttl for left in lifetimes(host).values())
    host.etcd.put(f"{host.prefix}/{host.key('one')}", host.keys()[host.key("one")], ttl=600)
    assert host.reconcile().returncode == 0
    assert set(lifetimes(host).values()) == {None}


@pytest.mark.parametrize("beside", [False, True])
def test_a_delete_removes_the_directories_that_it_leaves_empty(host: Host, beside: bool) -> None:
    """A delete also removes the directories that it leaves empty, but not the prefix, nor a directory with somebody
    else's key."""
    host.engine.run("--name db -P -e SERVICE_NAME=team/sub/db worker:1")
    host.start("one")
    agent = host.agent().wait_ready()
    if beside:
        host.etcd.put(f"{host.prefix}/team/theirs", "theirs")
        host.etcd.put(f"{host.prefix}/worker/theirs", "theirs")
    host.engine.docker("rm", "--force", "db", "one")
    left = {"team/theirs": "theirs", "worker/theirs": "theirs"} if beside else {}
    host.wait_for(left)
    folders = sorted(f"{host.prefix}/{key.partition('/')[0]}" for key in left)
    wait_until(lambda: host.etcd.ls_dirs(host.prefix) == folders, 10, "the empty directories to go")
    assert host.etcd.node(host.prefix) is not None
    assert agent.running
