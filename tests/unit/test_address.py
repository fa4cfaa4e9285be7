"""Tests of model.address: under which address a port is registered, and when it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from model.address import (
    AddressBook,
    NetworkNotTold,
    address_problem,
    networks_in_order,
    networks_in_question,
    own_address,
)
from model.container import Binding, Container, PortId
from model.engine_network import Network
from model.family import Family
from model.ports import service_ports
from model.refusal import RefusalReason, RefusedPort
from model.rules import AddressRules
from tests.support.builders import container

# Containers with port 80, by where and how they are reached.

WEB = container(publish={"80/tcp": "0.0.0.0:8000"})
PUBLISHED_ON_ADDRESS = container(publish={"80/tcp": "192.0.2.7:8000"})
HOST_NETWORKING = container("net-host", expose=("80/tcp",), network_mode="host", address="", networks={"host": ""})
HOLDER = container("holder", network_mode="backend", address="", networks={"backend": "172.28.0.5"})
LABELLED = container(publish={"80/tcp": "0.0.0.0:8000"}, labels={"my.ip": "10.9.8.7/24"})
LABELLED_HOST_NAME = container(publish={"80/tcp": "0.0.0.0:8000"}, labels={"my.ip": "host7/24"})
MACVLAN = container(expose=("80/tcp",), network_mode="lan", address="", networks={"lan": "192.168.7.7"})
NO_NETWORK = container(expose=("80/tcp",), network_mode="none", address="", networks={"none": ""})

SEVERAL_NETWORKS = container(
    publish={"80/tcp": "0.0.0.0:8000"},
    network_mode="front",
    address="",
    networks={"front": "172.30.0.2", "back": "172.31.0.2", "six": "", "down": ""},
    networks_ipv6={"back": "fd00:31::2", "six": "fd00:66::2"},
)

IPV6_NETWORK = container(
    publish={"80/tcp": ":::8000"},
    network_mode="six",
    address="",
    networks={"six": ""},
    networks_ipv6={"six": "fd00:66::9"},
)

MACVLAN_IPV6 = container(
    expose=("80/tcp",), network_mode="lan", address="", networks={"lan": ""}, networks_ipv6={"lan": "fd00:7::7"}
)

PUBLISHED_ON_IPV6 = container(publish={"80/tcp": "2001:db8::7:8000"})
LABELLED_IPV6 = container(publish={"80/tcp": ":::8000"}, labels={"my.ip": "2001:db8::9/64"})
WITH_BOTH = container(publish={"80/tcp": "0.0.0.0:8000"}, address_ipv6="fd00::2", networks_ipv6={"bridge": "fd00::2"})

#: Another container, with an address of each family.
OTHER_WITH_BOTH = container("both", address_ipv6="fd00::2", networks_ipv6={"bridge": "fd00::2"})


def joining(target: str, name: str = "side") -> Container:
    """Make a container that joins the network of the container named ``target``."""
    mode = f"container:id-{target}"
    return container(name, expose=("80/tcp",), network_mode=mode, address="", networks={})


def address(given: Container, *peers: Container, service_network: object = "", **rule_fields: Any) -> str:
    """Return the address of the container's one port. ``peers`` are the other containers of the host,
    ``service_network`` is the container's SERVICE_NETWORK, and ``rule_fields`` are fields of AddressRules."""
    book = book_of(given, *peers, **rule_fields)
    (port,) = service_ports(given, internal=book.rules.internal)
    return book.places_of(given, port, str(service_network), "SERVICE_NETWORK")[0].address


def book_of(
    *containers: Container, networks: Mapping[str, Network | None] | None = None, **rule_fields: Any
) -> AddressBook:
    """Return the address book of a host with these containers. ``networks`` is what the engine said of networks, by id.
    ``rule_fields`` are fields of AddressRules."""
    rules = AddressRules(**rule_fields)
    return AddressBook.of(rules, {each.id: each for each in containers}, networks or {})


# Fields of AddressRules.

GUESSED = {"guessed": "198.51.100.1"}
WITH_IP = {"ip": "203.0.113.1", **GUESSED}
INTERNAL = {**WITH_IP, "internal": True}
FROM_CONTAINER = {**WITH_IP, "from_container": True}
IPV4, IPV6 = {"family": Family.IPV4}, {"family": Family.IPV6}
WITH_IPV6 = {"ip": "2001:db8::1", **IPV6}

# The table of AddressBook.places_of.


@pytest.mark.parametrize(
    ("given", "peers", "rules", "expected"),
    [
        pytest.param(WEB, [], WITH_IP, "203.0.113.1", id="ip"),
        pytest.param(WEB, [], GUESSED, "198.51.100.1", id="guessed"),
        pytest.param(PUBLISHED_ON_ADDRESS, [], WITH_IP, "203.0.113.1", id="ip-beats-binding"),
        pytest.param(PUBLISHED_ON_ADDRESS, [], GUESSED, "192.0.2.7", id="binding-beats-guess"),
        pytest.param(container(publish={"80/tcp": "127.0.0.1:80"}), [], GUESSED, "127.0.0.1", id="a-chosen-loopback"),
        pytest.param(
            container(publish={"80/tcp": ":::80"}), [], {"guessed": "2001:db8::5"}, "2001:db8::5", id="unspecified-v6"
        ),
        pytest.param(LABELLED, [], {**WITH_IP, "label": "my.ip"}, "10.9.8.7", id="label"),
        pytest.param(LABELLED_HOST_NAME, [], {**WITH_IP, "label": "my.ip"}, "host7", id="label-host-name"),
        pytest.param(LABELLED, [], WITH_IP, "203.0.113.1", id="label-without-option"),
        pytest.param(WEB, [], {**WITH_IP, "label": "my.ip"}, "203.0.113.1", id="label-missing"),
        pytest.param(HOST_NETWORKING, [], WITH_IP, "203.0.113.1", id="host-network-ip"),
        pytest.param(HOST_NETWORKING, [], GUESSED, "198.51.100.1", id="host-network-guess"),
        pytest.param(HOST_NETWORKING, [], {**WITH_IP, "internal": True}, "203.0.113.1", id="host-network-internal"),
        pytest.param(WEB, [], {**WITH_IP, "internal": True}, "172.17.0.2", id="internal"),
        pytest.param(joining("holder"), [HOLDER], WITH_IP, "172.28.0.5", id="joined"),
        pytest.param(joining("holder"), [HOLDER], {**WITH_IP, "internal": True}, "172.28.0.5", id="joined-internal"),
        pytest.param(joining("net-host"), [HOST_NETWORKING], WITH_IP, "203.0.113.1", id="joined-to-host-network"),
        pytest.param(joining("mid"), [joining("holder", "mid"), HOLDER], WITH_IP, "172.28.0.5", id="joined-twice"),
        pytest.param(MACVLAN, [], GUESSED, "192.168.7.7", id="unmapped"),
        pytest.param(MACVLAN, [], WITH_IP, "192.168.7.7", id="unmapped-beats-ip"),
        pytest.param(WEB, [HOLDER], {"guessed": "198.51.100.1"}, "198.51.100.1", id="guessed-beside-others"),
        pytest.param(WEB, [], FROM_CONTAINER, "172.17.0.2", id="from-container"),
        pytest.param(PUBLISHED_ON_ADDRESS, [], FROM_CONTAINER, "172.17.0.2", id="from-container-beats-binding"),
        pytest.param(LABELLED, [], {**FROM_CONTAINER, "label": "my.ip"}, "10.9.8.7", id="label-beats-from-container"),
        pytest.param(HOST_NETWORKING, [], FROM_CONTAINER, "203.0.113.1", id="host-network-from-container"),
        pytest.param(joining("holder"), [HOLDER], FROM_CONTAINER, "172.28.0.5", id="joined-from-container"),
        pytest.param(MACVLAN, [], FROM_CONTAINER, "192.168.7.7", id="unmapped-from-container"),
        pytest.param(WEB, [], {**FROM_CONTAINER, **INTERNAL}, "172.17.0.2", id="from-container-and-internal"),
        pytest.param(
            container(publish={"80/tcp": "127.0.0.1:80"}), [], FROM_CONTAINER, "172.17.0.2", id="published-on-loopback"
        ),
    ],
)
def test_the_first_row_that_applies_decides_the_address(
    given: Container, peers: list[Container], rules: dict[str, Any], expected: str
) -> None:
    """The address comes from the first row of the table in AddressBook.places_of that applies."""
    assert address(given, *peers, **rules) == expected


@pytest.mark.parametrize(
    ("given", "peers", "rules", "reason", "part"),
    [
        pytest.param(
            container(publish={"80/tcp": ""}, labels={"my.ip": "0.0.0.0"}),
            [],
            {"label": "my.ip", "internal": True},
            "bad-address",
            "my.ip",
            id="label-unspecified",
        ),
        pytest.param(NO_NETWORK, [], WITH_IP, "not-published", "no network", id="no-network"),
        pytest.param(NO_NETWORK, [], INTERNAL, "no-address", "no network", id="no-network-internal"),
        pytest.param(joining("gone"), [], WITH_IP, "no-address", "id-gone", id="joins-a-container-that-is-not-running"),
        pytest.param(
            joining("b", "a"), [joining("a", "b")], WITH_IP, "no-address", "not running", id="joins-in-a-ring"
        ),
        pytest.param(
            container(publish={"80/tcp": ""}, address="", networks={"bridge": ""}),
            [],
            {**WITH_IP, "internal": True},
            "no-address",
            "of its own",
            id="no-own-address",
        ),
    ],
)
def test_a_port_whose_address_would_be_unknown_or_wrong_is_refused(
    given: Container, peers: list[Container], rules: dict[str, object], reason: str, part: str
) -> None:
    """The refusal has the reason, and its detail names the culprit or the cure."""
    with pytest.raises(RefusedPort) as refused:
        address(given, *peers, **rules)
    assert refused.value.reason is RefusalReason(reason)
    assert part in refused.value.detail


@pytest.mark.parametrize(
    ("given", "peers", "rules", "part"),
    [
        pytest.param(WEB, [], {}, "no address of this host is known", id="no-guess"),
        pytest.param(WEB, [], {"guessed": "127.0.0.1"}, "from 127.0.0.1, which nobody else can dial", id="loopback"),
        pytest.param(WEB, [], {"guessed": "::1"}, "from ::1, which nobody else can dial", id="loopback-v6"),
        pytest.param(WEB, [], {"guessed": "0.0.0.0"}, "from 0.0.0.0, which nobody", id="unspecified"),
        pytest.param(WEB, [HOLDER], {"guessed": "172.28.0.5"}, "a container's address", id="a-container's"),
        pytest.param(
            WEB,
            [container("agent", networks={"front": "172.28.0.2", "back": "172.28.1.2"}, network_mode="front")],
            {"guessed": "172.28.1.2"},
            "which is a container's address",
            id="a-container's-on-its-second-network",
        ),
        pytest.param(WEB, [OTHER_WITH_BOTH], {"guessed": "fd00::2"}, "a container's address", id="a-container's-ipv6"),
        pytest.param(
            IPV6_NETWORK,
            [],
            {"guessed": "198.51.100.1", "family": Family.IPV6},
            "from 198.51.100.1, which is not an IPv6 address",
            id="of-the-other-family",
        ),
        pytest.param(HOST_NETWORKING, [], {"internal": True}, "no address of this host is known", id="host-networking"),
        pytest.param(
            joining("net-host"), [HOST_NETWORKING], {}, "no address of this host is known", id="joined-to-host-network"
        ),
    ],
)
def test_a_port_that_lacks_nothing_but_the_hosts_address_has_an_empty_one(
    given: Container, peers: list[Container], rules: dict[str, Any], part: str
) -> None:
    """The address book says why the host's address is not known, and that -ip cures it. With -ip there is no such
    problem."""
    assert address(given, *peers, **rules) == ""
    book = book_of(given, *peers, **rules)
    assert part in book.host_address_problem
    assert book.host_address_problem.endswith("; give the host's address with -ip")
    assert book_of(given, *peers, **{**rules, "ip": "2001:db8::1"}).host_address_problem == ""


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        pytest.param(NO_NETWORK, {}, id="no-network"),
        pytest.param(joining("gone"), {}, id="joins-a-container-that-is-not-running"),
        pytest.param(container(publish={"80/tcp": ""}, address="", networks={}), {"internal": True}, id="internal"),
        pytest.param(WEB, {"family": Family.IPV6}, id="not-published-on-the-family"),
    ],
)
def test_a_port_whose_container_lacks_something_is_refused_where_the_hosts_address_is_missing_too(
    given: Container, rules: dict[str, object]
) -> None:
    """Such a port would have no address with -ip either, so it is refused for what its container lacks."""
    with pytest.raises(RefusedPort):
        address(given, **rules)


@pytest.mark.parametrize(
    ("given", "rule_fields", "source"),
    [
        pytest.param(WEB, {"ip": "10.0.0.1"}, "-ip", id="ip"),
        pytest.param(WEB, GUESSED, "the address from which this host reaches etcd", id="guessed"),
        pytest.param(PUBLISHED_ON_ADDRESS, {}, "the address that the port is published on", id="binding"),
        pytest.param(LABELLED, {"label": "my.ip"}, "label my.ip", id="label"),
        pytest.param(HOST_NETWORKING, {"ip": "10.0.0.1"}, "-ip", id="host-networking"),
        pytest.param(WEB, {"internal": True}, "the container's own address", id="internal"),
        pytest.param(WEB, {"from_container": True}, "the container's own address", id="from-container"),
        pytest.param(
            SEVERAL_NETWORKS,
            {"internal": True, "network": "back"},
            "the container's own address, on the network that --network asks for",
            id="network",
        ),
        pytest.param(
            joining("holder"),
            {},
            "the address of container 'holder', whose network it joins",
            id="joined",
        ),
    ],
)
def test_a_place_tells_what_gives_its_address(given: Container, rule_fields: dict[str, Any], source: str) -> None:
    """It names the flag or the label, or says where the address was found."""
    book = book_of(given, HOLDER, **rule_fields)
    (port,) = service_ports(given, internal=book.rules.internal)
    assert [each.source for each in book.places_of(given, port)] == [source]


# Which binding of a published port is registered: the second table of AddressBook.places_of.


def places(bindings: str, **rule_fields: Any) -> list[str]:
    """Return the places of a port with these bindings, each as address and port."""
    web = container(publish={"80/tcp": bindings}, labels={"my.ip": "192.0.2.10/24"})
    (port,) = service_ports(web, internal=False)
    return [f"{each.address}:{each.port}" for each in book_of(web, **rule_fields).places_of(web, port)]


def test_a_port_of_its_containers_address_has_the_containers_port() -> None:
    """With -ip-from-container, the bindings of a port say only that it is published, whatever their family is.
    registrator 9 writes the port of the host behind the container's address, where nobody answers."""
    bindings = {"80/tcp": "0.0.0.0:8080 127.0.0.1:8081 192.0.2.7:8082"}
    web = container(publish=bindings, labels={"my.ip": "192.0.2.10/24"})
    (port,) = service_ports(web, internal=False)
    for label, expected in (("", ("172.17.0.2", 80)), ("my.ip", ("192.0.2.10", 80))):
        places = book_of(web, from_container=True, label=label).places_of(web, port)
        assert [(each.address, each.port) for each in places] == [expected]
    with pytest.raises(RefusedPort, match="has no IPv6 address of its own"):
        book_of(web, from_container=True, family=Family.IPV6).places_of(web, port)


LABEL = {"label": "my.ip"}
IP, IP6 = {"ip": "192.0.2.10"}, {"ip": "2001:db8::10"}


@pytest.mark.parametrize(
    ("bindings", "rules", "expected"),
    [
        pytest.param("0.0.0.0:8000 192.0.2.10:8001", IP, "192.0.2.10:8001", id="on-ip-before-all-addresses"),
        pytest.param("0.0.0.0:8000 192.0.2.10:8001", LABEL, "192.0.2.10:8001", id="on-the-label-before-all-addresses"),
        pytest.param(":::8000 2001:DB8:0::10:8001", IP6, "2001:db8::10:8001", id="on-ip-in-another-spelling"),
        pytest.param("127.0.0.1:8000 0.0.0.0:8001", IP, "192.0.2.10:8001", id="no-loopback-with-ip"),
        pytest.param("127.0.0.1:8000 10.0.0.9:8001", IP, "192.0.2.10:8001", id="another-address-is-translated"),
        pytest.param("127.0.0.1:8000 10.0.0.9:8001", GUESSED, "10.0.0.9:8001", id="no-loopback-without-ip"),
        pytest.param("127.0.0.1:8000 fd00::9:8001", GUESSED, "fd00::9:8001", id="no-loopback-before-ipv4"),
        pytest.param("127.0.0.1:8000", {"ip": "127.0.0.1"}, "127.0.0.1:8000", id="loopback-that-is-ip"),
        pytest.param("127.0.0.1:8000", {"ip": "::ffff:127.0.0.1"}, "::ffff:127.0.0.1:8000", id="loopback-in-ipv6-form"),
        pytest.param("127.0.0.1:8000", GUESSED, "127.0.0.1:8000", id="loopback-alone"),
        pytest.param("::1:8000", GUESSED, "::1:8000", id="ipv6-loopback-alone"),
        pytest.param(":::8000 0.0.0.0:8001", {"ip": "host.example"}, "host.example:8001", id="ipv4-where-ip-is-a-name"),
        pytest.param("fd00::9:8000 10.0.0.9:8001", GUESSED, "10.0.0.9:8001", id="ipv4-before-ipv6"),
        pytest.param(":::8000 0.0.0.0:8001", IP, "192.0.2.10:8001", id="the-family-of-ip"),
        pytest.param(":::8000 0.0.0.0:8001", IP6, "2001:db8::10:8000", id="the-family-of-ip-is-ipv6"),
        pytest.param(":::8000 0.0.0.0:8001", LABEL, "192.0.2.10:8001", id="the-family-of-the-label"),
        pytest.param(":::8000 0.0.0.0:8001", {"ip": "::ffff:192.0.2.9"}, "::ffff:192.0.2.9:8001", id="ipv4-in-ipv6"),
        pytest.param(":::8000 0.0.0.0:8001", {"guessed": "2001:db8::5"}, "2001:db8::5:8000", id="family-of-the-guess"),
        pytest.param("0.0.0.0:8000 fd00::9:8001", {"guessed": "2001:db8::5"}, "fd00::9:8001", id="concrete-not-guess"),
        pytest.param("10.0.0.9:8000 0.0.0.0:8001", IP, "192.0.2.10:8001", id="all-addresses-before-one"),
        pytest.param("10.0.0.9:8000 :8001", IP, "192.0.2.10:8001", id="an-empty-address-is-all"),
        pytest.param("10.0.0.9:8000 0.0.0.0:8001", GUESSED, "198.51.100.1:8001", id="all-addresses-without-ip"),
        pytest.param("0.0.0.0:8001 0.0.0.0:8000", IP, "192.0.2.10:8000", id="the-lower-port"),
        pytest.param("10.0.0.9:8001 10.0.0.8:8000", GUESSED, "10.0.0.8:8000", id="the-lower-port-of-two-addresses"),
        pytest.param("0.0.0.0:8001 0.0.0.0:8000", {}, ":8000", id="while-no-address-is-known"),
    ],
)
def test_the_binding_is_the_one_that_answers_at_the_address(
    bindings: str, rules: dict[str, Any], expected: str
) -> None:
    """The first row of the table of bindings that tells two bindings apart decides. The order in which the engine lists
    them does not matter."""
    assert places(bindings, **rules)[0] == places(" ".join(reversed(bindings.split())), **rules)[0] == expected


@pytest.mark.parametrize(
    ("bindings", "rules", "detail"),
    [
        ("127.0.0.1:8000", IP, "it is published on 127.0.0.1 alone, and not on 192.0.2.10"),
        ("127.9.9.9:8000", IP, "it is published on 127.9.9.9 alone, and not on 192.0.2.10"),
        ("127.0.0.2:8000", {"ip": "127.0.0.1"}, "it is published on 127.0.0.2 alone, and not on 127.0.0.1"),
        ("::1:8000", IP6, "it is published on ::1 alone, and not on 2001:db8::10"),
        ("::ffff:127.0.0.1:8000", IP, "it is published on ::ffff:127.0.0.1 alone, and not on 192.0.2.10"),
        ("127.0.0.1:8000", {"ip": "host.example"}, "it is published on 127.0.0.1 alone, and not on host.example"),
        ("127.0.0.1:8000", LABEL, "it is published on 127.0.0.1 alone, and not on 192.0.2.10"),
        ("127.0.0.1:8000 :::8001", IP, "it is published on 127.0.0.1 and :: alone, and not on 192.0.2.10"),
        (":::8000", IP, "it is published on :: alone, and not on 192.0.2.10"),
        (":8000", IP6, "it is published on 0.0.0.0 alone, and not on 2001:db8::10"),
        (":::8000", GUESSED, "it is published on :: alone, and not on 198.51.100.1, from where this host reaches etcd"),
    ],
)
def test_a_port_without_a_binding_that_answers_at_the_address_is_refused(
    bindings: str, rules: dict[str, Any], detail: str
) -> None:
    """Nobody would answer at the address. The refusal names the addresses on which the port is published."""
    with pytest.raises(RefusedPort) as refused:
        places(bindings, **rules)
    assert refused.value.reason is RefusalReason.NO_ADDRESS
    assert refused.value.detail.startswith(detail)


def test_every_binding_that_answers_is_a_place_of_the_port() -> None:
    """Each address and port is one place, and the places are in the order of the table."""
    bindings = "::1:8080 127.0.0.1:8084 0.0.0.0:8081 :::8081 10.0.0.9:8080 0.0.0.0:8080 192.0.2.10:8082"
    assert places(bindings, **IP) == ["192.0.2.10:8082", "192.0.2.10:8080", "192.0.2.10:8081"]
    assert places(bindings, **GUESSED) == [
        "198.51.100.1:8080",
        "198.51.100.1:8081",
        "10.0.0.9:8080",
        "192.0.2.10:8082",
        "127.0.0.1:8084",
        "::1:8080",
    ]


# A port that the engine does not map: the table of AddressBook._address_on_lan.

BRIDGE, CLOSED = Network("bridge"), Network("bridge", internal=True)
MACVLAN_TOLD, WEAVE = Network("macvlan"), Network("weave")


def unmapped(*networks: str, asked_for: bool = False, ipv6: bool = False) -> Container:
    """Make a container with an exposed port that is on these networks, the first of which it was started on.
    ``asked_for`` says whether the engine was to publish the port."""
    addresses = {name: f"10.77.{number}.2" for number, name in enumerate(networks)}
    return container(
        expose=("80/tcp",),
        network_mode=networks[0] if networks else "gone",
        address="",
        networks=addresses,
        network_ids={name: f"id-{name}" for name in networks},
        networks_ipv6={name: f"fd00:77::{number}" for number, name in enumerate(networks)} if ipv6 else {},
        to_publish=frozenset({PortId(80, "tcp")} if asked_for else ()),
    )


@pytest.mark.parametrize(
    ("given", "networks", "expected"),
    [
        pytest.param(unmapped("lan"), {"id-lan": MACVLAN_TOLD}, "10.77.0.2", id="macvlan"),
        pytest.param(unmapped("lan", asked_for=True), {"id-lan": MACVLAN_TOLD}, "10.77.0.2", id="macvlan-asked-for"),
        pytest.param(unmapped("lan"), {"id-lan": Network("ipvlan")}, "10.77.0.2", id="ipvlan"),
        pytest.param(
            unmapped("front", "lan"), {"id-front": BRIDGE, "id-lan": MACVLAN_TOLD}, "10.77.1.2", id="bridge-and-macvlan"
        ),
        pytest.param(
            unmapped("lan", "also"), {"id-also": MACVLAN_TOLD, "id-lan": MACVLAN_TOLD}, "10.77.0.2", id="its-own-first"
        ),
        pytest.param(unmapped("lan", "late"), {"id-lan": MACVLAN_TOLD}, "10.77.0.2", id="the-second-does-not-matter"),
        pytest.param(unmapped("odd"), {"id-odd": WEAVE}, "10.77.0.2", id="another-driver"),
        pytest.param(unmapped("odd"), {"id-odd": None}, "10.77.0.2", id="refused-to-say"),
        pytest.param(container(expose=("80/tcp",), network_mode="x"), {}, "172.17.0.2", id="a-network-without-an-id"),
        pytest.param(
            unmapped("odd", "lan", asked_for=True), {"id-odd": WEAVE, "id-lan": MACVLAN_TOLD}, "10.77.1.2", id="both"
        ),
    ],
)
def test_a_port_that_is_not_mapped_has_the_containers_own_address_if_others_reach_it(
    given: Container, networks: dict[str, Network | None], expected: str
) -> None:
    """-ip does not count, because the host does not answer for the port. Nor does -ip-from-container, because the port
    is not published."""
    for rules in (WITH_IP, GUESSED, {}, {**FROM_CONTAINER, "network": "gone"}):
        book = book_of(given, networks=networks, **rules)
        (port,) = service_ports(given, internal=False)
        assert [(each.address, each.port) for each in book.places_of(given, port)] == [(expected, 80)]


@pytest.mark.parametrize(
    ("given", "networks", "why"),
    [
        pytest.param(
            unmapped("front"), {"id-front": BRIDGE}, "its network 'front' is of the driver bridge", id="bridge"
        ),
        pytest.param(unmapped("closed"), {"id-closed": CLOSED}, "its network 'closed' is internal", id="internal"),
        pytest.param(
            unmapped("o"), {"id-o": Network("overlay")}, "its network 'o' is of the driver overlay", id="overlay"
        ),
        pytest.param(unmapped("n"), {"id-n": Network("null")}, "its network 'n' is of the driver null", id="none"),
        pytest.param(
            unmapped("lan"),
            {"id-lan": Network("macvlan", internal=True)},
            "its network 'lan' is internal",
            id="closed-lan",
        ),
        pytest.param(unmapped(), {}, "the container is on no network", id="no-network"),
        pytest.param(unmapped("ingress"), {}, "the container is on no network but swarm's own", id="swarms-network"),
        pytest.param(
            unmapped("odd", asked_for=True),
            {"id-odd": WEAVE},
            "its network 'odd' has the driver 'weave', which maps no port",
            id="another-driver-that-was-to-publish-it",
        ),
        pytest.param(
            unmapped("odd", asked_for=True),
            {"id-odd": None},
            "its network 'odd' is not described by the engine",
            id="refused-to-say-and-was-to-publish-it",
        ),
        pytest.param(
            unmapped("front", "closed"),
            {"id-front": BRIDGE, "id-closed": CLOSED},
            "its network 'front' is of the driver bridge and its network 'closed' is internal",
            id="several",
        ),
    ],
)
def test_a_port_that_is_not_mapped_and_that_nobody_reaches_is_refused(
    given: Container, networks: dict[str, Network | None], why: str
) -> None:
    """The refusal says what each of the container's networks is."""
    (port,) = service_ports(given, internal=False)
    with pytest.raises(RefusedPort) as refused:
        book_of(given, networks=networks, **WITH_IP).places_of(given, port)
    assert refused.value.reason is RefusalReason.NOT_PUBLISHED
    assert refused.value.detail == f"no port of the host leads to it, and {why}"


@pytest.mark.parametrize("networks", [{}, {"id-a": CLOSED}], ids=["none", "one"])
def test_nothing_is_decided_while_the_engine_has_not_said_what_a_network_is(
    networks: dict[str, Network | None],
) -> None:
    """Neither an address nor a refusal may come of it."""
    given = unmapped("a", "b")
    (port,) = service_ports(given, internal=False)
    with pytest.raises(NetworkNotTold, match=r"its network '[ab]'"):
        book_of(given, networks=networks, **WITH_IP).places_of(given, port)


def test_an_address_on_the_lan_is_of_the_chosen_family() -> None:
    """A container on a LAN without an address of the family lacks an address, and is not replaced by the host."""
    both, ipv4 = unmapped("lan", ipv6=True), unmapped("lan")
    networks = {"id-lan": MACVLAN_TOLD}
    (port,) = service_ports(both, internal=False)
    assert book_of(both, networks=networks, **IPV6).places_of(both, port)[0].address == "fd00:77::0"
    with pytest.raises(RefusedPort, match="has no IPv6 address of its own"):
        book_of(ipv4, networks=networks, **IPV6).places_of(ipv4, port)


def test_a_lan_without_an_address_of_the_family_does_not_hide_another_one() -> None:
    """The container is reached on the network that gave it such an address."""
    given = evolve(unmapped("lan", "wlan"), networks_ipv6={"wlan": "fd00:78::1"})
    networks = {"id-lan": MACVLAN_TOLD, "id-wlan": MACVLAN_TOLD}
    (port,) = service_ports(given, internal=False)
    assert book_of(given, networks=networks, **IPV6).places_of(given, port)[0].address == "fd00:78::1"


def test_only_the_networks_that_decide_about_a_port_are_in_question() -> None:
    """They are those of containers with a service port. Containers that use the network of the host or of another one,
    or that have none, depend on no network."""
    ids = {"network_ids": {"lan": "id-x"}, "networks": {"lan": "10.0.0.2"}, "expose": ("80/tcp",)}
    others = [container(mode, network_mode=mode, **ids) for mode in ("host", "none", "container:id-web")]  # type: ignore[arg-type] # fields of a container
    without = container(publish={"80/tcp": ""}, network_ids={"bridge": "id-bridge"})
    mapped = container(publish={"80/tcp": "0.0.0.0:8000"}, network_ids={"bridge": "id-c"})
    assert networks_in_question([*others, without]) == frozenset()
    assert networks_in_question([*others, mapped, unmapped("a", "ingress", "b")]) == {"id-a", "id-b", "id-c"}


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ({"id-a": CLOSED, "id-b": CLOSED}, None),
        ({"id-a": CLOSED, "id-b": MACVLAN_TOLD}, "10.77.1.2:80"),
        ({"id-a": CLOSED, "id-b": BRIDGE}, "203.0.113.1:8000"),
        ({"id-a": CLOSED, "id-b": WEAVE}, "203.0.113.1:8000"),
        ({"id-a": CLOSED, "id-b": None}, "203.0.113.1:8000"),
        ({"id-a": CLOSED}, "203.0.113.1:8000"),
        ({}, "203.0.113.1:8000"),
    ],
)
def test_a_mapped_port_is_not_believed_if_no_network_maps_ports(
    networks: dict[str, Network | None], expected: str | None
) -> None:
    """Engine 20.10 goes on to show the mapping after the container was disconnected from the network that had it. While
    the engine has not said what all of the networks are, it is believed."""
    web = evolve(unmapped("a", "b", asked_for=True), published={PortId(80, "tcp"): (Binding("0.0.0.0", 8000),)})
    (port,) = service_ports(web, internal=False)
    book = book_of(web, networks=networks, **WITH_IP)
    if expected:
        assert [f"{each.address}:{each.port}" for each in book.places_of(web, port)] == [expected]
        return
    with pytest.raises(RefusedPort) as refused:
        book.places_of(web, port)
    assert refused.value.reason is RefusalReason.NOT_PUBLISHED


# A container that joined another one's network before that one was started.


def started(second: int, name: str, joins: str = "", mode: str = "backend") -> Container:
    """Make a container that was started at this second, with an address if it joins no other one; 0: nobody knows."""
    moment = f"2026-01-01T00:00:{second:02}.000000000Z" if second else ""
    if joins:
        return evolve(joining(joins, name), started=moment)
    return container(name, network_mode=mode, address="", networks={mode: "172.28.0.5"}, started=moment)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        pytest.param([started(2, "side", "net"), started(1, "net")], "172.28.0.5", id="started-before"),
        pytest.param([started(2, "side", "net"), started(2, "net")], "172.28.0.5", id="at-the-same-time"),
        pytest.param([started(0, "side", "net"), started(2, "net")], "172.28.0.5", id="nobody-knows"),
        pytest.param([started(2, "side", "net"), started(0, "net")], "172.28.0.5", id="nobody-knows-of-the-other"),
        pytest.param(
            [started(1, "side", "net"), started(2, "net", mode="host")], "203.0.113.1", id="the-hosts-network"
        ),
        pytest.param(
            [started(3, "side", "mid"), started(2, "mid", "net"), started(1, "net")], "172.28.0.5", id="twice-in-order"
        ),
    ],
)
def test_a_container_in_the_network_of_another_is_reached_if_it_was_started_after_it(
    chain: list[Container], expected: str
) -> None:
    """What nobody knows speaks for the container. The host's network is the same after every start."""
    assert address(chain[0], *chain[1:], **WITH_IP) == expected


@pytest.mark.parametrize(
    ("chain", "detail"),
    [
        pytest.param(
            [started(1, "side", "net"), started(2, "net")],
            "it joined the network that container 'net' had before its last start; restart it",
            id="started-later",
        ),
        pytest.param(
            [started(2, "side", "mid"), started(1, "mid", "net"), started(3, "net")],
            "container 'mid', whose network it joins, joined the network that container 'net' had before its last "
            "start; restart 'mid', and then this container",
            id="the-end-of-the-chain",
        ),
        pytest.param(
            [started(2, "side", "mid"), started(3, "mid", "net"), started(1, "net")],
            "it joined the network that container 'mid' had before its last start; restart it",
            id="the-middle-of-the-chain",
        ),
    ],
)
def test_a_container_that_joined_a_network_before_the_last_start_of_its_holder_is_refused(
    chain: list[Container], detail: str
) -> None:
    """It sits in a network that nobody reaches. The refusal says how to cure that."""
    both: tuple[dict[str, Any], ...] = (WITH_IP, INTERNAL)
    for rules in both:
        with pytest.raises(RefusedPort) as refused:
            address(chain[0], *chain[1:], **rules)
        assert (refused.value.reason, refused.value.detail) == (RefusalReason.NO_ADDRESS, detail)


@pytest.mark.parametrize(
    ("more", "rules"),
    [
        pytest.param({"labels": {"my.ip": "10.9.8.7"}}, {**WITH_IP, "label": "my.ip"}, id="label"),
        pytest.param({"published": {PortId(80, "tcp"): (Binding("0.0.0.0", 8000),)}}, WITH_IP, id="binding"),
    ],
)
@pytest.mark.parametrize("others", [[started(2, "net")], []], ids=["started-later", "not-running"])
def test_neither_a_label_nor_a_binding_leads_into_a_network_that_its_holder_left(
    more: Mapping[str, Any], rules: Mapping[str, Any], others: list[Container]
) -> None:
    """Some engines show the holder's bindings as those of the container that joined its network."""
    with pytest.raises(RefusedPort) as refused:
        address(evolve(started(1, "side", "net"), **more), *others, **rules)
    assert refused.value.reason is RefusalReason.NO_ADDRESS


# SERVICE_NETWORK and --network.


@pytest.mark.parametrize(
    ("given", "peers", "network", "rules", "expected"),
    [
        pytest.param(SEVERAL_NETWORKS, [], "", INTERNAL, "172.30.0.2", id="the-network-it-was-started-on"),
        pytest.param(SEVERAL_NETWORKS, [], "back", INTERNAL, "172.31.0.2", id="SERVICE_NETWORK"),
        pytest.param(SEVERAL_NETWORKS, [], "", {**INTERNAL, "network": "back"}, "172.31.0.2", id="network-option"),
        pytest.param(
            SEVERAL_NETWORKS,
            [],
            "front",
            {**INTERNAL, "network": "back"},
            "172.30.0.2",
            id="SERVICE_NETWORK-beats-network-option",
        ),
        pytest.param(SEVERAL_NETWORKS, [], "six", INTERNAL, "fd00:66::2", id="only-ipv6-on-it"),
        pytest.param(SEVERAL_NETWORKS, [], "back", {**INTERNAL, **IPV6}, "fd00:31::2", id="family-on-the-network"),
        pytest.param(SEVERAL_NETWORKS, [], "back", WITH_IP, "203.0.113.1", id="ignored-without-internal"),
        pytest.param(SEVERAL_NETWORKS, [], "back", FROM_CONTAINER, "172.31.0.2", id="SERVICE_NETWORK-from-container"),
        pytest.param(
            SEVERAL_NETWORKS, [], "", {**FROM_CONTAINER, "network": "back"}, "172.31.0.2", id="option-likewise"
        ),
        pytest.param(SEVERAL_NETWORKS, [], "", {**FROM_CONTAINER, **IPV6}, "fd00:31::2", id="family-from-container"),
        pytest.param(
            joining("web"), [SEVERAL_NETWORKS], "back", INTERNAL, "172.31.0.2", id="network-of-the-joined-container"
        ),
        pytest.param(joining("web"), [SEVERAL_NETWORKS], "back", WITH_IP, "172.30.0.2", id="joined-without-internal"),
        pytest.param(HOST_NETWORKING, [], "host", {**INTERNAL, "network": "back"}, "203.0.113.1", id="host-networking"),
    ],
)
def test_the_named_network_decides_which_own_address_is_registered(
    given: Container, peers: list[Container], network: str, rules: dict[str, object], expected: str
) -> None:
    """SERVICE_NETWORK beats --network. Both decide only which of the container's own addresses -internal and
    -ip-from-container take."""
    assert address(given, *peers, service_network=network, **rules) == expected


@pytest.mark.parametrize(
    ("given", "peers", "network", "rules", "detail"),
    [
        pytest.param(SEVERAL_NETWORKS, [], "gone", {}, "container 'web' is not on the network 'gone'", id="not-on-it"),
        pytest.param(
            SEVERAL_NETWORKS, [], "", {"network": "x"}, "container 'web' is not on the network 'x'", id="network-option"
        ),
        pytest.param(
            SEVERAL_NETWORKS,
            [],
            "down",
            {},
            "container 'web' has no address on the network 'down'",
            id="no-address-on-it",
        ),
        pytest.param(
            SEVERAL_NETWORKS, [], "six", IPV4, "container 'web' has no IPv4 address on the network 'six'", id="no-ipv4"
        ),
        pytest.param(
            SEVERAL_NETWORKS,
            [],
            "front",
            IPV6,
            "container 'web' has no IPv6 address on the network 'front'",
            id="no-ipv6",
        ),
        pytest.param(
            joining("web"),
            [SEVERAL_NETWORKS],
            "gone",
            {},
            "container 'web' is not on the network 'gone'",
            id="joined-container",
        ),
        pytest.param(
            HOST_NETWORKING, [], "back", {}, "container 'net-host' is not on the network 'back'", id="host-networking"
        ),
        pytest.param(WEB, [], "", IPV6, "container 'web' has no IPv6 address of its own", id="no-network-named"),
    ],
)
def test_a_port_without_an_address_on_the_named_network_is_refused(
    given: Container, peers: list[Container], network: str, rules: dict[str, object], detail: str
) -> None:
    """The refusal names the network, what asks for it, and the container whose address on it would have been
    registered."""
    with pytest.raises(RefusedPort) as refused:
        address(given, *peers, service_network=network, **{**INTERNAL, **rules})
    asker = "SERVICE_NETWORK" if network else "--network"
    expected = f"{detail}, which {asker} asks for" if "on the network" in detail else detail
    assert (refused.value.reason, refused.value.detail) == (RefusalReason.NO_ADDRESS, expected)


# --ip-family.


@pytest.mark.parametrize(
    ("given", "rules", "expected"),
    [
        pytest.param(IPV6_NETWORK, {"internal": True}, "fd00:66::9", id="ipv6-where-there-is-no-ipv4"),
        pytest.param(WITH_BOTH, {"internal": True}, "172.17.0.2", id="ipv4-first"),
        pytest.param(WITH_BOTH, {"internal": True, **IPV4}, "172.17.0.2", id="ipv4"),
        pytest.param(WITH_BOTH, {"internal": True, **IPV6}, "fd00::2", id="ipv6"),
        pytest.param(MACVLAN_IPV6, GUESSED, "fd00:7::7", id="unmapped"),
        pytest.param(MACVLAN_IPV6, IPV6, "fd00:7::7", id="unmapped-of-the-family"),
        pytest.param(PUBLISHED_ON_IPV6, {**GUESSED, **IPV6}, "2001:db8::7", id="published-on-ipv6"),
        pytest.param(PUBLISHED_ON_IPV6, WITH_IPV6, "2001:db8::1", id="ip"),
        pytest.param(IPV6_NETWORK, {"guessed": "2001:db8::5", **IPV6}, "2001:db8::5", id="guessed"),
        pytest.param(WEB, {**GUESSED, **IPV4}, "198.51.100.1", id="guessed-ipv4"),
        pytest.param(HOST_NETWORKING, {"guessed": "2001:db8::5", **IPV6}, "2001:db8::5", id="host-networking"),
        pytest.param(LABELLED_IPV6, {"label": "my.ip", **IPV6}, "2001:db8::9", id="label"),
        pytest.param(LABELLED_HOST_NAME, {"label": "my.ip", **IPV4}, "host7", id="a-host-name-may-be-of-either"),
    ],
)
def test_the_address_is_of_the_family_that_the_operator_chose(
    given: Container, rules: dict[str, object], expected: str
) -> None:
    """An IPv4 address goes before an IPv6 one unless --ip-family asks for one family; then only its addresses count."""
    assert address(given, **rules) == expected


@pytest.mark.parametrize(
    ("given", "rules", "reason", "detail"),
    [
        pytest.param(WEB, WITH_IPV6, "no-address", "it is not published on an IPv6 address", id="published-on-ipv4"),
        pytest.param(
            PUBLISHED_ON_ADDRESS,
            {**GUESSED, **IPV6},
            "no-address",
            "not published on an IPv6 address",
            id="published-on-an-ipv4-address",
        ),
        pytest.param(
            IPV6_NETWORK, {**GUESSED, **IPV4}, "no-address", "not published on an IPv4 address", id="published-on-ipv6"
        ),
        pytest.param(MACVLAN, {**GUESSED, **IPV6}, "no-address", "has no IPv6 address of its own", id="unmapped"),
        pytest.param(
            LABELLED, {"label": "my.ip", **IPV6}, "no-address", "published", id="binding-is-checked-before-label"
        ),
        pytest.param(
            container(expose=("80/tcp",), network_mode="lan", labels={"my.ip": "10.9.8.7/24"}),
            {"label": "my.ip", **IPV6},
            "bad-address",
            "label my.ip='10.9.8.7/24' is not an IPv6 address",
            id="label",
        ),
    ],
)
def test_a_port_without_an_address_of_the_chosen_family_is_refused(
    given: Container, rules: dict[str, object], reason: str, detail: str
) -> None:
    """An address of the other family is refused and never replaced by the address of something else."""
    with pytest.raises(RefusedPort) as refused:
        address(given, OTHER_WITH_BOTH, **rules)
    assert refused.value.reason is RefusalReason(reason)
    assert detail in refused.value.detail


# A container's own address.


@pytest.mark.parametrize(
    ("mode", "default", "networks", "expected"),
    [
        ("backend", "172.17.0.2", {"backend": "172.28.0.2", "a": "172.30.0.2"}, "172.28.0.2"),
        ("default", "172.17.0.2", {"a": "172.30.0.2", "bridge": "172.17.0.2"}, "172.17.0.2"),
        ("gone", "", {"b": "172.31.0.2", "a": "172.30.0.2", "0": ""}, "172.30.0.2"),
        ("default", "", {}, ""),
    ],
)
def test_the_own_address_is_on_the_first_network_that_has_one(
    mode: str, default: str, networks: dict[str, str], expected: str
) -> None:
    """The order is: the network that the container was started on, the default bridge, then the networks by name."""
    assert own_address(container(network_mode=mode, address=default, networks=networks)) == expected


def test_swarms_network_for_published_ports_gives_no_address() -> None:
    """Nobody can dial an address on it. That network is left out even if the container was started on it, or asks for
    it."""
    networks = {"ingress": "10.0.0.4", "web": "10.0.1.3", "a": "10.0.2.3"}
    task = container(publish={"80/tcp": ""}, network_mode="ingress", address="", networks=networks)
    assert networks_in_order(task) == ("a", "web")
    assert own_address(task) == "10.0.2.3"
    assert own_address(container(address="", networks={"ingress": "10.0.0.4"})) == ""
    with pytest.raises(RefusedPort, match="on the network 'ingress', which SERVICE_NETWORK asks for; it is swarm's"):
        address(task, service_network="ingress", **INTERNAL)


def test_an_ipv6_address_on_the_first_network_beats_an_ipv4_address_on_another() -> None:
    """A container that has only an IPv6 address on the network it was started on is not reached by way of another
    one."""
    web = container(
        network_mode="front",
        networks={"front": "", "back": "172.28.1.9"},
        networks_ipv6={"front": "fd00:29::2"},
        address="",
    )
    assert own_address(web) == "fd00:29::2"
    assert own_address(web, Family.IPV4) == "172.28.1.9"


# Texts that can be addresses.


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("10.0.0.1", True),
        ("127.0.0.1", True),
        ("2001:db8::1", True),
        ("web-1.example.com", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.999", False),
        ("1234", False),
        ("-web", False),
        ("a b", False),
        ("a" * 254, False),
        ("a" * 63, True),
        ("a" * 64, False),
        (f"web.{'a' * 64}.example", False),
        (".".join(["a" * 63] * 3), True),
        (".".join(["a" * 63] * 4), False),
        ("10.0.0.1\n", False),
    ],
)
def test_only_a_concrete_ip_address_or_a_host_name_can_be_an_address(text: str, good: bool) -> None:
    """An unspecified address, and a text that only looks like an address, cannot be registered. A host name is one that
    fits into a DNS answer."""
    assert (address_problem(text) is None) is good
