"""Tests of endpoints whose answers trickle, with both APIs of etcd: each byte comes in time, and the answer never
ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve

from controller.errors import RegistryUnavailable
from controller.registry.base import Registry
from controller.registry.credentials import Credentials
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.report import Result
from model.stored import Lifetime
from tests.contract.clients import PREFIX, Address, Client, address, soon
from tests.support.builders import OWNER, create
from tests.support.etcd_server import EtcdServer
from tests.support.secure_etcd import TlsEtcd, V3Users, authority
from tests.support.trickling import Pace, Split, Trickler, body, chunks, everything

KEY = "/services/nginx/core-01:web:80"

#: Time limit of a pass in these tests, in seconds.
PASS = 2.0

#: Seconds by which a busy machine may exceed a time limit.
SLACK = 1.0

both_apis = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])
each_part = pytest.mark.parametrize("split", [everything, body, chunks])


def registry_at(api: int, endpoints: Sequence[Address], credentials: Credentials) -> Registry:
    """Return a registry over these endpoints."""
    if api == 3:
        return etcd_v3_registry(EtcdV3Client(endpoints, credentials=credentials), PREFIX, Lifetime())
    return etcd_v2_registry(EtcdV2Client(endpoints, credentials=credentials), PREFIX, Lifetime())


@both_apis
@each_part
def test_a_trickled_answer_ends_with_the_pass(good: EtcdServer, api: int, split: Split) -> None:
    """The pass ends in time although the answer goes on, and the error says that there was no answer in time."""
    with Trickler(address(good), split) as slow:
        begun = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="no answer in time"):
            Client(api, slow.address).registry.read(OWNER, soon(PASS))
        assert time.monotonic() - begun < PASS + SLACK


@both_apis
@each_part
def test_another_endpoint_answers_for_one_that_trickles(good: EtcdServer, api: int, split: Split) -> None:
    """The endpoint that trickles gets only a share of the pass's time, so another endpoint answers within the same
    pass. Later requests ask that endpoint first."""
    with Trickler(address(good), split) as slow:
        client = Client(api, slow.address, address(good))
        deadline = soon(PASS)
        assert client.registry.read(OWNER, deadline).stored == {}
        assert client.registry.apply(OWNER, create(KEY), deadline).result is Result.APPLIED
        assert client.errors == 1


@both_apis
def test_two_of_three_endpoints_may_trickle(good: EtcdServer, api: int) -> None:
    """Two endpoints that trickle leave some of the pass's time for the third endpoint."""
    with Trickler(address(good)) as one, Trickler(address(good), body) as two:
        client = Client(api, one.address, two.address, address(good))
        assert client.registry.read(OWNER, soon(2 * PASS)).stored == {}


@both_apis
def test_an_answer_that_begins_to_trickle_on_an_open_connection_is_cut(good: EtcdServer, api: int) -> None:
    """A connection that worked before gets no more time than a new one."""
    with Trickler(address(good)) as slow:
        slow.trickling = False
        client = Client(api, slow.address, address(good))
        assert client.registry.read(OWNER, soon(PASS)).stored == {}
        slow.trickling = True
        assert client.registry.apply(OWNER, create(KEY), soon(PASS)).result is Result.APPLIED


@both_apis
def test_a_large_answer_that_progresses_arrives(good: EtcdServer, api: int) -> None:
    """The answer takes longer than an endpoint may be silent, but it is not cut, because its bytes keep coming."""
    writer = Client(api, address(good)).registry
    for number in range(20):
        change = evolve(create(f"{KEY}{number}"), value="x" * 1000)
        assert writer.apply(OWNER, change, soon()).result is Result.APPLIED
    with Trickler(address(good), body, Pace(4096, 0.4)) as slow:
        begun = time.monotonic()
        client = Client(api, slow.address, slow.address)
        assert len(client.registry.read(OWNER, soon(10)).stored) == 20
        assert time.monotonic() - begun > 2
        assert client.errors == 0


@both_apis
@pytest.mark.parametrize("handshake", [True, False], ids=["handshake", "answer"])
def test_tls_that_trickles_is_cut(tmp_path: Path, api: int, handshake: bool) -> None:
    """The connection is cut whether the TLS handshake trickles or the records of an answer do."""
    ours = authority(tmp_path / "ours")
    server = TlsEtcd(ours, ours.issue("127.0.0.1"), client_auth=False).start()
    try:
        with Trickler(address(server)) as slow:
            slow.trickling = handshake
            registry = registry_at(api, [slow.address], Credentials(True, ours.path))
            if not handshake:
                registry.read(OWNER, soon())
                slow.trickling = True
            begun = time.monotonic()
            with pytest.raises(RegistryUnavailable, match="no answer in time"):
                registry.read(OWNER, soon(PASS))
            assert time.monotonic() - begun < PASS + SLACK
    finally:
        server.close()


def test_an_answer_to_a_sign_in_that_trickles_is_cut() -> None:
    """Signing in and the request share the time of one member, so there is time left to ask the next member."""
    server = EtcdServer().start()
    try:
        users = V3Users(server)
        users.add("agent", "secret", ("READWRITE", "/services"), ("READWRITE", "/_wharfinger"))
        users.enable()
        credentials = Credentials(user="agent", password="secret")
        with Trickler(address(server), only=b"/v3/auth/authenticate") as slow:
            registry = registry_at(3, [slow.address, address(server)], credentials)
            assert registry.read(OWNER, soon(2 * PASS)).stored == {}
    finally:
        server.close()
