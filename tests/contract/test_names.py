"""Tests of endpoints that are given by name, with both APIs of etcd: while a name changes its address, and while nobody
knows it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.effects.names import Names
from controller.effects.network import Network, Resolved
from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.credentials import Credentials
from controller.registry.etcd_v2.client import EtcdV2Client, pool_manager
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v3.client import EtcdV3Client, kept_connection
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.report import Result
from model.stored import Lifetime
from tests.contract.clients import PREFIX, Address, address, soon
from tests.support.answering import fake
from tests.support.builders import OWNER, create
from tests.support.etcd_server import EtcdServer
from tests.support.processes import free_ports
from tests.support.secure_etcd import TlsEtcd, authority
from tests.support.waiting import wait_until

KEY = "/services/nginx/core-01:web:80"

#: Seconds within which even a busy machine answers a request that waits for nothing.
AT_ONCE = 2.0

pytestmark = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

Resolve = Callable[[str, int], Sequence[Resolved]]


def registry(api: int, resolve: Resolve, *endpoints: Address, credentials: Credentials = Credentials()) -> Registry:
    """Return a registry over these endpoints, whose names ``resolve`` looks up. The waits between look-ups are
    shortened: a second takes 20 milliseconds."""
    names = Names(Network(resolve), Threads(), Clock(sleep=lambda seconds: time.sleep(seconds / 50)))
    if api == 3:
        transport = partial(kept_connection, names=names)
        client = EtcdV3Client(endpoints, credentials=credentials, transport=transport)
        return etcd_v3_registry(client, PREFIX, Lifetime())
    pool = partial(pool_manager, names=names)
    return etcd_v2_registry(EtcdV2Client(endpoints, credentials=credentials, transport=pool), PREFIX, Lifetime())


def at(*hosts: str) -> Resolve:
    """Return a look-up function that finds these addresses for every name."""
    return lambda host, port: [
        (socket.AF_INET6, (each, port, 0, 0)) if ":" in each else (socket.AF_INET, (each, port)) for each in hosts
    ]


def test_a_name_server_that_dies_stops_nothing(good: EtcdServer, api: int) -> None:
    """The addresses that were found before go on to be used, for open connections and for new ones."""
    dead = threading.Event()

    def resolve(host: str, port: int) -> Sequence[Resolved]:
        if dead.is_set():
            threading.Event().wait()
        return at("127.0.0.1")(host, port)

    _, port = address(good)
    found = registry(api, resolve, ("etcd.example", port))
    assert found.read(OWNER, soon()).stored == {}
    dead.set()
    assert found.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
    good.restart()
    begun = time.monotonic()
    wait_until(lambda: _reads(found), 20, "a read over a new connection")
    assert time.monotonic() - begun < AT_ONCE


def _reads(found: Registry) -> bool:
    try:
        return KEY in found.read(OWNER, soon()).stored
    except RegistryUnavailable:
        return False


def test_a_dead_name_first_in_the_list_costs_the_first_request_alone(good: EtcdServer, api: int) -> None:
    """The first request waits for the dead name for half of its time. Later requests do not wait for it at all, even
    after the next endpoint has failed."""

    def resolve(host: str, port: int) -> Sequence[Resolved]:
        if host == "dead.example":
            threading.Event().wait()
        return at("127.0.0.1")(host, port)

    _, port = address(good)
    found = registry(api, resolve, ("dead.example", port), ("etcd.example", port))
    begun = time.monotonic()
    assert found.read(OWNER, soon(2.0)).stored == {}
    assert 1.0 <= time.monotonic() - begun < 2.0
    good.stop()
    with pytest.raises(RegistryUnavailable, match=r"cannot connect|refused"):
        found.read(OWNER, soon())
    good.start()
    begun = time.monotonic()
    assert found.read(OWNER, soon()).stored == {}
    assert found.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
    assert time.monotonic() - begun < AT_ONCE


def test_a_name_that_nobody_knows_is_an_error_that_says_so(good: EtcdServer, api: int) -> None:
    """The error names the host and has the message of the look-up."""

    def resolve(host: str, port: int) -> Sequence[Resolved]:
        raise OSError("Name or service not known")

    with pytest.raises(RegistryUnavailable, match=r"etcd\.example.*: .*Name or service not known"):
        registry(api, resolve, ("etcd.example", 1)).read(OWNER, soon())


@pytest.mark.parametrize("order", [("127.0.0.1", "::1"), ("::1", "127.0.0.1")], ids=["IPv4 first", "IPv6 first"])
@pytest.mark.parametrize("served", ["127.0.0.1", "::1"])
def test_addresses_of_both_families_are_tried(api: int, order: tuple[str, str], served: str) -> None:
    """The name has an address of each family, and the server listens at only one of them."""
    port = free_ports(1)[0]
    server = EtcdServer("[::1]" if ":" in served else served, port=port).start()
    try:
        assert registry(api, at(*order), ("etcd.example", port)).read(OWNER, soon()).stored == {}
    finally:
        server.close()


def test_an_address_that_accepts_nothing_leaves_time_for_the_next(good: EtcdServer, api: int) -> None:
    """The name's first address is that of a listener whose queue is full. Such a listener does not answer at all, like
    a host that is switched off."""
    _, port = address(good)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.9", port))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        assert registry(api, at("127.0.0.9", "127.0.0.1"), ("etcd.example", port)).read(OWNER, soon(3.0)).stored == {}


def test_a_changed_address_of_a_name_is_followed(api: int) -> None:
    """The server moves to another address, and only the name server is told."""
    port = free_ports(1)[0]
    hosts = ["127.0.0.1"]

    def resolve(host: str, port: int) -> Sequence[Resolved]:
        return at(hosts[-1])(host, port)

    server = EtcdServer("127.0.0.1", port=port).start()
    moved = EtcdServer("127.0.0.3", port=port)
    try:
        found = registry(api, resolve, ("etcd.example", port))
        assert found.apply(OWNER, create(KEY), soon()).result is Result.APPLIED
        server.stop()
        hosts.append("127.0.0.3")
        moved.start()
        wait_until(lambda: _answers(found), 20, "a read from the new address")
    finally:
        server.close()
        moved.close()


def _answers(found: Registry) -> bool:
    try:
        return found.read(OWNER, soon()).stored == {}
    except RegistryUnavailable:
        return False


def test_the_name_goes_into_the_host_header(good: EtcdServer, api: int) -> None:
    """The server sees which name it was asked under, because servers of several names may share one address."""
    with fake(500, "no etcd") as server, pytest.raises(RegistryUnavailable):
        registry(api, at("127.0.0.1"), ("etcd.example", server.server_port)).read(OWNER, soon())
    assert set(server.hosts) == {f"etcd.example:{server.server_port}"}


@pytest.mark.parametrize("name", ["etcd.example", "other.example"])
def test_the_name_is_what_a_certificate_has_to_be_valid_for(tmp_path: Path, api: int, name: str) -> None:
    """The certificate is checked against the endpoint's name, and not against the address that the name stands for."""
    ours = authority(tmp_path / "ours")
    server = TlsEtcd(ours, ours.issue("etcd.example"), client_auth=False).start()
    try:
        credentials = Credentials(True, ours.path)
        found = registry(api, at("127.0.0.1"), (name, address(server)[1]), credentials=credentials)
        if name == "etcd.example":
            assert found.read(OWNER, soon()).stored == {}
        else:
            with pytest.raises(RegistryUnavailable, match=r"certificate verify failed.*other\.example"):
                found.read(OWNER, soon())
    finally:
        server.close()
