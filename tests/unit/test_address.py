"""Tests of model.address: under which address a port is registered, and when it is refused."""

from __future__ import annotations

import pytest

from model.address import AddressBook, address_problem, own_address
from model.container import Container
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


def address(given: Container, *peers: Container, service_network: object = "", **rule_fields: object) -> str:
    """Return the address of the container's one port. ``peers`` are the other containers of the host,
    ``service_network`` is the container's SERVICE_NETWORK, and ``rule_fields`` are fields of AddressRules."""
    book = book_of(given, *peers, **rule_fields)
    (port,) = service_ports(given, internal=book.rules.internal, family=book.rules.family)
    return book.address_of(given, port, str(service_network), "SERVICE_NETWORK")


def book_of(*containers: Container, **rule_fields: object) -> AddressBook:
    """Return the address book of a host with these containers. ``rule_fields`` are fields of AddressRules."""
    rules = AddressRules(**rule_fields)  # type: ignore[arg-type] # any field
    return AddressBook.of(rules, {each.id: each for each in containers})


# Fields of AddressRules.

GUESSED = {"guessed": "198.51.100.1"}
WITH_IP = {"ip": "203.0.113.1", **GUESSED}
INTERNAL = {**WITH_IP, "internal": True}
IPV4, IPV6 = {"family": Family.IPV4}, {"family": Family.IPV6}
WITH_IPV6 = {"ip": "2001:db8::1", **IPV6}

# The table of AddressBook.address_of.


@pytest.mark.parametrize(
    ("given", "peers", "rules", "expected"),
    [
        pytest.param(WEB, [], WITH_IP, "203.0.113.1", id="ip"),
        pytest.param(WEB, [], GUESSED, "198.51.100.1", id="guessed"),
        pytest.param(PUBLISHED_ON_ADDRESS, [], WITH_IP, "203.0.113.1", id="ip-beats-binding"),
        pytest.param(PUBLISHED_ON_ADDRESS, [], GUESSED, "192.0.2.7", id="binding-beats-guess"),
        pytest.param(container(publish={"80/tcp": "127.0.0.1:80"}), [], GUESSED, "127.0.0.1", id="a-chosen-loopback"),
        pytest.param(container(publish={"80/tcp": ":::80"}), [], GUESSED, "198.51.100.1", id="unspecified-v6-binding"),
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
        pytest.param(MACVLAN, [], WITH_IP, "203.0.113.1", id="ip-beats-unmapped"),
        pytest.param(WEB, [HOLDER], {"guessed": "198.51.100.1"}, "198.51.100.1", id="guessed-beside-others"),
    ],
)
def test_the_first_row_that_applies_decides_the_address(
    given: Container, peers: list[Container], rules: dict[str, object], expected: str
) -> None:
    """The address comes from the first row of the table in AddressBook.address_of that applies."""
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
        pytest.param(NO_NETWORK, [], WITH_IP, "no-address", "no network", id="no-network"),
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
    given: Container, peers: list[Container], rules: dict[str, object], part: str
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
    """SERVICE_NETWORK beats --network. Both decide only which of the container's own addresses -internal takes."""
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
        ("10.0.0.1\n", False),
    ],
)
def test_only_a_concrete_ip_address_or_a_host_name_can_be_an_address(text: str, good: bool) -> None:
    """An unspecified address, and a text that only looks like an address, cannot be registered."""
    assert (address_problem(text) is None) is good
