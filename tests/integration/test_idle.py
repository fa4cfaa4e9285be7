"""What an agent does while nothing happens: nothing. And how long its keys live without it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.host import Host
from tests.support.waiting import wait_until

RENEWALS = 'wharfinger_operations_total{action="renew",registry="etcd",result="applied"}'


def lifetimes(host: Host) -> dict[str, int | None]:
    """Each key's remaining seconds as etcd tells them; None for a key that stays."""
    nodes = {key: host.etcd.node(f"{host.prefix}/{key}") for key in sorted(host.keys())}
    return {key: node.get("ttl") for key, node in nodes.items() if node}


def test_a_hundred_idle_passes_write_nothing(host: Host) -> None:
    """etcd's index stands still, also with a refused port and with keys of others about."""
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
    """registrator puts each key anew at each refresh, which wakes whoever watches them."""
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
    """What `-ttl` is for. Keys without one stay."""
    host.start("one")
    agent = host.agent("-ttl", "2", "-ttl-refresh", "1").wait_ready()
    host.etcd.put(f"{host.prefix}/foreign/key", "stays")
    agent.kill9()
    host.wait_for({"foreign/key": "stays"})


def test_lifetimes_follow_the_flags_without_a_new_value(host: Host) -> None:
    """From none to one, to a shorter one, to none, and from a lifetime that somebody else put."""
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
def test_directories_left_empty_by_a_delete_go(host: Host, beside: bool) -> None:
    """But none that holds somebody else's key, and not the prefix."""
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
