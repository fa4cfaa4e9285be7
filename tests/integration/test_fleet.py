"""The unit files of manifests/fleet/ on three hosts, each with an engine and a member of one etcd."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support.base_image import IMAGE
from tests.support.engine import Unavailable
from tests.support.etcd_cluster import EtcdCluster, EtcdMember
from tests.support.fleet import Fleet, FleetHost, Unit, expanded
from tests.support.images import build
from tests.support.lan import Lan
from tests.support.private_engine import PrivateEngine, private_engine
from tests.support.processes import REPOSITORY
from tests.support.waiting import WaitTimeout, wait_until

UNITS = REPOSITORY / "manifests" / "fleet"
NAMES = ("core-01", "core-02", "core-03")
PREFIX = "/services/registrator"
AGENTS = ("wharfinger@1.service", "wharfinger@2.service", "wharfinger@3.service")
SERVERS = ("nginx@1.service", "nginx@2.service", "nginx@3.service")

# The test image has a folder for each page; each port serves one of them.
NGINX = """\
EXPOSE 80 443
CMD ["sh", "-c", "echo port 80 of $NAME > /www/80/index.html; echo port 443 of $NAME > /www/8080/index.html; \
httpd -p 443 -h /www/8080; exec httpd -f -p 80 -h /www/80"]
"""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Cluster:
    """The hosts, the units that fleet runs on them, and their etcd."""

    def __init__(self, fleet: Fleet, etcd: EtcdCluster) -> None:
        self.fleet = fleet
        self.etcd = etcd

    def member_of(self, host: FleetHost) -> EtcdMember:
        """Return the member of etcd that runs on a host."""
        return next(member for member in self.etcd.members if member.name == host.name)

    def host_of(self, member: EtcdMember) -> FleetHost:
        """Return the host that a member of etcd runs on."""
        return next(host for host in self.fleet.hosts if host.name == member.name)

    def registered(self) -> dict[str, str]:
        """Return what is registered."""
        return {key.removeprefix(f"{PREFIX}/"): value for key, value in self.etcd.any().keys(PREFIX).items()}

    def expected(self) -> dict[str, str]:
        """Return both ports of every host's nginx, as its engine publishes them."""
        return {
            f"nginx-{port}/{host.name}:nginx:{port}": f"{host.address}:{bindings[0]['HostPort']}"
            for host in self.fleet.hosts
            for port, bindings in ((port, ports(host)[f"{port}/tcp"]) for port in (80, 443))
        }

    def wait_until_registered(self, timeout: float = 60) -> None:
        """Wait until exactly both ports of every host's nginx are registered, and assert that each value answers."""
        for host in self.fleet.hosts:
            wait_until(partial(ports, host), 20, f"nginx on {host.name}")
        expected = self.expected()
        try:
            wait_until(lambda: self.registered() == expected, timeout)
        except WaitTimeout:
            assert self.registered() == expected
        for key, value in expected.items():
            name, port = key.partition("/")[2].split(":")[0], key.rpartition(":")[2]
            assert wait_until(partial(page, value), 10, f"{value} to answer") == f"port {port} of {name}"


def ports(host: FleetHost) -> dict[str, list[dict[str, str]]]:
    """Return the published ports of a host's nginx; empty while it does not run."""
    listed = host.engine.docker("ps", "--quiet", "--filter", "name=^nginx$")
    return dict(host.engine.inspect("nginx")["NetworkSettings"]["Ports"]) if listed else {}


def page(endpoint: str) -> str:
    """Return what an endpoint serves; empty while nobody answers."""
    try:
        with _opener.open(f"http://{endpoint}/", timeout=5) as response:
            return str(response.read().decode().strip())
    except OSError:
        return ""


@pytest.fixture(scope="module")
def hosts(image_engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FleetHost]]:
    """Three hosts that reach each other, with the images that the units name."""
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    image_engine.docker("save", "--output", str(archive), IMAGE)
    with ExitStack() as stack:
        lan = Lan(tmp_path_factory.mktemp("lan"))
        stack.callback(lan.close)
        lan.open()
        yield [new_host(name, lan, archive, tmp_path_factory.mktemp(name), stack) for name in NAMES]


def new_host(name: str, lan: Lan, archive: Path, folder: Path, stack: ExitStack) -> FleetHost:
    """Start one of the three hosts."""
    engine = private_engine(hostname=name)
    if isinstance(engine, Unavailable):
        pytest.skip(f"no three Docker engines: {engine.reason}")
    stack.callback(engine.close)
    engine.docker("load", "--input", str(archive), timeout=120)
    for tag in {image_of(unit) for unit in ("wharfinger@1.service", "wharfinger-global.service")}:
        engine.docker("tag", IMAGE, tag)
    build(engine, image_of("nginx@1.service"), f"ENV NAME={name}\n{NGINX}")
    return FleetHost(name, engine, lan.plug_in(engine.network), folder)


def image_of(unit: str) -> str:
    """Return the image that a unit pulls if the host does not have it."""
    lines = Unit.load(UNITS, unit).values("Service", "ExecStartPre")
    (image,) = (line.rstrip("'").split()[-1] for line in lines if " pull " in line)
    return image


@pytest.fixture(scope="module")
def etcd(hosts: list[FleetHost]) -> Iterator[EtcdCluster]:
    """A cluster with a member on each host, at the host's own address and etcd's usual port."""
    cluster = EtcdCluster(
        [EtcdMember(host.name, host.address, port=2379, through=host.engine.run_in_namespace) for host in hosts]
    )
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture
def cluster(hosts: list[FleetHost], etcd: EtcdCluster) -> Iterator[Cluster]:
    """Three hosts on which nothing runs, and an empty etcd."""
    fleet = Fleet(UNITS, hosts)
    yield Cluster(fleet, etcd)
    fleet.clear()
    etcd.start()
    etcd.any().delete("/services", recursive=True)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("etcd://${IP}:2379/x", ["etcd://10.0.0.1:2379/x"]),
        ("$FLAGS", ["-a", "-b"]),
        ("${FLAGS}", ["-a -b"]),
        ("-$FLAGS", ["-$FLAGS"]),
        ("$NOTHING", []),
        ("${NOTHING}", [""]),
        ("$$HOME", ["$HOME"]),
    ],
)
def test_the_support_expands_variables_as_systemd_does(word: str, words: list[str]) -> None:
    """The test support expands variables in a command line as systemd.service(5) says."""
    assert expanded(word, {"IP": "10.0.0.1", "FLAGS": "-a -b"}) == words


@pytest.mark.parametrize("turn", range(3))
def test_three_agents_register_three_servers(cluster: Cluster, turn: int) -> None:
    """`fleetctl start wharfinger@{1..3}`, then `nginx@{1..3}`, registers every server, whichever instance runs on which
    host."""
    first, second = list(itertools.permutations(cluster.fleet.hosts))[turn : turn + 4 : 3]
    cluster.fleet.start(*AGENTS, order=first)
    cluster.fleet.start(*SERVERS, order=second)
    cluster.wait_until_registered()


def test_servers_that_were_started_before_the_agents_are_registered(cluster: Cluster) -> None:
    """Servers that were started before the agents are registered, too."""
    cluster.fleet.start(*reversed(SERVERS))
    cluster.fleet.start(*reversed(AGENTS), order=reversed(cluster.fleet.hosts))
    cluster.wait_until_registered()


def test_the_global_unit_runs_an_agent_on_every_host(cluster: Cluster) -> None:
    """`fleetctl start wharfinger-global.service` does the same as three instances."""
    assert len(cluster.fleet.start("wharfinger-global.service")) == 3
    cluster.fleet.start(*SERVERS)
    cluster.wait_until_registered()


def test_a_unit_starts_with_the_image_that_the_host_has(cluster: Cluster) -> None:
    """No image registry is within reach, and none is asked."""
    agent, server = cluster.fleet.start(AGENTS[0], SERVERS[0], order=cluster.fleet.hosts)
    for unit in (agent, server):
        assert [line.split()[1] for line in unit.tolerated] == ["kill", "rm"]
    assert agent.host is server.host
    wait_until(lambda: len(cluster.registered()) == 2, 20, "both ports of nginx to be registered")
    assert agent.active
    assert server.active


def test_all_servers_are_registered_although_the_leader_of_etcd_was_killed(cluster: Cluster) -> None:
    """etcd's leader is killed between two units and comes back as a follower. Its host's agent waits for it, and all
    servers end up registered."""
    cluster.fleet.start(*AGENTS)
    cluster.fleet.start(SERVERS[0])
    old = cluster.etcd.leader()
    old.kill()
    cluster.fleet.start(*SERVERS[1:])
    assert cluster.etcd.leader(other_than=old) is not old
    others = [host.name for host in cluster.fleet.hosts if host.name != old.name]
    wait_until(lambda: {owner(key) for key in cluster.registered()} >= set(others), 30, f"the entries of {others}")
    old.start()
    cluster.wait_until_registered()


def test_all_servers_are_registered_although_the_leader_of_etcd_was_frozen(cluster: Cluster) -> None:
    """While etcd's leader is frozen, its connections stay open. Once it goes on as a follower, its host's entries are
    written."""
    cluster.fleet.start(*AGENTS)
    old = cluster.etcd.leader()
    old.freeze()
    cluster.fleet.start(*SERVERS)
    cluster.etcd.leader(other_than=old)
    old.thaw()
    cluster.wait_until_registered()


def owner(key: str) -> str:
    """Return the host that a key belongs to."""
    return key.partition("/")[2].partition(":")[0]


def test_a_server_that_is_started_again_has_one_entry_for_each_new_port(cluster: Cluster) -> None:
    """When a server stops, its entries are removed. When it starts again on the same host with other ports, its keys
    get the new values."""
    cluster.fleet.start(*AGENTS)
    cluster.fleet.start(*SERVERS)
    cluster.wait_until_registered()
    before, where = cluster.expected(), next(host for host in cluster.fleet.hosts if SERVERS[0] in host.running)
    cluster.fleet.stop(SERVERS[0])
    rest = {key: value for key, value in before.items() if owner(key) != where.name}
    wait_until(lambda: cluster.registered() == rest, 20, f"the entries of {where.name} to go, and no others")
    cluster.fleet.start(SERVERS[0], order=[where])
    cluster.wait_until_registered()
    changed = {key for key, value in cluster.expected().items() if before[key] != value}
    assert changed == before.keys() - rest.keys()


def test_a_server_that_died_has_one_entry_for_each_port_once_its_unit_restarts(cluster: Cluster) -> None:
    """When a server dies, its unit ends and (Restart=always) starts again. Each port then has exactly one entry."""
    cluster.fleet.start(*AGENTS)
    (unit, *_) = cluster.fleet.start(*SERVERS)
    cluster.wait_until_registered()
    unit.host.engine.docker("kill", "nginx")
    wait_until(lambda: not unit.active, 10, "the unit's process to end")
    assert unit.unit.values("Service", "Restart") == ["always"]
    unit.start()
    cluster.wait_until_registered()


def test_agents_that_are_stopped_leave_their_entries(cluster: Cluster) -> None:
    """Agents that are stopped leave their entries. Agents that are started again find the entries in sync, and each
    writes only its agent note."""
    agents = cluster.fleet.start(*AGENTS)
    cluster.fleet.start(*SERVERS)
    cluster.wait_until_registered()
    before = cluster.etcd.any().index()
    cluster.fleet.stop(*AGENTS)
    assert not any(agent.active for agent in agents)
    assert cluster.registered() == cluster.expected()
    cluster.fleet.start(*AGENTS)
    for host in cluster.fleet.hosts:
        wait_until(partial(ready, host), 20, f"the agent on {host.name}")
    assert cluster.registered() == cluster.expected()
    assert cluster.etcd.any().index() == before + len(agents)


def ready(host: FleetHost) -> bool:
    """Return whether a pass of the host's agent has succeeded, as its port 9119 says."""
    try:
        with _opener.open(f"http://{host.address}:9119/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
