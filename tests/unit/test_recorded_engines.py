"""Tests of several modules of model/ together: from what engines of several kinds and versions answer about the same
containers to their entries."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from controller.registry.factory import layout_for
from controller.registry.uri import parse_uri
from model.container import from_inspect
from model.desired import Desired, desired
from model.engine_network import Network
from model.hint import HintKind, hint_in
from model.listing import agrees_with_list
from model.rules import AddressRules, Rules
from model.snapshot import Snapshot
from tests.support.engine_recordings import IP, NAMES, OWNER, WITH_IP, named_addresses, recording, shown_by

IPV6 = "2001:db8::1"

#: The further entries with `-ip` and --all-bindings.
FURTHER_BINDINGS = {"worker/core-01:bindings:9000:18084": "192.0.2.10:18084"}

#: An entry with an IPv6 address as `-ip`. Podman publishes most ports by IPv4 alone, as its network has no IPv6.
WITH_IPV6 = {"worker/core-01:families:9000": "[2001:db8::1]:18082"}

#: The entries with `-internal`.
INTERNAL = {
    **{
        f"worker/core-01:{name}:9000": f"{name}:9000"
        for name in ("both", "families", "bindings", "loopback", "unpublished", "checked", "halted", "inner", "outer")
    },
    "dns-53/core-01:protocols:53": "protocols:53",
    "dns-53/core-01:protocols:53:udp": "protocols:53",
    "worker/core-01:hostly:9000": "192.0.2.10:9000",
    "side/core-01:joins:9000": "both:9000",
    "front/core-01:told:80": "told:80",
    "nginx-443/secure": "told:443",
    "fromimage/core-01:annotated:80": "annotated:80",
    "labelimage/core-01:annotated:443": "annotated:443",
}

#: What is refused with `-ip`, and why, on every engine.
REFUSED = {"loopback 9000/tcp": "no-address"}

#: What is refused, too, unless the engine shows that it publishes no port of a container without a network, as Podman
#: does.
REFUSED_BY_DOCKER = {"apart 9000/tcp": "not-published"}

each_engine = pytest.mark.parametrize("name", NAMES)


def decided(document: Mapping[str, Any], address: AddressRules, all_bindings: bool = False) -> Desired:
    """Return what the program wants of the recorded containers."""
    containers = tuple(from_inspect(each) for each in document["inspect"].values())
    networks = {key: Network(each["Driver"], each["Internal"]) for key, each in document["networks"].items()}
    layout = layout_for(parse_uri("etcd://127.0.0.1:2379/services"))
    rules = Rules(OWNER, address, all_bindings=all_bindings)
    return desired(Snapshot(containers, networks=networks), rules, layout)


def entries(document: Mapping[str, Any], address: AddressRules, all_bindings: bool = False) -> dict[str, str]:
    """Return the keys below the prefix and the values, with the name of a container for its own address."""
    found = decided(document, address, all_bindings).values
    return named_addresses(document, {key.removeprefix("/services/"): value for key, value in found.items()})


def reordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recording whose engine lists everything the other way round: containers, ports and bindings."""
    turned = copy.deepcopy(dict(document))
    turned["inspect"] = dict(reversed(turned["inspect"].items()))
    for each in turned["inspect"].values():
        ports = each["NetworkSettings"]["Ports"] or {}
        each["NetworkSettings"]["Ports"] = {
            port: bindings and bindings[::-1] for port, bindings in reversed(ports.items())
        }
    return turned


@each_engine
def test_every_engine_leads_to_the_same_entries(name: str) -> None:
    """The entries with `-ip`, of either family, and with `-internal` do not depend on the engine."""
    document = recording(name)
    assert entries(document, AddressRules(ip=IP)) == shown_by(name, WITH_IP)
    assert entries(document, AddressRules(ip=IP), all_bindings=True) == shown_by(name, WITH_IP | FURTHER_BINDINGS)
    assert entries(document, AddressRules(ip=IP, internal=True)) == shown_by(name, INTERNAL)
    by_ipv6 = entries(document, AddressRules(ip=IPV6))
    assert {key: by_ipv6[key] for key in WITH_IPV6} == WITH_IPV6


@each_engine
def test_the_order_in_which_an_engine_lists_things_does_not_matter(name: str) -> None:
    """Engines before 28 list the bindings of a port in another order than later ones."""
    document = recording(name)
    for address in (AddressRules(ip=IP), AddressRules(ip=IPV6), AddressRules(guessed=IP)):
        for all_bindings in (False, True):
            as_recorded = entries(document, address, all_bindings)
            assert entries(reordered(document), address, all_bindings) == as_recorded


def of_an_older_engine(document: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """Return a recording whose containers on the default bridge have this NetworkMode, as engines of different ages
    write it. Its answers have the shape of Docker 29's: a container's addresses are in Networks alone."""
    changed = copy.deepcopy(dict(document))
    for each in changed["inspect"].values():
        if each["HostConfig"]["NetworkMode"] in {"default", "bridge"}:
            each["HostConfig"]["NetworkMode"] = mode
        settings = each["NetworkSettings"]
        each["NetworkSettings"] = {key: settings[key] for key in ("Networks", "Ports", "SandboxID", "SandboxKey")}
    return changed


@each_engine
@pytest.mark.parametrize("mode", ["default", "bridge"])
def test_a_container_that_an_older_engine_made_has_the_same_entries(name: str, mode: str) -> None:
    """Whatever it says of its network, and wherever its addresses are."""
    document = of_an_older_engine(recording(name), mode)
    assert entries(document, AddressRules(ip=IP)) == shown_by(name, WITH_IP)
    assert entries(document, AddressRules(ip=IP, internal=True)) == shown_by(name, INTERNAL)


@each_engine
def test_every_engine_leads_to_the_same_refusals(name: str) -> None:
    """What is refused, and why, depends on the engine only where Podman says more."""
    refusals = decided(recording(name), AddressRules(ip=IP)).refusals
    right = REFUSED if name.startswith("podman") else REFUSED | REFUSED_BY_DOCKER
    assert {f"{each.container.name} {each.port}": each.reason.value for each in refusals} == right


@each_engine
def test_what_an_engine_says_at_rest_agrees_with_its_list(name: str) -> None:
    """So an inspect answer is kept, and the container is not inspected in each pass."""
    document = recording(name)
    for line in document["containers_json"]:
        assert agrees_with_list(from_inspect(document["inspect"][line["Id"]]), line), line["Names"]


@each_engine
def test_the_events_of_a_short_life_are_hints(name: str) -> None:
    """The starts and the ends are seen in their order, and every event that is a hint names the container."""
    hints = [hint for event in recording(name)["events"] if (hint := hint_in(event))]
    assert [hint.kind for hint in hints if hint.kind in {HintKind.START, HintKind.DIE}] == [
        HintKind.START,
        HintKind.DIE,
        HintKind.START,
        HintKind.DIE,
    ]
    assert len({hint.container for hint in hints}) == 1
