"""The two families of IP addresses."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

#: All IPv4 addresses, which is also what an empty address of a binding means.
ALL_IPV4 = "0.0.0.0"  # noqa: S104 - compared with, not bound to

#: What the engine calls "all addresses" in a binding.
UNSPECIFIED = frozenset({"", ALL_IPV4, "::"})


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


def same_family(one: str, other: str) -> bool:
    """Return whether two addresses are reached by the same protocol. An empty address means all IPv4 addresses, and a
    host name may be of either family."""
    first, second = (_parsed(each or ALL_IPV4) for each in (one, other))
    return first is None or second is None or first.version == second.version


def same_address(one: str, other: str) -> bool:
    """Return whether two texts are one IP address. IPv6 addresses have several spellings."""
    parsed = _parsed(one)
    return parsed is not None and parsed == _parsed(other)


def is_loopback(address: str) -> bool:
    """Return whether an address leads back to the host that dials it. A host name does not tell."""
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


#: How many addresses are remembered. Most ports of a host have the same few.
_REMEMBERED = 256


@lru_cache(maxsize=_REMEMBERED)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address; None for another text. An IPv4 address in IPv6 form (``::ffff:192.0.2.1``) is the IPv4
    address, as connections to it are IPv4 connections."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
