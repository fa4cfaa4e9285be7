"""The two families of IP addresses."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address

#: What the engine calls "all addresses" in a binding.
UNSPECIFIED = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


class Family(Enum):
    """Which addresses may be registered (``--ip-family``)."""

    #: Those of either family; IPv4 where there is a choice.
    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @property
    def name_for_people(self) -> str:
        """``IPv4``, ``IPv6``, or an empty string for any: what stands before the word "address" in a message."""
        return {Family.ANY: "", Family.IPV4: "IPv4", Family.IPV6: "IPv6"}[self]

    @property
    def in_order(self) -> tuple[Family, ...]:
        """The families in which to look for an address, the preferred one first."""
        return (Family.IPV4, Family.IPV6) if self is Family.ANY else (self,)

    def has(self, address: str) -> bool:
        """Return whether an address is of this family. An empty address means all IPv4 addresses, as in the engine's
        API. A host name may be of either family."""
        if self is Family.ANY:
            return True
        try:
            found = Family.IPV6 if address and ip_address(address).version == 6 else Family.IPV4
        except ValueError:
            return True
        return found is self
