"""SRV records, and the endpoints that they name."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from model.host_port import HostPort
from model.srv import SrvRecord, endpoints_in_order, record_name


def record(target: str, priority: int = 0, weight: int = 0, port: int = 2379) -> SrvRecord:
    """Return a record."""
    return SrvRecord(priority, weight, port, target)


def hosts(*records: SrvRecord, draw: float = 0.0) -> list[str]:
    """Return the hosts of these records, in order. Each draw gives the same number."""
    return [each.host for each in endpoints_in_order(records, lambda: draw)]


def test_clients_with_tls_have_records_of_their_own() -> None:
    """The names are etcd's own."""
    assert record_name("example.com", tls=False) == "_etcd-client._tcp.example.com"
    assert record_name("example.com", tls=True) == "_etcd-client-ssl._tcp.example.com"


def test_host_and_port_are_those_of_the_record() -> None:
    """A dot at the end of the name is the DNS root, and no part of the host."""
    records = [record("etcd-1.example.com.", port=2379), record("etcd-2", port=4001)]
    assert endpoints_in_order(records, lambda: 0.0) == (HostPort("etcd-1.example.com", 2379), HostPort("etcd-2", 4001))


@pytest.mark.parametrize(
    "useless", [record("."), record("a", port=0), record("a b."), record("*.example."), record("0.0.0.0")], ids=str
)
def test_a_record_that_names_no_host_or_no_port_counts_for_nothing(useless: SrvRecord) -> None:
    """A dot alone says that there is no such service. What cannot be the host of a URI is no endpoint either."""
    assert hosts(useless) == []
    assert hosts(useless, record("etcd-2.")) == ["etcd-2"]


def test_no_record_is_no_endpoint() -> None:
    """There is nothing to draw."""
    assert endpoints_in_order((), lambda: 1 / 0) == ()


def test_records_with_a_lower_priority_come_first() -> None:
    """Weights say nothing about records of other priorities, and the order of the answer says nothing at all."""
    assert hosts(record("c", 20, 90), record("b", 10, 1), record("a", 0, 0)) == ["a", "b", "c"]


def test_an_endpoint_that_is_named_twice_is_tried_once() -> None:
    """It has the place of the first record. Two ports of a host are two endpoints."""
    records = [record("a", 1), record("a.", 2), record("a", 2, port=1)]
    assert endpoints_in_order(records, lambda: 0.0) == (HostPort("a", 2379), HostPort("a", 1))


@pytest.mark.parametrize(
    ("draw", "order"),
    [
        (0.0, ["none", "one", "three"]),
        (0.2, ["one", "three", "none"]),
        (0.3, ["three", "one", "none"]),
        (1.0, ["three", "one", "none"]),
    ],
)
def test_the_order_within_a_priority_is_drawn_by_weight(draw: float, order: list[str]) -> None:
    """Each draw falls on a place in the sum of the weights that are left; the record that covers it is next."""
    assert hosts(record("three", weight=3), record("none"), record("one", weight=1), draw=draw) == order


def test_twice_the_weight_is_first_twice_as_often() -> None:
    """That is how the agents of a fleet spread over the members."""
    draw = random.Random(7).random
    records = [record("one", weight=10), record("two", weight=20)]
    first = Counter(endpoints_in_order(records, draw)[0].host for _ in range(3000))
    assert first["two"] / first["one"] == pytest.approx(2, rel=0.15)
