"""etcd and the engine are stopped, killed, frozen and started again under a running agent, which survives all of it."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.agent import PROGRAM, Agent
from tests.support.engine import Unavailable
from tests.support.etcd_server import EtcdServer
from tests.support.host import SCHEMES, Host, on_both
from tests.support.images import build_test_images
from tests.support.private_engine import PrivateEngine, private_engine
from tests.support.processes import REPOSITORY, Child, clean_environment
from tests.support.waiting import wait_until

#: Seconds that the next pass may come after an outage: the back-off that has built up is 1, 2, 4, 8 ... seconds.
RECOVERY = 30.0

ATTEMPT = 'wharfinger_last_attempt_timestamp_seconds{registry="etcd"}'

Part = EtcdServer | PrivateEngine
Fault = tuple[Callable[[Part], None], Callable[[Part], object]]

#: Each fault of a part: how to cause it, and how to mend it.
FAULTS: dict[str, Fault] = {
    "stopped": (lambda part: part.stop(), lambda part: part.start()),
    "killed": (lambda part: part.kill(), lambda part: part.start()),
    "frozen": (lambda part: part.freeze(), lambda part: part.thaw()),
}

#: The faults of a part that is away: a killed one refuses connections at once, a frozen one causes time-outs.
AWAY = {name: FAULTS[name] for name in ("killed", "frozen")}


@pytest.fixture(scope="module")
def live_restore_engine() -> Iterator[PrivateEngine]:
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
def live_restore_host(live_restore_engine: PrivateEngine, etcd: EtcdServer, tmp_path: Path) -> Iterator[Host]:
    """A clean engine with live-restore, and an unused prefix."""
    live_restore_engine.mend()
    live_restore_engine.remove_all()
    host = Host(live_restore_engine, etcd, tmp_path)
    try:
        yield host
    finally:
        live_restore_engine.mend()
        host.close()


def engine_of(host: Host) -> PrivateEngine:
    """Return the host's engine as one that may be broken."""
    assert isinstance(host.engine, PrivateEngine)
    return host.engine


def part(host: Host, name: str) -> Part:
    """Return the host's etcd or its engine."""
    return host.etcd if name == "etcd" else engine_of(host)


def wait_for_one_running(host: Host) -> None:
    """Wait until an engine that was started again has brought back its one container."""
    wait_until(lambda: len(host.engine.docker("ps", "--quiet").split()) == 1, 20, "the container to return")


def assert_unready(agent: Agent, result: str) -> None:
    """Assert that the agent is alive, is not ready, and says why."""
    status, body = agent.get("/readyz")
    assert status == 503
    assert body.startswith(f"{result}: ")
    assert agent.get("/healthz") == (200, "ok\n")
    assert agent.running


@on_both("breakable_host")
@pytest.mark.parametrize("fault", FAULTS)
def test_containers_that_come_and_go_while_etcd_is_away_are_handled_once_it_is_back(
    breakable_host: Host, fault: str
) -> None:
    """While etcd is away, the agent waits and says so. Once etcd is back, it repairs everything that changed
    meanwhile."""
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
    assert re.search(r"passes succeed again .*after_seconds=\d+\.\d failures=\d+ ", agent.log())


@on_both("breakable_host")
def test_an_etcd_that_lost_its_data_is_filled_again(breakable_host: Host) -> None:
    """If etcd loses its data, as when a disk is replaced, the running agent registers all entries again."""
    host = breakable_host
    host.start("one", "two")
    agent = host.agent().wait_ready()
    right = host.keys()
    host.etcd.lose_data()
    host.wait_for(right, RECOVERY)
    assert agent.running


@pytest.mark.parametrize("fault", AWAY)
def test_when_the_first_endpoint_is_away_the_same_pass_asks_the_next(
    host: Host, fresh_etcd: EtcdServer, fault: str
) -> None:
    """If the first endpoint is away, the same pass asks the next one, and later passes start with that one."""
    host.start("one")
    break_it, _ = AWAY[fault]
    break_it(fresh_etcd)
    uri = f"etcd://{fresh_etcd.endpoint},{host.etcd.endpoint}{host.prefix}"
    agent = host.run("--interval", "0.2", "-ip", host.engine.address, uri).wait_ready()
    assert host.keys() == host.expected()
    agent.wait_for_passes(5)
    assert agent.registry_errors() == 1
    assert agent.passes("registry-error") == 0


#: A shell command that runs its third and further arguments with the first two files as /etc/hosts and
#: /etc/resolv.conf.
OWN_NAMES = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'

#: Seconds within which etcd is right after a change, if no pass waits for a name server.
PROMPT = 4.0


class NameServer:
    """A dead name server: nobody listens at its address, or the socket that listens never answers. Entering it returns
    its line for /etc/resolv.conf."""

    def __init__(self, address: str, *, silent: bool) -> None:
        self._address = address if silent else "127.0.0.1"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if silent:
            self._socket.bind((address, 53))

    def __enter__(self) -> str:
        return f"nameserver {self._address}\n"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def agent_with_own_names(host: Host, folder: Path, hosts: str, resolver: str, endpoints: str) -> Child:
    """Return an agent without `-ip` on the engine's host, with these texts as /etc/hosts and /etc/resolv.conf. A test
    may change `folder / "hosts"` while the agent runs."""
    for name, text in (("hosts", hosts), ("resolv.conf", resolver)):
        (folder / name).write_text(text)
    files = [str(folder / "hosts"), str(folder / "resolv.conf")]
    inside = ["unshare", "--mount", "sh", "-c", OWN_NAMES, "sh", *files, *PROGRAM]
    argv = [*inside, "--listen", "", "--interval", "0.2", f"{SCHEMES[host.api]}://{endpoints}{host.prefix}"]
    environment = clean_environment(DOCKER_HOST=host.engine.socket_url)
    return Child(engine_of(host).run_in_namespace(argv), folder / "log", env=environment, cwd=REPOSITORY)


@on_both("networked_host")
@pytest.mark.parametrize("silent", [False, True], ids=["nobody listens", "nobody answers"])
def test_a_name_server_that_dies_changes_nothing(networked_host: Host, tmp_path: Path, silent: bool) -> None:
    """When the name server dies, the agent keeps its connection to etcd, and the host keeps its address and its
    entries. Containers that start or end are seen as fast as before."""
    host = networked_host
    address, _, port = host.etcd.endpoint.partition(":")
    host.start("one")
    with NameServer(engine_of(host).network.host_address, silent=silent) as resolver:
        agent = agent_with_own_names(host, tmp_path, f"{address} etcd.test\n", resolver, f"etcd.test:{port}")
        try:
            agent.start()
            host.wait_for(host.expected())
            (tmp_path / "hosts").write_text("")
            host.start("two")
            host.wait_for(host.expected(), PROMPT)
            host.engine.docker("kill", "one")
            host.wait_for(host.expected(), PROMPT)
            host.etcd.restart()
            host.start("three")
            host.wait_for(host.expected(), RECOVERY)
        finally:
            agent.kill()


@on_both("networked_host")
def test_an_endpoint_with_a_dead_name_costs_nothing_after_the_first_pass(networked_host: Host, tmp_path: Path) -> None:
    """The first endpoint has a name that no name server resolves. Only the first pass waits for the name."""
    host = networked_host
    with NameServer(engine_of(host).network.host_address, silent=True) as resolver:
        endpoints = f"dead.test:2379,{host.etcd.endpoint}"
        agent = agent_with_own_names(host, tmp_path, "", resolver, endpoints)
        host.start("one")
        try:
            agent.start()
            host.wait_for(host.expected())
            host.start("two")
            host.wait_for(host.expected(), PROMPT)
            host.engine.docker("kill", "one")
            host.wait_for(host.expected(), PROMPT)
        finally:
            agent.kill()


@pytest.mark.parametrize(("fault", "passes"), [("killed", 2), ("frozen", 1)])
def test_nothing_is_written_while_the_engine_is_away(breakable_host: Host, fault: str, passes: int) -> None:
    """Unknown is not absent: while the engine does not answer, no pass writes anything."""
    host, (break_it, mend) = breakable_host, AWAY[fault]
    host.start("one", "two")
    agent = host.agent().wait_ready()
    index, right = host.etcd.index(), host.keys()
    break_it(engine_of(host))
    agent.wait_for_passes(passes, "engine-error")
    assert_unready(agent, "engine-error")
    assert (host.etcd.index(), host.keys()) == (index, right)
    mend(engine_of(host))
    host.wait_for(host.expected(), RECOVERY)
    agent.wait_ready(RECOVERY)
    assert agent.metrics()["wharfinger_engine_request_errors_total"] >= passes


def test_after_a_restart_of_the_engine_only_containers_that_run_again_are_registered(breakable_host: Host) -> None:
    """Without live-restore, a restart of the engine stops the containers. The key of one that is started again gets its
    new port; the key of one that is not is removed."""
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
def test_a_restart_of_an_engine_with_live_restore_causes_no_write(live_restore_host: Host, fault: str) -> None:
    """With live-restore, the containers go on without the engine, so nothing is written before, during or after."""
    host, (break_it, mend) = live_restore_host, FAULTS[fault]
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
def test_an_agent_that_starts_while_etcd_or_the_engine_is_away_waits_for_it(
    breakable_host: Host, name: str, result: str, fault: str
) -> None:
    """An agent that starts while etcd or the engine is away waits, and makes its first pass when it can. registrator
    exits."""
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
def test_a_stop_signal_ends_the_agent_at_once_and_leaves_its_entries(
    breakable_host: Host, frozen: str, number: signal.Signals
) -> None:
    """SIGTERM and SIGINT end the agent within two seconds and leave its entries, also during a pass that waits for a
    frozen etcd or engine."""
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


def test_sighup_starts_a_pass_at_once(host: Host) -> None:
    """SIGHUP starts a pass at once, however long the interval is."""
    agent = host.agent("--no-hints", interval=3600).wait_ready()
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
def test_reconcile_ends_with_1_and_the_reason_when_a_part_is_away(
    breakable_host: Host, name: str, reason: str, fault: str
) -> None:
    """If etcd or the engine is away, `reconcile` tries once, prints one line with the reason, and ends with exit code
    1."""
    host, (break_it, _) = breakable_host, AWAY[fault]
    break_it(part(host, name))
    done = host.reconcile()
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"wharfinger: {reason}")
    assert ("no answer in time" in done.stderr) is (fault == "frozen")
    assert len(done.stderr.splitlines()) == 1
