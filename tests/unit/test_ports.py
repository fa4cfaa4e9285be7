"""Which ports count."""

from __future__ import annotations

from random import Random

import pytest

from model.container import Container
from model.entry import binding_suffix
from model.family import Family
from model.ports import service_ports
from tests.support.builders import binding, container

MAPPED = {"443/tcp": "", "80/tcp": "0.0.0.0:8000", "53/udp": "0.0.0.0:53"}


@pytest.mark.parametrize(
    ("given", "internal", "expected"),
    [
        pytest.param(container(publish=MAPPED), False, ["53/udp", "80/tcp"], id="published"),
        pytest.param(container(publish=MAPPED), True, ["53/udp", "80/tcp", "443/tcp"], id="internal"),
        pytest.param(container(expose=("80/tcp",)), False, [], id="bridge-unmapped"),
        pytest.param(container(expose=("80/tcp",)), True, ["80/tcp"], id="bridge-unmapped-internal"),
        pytest.param(container(expose=("80/tcp",), network_mode="host"), False, ["80/tcp"], id="host"),
        pytest.param(container(expose=("80/tcp",), network_mode="container:x"), False, ["80/tcp"], id="joined"),
        pytest.param(container(expose=("80/tcp",), network_mode="macvlan0"), False, ["80/tcp"], id="no-mapping-driver"),
        pytest.param(container(), False, [], id="none"),
    ],
)
def test_service_ports(given: Container, internal: bool, expected: list[str]) -> None:
    """Published ports, and exposed ones that the engine does not map; every exposed one with -internal. Sorted."""
    assert [str(each.port) for each in service_ports(given, internal=internal)] == expected


def test_the_port_to_dial() -> None:
    """The binding's port; an unmapped port answers under its own number."""
    (mapped,) = service_ports(container(publish={"80/tcp": "0.0.0.0:8000"}), internal=False)
    (unmapped,) = service_ports(container(expose=("80/tcp",), network_mode="host"), internal=False)
    assert (mapped.host_port, unmapped.host_port) == (8000, 80)


SEVERAL = "192.0.2.7:8082 0.0.0.0:8081 :::8081 ::1:8081 0.0.0.0:8080 :::8080"


@pytest.mark.parametrize(
    ("family", "first", "others"),
    [
        ("any", "192.0.2.7:8082", "0.0.0.0:8081 :::8081 ::1:8081 0.0.0.0:8080 :::8080"),
        ("ipv4", "192.0.2.7:8082", "0.0.0.0:8081 0.0.0.0:8080"),
        ("ipv6", ":::8080", ":::8081 ::1:8081"),
    ],
)
def test_only_bindings_of_the_family_count(family: str, first: str, others: str) -> None:
    """The engine's first, if it is one of them, else the first in an order of our own, is the port's."""
    (port,) = service_ports(container(publish={"80/tcp": SEVERAL}), internal=False, family=Family(family))
    assert (port.binding, port.other_bindings) == (binding(first), tuple(map(binding, others.split())))


def test_a_port_without_a_binding_of_the_family_is_a_service_port_all_the_same() -> None:
    """So that it is refused with a reason, and the names of the other ports do not hang on it."""
    (port,) = service_ports(container(publish={"80/tcp": "0.0.0.0:1 10.0.0.1:2"}), internal=False, family=Family.IPV6)
    assert (port.binding, port.other_bindings) == (binding("0.0.0.0:1"), ())


def test_further_bindings_come_in_an_order_of_our_own() -> None:
    """By port, all addresses before one; the engine's order decides which is the first, and nothing else."""
    first, *others = SEVERAL.split()
    for seed in range(10):
        Random(seed).shuffle(others)
        (port,) = service_ports(container(publish={"80/tcp": " ".join([first, *others])}), internal=False)
        ways = port.each_binding()
        assert [f"{each.binding.address}:{each.binding.port}" for each in ways if each.binding] == [
            "192.0.2.7:8082",
            "0.0.0.0:8080",
            ":::8080",
            "0.0.0.0:8081",
            ":::8081",
            "::1:8081",
        ]
        assert [each.id_suffix for each in ways] == ["", "8080", "8080", "8081", "8081", "--1-8081"]


def test_a_port_that_is_not_mapped_stands_for_itself() -> None:
    """It has no bindings at all."""
    (port,) = service_ports(container(expose=("80/tcp",), network_mode="host"), internal=False)
    assert port.each_binding() == (port,)


@pytest.mark.parametrize(
    ("text", "id_suffix"),
    [
        (":8081", "8081"),
        ("0.0.0.0:8081", "8081"),
        (":::8081", "8081"),
        ("10.0.0.2:8080", "10.0.0.2-8080"),
        ("::1:8080", "--1-8080"),
        ("2001:db8::7:8080", "2001-db8--7-8080"),
    ],
)
def test_marks_of_bindings(text: str, id_suffix: str) -> None:
    """The port alone on all addresses; an address without colons, which separate the parts of an id."""
    assert binding_suffix(binding(text)) == id_suffix
