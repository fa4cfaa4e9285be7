"""Tests of model.engine_network: whether others reach the containers of a network."""

from __future__ import annotations

import pytest

from model.engine_network import Network


@pytest.mark.parametrize(
    ("network", "on_lan", "inner", "name"),
    [
        (Network("bridge"), False, True, "of the driver bridge"),
        (Network("overlay"), False, True, "of the driver overlay"),
        (Network("null"), False, True, "of the driver null"),
        (Network("host"), False, True, "of the driver host"),
        (Network("macvlan"), True, False, "of the driver macvlan"),
        (Network("ipvlan"), True, False, "of the driver ipvlan"),
        (Network("weave"), False, False, "of the driver weave"),
        (Network("bridge", internal=True), False, True, "internal"),
        (Network("macvlan", internal=True), False, True, "internal"),
        (Network("weave", internal=True), False, True, "internal"),
    ],
    ids=str,
)
def test_driver_and_way_out_decide_whether_others_reach_its_containers(
    network: Network, on_lan: bool, inner: bool, name: str
) -> None:
    """Of a driver that is not known here, neither can be said. An internal network has no way out, whatever its driver
    is."""
    assert network.maps_no_port is (network.on_lan or network.internal or network.driver == "null")
    assert (network.on_lan, network.inner, network.name_for_people) == (on_lan, inner, name)
