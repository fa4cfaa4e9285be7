"""What the engine says of a network: does its driver map ports, or does it give containers addresses on the LAN?"""

from __future__ import annotations

from attrs import frozen

#: The drivers that give each container an address of its own on the network of the host, and map no ports.
LAN_DRIVERS = frozenset({"macvlan", "ipvlan"})

#: The drivers whose addresses only containers can dial. Other hosts reach such a container by a mapped port alone.
INNER_DRIVERS = frozenset({"bridge", "overlay", "null", "host"})

#: The name of the default bridge.
BRIDGE = "bridge"

#: The name of swarm's network for published ports. Its addresses can be dialled by nobody but swarm's load balancer.
INGRESS = "ingress"


@frozen
class Network:
    """A network of the engine."""

    driver: str
    #: Whether it has no way out (``--internal``).
    internal: bool = False

    @property
    def on_lan(self) -> bool:
        """Whether others reach its containers at the containers' own addresses."""
        return self.driver in LAN_DRIVERS and not self.internal

    @property
    def inner(self) -> bool:
        """Whether nobody but containers can reach its addresses. A network of another driver is neither this nor on the
        LAN, as nobody knows what the driver does."""
        return self.internal or self.driver in INNER_DRIVERS

    @property
    def maps_no_port(self) -> bool:
        """Whether no port of a container is certainly published through it."""
        return self.internal or self.driver in {*LAN_DRIVERS, "null"}

    @property
    def name_for_people(self) -> str:
        """What it is, for a message."""
        return "internal" if self.internal else f"of the driver {self.driver}"
