"""Registries over several endpoints, through both APIs of etcd."""

from __future__ import annotations

from collections.abc import Callable

from controller.effects.clock import Clock, Deadline
from controller.registry.base import Registry
from controller.registry.etcd_v2.client import EtcdV2Client
from controller.registry.etcd_v2.registry import etcd_v2_registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.registry import etcd_v3_registry
from model.stored import Lifetime
from tests.support.etcd_server import EtcdServer

Address = tuple[str, int]

PREFIX = "/services"


class Client:
    """A registry over these endpoints; ``errors`` counts the requests that got no usable answer."""

    def __init__(self, api: int, *endpoints: Address) -> None:
        self.errors = 0
        self.registry = REGISTRIES[api](endpoints, self._count)

    def _count(self) -> None:
        self.errors += 1


REGISTRIES: dict[int, Callable[[tuple[Address, ...], Callable[[], None]], Registry]] = {
    2: lambda endpoints, on_error: etcd_v2_registry(EtcdV2Client(endpoints, on_error), PREFIX, Lifetime()),
    3: lambda endpoints, on_error: etcd_v3_registry(EtcdV3Client(endpoints, on_error), PREFIX, Lifetime()),
}


def soon(seconds: float = 10) -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(seconds, Clock())


def address(server: EtcdServer) -> Address:
    """The host and port at which a server serves its clients."""
    host, _, port = server.endpoint.rpartition(":")
    return host, int(port)
