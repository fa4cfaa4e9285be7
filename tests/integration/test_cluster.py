"""etcd as it is run in production: several members, each of which may fail in its own way, on hosts of their own.

Each fault meets two agents of one host: one for each version of etcd's API, at the same prefix of two stores.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from controller.registry.failover import READ_TIMEOUT
from tests.support.agent import Agent
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v2 import EtcdV2
from tests.support.etcd_v3 import EtcdV3
from tests.support.host import SCHEMES, Host
from tests.support.lab import CabledMember, Lab
from tests.support.processes import free_ports
from tests.support.waiting import wait_until
from tests.support.wiretap import Moment, Wiretap

#: After an outage the next pass comes within the back-off that has built up.
RECOVERY = 30.0

FAILED = ("registry-error", "operation-error", "internal-error", "owner-conflict")

Deed = Callable[[CabledMember], object]

#: How a member fails, and how it is mended.
FAULTS: dict[str, tuple[Deed, Deed]] = {
    "refuses": (CabledMember.kill, CabledMember.start),
    "hangs": (CabledMember.freeze, CabledMember.thaw),
    "cut off from its quorum": (CabledMember.leave_quorum, CabledMember.join_quorum),
    "cut off from us": (CabledMember.leave_clients, CabledMember.join_clients),
}

#: What a read ends with while the members elect a leader.
_NO_ANSWER = (OSError, ValueError, RuntimeError, http.client.HTTPException)


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


def run(host: Host, endpoints: str) -> dict[int, Agent]:
    """An agent for each API that knows these endpoints, in this order; both have made a good pass."""
    flags = ("--interval", "0.2", "-ip", host.engine.address)
    agents = {api: host.run(*flags, f"{scheme}://{endpoints}{host.prefix}") for api, scheme in SCHEMES.items()}
    for agent in agents.values():
        agent.wait_ready()
    return agents


def in_order(*members: CabledMember) -> str:
    """Their endpoints."""
    return ",".join(member.endpoint for member in members)


def failures(agent: Agent) -> dict[str, float]:
    """How many passes failed, by how."""
    return {result: agent.passes(result) for result in FAILED if agent.passes(result)}


def stores(endpoint: str) -> dict[int, EtcdV2 | EtcdV3]:
    """What a member holds, by the version of the API."""
    return {2: EtcdV2(endpoint, timeout=2), 3: EtcdV3(endpoint, timeout=2)}


def below(host: Host, members: Sequence[EtcdServer], api: int) -> dict[str, str]:
    """What is registered, by what the first of these members says that answers; nothing while none does."""
    for member in members:
        try:
            found = stores(member.endpoint)[api].keys(host.prefix)
        except _NO_ANSWER:
            continue
        return {key.removeprefix(f"{host.prefix}/"): value for key, value in found.items()}
    return {}


def wait_for(host: Host, members: Sequence[EtcdServer], expected: dict[str, str] | None = None) -> None:
    """Wait until both stores have exactly this, or what the engine says; the members are asked in this order."""
    right = host.expected() if expected is None else expected
    for api in SCHEMES:
        wait_until(partial(_is_right, host, members, api, right), RECOVERY, f"the right keys by the v{api} API")


def _is_right(host: Host, members: Sequence[EtcdServer], api: int, right: dict[str, str]) -> bool:
    return below(host, members, api) == right


@pytest.mark.parametrize("leads", [False, True], ids=["a follower", "the leader"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_member_that_fails_costs_a_timeout_and_no_pass(cluster: tuple[Host, Lab], fault: str, leads: bool) -> None:
    """The one that the agents talk to fails; a container that starts then is registered by way of the next, in the
    same pass. When it was the leader there is nobody to write to until another is elected, and a pass may fail."""
    host, lab = cluster
    leader = lab.leader()
    first = leader if leads else next(member for member in lab.cabled if member is not leader)
    others = [member for member in lab.cabled if member is not first]
    host.start("before")
    agents = run(host, in_order(first, *others))
    break_it, mend = FAULTS[fault]
    break_it(first)
    if fault == "cut off from its quorum" and not leads:
        # With nothing to write: each read of v3 goes through the quorum, so it is noticed at once. By v2 it is not.
        wait_until(
            lambda: agents[3].registry_errors() >= 1, 2 * READ_TIMEOUT, "the v3 agent to turn to the next member"
        )
    host.start("meanwhile")
    begin = time.monotonic()
    wait_for(host, others)
    assert time.monotonic() - begin < 15
    for agent in agents.values():
        assert agent.registry_errors() >= 1
        assert leads or not failures(agent)
    mend(first)
    host.engine.docker("rm", "--force", "before")
    wait_for(host, others)


def test_a_member_that_answers_500_is_passed_over(cluster: tuple[Host, Lab]) -> None:
    """As a proxy does in front of one that is away; with a page in HTML."""
    host, lab = cluster

    def fail(moment: Moment) -> bool:
        moment.status = 500
        return True

    with Wiretap(lab.cabled[0].endpoint, fail) as tap:
        agents = run(host, f"{tap.endpoint},{lab.cabled[1].endpoint}")
        host.start("one")
        wait_for(host, lab.cabled)
        for agent in agents.values():
            agent.wait_for_passes(3)
            assert failures(agent) == {}
            # Once refused it is not asked again while the next one answers.
            assert agent.registry_errors() == 1


def test_the_leader_is_killed_while_containers_come_and_go(cluster: tuple[Host, Lab]) -> None:
    """And comes back as a follower, three times over."""
    host, lab = cluster
    host.start("stays")
    agents = run(host, lab.endpoints)
    steady = f"{host.prefix}/{host.key('stays')}"
    before = {api: store.node(steady) for api, store in stores(lab.any().endpoint).items()}
    for turn in range(3):
        old = lab.leader()
        old.kill()
        host.start(f"new{turn}")
        if turn:
            host.engine.docker("rm", "--force", f"new{turn - 1}")
        lab.leader(other_than=old)
        old.start()
    wait_for(host, lab.cabled)
    assert {api: store.node(steady) for api, store in stores(lab.any().endpoint).items()} == before
    assert None not in before.values()
    for agent in agents.values():
        assert agent.running
        assert "Traceback" not in agent.log()


def test_no_quorum_is_an_outage_and_no_reason_to_delete(cluster: tuple[Host, Lab]) -> None:
    """Two of three are cut off from their peers: passes fail and say so, and go on when the cables are mended."""
    host, lab = cluster
    host.start("one", "two")
    agents = run(host, lab.endpoints)
    for member in lab.cabled[:2]:
        member.leave_quorum()
    # A pass of v3 fails for want of a quorum alone, one of v2 when it has something to write.
    wait_until(lambda: failures(agents[3]), RECOVERY, "a pass that fails with nothing to write")
    host.engine.docker("rm", "--force", "two")
    host.start("three")
    for agent in agents.values():
        wait_until(partial(failures, agent), RECOVERY, "a pass that fails")
        assert agent.get("/readyz")[0] == 503
        assert agent.get("/healthz")[0] == 200
    for member in lab.cabled[:2]:
        member.join_quorum()
    wait_for(host, lab.cabled)
    for agent in agents.values():
        agent.wait_ready(RECOVERY)


def test_a_cluster_that_lost_everything_is_noticed_and_filled_again(cluster: tuple[Host, Lab]) -> None:
    """Stopped, emptied and started anew, as after a disaster; what others put there first is let be."""
    host, lab = cluster
    host.start("one", "two")
    host.start("three", flags="-e SERVICE_ID=three")
    host.start("four", flags="-e SERVICE_ID=four")
    agents = run(host, lab.endpoints)
    right = below(host, lab.cabled, 2)
    assert {"worker/three", "worker/four"} <= right.keys()
    wait_for(host, lab.cabled, right)
    for member in lab.cabled:
        member.forget()
    for member in lab.cabled:
        member.join(lab.cabled)
    lab.start()
    theirs = "worker/core-99:one:9000"
    for store in stores(lab.any().endpoint).values():
        store.put(f"{host.prefix}/{theirs}", "192.0.2.9:80")
    wait_for(host, lab.cabled, right | {theirs: "192.0.2.9:80"})
    for agent in agents.values():
        agent.wait_ready(RECOVERY)
        assert agent.log().count("registry was replaced, wiped or restored; earlier passes are forgotten") == 1
    endpoint = lab.any().endpoint
    assert {change["action"] for change in EtcdV2(endpoint).changes(host.prefix, 1)} == {"set", "create"}
    assert {event.kind for event in EtcdV3(endpoint).changes(host.prefix, 1)} == {"PUT"}


class Misadvertised(EtcdServer):
    """An etcd that tells its clients of a URL at which nobody reaches it, as behind NAT or with etcd's default."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, peer) | {"--advertise-client-urls": "http://192.0.2.1:2379"}


def test_advertised_urls_that_nobody_can_reach_do_not_matter(host: Host) -> None:
    """Only what the operator gave is dialled: python-etcd's own reconnecting would go to the advertised ones."""
    etcd = Misadvertised()
    try:
        etcd.start()
        host.start("one")
        agents = run(host, f"127.0.0.1:{free_ports(1)[0]},{etcd.endpoint}")
        wait_for(host, [etcd])
        etcd.kill()
        for agent in agents.values():
            wait_until(partial(failures, agent), RECOVERY, "a pass that fails")
            assert "192.0.2.1" not in agent.get("/readyz")[1]
        etcd.start()
        host.start("two")
        wait_for(host, [etcd])
        for agent in agents.values():
            assert "192.0.2.1" not in agent.log()
    finally:
        etcd.close()
