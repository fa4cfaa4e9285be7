"""The tests' own reader of CoreDNS's records is as strict as it should be."""

from __future__ import annotations

import pytest

from tests.support.coredns import Service, dns_name, read_service


@pytest.mark.parametrize(
    ("value", "service"),
    [
        ('{"host":"192.0.2.1","port":80}', Service("192.0.2.1", 80)),
        ('{"HOST":"a","Port":1,"x":1.5,"ttl":4294967295}', Service("a", 1, ttl=4294967295)),
        ('{"host":null,"mail":true,"text":"a\\u00e9"}', Service(mail=True, text="aé")),
        ("{}", Service()),
    ],
)
def test_what_go_reads_is_read(value: str, service: Service) -> None:
    """As encoding/json would."""
    assert read_service(value) == service


@pytest.mark.parametrize(
    "value",
    [
        "",
        "192.0.2.1:80",
        "[]",
        '{"host":1}',
        '{"port":"80"}',
        '{"port":80.0}',
        '{"port":8e1}',
        '{"port":true}',
        '{"priority":9223372036854775808}',
        '{"ttl":-1}',
        '{"ttl":4294967296}',
        '{"mail":"true"}',
        '{"mail":1}',
        '{"text":NaN}',
        '{"host":"a"} ,',
        '{"text":"\ud800"}',
    ],
)
def test_what_go_does_not_read_is_no_record(value: str) -> None:
    """One such value would fail every question above it."""
    with pytest.raises(ValueError, match=r"."):
        read_service(value)


def test_a_key_is_a_name_backwards() -> None:
    """Below CoreDNS's path."""
    assert dns_name("/skydns/local/cluster/redis/redis-1") == "redis-1.redis.cluster.local"


@pytest.mark.parametrize(
    "key",
    [
        *("/services/a", "/skydns", "/skydns/", "/skydns/a//b", "/skydns/A", "/skydns/a.b", "/skydns/a:b"),
        *("/skydns/-a", "/skydns/a-", "/skydns/" + "a" * 64, "/skydns/" + "/".join(["abc"] * 64)),
    ],
)
def test_a_key_that_nobody_can_ask_for_is_none(key: str) -> None:
    """Questions are names of the DNS, in small letters."""
    with pytest.raises(ValueError, match=r"."):
        dns_name(key)
