"""From a registry URI to its registry and its layout. What a registry does: contract/test_registry."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from controller.effects.clock import Clock, Deadline
from controller.effects.http_client import HttpAnswer
from controller.errors import RegistryUnavailable
from controller.registry.credentials import Credentials
from controller.registry.factory import Transports, Use, layout_for, open_registry
from controller.registry.schemes import SCHEMES
from controller.registry.uri import parse_uri
from model.host_port import HostPort
from model.layout import Layout, PlainLayout, ValueFormat
from model.report import Result
from model.skydns import SkyDnsLayout
from model.stored import FOREVER, StorePosition
from tests.simulation.messages import Request, Response
from tests.simulation.transports import SimulatedHttpClient, Timeouts
from tests.support.builders import OWNER, create
from tests.support.processes import REPOSITORY, clean_environment

#: What an empty etcd answers to a read by the v2 API.
V2_EMPTY = {"node": {"dir": True}}

#: What an empty etcd answers to a read by the v3 API.
V3_EMPTY = {"header": {"cluster_id": "1", "revision": "7"}}


class Pool(urllib3.PoolManager):
    """Answers requests for python-etcd without a socket, and keeps their URLs."""

    def __init__(self, asked: list[str]) -> None:
        super().__init__()
        self._asked = asked

    def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> Any:
        """See urllib3.PoolManager."""
        self._asked.append(f"{method} {url}")
        headers = {"X-Etcd-Index": "7", "X-Etcd-Cluster-Id": "c1"}
        return urllib3.HTTPResponse(json.dumps(V2_EMPTY).encode(), headers, status=200)


class Http(SimulatedHttpClient):
    """Answers requests of the v3 API without a socket, and keeps their URLs."""

    def __init__(self, endpoint: HostPort, context: ssl.SSLContext | None, asked: list[str]) -> None:
        def deliver(endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
            asked.append(f"{request.method} {'https' if context else 'http'}://{endpoint}{request.path}")
            return Response.of_json(V3_EMPTY)

        super().__init__(deliver, endpoint)


class Network:
    """Transports that open no socket. ``asked`` are the requests that they got, ``contexts`` what they were made of."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.contexts: list[ssl.SSLContext | None] = []
        self.transports = Transports(self._pool, self._http)

    def _pool(self, context: ssl.SSLContext | None) -> Pool:
        self.contexts.append(context)
        return Pool(self.asked)

    def _http(self, endpoint: HostPort, context: Callable[[], ssl.SSLContext | None]) -> Http:
        self.contexts.append(context())
        return Http(endpoint, context(), self.asked)


@pytest.mark.parametrize(
    ("uri", "url", "position"),
    [
        ("etcd://a:1/services", "GET http://a:1/v2/keys/services", StorePosition("c1", 7)),
        ("etcds://a:1/services", "GET https://a:1/v2/keys/services", StorePosition("c1", 7)),
        ("skydns2://a:1/local", "GET http://a:1/v2/keys/skydns/local", StorePosition("c1", 7)),
        ("etcd3://a:1/services", "POST http://a:1/v3/kv/range", StorePosition("1", 7)),
        ("etcd3s://a:1/services", "POST https://a:1/v3/kv/range", StorePosition("1", 7)),
        ("skydns3s://[fd00::1]:1/local", "POST https://[fd00::1]:1/v3/kv/range", StorePosition("1", 7)),
    ],
)
def test_every_request_goes_through_the_given_transports(uri: str, url: str, position: StorePosition) -> None:
    """The scheme says which one is used, and whether it is given a TLS context."""
    network, parsed = Network(), parse_uri(uri)
    registry = open_registry(parsed, Credentials(tls=parsed.tls), FOREVER, transports=network.transports)
    actual = registry.read(OWNER, Deadline.after(10, Clock()))
    assert (actual.stored, actual.store_position) == ({}, position)
    assert network.asked[0].partition("?")[0] == url
    assert [context is not None for context in network.contexts] == [parsed.tls]


@pytest.mark.parametrize("scheme", ["etcd", "etcd3"])
def test_a_dry_run_asks_for_no_write(scheme: str) -> None:
    """Each change is pending, and no request is made for it."""
    network = Network()
    uri = parse_uri(f"{scheme}://a:1/services")
    registry = open_registry(uri, Credentials(), FOREVER, use=Use(dry_run=True), transports=network.transports)
    deadline = Deadline.after(10, Clock())
    assert registry.apply(OWNER, create("/services/a"), deadline).result is Result.PENDING
    outcomes = registry.apply_all(OWNER, [create("/services/a"), create("/services/b")], deadline)
    assert [each.result for each in outcomes] == [Result.PENDING] * 2
    assert network.asked == []


@pytest.mark.parametrize("scheme", ["etcd", "etcd3"])
def test_requests_are_reported_member_by_member(scheme: str) -> None:
    """``on_request`` is called once for each member, with the URL that the registry's URI gives it."""
    told: list[tuple[str, bool]] = []

    class Down(Pool):
        def urlopen(self, *args: Any, **kw: Any) -> Any:
            raise urllib3.exceptions.ProtocolError("down")

    class DownToo(Http):
        def request(self, *args: Any, **kw: Any) -> HttpAnswer:
            raise ConnectionError("down")

    transports = Transports(lambda context: Down([]), lambda endpoint, context: DownToo(endpoint, context(), []))
    uri = parse_uri(f"{scheme}://a:1,b:2/services")
    registry = open_registry(uri, Credentials(), FOREVER, lambda *request: told.append(request), transports=transports)
    with pytest.raises(RegistryUnavailable, match=r"^http://a:1: .*down; http://b:2: .*down$"):
        registry.read(OWNER, Deadline.after(10, Clock()))
    assert told == [(url, False) for url in uri.urls]


@pytest.mark.parametrize(
    ("uri", "layout"),
    [
        ("etcd://a/services", PlainLayout("/services", ValueFormat.JSON)),
        ("etcd3s://a", PlainLayout("", ValueFormat.JSON)),
        ("skydns2://a/cluster.local", SkyDnsLayout("/skydns/local/cluster")),
        ("skydns3s://a/cluster.local", SkyDnsLayout("/skydns/local/cluster", 30)),
    ],
)
def test_the_scheme_says_which_layout(uri: str, layout: Layout) -> None:
    """The value format applies to plain values only, whatever the API."""
    assert layout_for(parse_uri(uri), ValueFormat.JSON) == layout


@pytest.mark.parametrize(("record_ttl", "of_v2", "of_v3"), [(None, 0, 30), (0, 0, 0), (60, 60, 60)])
def test_records_have_a_ttl_by_default_only_by_v3(record_ttl: int | None, of_v2: int, of_v3: int) -> None:
    """By v2 the records are registrator's."""
    for scheme, ttl in (("skydns2", of_v2), ("skydns3", of_v3)):
        layout = layout_for(parse_uri(f"{scheme}://a/cluster.local"), record_ttl=record_ttl)
        assert layout == SkyDnsLayout("/skydns/local/cluster", ttl)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_has_a_registry_and_a_layout(scheme: str) -> None:
    """Each API has a constructor and each kind of layout a layout."""
    uri = parse_uri(f"{scheme}://a:1/cluster.local")
    assert layout_for(uri).prefix == uri.prefix
    assert open_registry(uri, Credentials(), FOREVER) is not None


#: The source of a program that opens a registry and prints the names of the loaded modules.
OPENS = """
import json, sys
from controller.registry.credentials import Credentials
from controller.registry.factory import open_registry
from controller.registry.uri import parse_uri
from model.stored import FOREVER
open_registry(parse_uri(sys.argv[1]), Credentials(), FOREVER)
print(json.dumps(sorted(sys.modules)))
"""

#: What only registries of the v2 API need.
ONLY_V2 = {"controller.effects.connections", "controller.registry.etcd_v2.client", "etcd", "urllib3"}

#: What only registries of the v3 API need.
ONLY_V3 = {"controller.registry.etcd_v3.client"}


@pytest.mark.parametrize(
    ("uri", "needed", "not_needed"),
    [
        ("etcd://a:1/services", ONLY_V2, ONLY_V3),
        ("skydns2://a:1/local", ONLY_V2, ONLY_V3),
        ("etcd3://a:1/services", ONLY_V3, ONLY_V2 | {"requests"}),
        ("skydns3s://a:1/local", ONLY_V3, ONLY_V2 | {"requests"}),
    ],
)
def test_a_registry_loads_what_its_api_needs_and_no_more(uri: str, needed: set[str], not_needed: set[str]) -> None:
    """An agent that uses one API does not load the libraries of the other. They would delay its first pass."""
    done = subprocess.run(
        [sys.executable, "-c", OPENS, uri],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert (needed - loaded, not_needed & loaded) == (set(), set())
