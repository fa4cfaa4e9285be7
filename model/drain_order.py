"""The drain order: which containers of a host the operator drains, as etcd holds it.

``wharfinger drain`` and ``wharfinger undrain`` write it, in a key of its own beside the owner record, and the agent
reads it in each pass. It names a container by its id and by the start of its run, so that it drains neither a container
that was started again nor a new one of the same name. A reader ignores fields that it does not know, and treats an
order that it cannot read as if there were none.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from typing import Any, Self

from attrs import evolve, field, frozen

from model.container import Container
from model.described import DescribedEnum
from model.draining import Draining
from model.frozen import frozen_dict
from model.stored import Stored


class DrainScope(DescribedEnum):
    """What a part of a drain order is about."""

    ALL = "all", "All containers of the host: 1 while the operator drains them, else 0."
    CONTAINERS = "containers", "Containers that run and that the operator drains by name: how many."


@frozen
class DrainedContainer:
    """A container that the operator drains."""

    id: str
    #: When the run began in which it drains, in the form of ``Container.started``.
    started: str
    #: The name that it had when the operator named it.
    name: str
    #: When it drains no longer, in whole seconds since 1970-01-01 UTC; infinity: when ``wharfinger undrain`` says so.
    until: float = inf

    def is_run_of(self, container: Container) -> bool:
        """Return whether this is the container, in its present run."""
        return (container.id, container.started) == (self.id, self.started)


@frozen
class DrainOrder:
    """What the operator drains of a host."""

    #: The containers that were named, by their ids.
    containers: Mapping[str, DrainedContainer] = field(factory=dict, converter=frozen_dict)
    #: Until when all containers of the host drain, those included that start later, as ``DrainedContainer.until`` has
    #: it; None if not all of them drain.
    all_until: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it drains nothing."""
        return not self.containers and self.all_until is None

    def count(self, scope: DrainScope) -> int:
        """Return how many containers it names, or whether it is about all containers of the host."""
        return len(self.containers) if scope is DrainScope.CONTAINERS else int(self.all_until is not None)

    def at(self, now: float) -> Self:
        """Return the order without the parts that have ended at a moment, in seconds since 1970-01-01 UTC. If none has,
        return the order itself."""
        ended = [each.id for each in self.containers.values() if each.until <= now]
        all_ended = self.all_until is not None and self.all_until <= now
        order = evolve(self, all_until=None) if all_ended else self
        return order.without_containers(ended) if ended else order

    def among(self, containers: Iterable[Container]) -> Self:
        """Return the order without the named containers that are not among these, or are in another run."""
        present = {each.id: each for each in containers}
        gone = [key for key, each in self.containers.items() if key not in present or not each.is_run_of(present[key])]
        return self.without_containers(gone)

    def covers(self, container: Container) -> bool:
        """Return whether it drains a container in its present run."""
        return self.draining(container) is not None

    def draining(self, container: Container) -> Draining | None:
        """Return why a container drains; None if the order does not drain it."""
        named = self.containers.get(container.id)
        ends = [] if self.all_until is None else [self.all_until]
        ends += [named.until] if named and named.is_run_of(container) else []
        return Draining(f"the operator drains it{until_text(max(ends))}", by_operator=True) if ends else None

    def named(self, text: str) -> tuple[DrainedContainer, ...]:
        """Return the named containers that a text means: those with this name or id, or else those whose ids begin with
        it."""
        containers = tuple(self.containers.values())
        exact = tuple(each for each in containers if text in {each.id, each.name})
        return exact or tuple(each for each in containers if each.id.startswith(text))

    def with_containers(self, containers: Iterable[DrainedContainer]) -> Self:
        """Return the order that drains these containers, too."""
        return evolve(self, containers={**self.containers, **{each.id: each for each in containers}})

    def without_containers(self, ids: Collection[str]) -> Self:
        """Return the order that does not name the containers with these ids."""
        return evolve(self, containers={key: each for key, each in self.containers.items() if key not in ids})

    def encode(self) -> str:
        """Return the order as canonical JSON."""
        containers = {
            each.id: {"started": each.started, "name": each.name, "until": moment_of(each.until)}
            for each in self.containers.values()
        }
        everything = None if self.all_until is None else {"until": moment_of(self.all_until)}
        return json.dumps({"all": everything, "containers": containers}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> DrainOrder | None:
        """Read an order. Return None if the text is not an order."""
        return _decoded(text)


#: The order that drains nothing.
NO_DRAIN = DrainOrder()


def drain_order_in(stored: Stored | None) -> DrainOrder:
    """Return the drain order in a stored value; one that drains nothing if there is no key, or if its value is not an
    order."""
    return (DrainOrder.decode(stored.value) if stored else None) or NO_DRAIN


def is_unreadable(stored: Stored | None) -> bool:
    """Return whether there is a key whose value is not a drain order."""
    return stored is not None and DrainOrder.decode(stored.value) is None


def moment_of(seconds: float) -> str | None:
    """Return when a drain ends as ``2026-01-02T03:04:05Z``; None for infinity."""
    return None if seconds == inf else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def until_text(until: float) -> str:
    """Return when a drain ends as the end of a sentence: `` until 2026-01-02T03:04:05Z``; empty if it has no end."""
    return "" if until == inf else f" until {moment_of(until)}"


#: How many orders are remembered with the text that they were read from: an agent reads its own in each pass, from each
#: of its registries.
_REMEMBERED = 8


@lru_cache(maxsize=_REMEMBERED)
def _decoded(text: str) -> DrainOrder | None:
    try:
        document = json.loads(text)
        containers = {
            str(key): DrainedContainer(str(key), str(each["started"]), str(each["name"]), _seconds(each["until"]))
            for key, each in document["containers"].items()
        }
        everything = document["all"]
        return DrainOrder(containers, None if everything is None else _seconds(everything["until"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _seconds(moment: Any) -> float:
    """Return the seconds since 1970-01-01 UTC of what ``moment_of`` returned. Raises ValueError, TypeError or
    OverflowError for what is no such moment."""
    if moment is None:
        return inf
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        raise ValueError(moment)
    return parsed.astimezone(UTC).timestamp()
