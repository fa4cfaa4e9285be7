"""Drain orders, as the operator of the simulated fleet writes them and as the oracle reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import Any, Self

from attrs import evolve, field, frozen

from tests.simulation.engine_documents import ContainerTruth, sortable, timestamp
from tests.simulation.etcd_cluster import EtcdCluster
from tests.simulation.fleet import RECORDS
from tests.simulation.scheduler import EPOCH


@frozen
class Named:
    """A container that an order names."""

    name: str
    #: When it was started, with all nine digits of the fraction.
    started: str
    #: Until when it drains, in seconds of virtual time.
    until: float = inf


@frozen
class Order:
    """What the operator drains of a host."""

    #: The containers by their ids.
    named: Mapping[str, Named] = field(factory=dict)
    #: Until when all drain, in seconds of virtual time; None if not all of them do.
    all_until: float | None = None

    @classmethod
    def read(cls, cluster: EtcdCluster, api: str, owner: str) -> Self:
        """Return the order that etcd holds for an owner."""
        key = order_key(owner)
        return cls.parse(cluster.keys(api, key).get(key))

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read the value of the key; None if there is no key."""
        if text is None:
            return cls()
        document = json.loads(text)
        named = {
            key: Named(each["name"], each["started"], _seconds(each["until"]))
            for key, each in document["containers"].items()
        }
        return cls(named, _seconds(document["all"]["until"]) if document["all"] else None)

    def write(self, cluster: EtcdCluster, api: str, owner: str) -> None:
        """Put the order into etcd, or delete the key if there is nothing to drain."""
        if self.named or self.all_until is not None:
            cluster.put(api, order_key(owner), self.encode())
        else:
            cluster.delete(api, order_key(owner))

    def encode(self) -> str:
        """Return the value of the key."""
        containers = {
            key: {"name": each.name, "started": each.started, "until": _text(each.until)}
            for key, each in self.named.items()
        }
        everything = None if self.all_until is None else {"until": _text(self.all_until)}
        return json.dumps({"all": everything, "containers": containers})

    def with_container(self, container: ContainerTruth, until: float = inf) -> Self:
        """Return the order that names a container that runs, too, in its present run."""
        named = Named(container.name, sortable(container.started_at), until)
        return evolve(self, named={**self.named, container.id: named})

    def covers(self, container: ContainerTruth, now: float) -> bool:
        """Return whether a container drains at a virtual time."""
        if self.all_until is not None and now < self.all_until:
            return True
        named = self.named.get(container.id)
        return named is not None and named.started == sortable(container.started_at) and now < named.until

    @property
    def ends(self) -> list[float]:
        """The virtual times at which parts of it end."""
        ends = [each.until for each in self.named.values()]
        return [each for each in (*ends, self.all_until) if each is not None and each < inf]


def order_key(owner: str) -> str:
    """Return the key of the drain order of an owner."""
    return f"{RECORDS}{owner}/drain"


def _text(moment: float) -> str | None:
    """Return a virtual time in whole seconds as the order has it; None for infinity."""
    return None if moment == inf else timestamp(round(moment) * 1_000_000_000)


def _seconds(moment: Any) -> float:
    return inf if moment is None else datetime.fromisoformat(moment).timestamp() - EPOCH
