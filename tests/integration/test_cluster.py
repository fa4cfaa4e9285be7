"""An etcd cluster as in production: three members on hosts of their own, each of which may fail in its own way.

Each fault meets two agents of one host, one for each version of etcd's API. They use the same prefix in two stores.
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

#: Seconds that the back-off after an outage may take at most before the next pass.
RECOVERY = 30.0

FAILED = ("registry-error", "operation-error", "internal-error", "owner-conflict")

MemberAction = Callable[[CabledMember], object]

#: Each way in which a member fails: how to break it, and how to mend it.
FAULTS: dict[str, tuple[MemberAction, MemberAction]] = {
    "refuses": (CabledMember.kill, CabledMember.start),
    "hangs": (CabledMember.freeze, CabledMember.thaw),
    "cut off from its quorum": (CabledMember.leave_quorum, CabledMember.join_quorum),
    "cut off from us": (CabledMember.leave_clients, CabledMember.join_clients),
}

#: The errors that a read may raise while the members elect a leader.
_READ_ERRORS = (OSError, ValueError, RuntimeError, http.client.HTTPException)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A cluster of three members."""
    found = Lab(tmp_path_factory.mktemp("lab"))
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture
def cluster(host: Host, lab: Lab) -> Iterator[tuple[Host, Lab]]:
    """A clean engine, and an unused prefix in a cluster that is whole before and after the test."""
    yield host, lab
    for member in lab.cabled:
        member.join_quorum()
        member.join_clients()
    lab.start()


def run(host: Host, endpoints: str) -> dict[int, Agent]:
    """Start an agent for each API with these endpoints in this order, and wait until both have made a successful
    pass."""
    flags = ("--interval", "0.2", "-ip", host.engine.address)
    agents = {api: host.run(*flags, f"{scheme}://{endpoints}{host.prefix}") for api, scheme in SCHEMES.items()}
    for agent in agents.values():
        agent.wait_ready()
    return agents


def joined_endpoints(*members: CabledMember) -> str:
    """Return the members' endpoints as in a URI."""
    return ",".join(member.endpoint for member in members)


def failures(agent: Agent) -> dict[str, float]:
    """Return how many passes failed, by result."""
    return {result: agent.passes(result) for result in FAILED if agent.passes(result)}


def stores(endpoint: str) -> dict[int, EtcdV2 | EtcdV3]:
    """Return clients of a member's stores, by the version of the API."""
    return {2: EtcdV2(endpoint, timeout=2), 3: EtcdV3(endpoint, timeout=2)}


def registered(host: Host, members: Sequence[EtcdServer], api: int) -> dict[str, str]:
    """Return what is registered, as the first of these members that answers tells it; empty if none answers."""
    for member in members:
        try:
            found = stores(member.endpoint)[api].keys(host.prefix)
        except _READ_ERRORS:
            continue
        return {key.removeprefix(f"{host.prefix}/"): value for key, value in found.items()}
    return {}


def wait_for(host: Host, members: Sequence[EtcdServer], expected: dict[str, str] | None = None) -> None:
    """Wait until both stores hold exactly `expected`, or what the engine says. Members are asked in this order."""
    right = host.expected() if expected is None else expected
    for api in SCHEMES:
        wait_until(partial(_is_right, host, members, api, right), RECOVERY, f"the right keys by the v{api} API")


def _is_right(host: Host, members: Sequence[EtcdServer], api: int, right: dict[str, str]) -> bool:
    return registered(host, members, api) == right


@pytest.mark.parametrize("leads", [False, True], ids=["a follower", "the leader"])
@pytest.mark.parametrize("fault", FAULTS)
def test_when_a_member_fails_the_same_pass_asks_the_next_member(
    cluster: tuple[Host, Lab], fault: str, leads: bool
) -> None:
    """If the member that the agents use fails, the same pass asks the next one, and a container that starts then is
    registered. If the failed member was the leader, nobody takes writes until another is elected, and a pass may
    fail."""
    host, lab = cluster
    leader = lab.leader()
    first = leader if leads else next(member for member in lab.cabled if member is not leader)
    others = [member for member in lab.cabled if member is not first]
    host.start("before")
    agents = run(host, joined_endpoints(first, *others))
    break_it, mend = FAULTS[fault]
    break_it(first)
    if fault == "cut off from its quorum" and not leads:
        # There is nothing to write. Each v3 read goes through the quorum, so the v3 agent notices at once. The v2 agent
        # does not.
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


def test_a_member_that_answers_500_is_replaced_by_the_next_member(cluster: tuple[Host, Lab]) -> None:
    """If a member answers with status 500 and a page in HTML, as a proxy does whose member is away, the agent asks the
    next member and from then on starts with that one."""
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
            # Once it has failed, it is not asked again while the next member answers.
            assert agent.registry_errors() == 1


def test_the_registry_ends_right_when_the_leader_is_killed_while_containers_come_and_go(
    cluster: tuple[Host, Lab],
) -> None:
    """The leader is killed and comes back as a follower, three times. The registry ends right, and the key of a
    container that runs all along is never written."""
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


def test_without_a_quorum_passes_fail_and_nothing_is_deleted(cluster: tuple[Host, Lab]) -> None:
    """While two of three members are cut off from their peers, passes fail and say so. They succeed again once the
    members are connected."""
    host, lab = cluster
    host.start("one", "two")
    agents = run(host, lab.endpoints)
    for member in lab.cabled[:2]:
        member.leave_quorum()
    # Without a quorum, a v3 pass fails in any case, and a v2 pass only if it has something to write.
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


def test_a_cluster_that_lost_its_data_is_noticed_and_filled_again(cluster: tuple[Host, Lab]) -> None:
    """When a cluster was stopped, emptied and started anew, the agents log it once and register everything again. They
    leave alone what others have put there first."""
    host, lab = cluster
    host.start("one", "two")
    host.start("three", flags="-e SERVICE_ID=three")
    host.start("four", flags="-e SERVICE_ID=four")
    agents = run(host, lab.endpoints)
    right = registered(host, lab.cabled, 2)
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
    """An etcd that tells its clients a URL that nobody can reach, as behind NAT or with etcd's default."""

    def _flags(self, client: str, peer: str) -> dict[str, str]:
        return super()._flags(client, peer) | {"--advertise-client-urls": "http://192.0.2.1:2379"}


def test_urls_that_etcd_advertises_are_never_used(host: Host) -> None:
    """The agent connects only to the endpoints in its URI. python-etcd's own reconnecting would use the advertised
    URLs."""
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
