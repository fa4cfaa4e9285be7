"""Several registries at once, each a real etcd: a fault of one does not affect the others."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from tests.support.agent import Agent, run_once
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.waiting import wait_until

#: How to break the second registry, and how to mend it: requests to it fail at once, or after a time-out.
AWAY: dict[str, tuple[Callable[[EtcdServer], None], Callable[[EtcdServer], object]]] = {
    "killed": (EtcdServer.kill, EtcdServer.start),
    "frozen": (EtcdServer.freeze, EtcdServer.thaw),
}

#: Seconds for a pass or two at the agent's interval, on a machine that does other things as well.
AT_ONCE = 3.0

#: Seconds for the back-off that has built up after a short outage, and for a pass.
RECOVERY = 20.0

each_fault = pytest.mark.parametrize("fault", AWAY)


@frozen
class Two:
    """One engine, and two registries for its entries: on two servers, or two prefixes of one."""

    first: Host
    second: Host

    @property
    def uris(self) -> tuple[str, str]:
        """The URIs in the order of the command line."""
        return self.first.uri, self.second.uri

    def agent(self) -> Agent:
        """Start an agent for both registries."""
        return self.first.run("--interval", "0.2", "-ip", self.first.engine.address, *self.uris)

    def reconcile(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run one pass over both registries."""
        first = self.first
        return run_once(first.engine.socket_url, "reconcile", "-ip", first.engine.address, *flags, *self.uris)

    def deregister(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Deregister this host from both registries."""
        return run_once("", "deregister", "--hostname", self.first.owner, "--wait=0.5", *flags, *self.uris)

    def wait(self) -> dict[str, str]:
        """Wait until both registries hold what they should, and return that."""
        right = self.first.expected()
        self.first.wait_for(right, RECOVERY)
        self.second.wait_for(right, RECOVERY)
        return right


@pytest.fixture
def two(host: Host, fresh_etcd: EtcdServer, tmp_path: Path) -> Two:
    """Registries on two servers, the second of which may be broken."""
    return Two(host, Host(host.engine, fresh_etcd, tmp_path))


@pytest.fixture
def prefixes(host: Host, tmp_path: Path) -> Two:
    """Registries at two prefixes of one server."""
    return Two(host, Host(host.engine, host.etcd, tmp_path))


def test_entries_are_registered_in_both_registries(two: Two) -> None:
    """Each registry has a plan, a label and a line of its own, and the log says which registry each line is about."""
    two.first.start("one", "two")
    two.second.etcd.put(f"{two.second.prefix}/{two.first.key('ghost')}", "192.0.2.8:8")
    agent = two.agent().wait_ready()
    two.wait()
    lines = agent.get("/readyz")[1].splitlines()
    assert lines == ["etcd: ok: 2 of 2 entries in sync, 0 refused.", "etcd-2: ok: 2 of 2 entries in sync, 0 refused."]
    assert agent.get("/healthz") == (200, "etcd: ok\netcd-2: ok\n")
    seen = agent.metrics()
    assert [seen[f'wharfinger_entries_desired{{registry="{label}"}}'] for label in ("etcd", "etcd-2")] == [2, 2]
    deletes = 'wharfinger_operations_total{{action="delete",registry="{}",result="applied"}}'
    assert [seen[deletes.format(label)] for label in ("etcd", "etcd-2")] == [0, 1]
    assert set(agent.drift().values()) == {0.0}
    log = agent.log().splitlines()
    assert len([line for line in log if " started [wharfinger]" in line]) == 2
    (ghost,) = (line for line in log if "ghost" in line)
    assert ghost.endswith("registry=etcd-2")
    two.first.engine.docker("rm", "--force", "one")
    assert two.wait().keys() == {two.first.key("two")}


@each_fault
def test_a_registry_that_is_down_does_not_delay_the_other(two: Two, fault: str) -> None:
    """While one registry is down, the other one gets changes within a pass or two. Metrics and health say which one is
    down, and it catches up when it is back."""
    break_it, mend = AWAY[fault]
    two.first.start("stays", "goes")
    agent = two.agent().wait_ready()
    two.wait()
    break_it(two.second.etcd)
    agent.wait_for_passes(1, "registry-error", registry="etcd-2")
    two.first.start("comes")
    two.first.engine.docker("rm", "--force", "goes")
    two.first.wait_for(two.first.expected(), AT_ONCE)
    status, body = agent.get("/readyz")
    first, second = body.splitlines()
    assert (status, first.rpartition(": ")[0]) == (503, "etcd: ok")
    assert second.startswith("etcd-2: registry-error: http://")
    assert agent.get("/healthz")[0] == 200
    assert agent.passes("registry-error", registry="etcd") == 0
    ages = {
        label: agent.metrics()[f'wharfinger_last_success_timestamp_seconds{{registry="{label}"}}']
        for label in ("etcd", "etcd-2")
    }
    assert ages["etcd"] > ages["etcd-2"] > 0
    mend(two.second.etcd)
    assert two.wait().keys() == {two.first.key("stays"), two.first.key("comes")}
    agent.wait_ready(RECOVERY)


def test_a_registry_that_was_never_reachable_does_not_delay_the_other(two: Two) -> None:
    """A registry that was never reachable keeps the agent neither from registering in the other, nor from ending at
    once."""
    two.first.start("one")
    two.second.etcd.freeze()
    agent = two.agent()
    two.first.wait_for(two.first.expected(), 10)
    assert agent.get("/readyz")[0] == 503
    begin = time.monotonic()
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert time.monotonic() - begin < 2


def test_sighup_starts_a_pass_over_both_registries_at_once(two: Two) -> None:
    """SIGHUP starts a pass over both registries, however long the interval is."""
    agent = two.first.run("--interval", "3600", "-ip", two.first.engine.address, *two.uris).wait_ready()
    two.first.start("one")
    agent.signal(signal.SIGHUP)
    two.wait()


def test_two_prefixes_of_one_etcd_are_independent_registries(prefixes: Two) -> None:
    """Entries at one prefix are neither orphans nor foreign at the other, and each can be deregistered alone."""
    prefixes.first.start("one", "two")
    prefixes.first.engine.run("--name custom -P -e SERVICE_9000_ID=my-id worker:1")
    agent = prefixes.agent().wait_ready()
    wait_until(lambda: len(prefixes.first.keys()) == len(prefixes.second.keys()) == 3, what="the entries")
    index = prefixes.first.etcd.index()
    for label in ("etcd", "etcd-2"):
        agent.wait_for_passes(5, registry=label)
        assert agent.metrics()[f'wharfinger_entries_foreign{{registry="{label}"}}'] == 0
    assert prefixes.first.etcd.index() == index
    agent.terminate()
    only = ("deregister", "--hostname", prefixes.first.owner, "--yes", "--wait=0.2", prefixes.first.uri)
    assert run_once("", *only).returncode == 0
    assert (len(prefixes.first.keys()), len(prefixes.second.keys())) == (0, 3)


def test_entries_move_from_one_registry_to_another_by_way_of_both(two: Two) -> None:
    """An agent for the old registry, then for both, then for the new one: entries stay in the old registry until
    `deregister` removes them."""
    two.first.start("one", "two")
    before = two.first.agent().wait_ready()
    right = two.first.expected()
    both = two.agent().wait_ready()
    before.terminate()
    assert two.wait() == right
    after = two.second.agent().wait_ready()
    both.terminate()
    gone = run_once("", "deregister", "--hostname", two.first.owner, "--yes", "--wait=1", two.first.uri)
    assert (gone.returncode, two.first.keys(), two.second.keys()) == (0, {}, right)
    after.wait_for_passes(2)
    assert two.first.keys() == {}
    after.terminate()


@each_fault
def test_reconcile_with_one_registry_down_changes_the_other_and_ends_with_1(two: Two, fault: str) -> None:
    """`reconcile` with one registry down changes the other one, in any order on the command line. It ends with 1 and
    says why."""
    two.first.start("one")
    AWAY[fault][0](two.second.etcd)
    down = Two(two.second, two.first)
    dry = down.reconcile("--dry-run", "--exit-code")
    assert (dry.returncode, two.first.keys()) == (1, {})
    headings = [f"{two.second.uri}:", "No plan: registry-error.", "", f"{two.first.uri}:"]
    assert dry.stdout.splitlines()[:4] == headings
    assert dry.stderr.startswith(f"wharfinger: {two.second.uri}: registry-error: http://{two.second.etcd.endpoint}: ")
    assert len(dry.stderr.splitlines()) == 1
    done = down.reconcile("-o", "json")
    assert (done.returncode, two.first.keys()) == (1, two.first.expected())
    told = json.loads(done.stdout)["registries"]
    assert [(each["registry"], each["result"]) for each in told] == [
        ("etcd", "registry-error"),
        ("etcd-2", "success"),
    ]


@each_fault
def test_deregister_with_one_registry_down_empties_the_other_and_ends_with_1(two: Two, fault: str) -> None:
    """`deregister` with one registry down removes the entries from the other one and ends with 1. Run again, it removes
    the rest."""
    two.first.start("one")
    assert two.reconcile().returncode == 0
    break_it, mend = AWAY[fault]
    break_it(two.second.etcd)
    done = two.deregister("--yes")
    assert (done.returncode, two.first.keys()) == (1, {})
    assert done.stderr.startswith(f"wharfinger: {two.second.uri}: http://{two.second.etcd.endpoint}: ")
    assert done.stdout.splitlines()[-1] == f"{two.first.uri}: Removed 1 of 1 entries of '{two.first.owner}'."
    mend(two.second.etcd)
    assert len(two.second.keys()) == 1
    again = two.deregister("--yes")
    assert (again.returncode, again.stderr, two.second.keys()) == (0, "", {})
