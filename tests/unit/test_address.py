"""The address of an entry."""

from __future__ import annotations

import pytest

from model.address import AddressBook, AddressRules, Unaddressed, address_problem, own_address
from model.container import Container
from model.entry import RefusalReason
from model.ports import service_ports
from tests.support.builders import container

WEB = container(publish={"80/tcp": "0.0.0.0:8000"})
BOUND = container(publish={"80/tcp": "192.0.2.7:8000"})
HOST = container("net-host", expose=("80/tcp",), network_mode="host", address="", networks={"host": ""})
HOLDER = container("holder", network_mode="backend", address="", networks={"backend": "172.28.0.5"})
LABELLED = container(publish={"80/tcp": "0.0.0.0:8000"}, labels={"my.ip": "10.9.8.7/24"})
NAMED = container(publish={"80/tcp": "0.0.0.0:8000"}, labels={"my.ip": "host7/24"})
MACVLAN = container(expose=("80/tcp",), network_mode="lan", address="", networks={"lan": "192.168.7.7"})
NOWHERE = container(expose=("80/tcp",), network_mode="none", address="", networks={"none": ""})


def joining(target: str, name: str = "side") -> Container:
    """A container that joins another's network."""
    mode = f"container:id-{target}"
    return container(name, expose=("80/tcp",), network_mode=mode, address="", networks={})


def address(given: Container, *peers: Container, **rules: object) -> str:
    """The address of the container's one port."""
    book = AddressBook.of(AddressRules(**rules), {each.id: each for each in (given, *peers)})  # type: ignore[arg-type] # any field
    (port,) = service_ports(given, internal=bool(rules.get("internal")))
    return book.address_of(given, port)


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
    with pytest.raises(Unaddressed) as refused:
        address(given, *peers, **rules)
    assert refused.value.reason is RefusalReason(reason)
    assert word in refused.value.detail


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
