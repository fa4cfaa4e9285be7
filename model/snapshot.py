"""What the engine said of this host's containers in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from attrs import evolve, field, frozen

from model.container import Container, ContainerRef
from model.described import DescribedEnum
from model.drain_order import NO_DRAIN, DrainOrder
from model.draining import Draining
from model.engine_kind import UNKNOWN_KIND
from model.engine_network import Network
from model.frozen import frozen_dict


class Presence(DescribedEnum):
    """What the engine says of the container of a key that is to be deleted."""

    LISTED = "listed", "The container runs, and the engine's description of it does not call for the entry."
    RUNNING = "running", "The container runs, although the engine's list does not have it."
    STOPPED = "stopped", "The container is there and does not run."
    ABSENT = "absent", "The engine has no such container."
    UNKNOWN = "unknown", "The engine did not say in time whether the container runs."


@frozen
class UnknownContainer:
    """A container that is there, and that the engine would not describe."""

    #: Its id, and its name in the engine's list.
    ref: ContainerRef
    #: What went wrong, for people. Comparisons ignore it, because it may say for how long the engine has not answered,
    #: which changes in each pass.
    problem: str = field(eq=False)


@frozen
class Snapshot:
    """This host's containers at one moment."""

    containers: tuple[Container, ...] = ()
    #: Containers that exist and of which nothing else is known now. What they have registered is held.
    unknown: tuple[UnknownContainer, ...] = ()
    #: The ids of the containers that ``--filter`` selects; None where there is no filter. The other containers are in
    #: the snapshot all the same, as one of them may have the network that a selected one joins.
    selected: frozenset[str] | None = None
    #: What the engine said of the networks that decide about a port, by the ids of the networks. None: it refuses to
    #: say. It has not said yet what a network is that is missing here.
    networks: Mapping[str, Network | None] = field(factory=dict, converter=frozen_dict)
    #: The ids of the containers whose present state, ended or running as described, the engine told of each by itself,
    #: by an event or an inspect, since the last list.
    confirmed: frozenset[str] = frozenset()
    #: The containers that run and drain, by their ids.
    draining: Mapping[str, Draining] = field(factory=dict, converter=frozen_dict)
    #: What the operator drains of the containers that run.
    drain_order: DrainOrder = NO_DRAIN

    @property
    def presences(self) -> Mapping[str, Presence]:
        """The presence of each described container, by its id and by its name."""
        return {
            key: Presence.LISTED if each.serving else Presence.STOPPED
            for each in self.containers
            for key in (each.id, each.name)
        }

    def selects(self, container: Container) -> bool:
        """Whether the filters let this container have entries."""
        return self.selected is None or container.id in self.selected

    def with_drain_order(self, order: DrainOrder) -> Self:
        """Return the snapshot in which those containers drain, too, that run and that the operator drains. ``order`` is
        without the parts that have ended."""
        if order.is_empty:
            return self
        running = [each for each in self.containers if each.serving]
        drained = {each.id: why for each in running if (why := order.draining(each))}
        return evolve(self, draining={**self.draining, **drained}, drain_order=order.among(running))


@frozen
class EngineIdentity:
    """What the engine says about itself."""

    #: The engine's name for its host. It is the owner of this host's entries unless ``--hostname`` gives another. Empty
    #: if the engine could not find out.
    name: str
    #: The engine's own id, by which two hosts of the same name are told apart. Empty by default, and for an engine that
    #: has none, or whose id does not last.
    id: str = ""
    #: The name that the engine gives its host now, if it differs from ``name``; empty otherwise.
    new_name: str = ""
    #: The kind of the engine; see engine_kind.py.
    kind: str = UNKNOWN_KIND

    def followed_by(self, later: EngineIdentity) -> EngineIdentity:
        """Return what is known of the engine after it was asked once more and answered ``later``. The first name stays,
        because the owner does not change while the program runs. An id or a kind that ``later`` lacks stays as it
        was."""
        renamed = self.name and later.name != self.name
        new_name = later.name if renamed else ""
        return EngineIdentity(self.name or later.name, later.id or self.id, new_name, later.kind or self.kind)
