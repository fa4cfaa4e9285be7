"""Which ports count."""

from __future__ import annotations

import pytest

from model.container import Container
from model.ports import service_ports
from tests.support.builders import container

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
