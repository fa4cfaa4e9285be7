"""One interface to the stores of all registries, so that the same tests run over each of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pytest

from controller.registry.base import Registry
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v2.surveyor import EtcdV2Surveyor
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from controller.registry.etcd_v3.surveyor import EtcdV3Surveyor
from controller.registry.surveyor import Surveyor
from model.host_port import HostPort
from model.record import ROOT
from model.stored import Lifetime
from tests.simulation.etcd_cluster import EtcdCluster
from tests.simulation.messages import Request, Response
from tests.simulation.transports import Refused, SimulatedHttpClient, SimulatedPool, Timeouts
from tests.support.command_host import Host
from tests.support.etcd_server import EtcdServer, chosen_version, etcd_binary, serves_v2
from tests.support.etcd_v3 import EtcdV3, encoded
from tests.support.memory_registry import MemoryRegistry
from tests.support.parts import PartMissing
from tests.support.recorded_engine import RecordedEngineServer

PREFIX = "/services"

#: Where the clients of a simulated etcd send their requests.
_SIMULATED = HostPort("etcd-1", 2379)


class Store(Protocol):
    """The store of a registry, to be read and written without the program."""

    def registry(self, lifetime: Lifetime = Lifetime(), prefix: str = PREFIX) -> Registry:
        """The registry under test, over this store."""

    def surveyor(self, prefix: str = PREFIX) -> Surveyor:
        """What reads everything of this store."""

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Write without a guard."""

    def remove(self, key: str) -> None:
        """Delete without a guard."""

    def keys(self) -> dict[str, str]:
        """Every key under the prefix and its value."""

    def break_down(self) -> None:
        """Make it answer no request."""


class MemoryStore:
    """The store of the in-memory registry."""

    def __init__(self) -> None:
        self._memory = MemoryRegistry(PREFIX)

    def surveyor(self, prefix: str = PREFIX) -> Surveyor:
        return self._registry(Lifetime(), prefix)

    def registry(self, lifetime: Lifetime = Lifetime(), prefix: str = PREFIX) -> Registry:
        return self._registry(lifetime, prefix)

    def _registry(self, lifetime: Lifetime, prefix: str) -> MemoryRegistry:
        fresh = MemoryRegistry(prefix, lifetime)
        fresh.stored, fresh.version, fresh.down = self._memory.stored, self._memory.version, self._memory.down
        fresh.created = self._memory.created
        self._memory = fresh
        return fresh

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        self._memory.put(key, value, ttl)

    def remove(self, key: str) -> None:
        self._memory.remove(key)

    def keys(self) -> dict[str, str]:
        return {key: value for key, value in self._memory.keys().items() if key.startswith(f"{PREFIX}/")}

    def break_down(self) -> None:
        self._memory.down = True


class EtcdV2Store:
    """A real etcd, through its v2 API."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server
        _empty_v2(server)

    def registry(self, lifetime: Lifetime = Lifetime(), prefix: str = PREFIX) -> Registry:
        return etcd_v2_registry(self._client(), prefix, lifetime)

    def surveyor(self, prefix: str = PREFIX) -> Surveyor:
        return EtcdV2Surveyor(self._client(), prefix)

    def _client(self) -> EtcdV2Client:
        host, _, port = self._server.endpoint.rpartition(":")
        return EtcdV2Client([(host, int(port))])

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        self._server.put(key, value, ttl)

    def remove(self, key: str) -> None:
        self._server.delete(key)

    def keys(self) -> dict[str, str]:
        return self._server.keys(PREFIX)

    def break_down(self) -> None:
        self._server.kill()


class EtcdV3Store:
    """A real etcd, through its v3 API."""

    def __init__(self, server: EtcdServer) -> None:
        self._server = server
        self._v3 = EtcdV3(server.endpoint)
        self._v3.clear()

    def registry(self, lifetime: Lifetime = Lifetime(), prefix: str = PREFIX) -> Registry:
        return etcd_v3_registry(self._client(), prefix, lifetime)

    def surveyor(self, prefix: str = PREFIX) -> Surveyor:
        return EtcdV3Surveyor(self._client(), prefix)

    def _client(self) -> EtcdV3Client:
        host, _, port = self._server.endpoint.rpartition(":")
        return EtcdV3Client([(host, int(port))])

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        self._v3.put(key, value, ttl)

    def remove(self, key: str) -> None:
        self._v3.delete(key)

    def keys(self) -> dict[str, str]:
        return self._v3.keys(PREFIX)

    def break_down(self) -> None:
        self._server.kill()


class SimulatedStore:
    """A simulated etcd, through one of its APIs and the program's clients."""

    def __init__(self, api: str) -> None:
        self._api = api
        self._cluster = EtcdCluster(lambda: 0.0, ("etcd-1",))

    def registry(self, lifetime: Lifetime = Lifetime(), prefix: str = PREFIX) -> Registry:
        if self._api == "v2":
            return etcd_v2_registry(self._v2_client(), prefix, lifetime)
        return etcd_v3_registry(self._v3_client(), prefix, lifetime)

    def surveyor(self, prefix: str = PREFIX) -> Surveyor:
        if self._api == "v2":
            return EtcdV2Surveyor(self._v2_client(), prefix)
        return EtcdV3Surveyor(self._v3_client(), prefix)

    def _v2_client(self) -> EtcdV2Client:
        return EtcdV2Client([_SIMULATED], transport=lambda context: SimulatedPool(self._deliver))

    def _v3_client(self) -> EtcdV3Client:
        return EtcdV3Client(
            [_SIMULATED], transport=lambda endpoint, context: SimulatedHttpClient(self._deliver, endpoint)
        )

    def put(self, key: str, value: str, ttl: int | None = None) -> None:
        lifetime = {} if ttl is None else {"ttl": str(ttl)}
        if self._api == "v2":
            self._cluster.handle(
                "etcd-1", Request("PUT", f"/v2/keys{quote(key, safe='/:')}", {"value": value, **lifetime})
            )
            return
        lease = {"lease": self._call("lease/grant", {"TTL": str(ttl)})["ID"]} if ttl else {}
        self._call("kv/put", {"key": encoded(key), "value": encoded(value), **lease})

    def remove(self, key: str) -> None:
        self._cluster.delete(self._api, key)

    def keys(self) -> dict[str, str]:
        return self._cluster.keys(self._api, f"{PREFIX}/")

    def break_down(self) -> None:
        self._cluster.stop("etcd-1")

    def _call(self, call: str, document: dict[str, str]) -> Any:
        request = Request("POST", f"/v3/{call}", body=json.dumps(document).encode())
        response = self._cluster.handle("etcd-1", request)
        assert response is not None
        assert response.status == 200
        return json.loads(response.body)

    def _deliver(self, endpoint: HostPort, request: Request, timeouts: Timeouts) -> Response:
        response = self._cluster.handle("etcd-1", request)
        if response is None:
            raise Refused
        return response


#: The values of parameters with which a test needs the v2 API, and those with which it needs no etcd.
_BY_V2: Mapping[str, Collection[object]] = {
    "api": [2],
    "tls": [2],
    "store": ["etcd_v2"],
    "scheme": ["etcd", "skydns2"],
}
_WITHOUT_ETCD: Mapping[str, Collection[object]] = {"store": ["memory", "simulated-v2", "simulated-v3"]}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """If a version of etcd was chosen, leave out the tests that need no etcd, and those that need an API which this
    version does not have."""
    if chosen_version():
        config.hook.pytest_deselected(items=[item for item in items if not _concerns_this_version(item)])
        items[:] = filter(_concerns_this_version, items)


def _concerns_this_version(item: pytest.Item) -> bool:
    if _has(item, _WITHOUT_ETCD):
        return False
    return serves_v2() or not (_has(item, _BY_V2) or item.get_closest_marker("v2"))


def _has(item: pytest.Item, values: Mapping[str, Collection[object]]) -> bool:
    parameters = item.callspec.params if isinstance(item, pytest.Function) and "callspec" in vars(item) else {}
    return any(parameters[name] in some for name, some in values.items() if name in parameters)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """If a version of etcd was chosen, and the tests that were asked for do not depend on it, nothing is wrong."""
    if chosen_version() and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session", autouse=True)
def etcd_is_there() -> None:
    """Skip the test if the version of etcd that was chosen cannot be had here."""
    try:
        etcd_binary()
    except PartMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def shared_server() -> Iterator[EtcdServer]:
    """An etcd that all tests of a session share."""
    server = EtcdServer().start()
    yield server
    server.close()


@pytest.fixture(params=["memory", "simulated-v2", "simulated-v3", "etcd_v2", "etcd_v3"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store; each test runs over every kind."""
    if request.param == "memory":
        return MemoryStore()
    if request.param.startswith("simulated-"):
        return SimulatedStore(request.param.removeprefix("simulated-"))
    server: EtcdServer = request.getfixturevalue("shared_server")
    if not server.answers():
        server.start()
    return EtcdV2Store(server) if request.param == "etcd_v2" else EtcdV3Store(server)


@pytest.fixture
def good(shared_server: EtcdServer) -> EtcdServer:
    """An etcd that is well and empty."""
    if not shared_server.answers():
        shared_server.start()
    if serves_v2():
        _empty_v2(shared_server)
    EtcdV3(shared_server.endpoint).clear()
    return shared_server


def _empty_v2(server: EtcdServer) -> None:
    for path in (PREFIX, ROOT):
        server.delete(path, recursive=True)


@pytest.fixture
def host(tmp_path: Path, good: EtcdServer) -> Iterator[Host]:
    """A host that runs nothing, and an empty registry."""
    host = Host(tmp_path, good)
    with RecordedEngineServer(host.socket, host.docker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield host
        server.shutdown()
        thread.join()
