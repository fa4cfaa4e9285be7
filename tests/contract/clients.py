"""Registries over several endpoints, through both APIs of etcd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from controller.effects.clock import Clock, Deadline
from controller.registry.base import Registry
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.documents import Document
from controller.registry.etcd_v3.registry import etcd_v3_registry
from controller.registry.failover import OnRequest
from model.stored import Lifetime
from tests.support.etcd_server import EtcdServer

Address = tuple[str, int]

PREFIX = "/services"


class Client:
    """A registry over these endpoints; ``errors`` counts the requests that got no usable answer."""

    def __init__(self, api: int, *endpoints: Address) -> None:
        self.errors = 0
        self.registry = REGISTRIES[api](endpoints, self._count)

    def _count(self, url: str, usable: bool) -> None:
        self.errors += not usable


REGISTRIES: dict[int, Callable[[tuple[Address, ...], OnRequest], Registry]] = {
    2: lambda endpoints, on_request: etcd_v2_registry(EtcdV2Client(endpoints, on_request), PREFIX, Lifetime()),
    3: lambda endpoints, on_request: etcd_v3_registry(EtcdV3Client(endpoints, on_request), PREFIX, Lifetime()),
}


def soon(seconds: float = 10) -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(seconds, Clock())


def address(server: EtcdServer) -> Address:
    """The host and port at which a server serves its clients."""
    host, _, port = server.endpoint.rpartition(":")
    return host, int(port)


T = TypeVar("T")


class RecordingClient(EtcdV3Client):
    """A client that keeps its calls. It calls ``before`` with the number of calls so far before each, and
    ``before_page`` before it asks for a page of a prefix."""

    asked: list[tuple[str, Document]]
    before: Callable[[int], object]
    before_page: Callable[[], object]

    def call(self, path: str, document: Document, read: Callable[[Any], T], deadline: Deadline) -> T:
        """See EtcdV3Client."""
        self.before(len(self.asked))
        if "limit" in document:
            self.before_page()
        self.asked.append((path, document))
        return super().call(path, document, read, deadline)

    def calls(self) -> list[str]:
        """The paths of the calls since the last time that this was asked."""
        asked, self.asked = self.asked, []
        return [path for path, _ in asked]


def recording_client(server: EtcdServer) -> RecordingClient:
    """A recording client of this server."""
    client = RecordingClient([address(server)])
    client.asked, client.before, client.before_page = [], lambda number: None, lambda: None
    return client
