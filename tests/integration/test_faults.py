"""etcd and the engine stopped, killed, frozen and started again under a running agent, which outlives all of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.agent import PROGRAM, Agent
from tests.support.engine import Unavailable
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host, on_both
from tests.support.images import build_test_images
from tests.support.private_engine import PrivateEngine, private_engine
from tests.support.processes import REPOSITORY, Child, clean_environment
from tests.support.waiting import wait_until

#: After an outage the next pass comes within the back-off that has built up: 1, 2, 4, 8 ... seconds.
RECOVERY = 30.0

ATTEMPT = 'wharfinger_last_attempt_timestamp_seconds{registry="etcd"}'

Part = EtcdServer | PrivateEngine
Fault = tuple[Callable[[Part], None], Callable[[Part], object]]

#: How a part is broken, and how it is mended.
FAULTS: dict[str, Fault] = {
    "stopped": (lambda part: part.stop(), lambda part: part.start()),
    "killed": (lambda part: part.kill(), lambda part: part.start()),
    "frozen": (lambda part: part.freeze(), lambda part: part.thaw()),
}

#: How a part is away that is known to be away at once, and one that has to be waited for.
AWAY = {name: FAULTS[name] for name in ("killed", "frozen")}


@pytest.fixture(scope="module")
def enduring_engine() -> Iterator[PrivateEngine]:
    """An engine whose containers go on while it is away (live-restore)."""
    found = private_engine(live_restore=True)
    if isinstance(found, Unavailable):
        pytest.skip(f"no Docker engine with live-restore: {found.reason}")
    try:
        build_test_images(found)
        yield found
    finally:
        found.close()


@pytest.fixture
def enduring_host(enduring_engine: PrivateEngine, etcd: EtcdServer, tmp_path: Path) -> Iterator[Host]:
    """A clean engine of that kind, and an unused prefix."""
    enduring_engine.mend()
    enduring_engine.remove_all()
    host = Host(enduring_engine, etcd, tmp_path)
    try:
        yield host
    finally:
        enduring_engine.mend()
        host.close()


def engine_of(host: Host) -> PrivateEngine:
    """The host's engine as one that may be broken."""
    assert isinstance(host.engine, PrivateEngine)
    return host.engine


def part(host: Host, name: str) -> Part:
    """The host's etcd or its engine."""
    return host.etcd if name == "etcd" else engine_of(host)


def wait_for_one_running(host: Host) -> None:
    """Wait until an engine that was started again has brought back the container that is to be."""
    wait_until(lambda: len(host.engine.docker("ps", "--quiet").split()) == 1, 20, "the container to return")


def assert_unready(agent: Agent, result: str) -> None:
    """Not ready and says why, but alive."""
    status, body = agent.get("/readyz")
    assert status == 503
    assert body.startswith(f"{result}: ")
    assert agent.get("/healthz") == (200, "ok\n")
    assert agent.running


@on_both("breakable_host")
@pytest.mark.parametrize("fault", FAULTS)
def test_etcd_away_while_containers_come_and_go(breakable_host: Host, fault: str) -> None:
    """The agent waits, says so, and repairs everything once etcd is back."""
    host, (break_it, mend) = breakable_host, FAULTS[fault]
    host.start("stays", "goes")
    agent = host.agent().wait_ready()
    break_it(host.etcd)
    agent.wait_for_passes(1, "registry-error")
    host.start("comes")
    host.engine.docker("rm", "--force", "goes")
    host.engine.docker("restart", "stays")
    assert_unready(agent, "registry-error")
    mend(host.etcd)
    host.wait_for(host.expected(), RECOVERY)
    assert host.keys().keys() == {host.key("stays"), host.key("comes")}
    agent.wait_ready(RECOVERY)
    assert agent.registry_errors() >= 1
    assert "passes succeed again" in agent.log()


@on_both("breakable_host")
def test_an_etcd_that_lost_its_data_is_filled_again(breakable_host: Host) -> None:
    """As after a disk was replaced: all entries are put anew, by the agent that has been running all the time."""
    host = breakable_host
    host.start("one", "two")
    agent = host.agent().wait_ready()
    right = host.keys()
    host.etcd.lose_data()
    host.wait_for(right, RECOVERY)
    assert agent.running


@pytest.mark.parametrize("fault", AWAY)
def test_one_endpoint_away_is_no_outage(host: Host, fresh_etcd: EtcdServer, fault: str) -> None:
    """The next one is asked, in the same pass, and from then on first."""
    host.start("one")
    break_it, _ = AWAY[fault]
    break_it(fresh_etcd)
    uri = f"etcd://{fresh_etcd.endpoint},{host.etcd.endpoint}{host.prefix}"
    agent = host.run("--interval", "0.2", "-ip", host.engine.address, uri).wait_ready()
    assert host.keys() == host.expected()
    agent.wait_for_passes(5)
    assert agent.registry_errors() == 1
    assert agent.passes("registry-error") == 0


#: A command with files of its own as /etc/hosts and /etc/resolv.conf; and a name server that is not there.
OWN_NAMES = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'
NO_NAME_SERVER = "nameserver 127.0.0.1\n"


def test_a_name_that_cannot_be_looked_up_for_a_while_costs_no_entry(networked_host: Host, tmp_path: Path) -> None:
    """Without `-ip`, etcd given by name: the connection to it lives on, and so do this host's address and entries."""
    host, hosts, resolver = networked_host, tmp_path / "hosts", tmp_path / "resolv.conf"
    address, _, port = host.etcd.endpoint.partition(":")
    hosts.write_text(f"{address} etcd.test\n")
    resolver.write_text(NO_NAME_SERVER)
    inside = ["unshare", "--mount", "sh", "-c", OWN_NAMES, "sh", str(hosts), str(resolver), *PROGRAM]
    argv = [*inside, "--listen", "", "--interval", "0.2", f"etcd://etcd.test:{port}{host.prefix}"]
    environment = clean_environment(DOCKER_HOST=host.engine.socket_url)
    agent = Child(engine_of(host).run_in_namespace(argv), tmp_path / "log", env=environment, cwd=REPOSITORY)
    host.start("one")
    try:
        agent.start()
        host.wait_for(host.expected())
        begin = host.etcd.index() + 1
        hosts.write_text("")
        host.start("two")
        host.wait_for(host.expected())
    finally:
        agent.kill()
    assert [change["action"] for change in host.etcd.changes(host.prefix, begin)] == ["create"]


@pytest.mark.parametrize(("fault", "looks"), [("killed", 2), ("frozen", 1)])
def test_nothing_is_written_while_the_engine_is_away(breakable_host: Host, fault: str, looks: int) -> None:
    """Unknown is not absent: not a single write, however often the agent looks."""
    host, (break_it, mend) = breakable_host, AWAY[fault]
    host.start("one", "two")
    agent = host.agent().wait_ready()
    index, right = host.etcd.index(), host.keys()
    break_it(engine_of(host))
    agent.wait_for_passes(looks, "engine-error")
    assert_unready(agent, "engine-error")
    assert (host.etcd.index(), host.keys()) == (index, right)
    mend(engine_of(host))
    host.wait_for(host.expected(), RECOVERY)
    agent.wait_ready(RECOVERY)
    assert agent.metrics()["wharfinger_engine_request_errors_total"] >= looks


def test_an_engine_restarted_takes_its_containers_along(breakable_host: Host) -> None:
    """Without live-restore a restart stops the containers: the keys of one that is started again name its new port, and
    those of one that is not go."""
    host = breakable_host
    host.start("returns", flags="--restart always")
    host.start("ends")
    agent = host.agent().wait_ready()
    assert host.keys().keys() == {host.key("returns"), host.key("ends")}
    engine_of(host).stop()
    agent.wait_for_passes(1, "engine-error")
    assert_unready(agent, "engine-error")
    engine_of(host).start()
    wait_for_one_running(host)
    host.wait_for(host.expected(), RECOVERY)
    assert host.keys().keys() == {host.key("returns")}
    agent.wait_ready(RECOVERY)


@pytest.mark.parametrize("fault", ["stopped", "killed"])
def test_an_engine_restarted_with_live_restore_changes_nothing(enduring_host: Host, fault: str) -> None:
    """The containers go on without it, and so do their keys: not a single write, before, meanwhile or after."""
    host, (break_it, mend) = enduring_host, FAULTS[fault]
    host.start("one", "two")
    agent = host.agent().wait_ready()
    index, right = host.etcd.index(), host.keys()
    break_it(engine_of(host))
    agent.wait_for_passes(1, "engine-error")
    mend(engine_of(host))
    agent.wait_ready(RECOVERY)
    agent.wait_for_passes(3)
    assert (host.etcd.index(), host.keys()) == (index, right)
    assert right == host.expected()


@pytest.mark.parametrize(
    ("name", "result", "fault"),
    [
        ("etcd", "registry-error", "killed"),
        ("engine", "engine-error", "killed"),
        ("engine", "engine-error", "frozen"),
    ],
)
def test_an_agent_started_while_a_part_is_away_waits_for_it(
    breakable_host: Host, name: str, result: str, fault: str
) -> None:
    """It does not exit (registrator does), and its first pass comes when it can."""
    host, (break_it, mend) = breakable_host, AWAY[fault]
    host.start("one", flags="--restart always")
    broken = part(host, name)
    break_it(broken)
    agent = host.agent()
    wait_until(lambda: agent.get("/readyz")[1].startswith(result), 20, "the agent to say what it waits for")
    assert_unready(agent, result)
    mend(broken)
    agent.wait_ready(RECOVERY)
    wait_for_one_running(host)
    host.wait_for(host.expected(), RECOVERY)
    assert host.keys().keys() == {host.key("one")}


@pytest.mark.parametrize(
    ("frozen", "number"),
    [("etcd", signal.SIGTERM), ("engine", signal.SIGTERM), ("", signal.SIGTERM), ("", signal.SIGINT)],
)
def test_a_signal_ends_it_at_once_and_leaves_the_entries(
    breakable_host: Host, frozen: str, number: signal.Signals
) -> None:
    """Also amid a pass that waits for a frozen etcd or engine."""
    host = breakable_host
    host.start("one")
    agent = host.agent(interval=3600).wait_ready()
    right = host.expected()
    if frozen:
        part(host, frozen).freeze()
    begun = agent.metrics()[ATTEMPT]
    agent.signal(signal.SIGHUP)
    wait_until(lambda: agent.metrics()[ATTEMPT] > begun, 5, "the next pass")
    start = time.monotonic()
    agent.signal(number)
    assert agent.wait() == 0
    assert time.monotonic() - start < 2
    host.etcd.thaw()
    assert host.keys() == right


def test_sighup_makes_a_pass_at_once(host: Host) -> None:
    """However long the interval."""
    agent = host.agent(interval=3600).wait_ready()
    host.start("one")
    assert host.keys() == {}
    agent.signal(signal.SIGHUP)
    host.wait_for(host.expected())
    assert agent.running


@pytest.mark.parametrize("fault", AWAY)
@pytest.mark.parametrize(
    ("name", "reason"),
    [("etcd", "registry-error: http://"), ("engine", "engine-error: cannot read the Docker engine: ")],
)
def test_reconcile_ends_with_1_and_the_reason(breakable_host: Host, name: str, reason: str, fault: str) -> None:
    """One pass, one try: who asked for it is told why it could not be."""
    host, (break_it, _) = breakable_host, AWAY[fault]
    break_it(part(host, name))
    done = host.reconcile()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"wharfinger: {reason}")
    assert ("no answer in time" in done.stderr) is (fault == "frozen")
    assert len(done.stderr.splitlines()) == 1
