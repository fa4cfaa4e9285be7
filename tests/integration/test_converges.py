"""Whatever happens to the agent or to its keys, the next pass ends in the same place."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.host import Host, on_both
from tests.support.waiting import wait_until

#: Keys of others under the prefix: another host's, custom ones, and rubbish.
FOREIGN = {
    "worker/core-02:c0:9000": "192.0.2.2:32768",
    "worker/not-an-id": "neither is this an address",
    "redis/redis-1": "192.0.2.3:6379",
    "json/x": '{"host":"192.0.2.4","port":80}',
    "empty/value": "",
    "straße/ключ?a#b%2F": "ü",
    "directly-under-the-prefix": "192.0.2.5:1",
}

#: An interval in seconds that is longer than any test: the agent makes its first pass and no other by itself.
ONE_PASS = 3600.0


class Churn:
    """Containers that are started, removed, replaced, restarted and renamed in a random order that the seed repeats."""

    def __init__(self, host: Host, seed: int) -> None:
        self._engine = host.engine
        self._host = host
        self._random = random.Random(seed)
        self._names = [f"c{number}" for number in range(6)]
        host.start(*self._names)

    def go(self, steps: int) -> None:
        """Do so many steps, one after the other."""
        for step in range(steps):
            name = self._random.choice(self._names)
            match self._random.choice(["start", "remove", "restart", "rename", "replace"]):
                case "start":
                    self._add(f"new{step}-{self._random.randrange(1000)}")
                case "remove":
                    self._remove(name)
                case "rename":
                    self._rename(name, f"{name}x")
                case "replace":
                    self._remove(name)
                    self._add(name)
                case "restart":
                    self._engine.docker("restart", name)

    def _add(self, name: str) -> None:
        self._host.start(name)
        self._names.append(name)

    def _remove(self, name: str) -> None:
        self._engine.docker("rm", "--force", name)
        self._names.remove(name)

    def _rename(self, name: str, to: str) -> None:
        self._engine.docker("rename", name, to)
        self._names[self._names.index(name)] = to


def put_foreign(host: Host) -> dict[str, Any]:
    """Put the foreign keys and an empty directory. Return what etcd says of them."""
    for key, value in FOREIGN.items():
        host.store.put(f"{host.prefix}/{key}", value)
    host.store.put(f"{host.prefix}/empty/directory/key", "")
    host.store.delete(f"{host.prefix}/empty/directory/key")
    return foreign(host)


def foreign(host: Host) -> dict[str, Any]:
    """Return what etcd says of the foreign keys and the empty directory: value, indices, lifetime."""
    return {key: host.store.node(f"{host.prefix}/{key}") for key in [*FOREIGN, "empty/directory"]}


# On v3 a whole batch is one write.
@pytest.mark.parametrize(
    ("host", "seed", "writes"), [(2, 1, 0), (2, 2, 1), (2, 3, 4), (2, 4, 8), (3, 5, 1), (3, 6, 3)], indirect=["host"]
)
def test_one_pass_makes_everything_right_after_an_agent_was_killed_at_any_moment(
    host: Host, seed: int, writes: int
) -> None:
    """An agent is killed after `writes` writes, during a burst of changes. The first pass of the next agent makes the
    registry exactly right, and keys of others stay untouched."""
    untouched = put_foreign(host)
    churn = Churn(host, seed)
    begin = host.store.index()
    agent = host.agent(interval=0.05)
    with ThreadPoolExecutor(1) as background:
        happening = background.submit(churn.go, 6)
        wait_until(lambda: host.store.index() >= begin + writes or happening.done(), 30, f"{writes} writes")
        agent.kill9()
        happening.result()
    churn.go(2)
    again = host.agent(interval=ONE_PASS).wait_ready()
    assert host.keys() == host.expected() | FOREIGN
    assert foreign(host) == untouched
    assert again.passes() == 1


@on_both("host")
def test_keys_that_somebody_changed_are_repaired_and_counted(host: Host) -> None:
    """A key that was deleted, overwritten or added in this host's name is repaired and counted as drift. Keys of others
    stay untouched."""
    untouched = put_foreign(host)
    host.start("one", "two", "six")
    agent = host.agent().wait_ready()
    right, ours, repaired = host.expected() | FOREIGN, f"{host.prefix}/worker/{host.owner}", agent.drift()
    damages: dict[str, Callable[[], object]] = {
        "missing": lambda: host.store.delete(f"{ours}:one:9000"),
        "overwritten": lambda: host.store.put(f"{ours}:two:9000", "192.0.2.66:666"),
        "orphan": lambda: host.store.put(f"{ours}:nobody:80", "192.0.2.66:666"),
    }
    for kind, damage in damages.items():
        damage()
        repaired[kind] += 1
        wait_until(lambda: agent.drift() == repaired, 10, f"the repair of {kind} to be counted")
        assert host.keys() == right
    assert foreign(host) == untouched


@on_both("host")
def test_a_prefix_that_somebody_removed_is_written_again(host: Host) -> None:
    """If the prefix is removed, every entry of this host is written again, and each counts as missing."""
    host.start("one", "two", "six")
    agent = host.agent().wait_ready()
    right = host.keys()
    host.store.delete(host.prefix, recursive=True)
    host.wait_for(right)
    wait_until(lambda: agent.drift()["missing"] == 3, 10, "the repairs to be counted")


def test_a_directory_in_the_place_of_a_key_is_logged_and_left_alone(host: Host) -> None:
    """If somebody's directory is where a key should be, the agent logs the key and leaves the directory alone. Other
    containers are registered, and this one is once the directory is gone."""
    host.start("one", "two")
    theirs = f"{host.prefix}/{host.key('one')}/theirs"
    host.etcd.put(theirs, "untouched")
    agent = host.agent()
    host.wait_for({host.key("two"): host.expected()[host.key("two")], f"{host.key('one')}/theirs": "untouched"})
    wait_until(lambda: host.key("one") in agent.log(), 10, "the log to name the key")
    host.etcd.delete(f"{host.prefix}/{host.key('one')}", recursive=True)
    host.wait_for(host.expected(), timeout=40)


#: The steps of a container's life, and the names that are registered after each.
LIFE_STEPS = {
    "pause one": {"one"},
    "unpause one": {"one"},
    "restart one": {"one"},
    "rename one two": {"two"},
    "stop two": set[str](),
    "start two": {"two"},
    "kill two": set[str](),
}


def test_a_container_has_the_right_key_after_each_step_of_its_life(host: Host) -> None:
    """After each step of its life, a container has exactly the key that it should have, with its present port."""
    host.start("one")
    agent = host.agent().wait_ready()
    for command, names in LIFE_STEPS.items():
        host.engine.docker(*command.split())
        host.wait_for(host.expected())
        assert host.keys().keys() == {host.key(name) for name in names}, command
    assert agent.running


def test_when_two_containers_swap_names_no_key_is_ever_absent(host: Host) -> None:
    """If two containers swap names between two passes, each key gets its new value without a delete in between."""
    host.start("one", "two")
    agent = host.agent("--no-hints", interval=ONE_PASS).wait_ready()
    one, two, before = host.key("one"), host.key("two"), host.keys()
    swapped = {one: before[two], two: before[one]}
    begin = host.etcd.index() + 1
    for old, new in [("one", "aside"), ("two", "one"), ("aside", "two")]:
        host.engine.docker("rename", old, new)
    agent.signal(signal.SIGHUP)
    host.wait_for(swapped)
    assert host.expected() == swapped
    assert [change["action"] for change in host.etcd.changes(host.prefix, begin)] == ["compareAndSwap"] * 2


def test_deregister_on_success_keeps_the_entry_of_a_container_that_fails_and_restarts(host: Host) -> None:
    """With `-deregister on-success`, the entry of a container that fails and is restarted stays, without any write."""
    begin = host.etcd.index() + 1
    agent = host.agent("-deregister", "on-success")
    host.engine.run("--name fails --restart always -p 18200:9000 worker:1 sh -c 'sleep 0.5; exit 3'")
    wait_until(lambda: host.engine.inspect("fails")["RestartCount"] >= 3, 30, "three restarts")
    assert host.keys() == {host.key("fails"): f"{host.engine.address}:18200"}
    assert [change["action"] for change in host.etcd.changes(host.prefix, begin)] == ["create"]
    assert agent.running


def test_the_plan_shows_a_container_with_the_number_2_before_one_with_10(host: Host) -> None:
    """The lines of a dry run are sorted as people count."""
    host.start("app-10", "app-2", "app-1")
    shown = [line for line in host.reconcile("--dry-run").stdout.splitlines() if line.startswith("+")]
    assert [line.split(":")[1] for line in shown] == ["app-1", "app-2", "app-10"]
