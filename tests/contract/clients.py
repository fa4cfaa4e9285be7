"""Registries over several endpoints, through either API of etcd."""

from __future__ import annotations

from collections.abc import Callable

from controller.clock import Clock, Deadline
from controller.etcd2 import Endpoints, Etcd2Registry
from controller.etcd3 import Etcd3Registry
from controller.gateway import Gateway
from controller.registry import Registry
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
    2: lambda endpoints, on_error: Etcd2Registry(Endpoints(endpoints, on_error), PREFIX, Lifetime()),
    3: lambda endpoints, on_error: Etcd3Registry(Gateway(endpoints, on_error), PREFIX, Lifetime()),
}


def soon(seconds: float = 10) -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(seconds, Clock())


def address(server: EtcdServer) -> Address:
    """Where it serves its clients."""
    host, _, port = server.endpoint.rpartition(":")
    return host, int(port)
