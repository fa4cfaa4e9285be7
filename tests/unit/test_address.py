"""The address of an entry."""

from __future__ import annotations

import pytest

from model.address import AddressBook, address_problem, own_address
from model.container import Container
from model.family import Family
from model.ports import service_ports
from model.refusal import RefusalReason, RefusedPort
from model.rules import AddressRules
from tests.support.builders import container

WEB = container(publish={"80/tcp": "0.0.0.0:8000"})
BOUND = container(publish={"80/tcp": "192.0.2.7:8000"})
HOST = container("net-host", expose=("80/tcp",), network_mode="host", address="", networks={"host": ""})
HOLDER = container("holder", network_mode="backend", address="", networks={"backend": "172.28.0.5"})
LABELLED = container(publish={"80/tcp": "0.0.0.0:8000"}, labels={"my.ip": "10.9.8.7/24"})
NAMED = container(publish={"80/tcp": "0.0.0.0:8000"}, labels={"my.ip": "host7/24"})
MACVLAN = container(expose=("80/tcp",), network_mode="lan", address="", networks={"lan": "192.168.7.7"})
NOWHERE = container(expose=("80/tcp",), network_mode="none", address="", networks={"none": ""})


TWO = container(
    publish={"80/tcp": "0.0.0.0:8000"},
    network_mode="front",
    address="",
    networks={"front": "172.30.0.2", "back": "172.31.0.2", "six": "", "down": ""},
    networks_ipv6={"back": "fd00:31::2", "six": "fd00:66::2"},
)
SIX = container(
    publish={"80/tcp": ":::8000"},
    network_mode="six",
    address="",
    networks={"six": ""},
    networks_ipv6={"six": "fd00:66::9"},
)
LAN_SIX = container(
    expose=("80/tcp",), network_mode="lan", address="", networks={"lan": ""}, networks_ipv6={"lan": "fd00:7::7"}
)
BOUND_SIX = container(publish={"80/tcp": "2001:db8::7:8000"})
LABELLED_SIX = container(publish={"80/tcp": ":::8000"}, labels={"my.ip": "2001:db8::9/64"})
BOTH = container(publish={"80/tcp": "0.0.0.0:8000"}, address_ipv6="fd00::2", networks_ipv6={"bridge": "fd00::2"})


#: Another container, with an address of each family.
BOTH_ELSEWHERE = container("both", address_ipv6="fd00::2", networks_ipv6={"bridge": "fd00::2"})


def joining(target: str, name: str = "side") -> Container:
    """A container that joins another's network."""
    mode = f"container:id-{target}"
    return container(name, expose=("80/tcp",), network_mode=mode, address="", networks={})


def address(given: Container, *peers: Container, asking: object = "", **words: object) -> str:
    """The address of the container's one port, which asks for a network with SERVICE_NETWORK."""
    rules = AddressRules(**words)  # type: ignore[arg-type] # any field
    book = AddressBook.of(rules, {each.id: each for each in (given, *peers)})
    (port,) = service_ports(given, internal=rules.internal, family=rules.family)
    return book.address_of(given, port, str(asking))


GUESS = {"guessed": "198.51.100.1"}
IP = {"ip": "203.0.113.1", **GUESS}


@pytest.mark.parametrize(
    ("given", "peers", "rules", "expected"),
    [
        pytest.param(WEB, [], IP, "203.0.113.1", id="ip"),
        pytest.param(WEB, [], GUESS, "198.51.100.1", id="guess"),
        pytest.param(BOUND, [], IP, "203.0.113.1", id="ip-beats-binding"),
        pytest.param(BOUND, [], GUESS, "192.0.2.7", id="binding-beats-guess"),
        pytest.param(container(publish={"80/tcp": "127.0.0.1:80"}), [], GUESS, "127.0.0.1", id="a-chosen-loopback"),
        pytest.param(container(publish={"80/tcp": ":::80"}), [], GUESS, "198.51.100.1", id="unspecified-v6-binding"),
        pytest.param(LABELLED, [], {**IP, "label": "my.ip"}, "10.9.8.7", id="label"),
        pytest.param(NAMED, [], {**IP, "label": "my.ip"}, "host7", id="label-host-name"),
        pytest.param(LABELLED, [], IP, "203.0.113.1", id="label-not-asked-for"),
        pytest.param(WEB, [], {**IP, "label": "my.ip"}, "203.0.113.1", id="label-missing"),
        pytest.param(HOST, [], IP, "203.0.113.1", id="host-network-ip"),
        pytest.param(HOST, [], GUESS, "198.51.100.1", id="host-network-guess"),
        pytest.param(HOST, [], {**IP, "internal": True}, "203.0.113.1", id="host-network-internal"),
        pytest.param(WEB, [], {**IP, "internal": True}, "172.17.0.2", id="internal"),
        pytest.param(joining("holder"), [HOLDER], IP, "172.28.0.5", id="joined"),
        pytest.param(joining("holder"), [HOLDER], {**IP, "internal": True}, "172.28.0.5", id="joined-internal"),
        pytest.param(joining("net-host"), [HOST], IP, "203.0.113.1", id="joined-to-host-network"),
        pytest.param(joining("mid"), [joining("holder", "mid"), HOLDER], IP, "172.28.0.5", id="joined-twice"),
        pytest.param(MACVLAN, [], GUESS, "192.168.7.7", id="unmapped"),
        pytest.param(MACVLAN, [], IP, "203.0.113.1", id="ip-beats-unmapped"),
        pytest.param(WEB, [HOLDER], {"guessed": "198.51.100.1"}, "198.51.100.1", id="guess-beside-others"),
    ],
)
def test_the_address(given: Container, peers: list[Container], rules: dict[str, object], expected: str) -> None:
    """The order of AddressBook.address_of's table."""
    assert address(given, *peers, **rules) == expected


@pytest.mark.parametrize(
    ("given", "peers", "rules", "reason", "word"),
    [
        pytest.param(WEB, [], {}, "no-address", "-ip", id="nothing-known"),
        pytest.param(WEB, [], {"guessed": "127.0.0.1"}, "no-address", "127.0.0.1", id="loopback-by-guessing"),
        pytest.param(WEB, [], {"guessed": "::1"}, "no-address", "::1", id="loopback-v6"),
        pytest.param(WEB, [], {"guessed": "0.0.0.0"}, "no-address", "0.0.0.0", id="unspecified"),
        pytest.param(WEB, [HOLDER], {"guessed": "172.28.0.5"}, "no-address", "container's", id="agent-in-a-container"),
        pytest.param(
            WEB,
            [container("agent", networks={"front": "172.28.0.2", "back": "172.28.1.2"}, network_mode="front")],
            {"guessed": "172.28.1.2"},
            "no-address",
            "container's",
            id="agent-in-a-container-on-its-second-network",
        ),
        pytest.param(
            container(publish={"80/tcp": ""}, labels={"my.ip": "0.0.0.0"}),
            [],
            {"label": "my.ip", "internal": True},
            "bad-address",
            "my.ip",
            id="label-unspecified",
        ),
        pytest.param(NOWHERE, [], IP, "no-address", "no network", id="no-network"),
        pytest.param(joining("gone"), [], IP, "no-address", "id-gone", id="joins-a-stopped-one"),
        pytest.param(joining("b", "a"), [joining("a", "b")], IP, "no-address", "not running", id="a-ring"),
        pytest.param(
            container(publish={"80/tcp": ""}, address="", networks={"bridge": ""}),
            [],
            {**IP, "internal": True},
            "no-address",
            "of its own",
            id="no-own-address",
        ),
    ],
)
def test_no_address(given: Container, peers: list[Container], rules: dict[str, object], reason: str, word: str) -> None:
    """An address that would be wrong is refused with its reason, and the detail names the culprit or the cure."""
    with pytest.raises(RefusedPort) as refused:
        address(given, *peers, **rules)
    assert refused.value.reason is RefusalReason(reason)
    assert word in refused.value.detail


INTERNAL = {**IP, "internal": True}
V4, V6 = {"family": Family.IPV4}, {"family": Family.IPV6}
IP_SIX = {"ip": "2001:db8::1", **V6}


@pytest.mark.parametrize(
    ("given", "peers", "network", "rules", "expected"),
    [
        pytest.param(TWO, [], "", INTERNAL, "172.30.0.2", id="the-one-it-was-started-on"),
        pytest.param(TWO, [], "back", INTERNAL, "172.31.0.2", id="container's-word"),
        pytest.param(TWO, [], "", {**INTERNAL, "network": "back"}, "172.31.0.2", id="operator's-word"),
        pytest.param(TWO, [], "front", {**INTERNAL, "network": "back"}, "172.30.0.2", id="container-beats-operator"),
        pytest.param(TWO, [], "six", INTERNAL, "fd00:66::2", id="only-ipv6-there"),
        pytest.param(TWO, [], "back", {**INTERNAL, **V6}, "fd00:31::2", id="family-there"),
        pytest.param(TWO, [], "back", IP, "203.0.113.1", id="nothing-without-internal"),
        pytest.param(joining("web"), [TWO], "back", INTERNAL, "172.31.0.2", id="the-holder's"),
        pytest.param(joining("web"), [TWO], "back", IP, "172.30.0.2", id="joined-without-internal"),
        pytest.param(HOST, [], "host", {**INTERNAL, "network": "back"}, "203.0.113.1", id="host-networking"),
    ],
)
def test_the_address_on_a_network(
    given: Container, peers: list[Container], network: str, rules: dict[str, object], expected: str
) -> None:
    """SERVICE_NETWORK beats --network; both say which address -internal takes, and nothing else."""
    assert address(given, *peers, asking=network, **rules) == expected


@pytest.mark.parametrize(
    ("given", "peers", "network", "rules", "detail"),
    [
        pytest.param(TWO, [], "gone", {}, "container 'web' is not on the network 'gone'", id="not-on-it"),
        pytest.param(TWO, [], "", {"network": "x"}, "container 'web' is not on the network 'x'", id="the-operator's"),
        pytest.param(TWO, [], "down", {}, "container 'web' has no address on the network 'down'", id="none-there"),
        pytest.param(TWO, [], "six", V4, "container 'web' has no IPv4 address on the network 'six'", id="no-ipv4"),
        pytest.param(TWO, [], "front", V6, "container 'web' has no IPv6 address on the network 'front'", id="no-ipv6"),
        pytest.param(
            joining("web"), [TWO], "gone", {}, "container 'web' is not on the network 'gone'", id="the-holder"
        ),
        pytest.param(HOST, [], "back", {}, "container 'net-host' is not on the network 'back'", id="host-networking"),
        pytest.param(WEB, [], "", V6, "container 'web' has no IPv6 address of its own", id="no-network-named"),
    ],
)
def test_no_address_on_a_network(
    given: Container, peers: list[Container], network: str, rules: dict[str, object], detail: str
) -> None:
    """The container whose address it would have been is named, and the network."""
    with pytest.raises(RefusedPort) as refused:
        address(given, *peers, asking=network, **{**INTERNAL, **rules})
    assert (refused.value.reason, refused.value.detail) == (RefusalReason.NO_ADDRESS, detail)


@pytest.mark.parametrize(
    ("given", "rules", "expected"),
    [
        pytest.param(SIX, {"internal": True}, "fd00:66::9", id="ipv6-where-there-is-no-ipv4"),
        pytest.param(BOTH, {"internal": True}, "172.17.0.2", id="ipv4-first"),
        pytest.param(BOTH, {"internal": True, **V4}, "172.17.0.2", id="ipv4"),
        pytest.param(BOTH, {"internal": True, **V6}, "fd00::2", id="ipv6"),
        pytest.param(LAN_SIX, GUESS, "fd00:7::7", id="unmapped"),
        pytest.param(LAN_SIX, V6, "fd00:7::7", id="unmapped-of-the-family"),
        pytest.param(BOUND_SIX, {**GUESS, **V6}, "2001:db8::7", id="bound"),
        pytest.param(BOUND_SIX, IP_SIX, "2001:db8::1", id="ip"),
        pytest.param(SIX, {"guessed": "2001:db8::5", **V6}, "2001:db8::5", id="guess"),
        pytest.param(WEB, {**GUESS, **V4}, "198.51.100.1", id="guess-ipv4"),
        pytest.param(HOST, {"guessed": "2001:db8::5", **V6}, "2001:db8::5", id="host-networking"),
        pytest.param(LABELLED_SIX, {"label": "my.ip", **V6}, "2001:db8::9", id="label"),
        pytest.param(NAMED, {"label": "my.ip", **V4}, "host7", id="a-host-name-may-be-of-either"),
    ],
)
def test_the_address_of_a_family(given: Container, rules: dict[str, object], expected: str) -> None:
    """IPv4 before IPv6, or only those of the family that was asked for."""
    assert address(given, **rules) == expected


@pytest.mark.parametrize(
    ("given", "rules", "reason", "detail"),
    [
        pytest.param(WEB, IP_SIX, "no-address", "it is not published on an IPv6 address", id="bound-elsewhere"),
        pytest.param(BOUND, {**GUESS, **V6}, "no-address", "not published on an IPv6 address", id="bound-to-ipv4"),
        pytest.param(SIX, {**GUESS, **V4}, "no-address", "not published on an IPv4 address", id="bound-to-ipv6"),
        pytest.param(SIX, {**GUESS, **V6}, "no-address", "198.51.100.1, which is not an IPv6 address", id="guess"),
        pytest.param(MACVLAN, {**GUESS, **V6}, "no-address", "has no IPv6 address of its own", id="unmapped"),
        pytest.param(LABELLED, {"label": "my.ip", **V6}, "no-address", "published", id="binding-before-label"),
        pytest.param(
            container(expose=("80/tcp",), network_mode="lan", labels={"my.ip": "10.9.8.7/24"}),
            {"label": "my.ip", **V6},
            "bad-address",
            "label my.ip='10.9.8.7/24' is not an IPv6 address",
            id="label",
        ),
        pytest.param(
            WEB, {"guessed": "fd00::2"}, "no-address", "which is a container's address", id="agent's-own-ipv6"
        ),
    ],
)
def test_no_address_of_a_family(given: Container, rules: dict[str, object], reason: str, detail: str) -> None:
    """What is of the other family is refused, never replaced by another's address."""
    with pytest.raises(RefusedPort) as refused:
        address(given, BOTH_ELSEWHERE, **rules)
    assert refused.value.reason is RefusalReason(reason)
    assert detail in refused.value.detail


@pytest.mark.parametrize(
    ("family", "text", "has"),
    [
        ("any", "", True),
        ("any", "::", True),
        ("ipv4", "", True),
        ("ipv4", "0.0.0.0", True),
        ("ipv4", "10.0.0.1", True),
        ("ipv4", "::", False),
        ("ipv4", "fd00::1", False),
        ("ipv4", "host", True),
        ("ipv6", "", False),
        ("ipv6", "0.0.0.0", False),
        ("ipv6", "::", True),
        ("ipv6", "fd00::1", True),
        ("ipv6", "::ffff:10.0.0.1", True),
        ("ipv6", "host", True),
    ],
)
def test_families(family: str, text: str, has: bool) -> None:
    """Nothing is what the engine's API calls all IPv4 addresses; a host name may be of either."""
    assert Family(family).has(text) is has


@pytest.mark.parametrize(
    ("mode", "default", "networks", "expected"),
    [
        ("backend", "172.17.0.2", {"backend": "172.28.0.2", "a": "172.30.0.2"}, "172.28.0.2"),
        ("default", "172.17.0.2", {"a": "172.30.0.2", "bridge": "172.17.0.2"}, "172.17.0.2"),
        ("gone", "", {"b": "172.31.0.2", "a": "172.30.0.2", "0": ""}, "172.30.0.2"),
        ("default", "", {}, ""),
    ],
)
def test_a_containers_own_address(mode: str, default: str, networks: dict[str, str], expected: str) -> None:
    """The network it was started on, then the default bridge, then the first by name."""
    assert own_address(container(network_mode=mode, address=default, networks=networks)) == expected


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
def test_what_can_be_an_address(text: str, good: bool) -> None:
    """IP addresses and host names; nothing unspecified, nothing that only looks like one."""
    assert (address_problem(text) is None) is good


def test_of_the_network_it_was_started_on_either_family_goes_before_other_networks() -> None:
    """One that has only IPv6 there is not reached by way of another network."""
    web = container(
        network_mode="front",
        networks={"front": "", "back": "172.28.1.9"},
        networks_ipv6={"front": "fd00:29::2"},
        address="",
    )
    assert own_address(web) == "fd00:29::2"
    assert own_address(web, Family.IPV4) == "172.28.1.9"
