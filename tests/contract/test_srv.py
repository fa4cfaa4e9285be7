"""Endpoints in SRV records (``SCHEME+srv://``), with a name server whose records change."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from controller.cli import run_command_line
from controller.commands.build import Effects, build_agent
from controller.config.settings import parse_settings
from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.effects.network import Network, Resolved, resolve
from controller.effects.remembered import RETRY
from controller.effects.srv_lookup import look_up
from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.credentials import Credentials
from controller.registry.factory import open_registry
from controller.registry.uri import parse_uri
from model.report import Result
from model.stored import Lifetime
from tests.contract.clients import address, soon
from tests.support.builders import OWNER, create
from tests.support.captured_logs import capture_logs
from tests.support.command_host import Host
from tests.support.dns_server import DnsServer
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_server import EtcdServer
from tests.support.processes import free_ports
from tests.support.secure_etcd import TlsEtcd, authority
from tests.support.waiting import wait_until
from tests.unit.conftest import logging_restored  # noqa: F401 - a fixture
from tests.unit.test_settings import DEFAULT_OPTIONS

KEY = "/services/nginx/core-01:web:80"

NAME, TLS_NAME = "_etcd-client._tcp.example.test", "_etcd-client-ssl._tcp.example.test"

#: How much faster time goes for the waits between look-ups.
FASTER = 50

#: Seconds within which a change of the records is followed, on a busy machine, too.
SOON = 20.0

#: Seconds within which even a busy machine answers a request that waits for nothing.
AT_ONCE = 2.0

SCHEMES = {2: "etcd", 3: "etcd3"}


class Hurried(Threads):
    """Threads whose long waits, which are those between look-ups, are shorter."""

    def waker(self) -> threading.Event:
        """See Background."""

        class Waker(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                return super().wait(timeout / FASTER if timeout and timeout > RETRY else timeout)

        return Waker()


def at_loopback(host: str, port: int) -> Sequence[Resolved]:
    """Return the address of a host of these tests, and look up any other one."""
    return [(socket.AF_INET, ("127.0.0.1", port))] if host.endswith(".test") else resolve(host, port)


def effects_with(server: DnsServer) -> Effects:
    """Return the effects of a machine that asks this name server for SRV records. Its waits between look-ups are
    shorter."""
    records = partial(look_up, servers=[server.address], port=server.port, seconds=0.5)
    clock = Clock(sleep=lambda seconds: time.sleep(seconds / FASTER))
    return Effects(clock=clock, background=Hurried(), network=Network(at_loopback, srv_records=records))


def registry(api: int, effects: Effects, credentials: Credentials = Credentials()) -> Registry:
    """Return a registry whose endpoints are looked up."""
    uri = parse_uri(f"{SCHEMES[api]}{'s' if credentials.tls else ''}+srv://example.test/services")
    return open_registry(uri, credentials, Lifetime(), transports=effects.transports)


def record(server: EtcdServer, name: str = "etcd-1", priority: int = 0) -> str:
    """Return a record of this server, under a name of its own."""
    return f"{priority} 1 {address(server)[1]} {name}.test."


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """Yield a name server without records."""
    with DnsServer() as server:
        yield server


@pytest.fixture(params=[*SCHEMES], ids=[*SCHEMES.values()])
def api(request: pytest.FixtureRequest) -> int:
    """Return the API of etcd."""
    return int(request.param)


def _reads(found: Registry) -> bool:
    try:
        return found.read(OWNER, soon()).stored.keys() <= {KEY}
    except RegistryUnavailable:
        return False


def test_the_members_are_followed_while_they_change(dns: DnsServer, api: int) -> None:
    """Of three members, the DNS has the first one alone, which dies while the records come to have the second one; and
    so on. The registry is read and written again each time, and no key is lost."""
    cluster = EtcdCluster.on_loopback().start()
    try:
        first, second, third = cluster.members
        dns.records[NAME] = (record(first),)
        found = registry(api, effects_with(dns))
        assert found.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        dns.records[NAME] = (record(second, "etcd-2"), record(third, "etcd-3"))
        first.kill()
        cluster.leader()
        wait_until(lambda: _reads(found), SOON, "a read from the second or third member")
        first.start()
        dns.records[NAME] = (record(third, "etcd-3"),)
        with capture_logs() as lines:
            wait_until(lambda: _reads(found) and lines, SOON, "the change of the records")
        assert [(line["event"], line["endpoints"]) for line in lines] == [
            ("endpoints have changed", [f"etcd-3.test:{address(third)[1]}"])
        ]
        assert KEY in found.read(OWNER, soon(), consistent=True).stored
    finally:
        cluster.close()


def test_the_member_with_the_lower_priority_is_asked_first(good: EtcdServer, dns: DnsServer) -> None:
    """The others are asked if it does not answer, as those of a URI are."""
    port = free_ports(1)[0]
    dns.records[NAME] = (record(good, priority=20), f"10 0 {port} etcd-2.test.")
    asked = list[tuple[str, bool]]()
    uri = parse_uri("etcd3+srv://example.test/services")
    transports = effects_with(dns).transports
    found = open_registry(uri, Credentials(), Lifetime(), lambda *each: asked.append(each), transports=transports)
    assert found.read(OWNER, soon()).stored == {}
    assert asked[:2] == [(f"http://etcd-2.test:{port}", False), (f"http://etcd-1.test:{address(good)[1]}", True)]


def test_a_name_server_that_dies_stops_nothing(good: EtcdServer, dns: DnsServer) -> None:
    """Requests go on, also over new connections, and one line of the log says that look-ups fail. When it answers
    again, its records count."""
    dns.records[NAME] = (record(good),)
    found = registry(3, effects_with(dns))
    assert found.read(OWNER, soon()).stored == {}
    with capture_logs() as lines:
        dns.dead = True
        good.restart()
        wait_until(lambda: _reads(found) and lines, SOON, "a look-up that fails")
        begun = time.monotonic()
        assert found.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        assert time.monotonic() - begun < AT_ONCE
        dns.dead = False
        wait_until(lambda: _reads(found) and len(lines) > 1, SOON, "a look-up that succeeds")
    assert [line["event"] for line in lines] == [
        "endpoints cannot be looked up, the known ones stay",
        "endpoints can be looked up again",
    ]


@pytest.mark.parametrize("records", [(), ("0 0 0 .",), None], ids=["no record", "no service", "no such name"])
def test_an_answer_without_endpoints_takes_none_away(
    good: EtcdServer, dns: DnsServer, records: tuple[str, ...] | None
) -> None:
    """Somebody may have removed the records by mistake. One line of the log says so."""
    dns.records[NAME] = (record(good),)
    found = registry(3, effects_with(dns))
    assert found.read(OWNER, soon()).stored == {}
    if records is None:
        del dns.records[NAME]
    else:
        dns.records[NAME] = records
    with capture_logs() as lines:
        wait_until(lambda: _reads(found) and lines, SOON, "a look-up without endpoints")
        assert found.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
    assert [line["event"] for line in lines] == ["endpoints cannot be looked up, the known ones stay"]


def test_a_name_server_that_is_dead_at_the_start_is_waited_for_once(good: EtcdServer, dns: DnsServer) -> None:
    """The first request waits for half of its time, and later ones fail at once, with what is wrong. They succeed as
    soon as the name server has answered."""
    dns.dead = True
    dns.records[NAME] = (record(good),)
    found = registry(3, effects_with(dns))
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=f"SRV record {NAME}.* unknown: "):
        found.read(OWNER, soon(0.4))
    assert 0.2 <= time.monotonic() - begun < AT_ONCE
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="unknown"):
        found.read(OWNER, soon())
    assert time.monotonic() - begun < 0.2
    dns.dead = False
    wait_until(lambda: _reads(found), SOON, "the first look-up that succeeds")


def test_the_error_names_the_record_that_is_missing(dns: DnsServer) -> None:
    """It is the one that etcdctl asks for."""
    with pytest.raises(RegistryUnavailable, match=rf"SRV record {NAME}, .* unknown: the DNS has no such record"):
        registry(3, effects_with(dns)).read(OWNER, soon())


@pytest.mark.parametrize("name", ["etcd-1.test", "other.test"])
def test_with_tls_the_record_is_another_one_and_its_target_is_verified(
    dns: DnsServer, api: int, name: str, tmp_path: Path
) -> None:
    """The certificate has to be valid for the host that the record names, and not for the domain. The record for
    clients without TLS is not asked for: whoever forges DNS answers must not turn TLS off."""
    ours = authority(tmp_path / "ours")
    server = TlsEtcd(ours, ours.issue("etcd-1.test"), client_auth=False).start()
    try:
        dns.records[NAME] = ("0 0 1 nowhere.test.",)
        dns.records[TLS_NAME] = (record(server, name.removesuffix(".test")),)
        found = registry(api, effects_with(dns), Credentials(True, ours.path))
        if name == "etcd-1.test":
            assert found.read(OWNER, soon()).stored == {}
        else:
            with pytest.raises(RegistryUnavailable, match=r"certificate verify failed.*other\.test"):
                found.read(OWNER, soon())
    finally:
        server.close()


@pytest.fixture
def run(dns: DnsServer, host: Host, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return what runs a command for a registry whose endpoints are looked up, and returns its exit code and output."""
    dns.records[NAME] = (record(host.etcd),)

    def run(*args: str) -> tuple[int, str, str]:
        return run_command_line([*args, "etcd3+srv://example.test/services"], effects_with(dns)), *capsys.readouterr()

    return run


@pytest.mark.usefixtures("logging_restored")
def test_each_command_finds_the_endpoints(run: Callable[..., tuple[int, str, str]], host: Host) -> None:
    """They do the same as with endpoints that the URI names."""
    host.runs("web")
    engine = f"--docker-host=unix://{host.socket}"
    code, out, err = run("reconcile", "-ip=10.0.0.1", engine)
    assert (code, err) == (0, "")
    assert "Applied 1 of 1 changes." in out
    assert run("list")[1].count("core-07:web:80") == 1
    assert "core-07" in run("hosts")[1]
    assert "etcd3+srv://example.test/services" in run("config", engine)[1]
    assert "is registered" in run("explain", "--no-agent", "-ip=10.0.0.1", engine, "web")[1]
    code, _, err = run("deregister", "--hostname=core-07", "--yes", "--wait=0.1")
    assert (code, err) == (0, "")
    assert run("list")[1].count("core-07:web:80") == 0


@pytest.mark.usefixtures("logging_restored")
def test_the_address_of_this_host_faces_an_endpoint_that_was_looked_up(
    run: Callable[..., tuple[int, str, str]], host: Host
) -> None:
    """It is the address of the interface on the way to the host that the record names."""
    host.runs("web")
    _, out, _ = run("reconcile", "--dry-run", f"--docker-host=unix://{host.socket}")
    assert "this host reaches etcd from 127.0.0.1" in out


def test_an_agent_counts_its_requests_by_the_endpoints_that_were_looked_up(dns: DnsServer, host: Host) -> None:
    """The registry has the label of its scheme, whether its endpoints are named or looked up."""
    dns.records[NAME] = (record(host.etcd),)
    options = {**DEFAULT_OPTIONS, "ip": "10.0.0.1", "docker-host": f"unix://{host.socket}"}
    settings = parse_settings(options, ("etcd3+srv://example.test/services",))
    agent = build_agent(settings, effects_with(dns))
    loop = agent.loops["etcd3"]
    task = Threads().start(loop.run, "loop")
    try:
        agent.first_passes[0].wait_for_end(SOON)
        labels = {"registry": "etcd3", "endpoint": f"http://etcd-1.test:{address(host.etcd)[1]}"}
        shown = agent.metrics.metrics().registry
        assert (shown.get_sample_value("wharfinger_endpoint_requests_total", labels) or 0) > 0
    finally:
        loop.stop()
        task.join()
        for engine in agent.engines:
            engine.close()
