"""The two families of IP addresses."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address

#: What the engine calls "all addresses" in a binding.
UNSPECIFIED = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


class Family(Enum):
    """Which addresses may be registered: those of one family, or of any, and then IPv4 where there is a choice."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @property
    def name_for_people(self) -> str:
        """``IPv6``; nothing for any, so that it fits before the word address."""
        return {Family.ANY: "", Family.IPV4: "IPv4", Family.IPV6: "IPv6"}[self]

    @property
    def in_order(self) -> tuple[Family, ...]:
        """The families to look for an address in, the better one first."""
        return (Family.IPV4, Family.IPV6) if self is Family.ANY else (self,)

    def has(self, address: str) -> bool:
        """Whether an address is of this family. Nothing stands for all IPv4 addresses, as in the engine's API; a host
        name may be of either."""
        if self is Family.ANY:
            return True
        try:
            found = Family.IPV6 if address and ip_address(address).version == 6 else Family.IPV4
        except ValueError:
            return True
        return found is self
