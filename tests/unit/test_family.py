"""Tests of model.family: IPv4 and IPv6."""

from __future__ import annotations

import pytest

from model.family import Family, is_loopback, same_address, same_family


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


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("", "10.0.0.1", True),
        ("0.0.0.0", "10.0.0.1", True),
        ("::", "fd00::1", True),
        ("", "fd00::1", False),
        ("::", "10.0.0.1", False),
        ("::ffff:10.0.0.1", "10.0.0.2", True),
        ("::ffff:10.0.0.1", "fd00::1", False),
        ("host", "fd00::1", True),
        ("10.0.0.1", "host", True),
    ],
)
def test_two_addresses_of_one_family_are_reached_by_one_protocol(one: str, other: str, same: bool) -> None:
    """A host name may be of either family, and an IPv4 address in IPv6 form is reached by IPv4."""
    assert same_family(one, other) is same_family(other, one) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:DB8:0:0::1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("host", "host", False),
        ("", "", False),
    ],
)
def test_an_address_has_several_spellings(one: str, other: str, same: bool) -> None:
    """A text that is no IP address is the same as no other one."""
    assert same_address(one, other) is same


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_a_loopback_address_leads_back_to_who_dials_it(text: str, loopback: bool) -> None:
    """Those are all of 127.0.0.0/8, and ::1. A host name does not tell."""
    assert is_loopback(text) is loopback
