"""What the operator decided about entries."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from model.container import Container
from model.family import Family


class Deregister(Enum):
    """When a container that stopped loses its entries (``-deregister``)."""

    #: In the next pass.
    ALWAYS = "always"
    #: In the next pass if it ended well; the entries of a container that failed are held.
    ON_SUCCESS = "on-success"


class HealthRule(Enum):
    """Which containers may have entries by their health (``--health``). The engine's retries already smooth out short
    failures, so failures are not counted here."""

    #: All of them.
    ANY = "any"
    #: Those whose HEALTHCHECK says healthy, and those without one.
    HEALTHY = "healthy"

    def admits(self, container: Container) -> bool:
        """Whether the container may have entries."""
        return self is HealthRule.ANY or container.healthy


@frozen
class AddressRules:
    """How the address of an entry is found."""

    #: The address that the operator gave (``-ip``); empty if none.
    ip: str = ""
    #: The address of this host that faces etcd; empty if unknown. It counts where ``ip`` is empty.
    guessed: str = ""
    #: The label that holds a container's address (``-useIpFromLabel``); empty for none.
    label: str = ""
    #: Whether the containers' own addresses and exposed ports are registered (``-internal``).
    internal: bool = False
    #: The same for published ports alone (``-ip-from-container``).
    from_container: bool = False
    #: The network whose address these two take, if the container names no other (``--network``); empty for any.
    network: str = ""
    #: Which addresses may be registered (``--ip-family``).
    family: Family = Family.ANY

    def take_own_address(self, *, published: bool) -> bool:
        """Return whether a port, published or not, is registered at its container's own address."""
        return self.internal or (self.from_container and published)


@frozen
class Rules:
    """Everything that the operator decided about entries."""

    #: The Docker host that the entries belong to, as it stands in their ids.
    owner: str
    address: AddressRules = AddressRules()
    #: Whether only ports with a SERVICE_NAME are registered (``-explicit``).
    explicit: bool = False
    #: Tags for every entry, behind its own (``-tags``). If there are templates in them, they are one text.
    tags: tuple[str, ...] = ()
    deregister: Deregister = Deregister.ALWAYS
    health: HealthRule = HealthRule.ANY
    #: Whether every published binding of a port has an entry, and not only the first (``--all-bindings``).
    all_bindings: bool = False
    #: Whether names and ids that a container chooses may have safe characters only, and may not differ from those of
    #: others in case alone (``--strict-names``).
    strict_names: bool = False
    #: Whether the one-off containers of compose may have entries (``--one-offs``).
    one_offs: bool = False
