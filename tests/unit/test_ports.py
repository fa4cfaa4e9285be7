"""Tests of model.ports: which ports of a container are service ports, and by which bindings."""

from __future__ import annotations

import pytest

from model.container import Container
from model.ports import ServicePort, bad_ports, service_ports, unpublished_ports
from tests.support.builders import binding, container, port

#: A port that is exposed only, and two published ones.
MAPPED = {"443/tcp": "", "80/tcp": "0.0.0.0:8000", "53/udp": "0.0.0.0:53"}


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
        pytest.param(
            container(expose=("80/tcp", "81/tcp"), to_publish=frozenset({port("81/tcp")})),
            False,
            ["81/tcp"],
            id="bridge-unmapped-and-asked-for",
        ),
        pytest.param(
            container(publish={"80/tcp": "", "81/tcp": ""}, to_publish=frozenset({port("80/tcp")})),
            False,
            ["80/tcp"],
            id="managed-without-a-binding-and-asked-for",
        ),
        pytest.param(
            container(publish={"80/tcp": ""}, network_mode="front", networks={"front": "172.28.0.2"}),
            False,
            [],
            id="exposed-on-a-network",
        ),
        pytest.param(
            container(expose=("80/tcp",), networks={"lan": "192.168.7.7"}), False, ["80/tcp"], id="moved-to-a-lan"
        ),
        pytest.param(container(expose=("80/tcp",), networks={}), False, [], id="disconnected-from-the-bridge"),
        pytest.param(
            container(expose=("80/tcp",), networks={}, to_publish=frozenset({port("80/tcp")})),
            False,
            ["80/tcp"],
            id="disconnected-from-the-bridge-and-asked-for",
        ),
        pytest.param(
            container(network_mode="front", to_publish=frozenset({port("80/tcp")})),
            False,
            ["80/tcp"],
            id="asked-for-and-not-exposed",
        ),
    ],
)
def test_published_ports_and_exposed_ports_that_are_not_mapped_are_service_ports(
    given: Container, internal: bool, expected: list[str]
) -> None:
    """With -internal every exposed port is one. They are sorted."""
    assert [str(each.port) for each in service_ports(given, internal=internal)] == expected


def test_a_service_port_has_its_bindings() -> None:
    """A port that the engine does not map has none, and with -internal no port has one."""
    web = container(publish={"80/tcp": "0.0.0.0:8000 :::8000"}, expose=("81/tcp",), network_mode="front")
    bindings = binding("0.0.0.0:8000"), binding(":::8000")
    assert service_ports(web, internal=False) == (ServicePort(port("80/tcp"), bindings), ServicePort(port("81/tcp")))
    assert service_ports(web, internal=True) == (ServicePort(port("80/tcp")), ServicePort(port("81/tcp")))


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


@pytest.mark.parametrize(
    ("given", "internal", "expected"),
    [
        pytest.param(container(publish=MAPPED), False, ["443/tcp"], id="exposed-only"),
        pytest.param(container(publish=MAPPED), True, [], id="internal"),
        pytest.param(container(expose=("80/tcp", "9-8/tcp")), False, ["80/tcp", "9-8/tcp"], id="bridge"),
        pytest.param(container(expose=("80/tcp",), network_mode="host"), False, [], id="host"),
    ],
)
def test_what_is_no_service_port_is_not_published(given: Container, internal: bool, expected: list[str]) -> None:
    """Each port of a container is either a service port, or bad, or not published."""
    assert [str(each) for each in unpublished_ports(given, internal=internal)] == expected
