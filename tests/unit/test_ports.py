"""Tests of model.ports: which ports of a container are service ports, and by which bindings."""

from __future__ import annotations

from random import Random

import pytest

from model.container import Container
from model.family import Family
from model.ports import bad_ports, service_ports
from tests.support.builders import binding, container

#: A port that is exposed only, and two published ones.
MAPPED = {"443/tcp": "", "80/tcp": "0.0.0.0:8000", "53/udp": "0.0.0.0:53"}

#: Bindings of one port, in the engine's order.
SEVERAL = "192.0.2.7:8082 0.0.0.0:8081 :::8081 ::1:8081 0.0.0.0:8080 :::8080"


@pytest.mark.parametrize(
    ("given", "internal", "expected"),
    [
        pytest.param(container(publish=MAPPED), False, ["53/udp", "80/tcp"], id="published"),
        pytest.param(
            container(publish=dict.fromkeys(("80/sctp", "80/udp", "80/tcp", "9/sctp"), "0.0.0.0:8000")),
            False,
            ["9/sctp", "80/tcp", "80/udp", "80/sctp"],
            id="protocols",
        ),
        pytest.param(container(publish=MAPPED), True, ["53/udp", "80/tcp", "443/tcp"], id="internal"),
        pytest.param(container(expose=("80/tcp",)), False, [], id="bridge-unmapped"),
        pytest.param(container(expose=("80/tcp",)), True, ["80/tcp"], id="bridge-unmapped-internal"),
        pytest.param(container(expose=("80/tcp",), network_mode="host"), False, ["80/tcp"], id="host"),
        pytest.param(container(expose=("80/tcp",), network_mode="container:x"), False, ["80/tcp"], id="joined"),
        pytest.param(container(expose=("80/tcp",), network_mode="macvlan0"), False, ["80/tcp"], id="no-mapping-driver"),
        pytest.param(container(), False, [], id="none"),
    ],
)
def test_published_ports_and_exposed_ports_that_are_not_mapped_are_service_ports(
    given: Container, internal: bool, expected: list[str]
) -> None:
    """With -internal every exposed port is one. They are sorted."""
    assert [str(each.port) for each in service_ports(given, internal=internal)] == expected


@pytest.mark.parametrize(
    ("given", "internal", "expected"),
    [
        pytest.param(container(expose=("http/tcp", "80/tcp")), False, [], id="bridge"),
        pytest.param(container(expose=("http/tcp", "80/tcp")), True, ["http/tcp"], id="bridge-internal"),
        pytest.param(container(expose=("0/tcp",), network_mode="host"), False, ["0/tcp"], id="host"),
        pytest.param(container(publish={"0/tcp": "0.0.0.0:32768"}), False, ["0/tcp"], id="published"),
        pytest.param(container(publish={"0/tcp": ""}, network_mode="front"), False, [], id="not-published"),
    ],
)
def test_a_bad_port_counts_where_a_port_would_be_a_service_port(
    given: Container, internal: bool, expected: list[str]
) -> None:
    """It is never among the service ports."""
    assert [str(each) for each in bad_ports(given, internal=internal)] == expected
    assert all(str(each.port) not in expected for each in service_ports(given, internal=internal))


def test_the_port_to_dial_is_the_bindings_or_else_the_containers() -> None:
    """A port that the engine does not map answers under its own number."""
    (mapped,) = service_ports(container(publish={"80/tcp": "0.0.0.0:8000"}), internal=False)
    (unmapped,) = service_ports(container(expose=("80/tcp",), network_mode="host"), internal=False)
    assert (mapped.host_port, unmapped.host_port) == (8000, 80)


@pytest.mark.parametrize(
    ("family", "first", "others"),
    [
        ("any", "192.0.2.7:8082", "0.0.0.0:8081 :::8081 ::1:8081 0.0.0.0:8080 :::8080"),
        ("ipv4", "192.0.2.7:8082", "0.0.0.0:8081 0.0.0.0:8080"),
        ("ipv6", ":::8080", ":::8081 ::1:8081"),
    ],
)
def test_only_bindings_of_the_family_count(family: str, first: str, others: str) -> None:
    """The engine's first binding stays the first if it is of the family; otherwise our own order says which one is."""
    (port,) = service_ports(container(publish={"80/tcp": SEVERAL}), internal=False, family=Family(family))
    assert (port.binding, port.other_bindings) == (binding(first), tuple(map(binding, others.split())))


def test_a_port_without_a_binding_of_the_family_is_a_service_port_all_the_same() -> None:
    """A port that is published in the other family only is refused later with a reason; the names of the other ports do
    not depend on the family."""
    (port,) = service_ports(container(publish={"80/tcp": "0.0.0.0:1 10.0.0.1:2"}), internal=False, family=Family.IPV6)
    assert (port.binding, port.other_bindings) == (binding("0.0.0.0:1"), ())


def test_further_bindings_are_sorted_by_port_and_those_on_all_addresses_come_first() -> None:
    """The engine's order decides only which binding is the first."""
    first, *others = SEVERAL.split()
    for seed in range(10):
        Random(seed).shuffle(others)
        (port,) = service_ports(container(publish={"80/tcp": " ".join([first, *others])}), internal=False)
        ports = port.each_binding()
        assert [f"{each.binding.address}:{each.binding.port}" for each in ports if each.binding] == [
            "192.0.2.7:8082",
            "0.0.0.0:8080",
            ":::8080",
            "0.0.0.0:8081",
            ":::8081",
            "::1:8081",
        ]
        assert [each.id_suffix for each in ports] == ["", "8080", "8080", "8081", "8081", "--1-8081"]


def test_a_port_that_is_not_mapped_has_no_further_bindings() -> None:
    """A port that the engine does not map stands only for itself."""
    (port,) = service_ports(container(expose=("80/tcp",), network_mode="host"), internal=False)
    assert port.each_binding() == (port,)
