"""Tests of tests.support.coredns: the tests' reader of CoreDNS's records is as strict as CoreDNS."""

from __future__ import annotations

import pytest

from tests.support.coredns import READABLE, UNREADABLE, Service, dns_name, read_service


@pytest.mark.parametrize(("value", "service"), READABLE.items())
def test_a_value_that_go_accepts_is_read(value: str, service: Service) -> None:
    """The reader accepts what Go's encoding/json accepts for the record's fields."""
    assert read_service(value) == service


@pytest.mark.parametrize("value", [*UNREADABLE, '{"text":"\ud800"}'])
def test_a_value_that_go_rejects_raises_an_error(value: str) -> None:
    """One such value makes CoreDNS fail every query for a name above it."""
    with pytest.raises(ValueError, match=r"."):
        read_service(value)


def test_the_path_of_a_key_is_a_dns_name_backwards() -> None:
    """The name begins below CoreDNS's path, ``/skydns``."""
    assert dns_name("/skydns/local/cluster/redis/redis-1") == "redis-1.redis.cluster.local"


@pytest.mark.parametrize(
    "key",
    [
        *("/services/a", "/skydns", "/skydns/", "/skydns/a//b", "/skydns/A", "/skydns/a.b", "/skydns/a:b"),
        *("/skydns/-a", "/skydns/a-", "/skydns/" + "a" * 64, "/skydns/" + "/".join(["abc"] * 64)),
    ],
)
def test_a_key_that_no_dns_query_can_name_raises_an_error(key: str) -> None:
    """A query has a DNS name in small letters."""
    with pytest.raises(ValueError, match=r"."):
        dns_name(key)
