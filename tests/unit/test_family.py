"""Tests of model.family: IPv4 and IPv6."""

from __future__ import annotations

import pytest

from model.family import Family


@pytest.mark.parametrize(
    ("family", "text", "has"),
    [
        ("any", "", True),
        ("any", "::", True),
        ("ipv4", "", True),
        ("ipv4", "0.0.0.0", True),
        ("ipv4", "10.0.0.1", True),
        ("ipv4", "::", False),
        ("ipv4", "fd00::1", False),
        ("ipv4", "host", True),
        ("ipv6", "", False),
        ("ipv6", "0.0.0.0", False),
        ("ipv6", "::", True),
        ("ipv6", "fd00::1", True),
        ("ipv6", "::ffff:10.0.0.1", True),
        ("ipv6", "host", True),
    ],
)
def test_an_ip_address_is_of_one_family_and_a_host_name_of_either(family: str, text: str, has: bool) -> None:
    """An empty address means all IPv4 addresses, as in the engine's API."""
    assert Family(family).has(text) is has


@pytest.mark.parametrize(
    ("family", "order", "name"),
    [
        (Family.ANY, (Family.IPV4, Family.IPV6), ""),
        (Family.IPV4, (Family.IPV4,), "IPv4"),
        (Family.IPV6, (Family.IPV6,), "IPv6"),
    ],
    ids=str,
)
def test_ipv4_is_preferred_where_either_family_may_be_used(
    family: Family, order: tuple[Family, ...], name: str
) -> None:
    """One chosen family is the only one to look for, and has a name for messages."""
    assert family.in_order == order
    assert family.name_for_people == name
