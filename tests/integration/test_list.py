"""``wharfinger list`` and ``wharfinger hosts``, with real agents of several hosts in a real etcd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller import __version__
from tests.support.agent import Agent, run_once
from tests.support.engine import Unavailable
from tests.support.first_version import first_version
from tests.support.host import Host, on_both
from tests.support.waiting import wait_until

#: A heartbeat that expires soon.
BEATING = ("--heartbeat=2", "--pass-timeout=2")


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the source of 0.1.0."""
    found = first_version(tmp_path_factory.mktemp("first-version"))
    if isinstance(found, Unavailable):
        pytest.skip(f"0.1.0 cannot be taken out of the history: {found.reason}")
    return found


def agent_of(host: Host, owner: str, *flags: str, **more: Any) -> Agent:
    """Start the agent of one of several hosts on one engine. It registers the containers with its own host's label."""
    return host.agent("--hostname", owner, "--filter", f"label=host={owner}", *flags, **more)


def asked(command: str, agent: Agent) -> list[dict[str, Any]]:
    """Return what `list` or `hosts` shows of the only registry of an agent."""
    done = run_once("", command, "-o", "json", env={"WHARFINGER_LISTEN": agent.listen})
    assert (done.returncode, done.stderr) == (0, "")
    (registry,) = json.loads(done.stdout)["registries"]
    shown: list[dict[str, Any]] = registry["entries" if command == "list" else "hosts"]
    return shown


def hosts(agent: Agent) -> dict[str, dict[str, Any]]:
    """Return what `hosts` shows, by owner."""
    return {each["owner"]: each for each in asked("hosts", agent)}


@on_both("host")
def test_a_fleet_with_a_dead_host_a_drained_one_an_old_one_and_a_foreign_key(host: Host, old_tree: Path) -> None:
    """Each is told apart. The dead one was alive as long as its agent ran. The old one has 0.1.0, which does not tell
    its version, and is known to be alive by the lifetime of its entries alone."""
    dead, alive = agent_of(host, "dead", *BEATING), agent_of(host, "alive", *BEATING)
    old = agent_of(host, "old", "-ttl=60", "-ttl-refresh=20", tree=old_tree)
    for owner, names in {"dead": ("dd",), "alive": ("aa", "drained"), "old": ("oo",)}.items():
        host.start(*names, flags=f"--label host={owner}")
    wait_until(lambda: len(host.keys()) == 4, what="the entries")
    for each in (dead, alive, old):
        each.wait_ready()
    host.store.put(f"{host.prefix}/worker/theirs", "10.0.0.9:80")
    assert {owner: each["alive"] for owner, each in hosts(alive).items()} == dict.fromkeys(
        ("dead", "alive", "old"), "yes"
    )
    done = run_once("", "drain", "drained", "--wait=0", f"--agent=http://{alive.listen}", env={})
    assert (done.returncode, done.stderr) == (0, "")
    dead.kill9()
    heartbeat = host.beside_record("alive", "dead")
    wait_until(lambda: host.store.get(heartbeat) is None, what="the heartbeat to expire")
    entries = {each["id"]: each for each in asked("list", alive)}
    assert {name: (each["owner"], each["container"], each["state"]) for name, each in entries.items()} == {
        "alive:aa:9000": ("alive", "aa", "ours"),
        "dead:dd:9000": ("dead", "dd", "orphan"),
        "old:oo:9000": ("old", "oo", "ours"),
        "theirs": (None, None, "foreign"),
    }
    assert [name for name, each in entries.items() if each["this_host"]] == ["alive:aa:9000"]
    assert 30 <= entries["old:oo:9000"]["seconds_left"] <= 60
    found = hosts(alive)
    assert [each["name"] for each in found["alive"]["draining"]["containers"]] == ["drained"]
    assert {owner: each["entries"] for owner, each in found.items()} == {"alive": 1, "dead": 1, "old": 1}
    assert (found["alive"]["alive"], found["alive"]["this_host"]) == ("yes", True)
    assert (found["old"]["version"], found["old"]["alive"], found["old"]["recorded"]) == (None, "yes", True)
    assert (found["dead"]["alive"], found["dead"]["version"]) == ("no", __version__)
    assert {each["engine"] for each in found.values()} == {found["alive"]["engine"]}
