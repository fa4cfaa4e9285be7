"""etcd as it is run in production: several members, each of which may fail in its own way, on hosts of their own."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.agent import Agent
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.lab import CabledMember, Lab
from tests.support.processes import free_ports
from tests.support.waiting import wait_until
from tests.support.wiretap import Moment, Wiretap

#: After an outage the next pass comes within the back-off that has built up.
RECOVERY = 30.0

ERRORS = 'wharfinger_registry_request_errors_total{registry="etcd"}'
FAILED = ("registry-error", "operation-error", "internal-error", "owner-conflict")

Deed = Callable[[CabledMember], object]

#: How a member fails, and how it is mended.
FAULTS: dict[str, tuple[Deed, Deed]] = {
    "refuses": (CabledMember.kill, CabledMember.start),
    "hangs": (CabledMember.freeze, CabledMember.thaw),
    "cut off from its quorum": (CabledMember.leave_quorum, CabledMember.join_quorum),
    "cut off from us": (CabledMember.leave_clients, CabledMember.join_clients),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three members."""
    found = Lab(tmp_path_factory.mktemp("lab"))
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture
def cluster(host: Host, lab: Lab) -> Iterator[tuple[Host, Lab]]:
    """A clean engine, and an unused prefix in a cluster that is in order before and after."""
    yield host, lab
    for member in lab.cabled:
        member.join_quorum()
        member.join_clients()
    lab.start()


def run(host: Host, endpoints: str) -> Agent:
    """An agent that knows these endpoints, in this order."""
    return host.run("--interval", "0.2", "-ip", host.engine.address, f"etcd://{endpoints}{host.prefix}")


def in_order(*members: CabledMember) -> str:
    """Their endpoints."""
    return ",".join(member.endpoint for member in members)


def failures(agent: Agent) -> dict[str, float]:
    """How many passes failed, by how."""
    return {result: agent.passes(result) for result in FAILED if agent.passes(result)}


def wait_for(host: Host, lab: Lab, timeout: float = RECOVERY) -> None:
    """Wait until the cluster has exactly what the engine says."""
    wait_until(lambda: below(host, lab) == host.expected(), timeout, "the right keys")


def below(host: Host, lab: Lab) -> dict[str, str]:
    """What is registered."""
    return {key.removeprefix(f"{host.prefix}/"): value for key, value in lab.any().keys(host.prefix).items()}


@pytest.mark.parametrize("leads", [False, True], ids=["a follower", "the leader"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_member_that_fails_costs_a_timeout_and_no_pass(cluster: tuple[Host, Lab], fault: str, leads: bool) -> None:
    """The one that the agent talks to fails; a container that starts then is registered by way of the next, in the
    same pass. When it was the leader there is nobody to write to until another is elected, and a pass may fail."""
    host, lab = cluster
    leader = lab.leader()
    first = leader if leads else next(member for member in lab.cabled if member is not leader)
    others = [member for member in lab.cabled if member is not first]
    host.start("before")
    agent = run(host, in_order(first, *others)).wait_ready()
    break_it, mend = FAULTS[fault]
    break_it(first)
    host.start("meanwhile")
    begin = time.monotonic()
    host.etcd = others[0]
    wait_until(lambda: keys_at(others, host) == host.expected(), RECOVERY, "the new key")
    assert time.monotonic() - begin < 15
    assert agent.metrics()[ERRORS] >= 1
    assert leads or not failures(agent)
    mend(first)
    host.engine.docker("rm", "--force", "before")
    wait_for(host, lab)


def keys_at(members: list[CabledMember], host: Host) -> dict[str, str]:
    """What is registered, by what one of these members says; nothing while they elect a leader."""
    for member in members:
        host.etcd = member
        try:
            return host.keys()
        except (OSError, ValueError, RuntimeError, http.client.HTTPException):
            continue
    return {}


def test_a_member_that_answers_500_is_passed_over(cluster: tuple[Host, Lab]) -> None:
    """As a proxy does in front of one that is away; with a page in HTML."""
    host, lab = cluster

    def fail(moment: Moment) -> bool:
        moment.status = 500
        return True

    with Wiretap(lab.cabled[0].endpoint, fail) as tap:
        agent = run(host, f"{tap.endpoint},{lab.cabled[1].endpoint}").wait_ready()
        host.start("one")
        wait_for(host, lab)
        agent.wait_for_passes(3)
        assert failures(agent) == {}
        # Once refused it is not asked again while the next one answers.
        assert agent.metrics()[ERRORS] == 1


def test_the_leader_is_killed_while_containers_come_and_go(cluster: tuple[Host, Lab]) -> None:
    """And comes back as a follower, three times over."""
    host, lab = cluster
    host.start("stays")
    agent = run(host, lab.endpoints).wait_ready()
    before = lab.any().node(f"{host.prefix}/{host.key('stays')}")
    for turn in range(3):
        old = lab.leader()
        old.kill()
        host.start(f"new{turn}")
        if turn:
            host.engine.docker("rm", "--force", f"new{turn - 1}")
        lab.leader(other_than=old)
        old.start()
    wait_for(host, lab)
    assert lab.any().node(f"{host.prefix}/{host.key('stays')}") == before
    assert agent.running
    assert "Traceback" not in agent.log()


def test_no_quorum_is_an_outage_and_no_reason_to_delete(cluster: tuple[Host, Lab]) -> None:
    """Two of three are cut off from their peers: passes fail and say so, and go on when the cables are mended."""
    host, lab = cluster
    host.start("one", "two")
    agent = run(host, lab.endpoints).wait_ready()
    for member in lab.cabled[:2]:
        member.leave_quorum()
    host.engine.docker("rm", "--force", "two")
    host.start("three")
    wait_until(lambda: failures(agent), RECOVERY, "a pass that fails")
    assert agent.get("/readyz")[0] == 503
    assert agent.get("/healthz")[0] == 200
    for member in lab.cabled[:2]:
        member.join_quorum()
    wait_for(host, lab)
    agent.wait_ready(RECOVERY)


def test_a_cluster_that_lost_everything_is_noticed_and_filled_again(cluster: tuple[Host, Lab]) -> None:
    """Stopped, emptied and started anew, as after a disaster; what others put there first is let be."""
    host, lab = cluster
    host.start("one", "two")
    host.start("three", flags="-e SERVICE_ID=three")
    host.start("four", flags="-e SERVICE_ID=four")
    agent = run(host, lab.endpoints).wait_ready()
    right = below(host, lab)
    assert {"worker/three", "worker/four"} <= right.keys()
    for member in lab.cabled:
        member.forget()
    for member in lab.cabled:
        member.join(lab.cabled)
    lab.start()
    lab.any().put(f"{host.prefix}/worker/core-99:one:9000", "192.0.2.9:80")
    expected = right | {"worker/core-99:one:9000": "192.0.2.9:80"}
    wait_until(lambda: below(host, lab) == expected, RECOVERY, "the entries to be there again")
    agent.wait_ready(RECOVERY)
    assert agent.log().count("registry is another one, or went back in time; starting afresh") == 1
    changes = list(lab.any().changes(host.prefix, 1))
    assert {change["action"] for change in changes} == {"set", "create"}


class Misadvertised(EtcdServer):
    """An etcd that tells its clients of a URL at which nobody reaches it, as behind NAT or with etcd's default."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, peer) | {"--advertise-client-urls": "http://192.0.2.1:2379"}


def test_advertised_urls_that_nobody_can_reach_do_not_matter(host: Host) -> None:
    """Only what the operator gave is dialled: python-etcd's own reconnecting would go to the advertised ones."""
    etcd = Misadvertised()
    host.etcd = etcd
    try:
        etcd.start()
        host.start("one")
        agent = run(host, f"127.0.0.1:{free_ports(1)[0]},{etcd.endpoint}").wait_ready()
        assert host.keys() == host.expected()
        etcd.kill()
        wait_until(lambda: failures(agent), RECOVERY, "a pass that fails")
        assert "192.0.2.1" not in agent.get("/readyz")[1]
        etcd.start()
        host.start("two")
        host.wait_for(host.expected(), RECOVERY)
        assert "192.0.2.1" not in agent.log()
    finally:
        etcd.close()
