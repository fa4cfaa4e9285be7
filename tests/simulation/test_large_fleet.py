"""A host among many others, in virtual time. By v3, its agent reads only the keys that matter, and sweeps for the
rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model.report import PassReport
from tests.simulation.bounds import Bounds
from tests.simulation.fleet import MEMBERS, PREFIX
from tests.simulation.quiet_host import QuietHost, quiet_host
from tests.simulation.run import NEIGHBOURS

#: Of a key that the host has.
KEY = f"{PREFIX}/web/core-1:web:80"

#: More than an interval and a pass, and more than that and the time-out of one request.
INTERVAL, TIMEOUT = 1.2, 3.5


@pytest.fixture(params=[True, False], ids=["hints", "no-hints"])
def host(request: pytest.FixtureRequest) -> Iterator[QuietHost]:
    """A host among many others, whose agent is at rest."""
    with quiet_host(3, request.param, NEIGHBOURS) as host:
        yield host


def test_what_somebody_does_to_a_key_of_the_host_is_repaired_by_the_next_pass(host: QuietHost) -> None:
    """The repair does not wait for a sweep."""
    check_repairs(host)


@pytest.mark.parametrize("hints", [True, False], ids=["hints", "no-hints"])
def test_in_a_small_fleet_too(hints: bool) -> None:
    """There, a pass reads what is new under the prefix, and counts the keys."""
    with quiet_host(3, hints, resync=600) as host:
        check_repairs(host)


def check_repairs(host: QuietHost) -> None:
    """Check that the next pass repairs a key that is deleted, overwritten, deleted and written again, or removed with
    the whole prefix."""
    cluster = host.fleet.cluster
    cluster.delete("v3", KEY)
    assert host.until_right() < INTERVAL
    cluster.put("v3", KEY, "192.0.2.1:1")
    assert host.until_right() < INTERVAL
    cluster.delete("v3", KEY)
    cluster.put("v3", KEY, "192.0.2.1:2")
    assert host.until_right() < INTERVAL
    cluster.delete_prefix("v3", f"{PREFIX}/")
    assert host.until_right() < INTERVAL


def test_an_orphan_that_the_agent_never_saw_is_found_by_a_sweep(host: QuietHost) -> None:
    """The time depends on the number of hosts."""
    host.fleet.cluster.put("v3", f"{PREFIX}/web/core-1:ghost:80", "192.0.2.1:1")
    hosts = NEIGHBOURS + 1
    assert host.until_right(200) < Bounds.of(host.host.flags.times).sweep * hosts / 20 + INTERVAL


def test_orphans_of_others_are_theirs(host: QuietHost) -> None:
    """A sweep reads them and leaves them."""
    key = f"{PREFIX}/web/neighbour-3:ghost:80"
    host.fleet.cluster.put("v3", key, "192.0.2.1:1")
    host.after(100)
    assert host.keys == host.right | {key: "192.0.2.1:1"}
    assert host.changes == {key: 1}


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_that_is_cut_off_from_the_others_hides_nothing(host: QuietHost, member: str) -> None:
    """It would answer compares alone from what it knew. The agent asks the next member in the same pass."""
    host.fleet.cluster.isolate(member)
    host.after(5)
    for _ in range(3):
        host.fleet.cluster.delete("v3", KEY)
        assert host.until_right() < TIMEOUT
        host.after(5)


def test_an_agent_goes_on_reading_a_full_etcd(host: QuietHost) -> None:
    """etcd refuses even transactions that only read, and answers ranges. So passes that have nothing to write
    succeed, and a change is made as soon as there is space."""
    reports: list[PassReport] = []
    host.fleet.on_pass_ended = lambda _, report: reports.append(report)
    host.fleet.cluster.put("v3", "/elsewhere", "1")
    host.fleet.cluster.full(True)
    for _ in range(5):
        host.fleet.cluster.put("v3", "/elsewhere", "1")
        host.after(2)
    assert [each.problem for each in reports if not each.succeeded] == []
    assert len(reports) > 8
    host.fleet.cluster.delete("v3", KEY)
    host.after(3)
    assert not all(each.succeeded for each in reports)
    host.fleet.cluster.full(False)
    assert host.until_right() < 10


def test_a_container_that_starts_or_ends_is_registered_and_removed(host: QuietHost) -> None:
    """Also if somebody else has its key."""
    host.run("new")
    assert host.until_right() < INTERVAL
    host.engine.remove("new", force=True)
    assert host.until_right() < INTERVAL + 2
    host.fleet.cluster.put("v3", f"{PREFIX}/db/own", "192.0.2.9:9")
    host.after(3)
    host.run("taken", SERVICE_NAME="db", SERVICE_ID="own")
    host.after(30)
    assert host.keys[f"{PREFIX}/db/own"] == "192.0.2.9:9"
    assert host.changes[f"{PREFIX}/db/own"] == 1
