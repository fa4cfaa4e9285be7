"""Which containers have entries, and how many entries a port has."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from model.container import Container, ContainerRef
from model.desired import Desired, ExclusionReason, desired
from model.entry import DefaultId
from model.family import Family
from model.refusal import RefusalReason
from model.rules import AddressRules, Deregister, HealthRule, Rules
from model.snapshot import Snapshot, UnknownContainer
from tests.support.builders import OWNER, PLAIN, container, rules

WEB = {"80/tcp": "0.0.0.0:8000"}
HEALTHY = evolve(rules(), health=HealthRule.HEALTHY)
ALL = evolve(rules(), all_bindings=True)

#: Without -ip, from an address of this host's.
GUESSED = evolve(rules(ip="", guessed="198.51.100.1"), all_bindings=True)


def of(
    *containers: Container, by: Rules | None = None, unknown: tuple[str, ...] = (), selected: set[str] | None = None
) -> Desired:
    """The desired state of these containers; ``unknown`` and ``selected`` by name."""
    strangers = tuple(UnknownContainer(ref(name), "timed out") for name in unknown)
    ids = None if selected is None else frozenset(f"id-{name}" for name in selected)
    return desired(Snapshot(containers, strangers, ids), by or rules(), PLAIN)


def ref(name: str) -> ContainerRef:
    """The container of this name."""
    return ContainerRef(f"id-{name}", name)


def registered(result: Desired) -> set[str]:
    """The names of the containers with entries."""
    return {entry.container.name for entry in result.entries}


def places(result: Desired) -> dict[str, str]:
    """Address and port of each entry, by id."""
    return {entry.id: f"{entry.address}:{entry.port}" for entry in result.entries}


@pytest.mark.parametrize(
    ("health", "any_has", "healthy_has"),
    [
        ("", True, True),
        ("none", True, True),
        ("healthy", True, True),
        ("starting", True, False),
        ("unhealthy", True, False),
    ],
)
def test_who_is_healthy(health: str, any_has: bool, healthy_has: bool) -> None:
    """A container without a HEALTHCHECK counts as healthy; by default nobody asks."""
    web = container(publish=WEB, health=health)
    assert registered(of(web)) == ({"web"} if any_has else set())
    over = Desired(excluded={ref("web"): ExclusionReason.UNHEALTHY})
    assert of(web, by=HEALTHY) == (of(web) if healthy_has else over)


@pytest.mark.parametrize(
    ("status", "health", "joined", "held"),
    [
        ("running", "healthy", "", False),
        ("running", "unhealthy", "", False),
        ("running", "healthy", "net", True),
        ("running", "unhealthy", "net", False),
        ("exited", "unhealthy", "", True),
        ("restarting", "unhealthy", "", True),
    ],
)
def test_who_is_held_where_health_counts(status: str, health: str, joined: str, held: bool) -> None:
    """A container that ended is unhealthy in the engine's eyes, which says nothing about a failed one; one that runs
    and is unhealthy loses its entries wherever its network is."""
    mode = f"container:id-{joined}" if joined else "default"
    web = container(publish=WEB, status=status, exit_code=3, health=health, network_mode=mode)
    by = evolve(HEALTHY, deregister=Deregister.ON_SUCCESS)
    result = of(web, by=by, unknown=("net",))
    assert result.held == ({ref("net"), ref("web")} if held else {ref("net")})


def test_only_what_is_selected_has_entries() -> None:
    """Nothing is everything; an empty selection is nothing."""
    both = container("web", publish=WEB), container("db", publish={"5432/tcp": "0.0.0.0:5432"})
    assert registered(of(*both)) == {"web", "db"}
    assert registered(of(*both, selected={"web", "gone"})) == {"web"}
    assert of(*both, selected=set()) == Desired(
        excluded={ref("web"): ExclusionReason.FILTERED, ref("db"): ExclusionReason.FILTERED}
    )


def test_what_is_not_selected_is_not_held_and_refuses_nothing() -> None:
    """Neither a failed one, nor one whose network nobody can describe; that one itself stays held."""
    failed = container("failed", publish=WEB, status="exited", exit_code=3)
    side = container("side", expose=("80/tcp",), network_mode="container:id-net")
    evil = container("evil", publish=WEB, env=("SERVICE_NAME=../evil",))
    by = evolve(rules(), deregister=Deregister.ON_SUCCESS)
    over = {ref("side"): ExclusionReason.FILTERED, ref("evil"): ExclusionReason.FILTERED}
    result = of(failed, side, evil, by=by, unknown=("net",), selected=set())
    assert result == Desired(held=frozenset({ref("net")}), excluded=over)
    held = of(failed, side, evil, by=by, unknown=("net",), selected={"failed", "side"}).held
    assert held == {ref("net"), ref("failed"), ref("side")}


def test_a_selected_container_has_the_address_of_one_that_is_not() -> None:
    """The holder of a network that it joins is known, and has no entries of its own."""
    holder = container("net", publish=WEB, network_mode="back", address="", networks={"back": "172.31.0.7"})
    side = container("side", expose=("9000/tcp",), network_mode="container:id-net", address="", networks={})
    assert places(of(holder, side, selected={"side"})) == {"core-01:side:9000": "172.31.0.7:9000"}


def test_of_two_that_want_one_id_the_elder_counts_only_if_it_is_fit() -> None:
    """One that is not selected, or not healthy, holds nothing back."""
    elder = container("elder", publish=WEB, env=("SERVICE_ID=x",), health="unhealthy")
    younger = container("younger", publish=WEB, env=("SERVICE_ID=x",), created="2026-02-01T00:00:00.000000000Z")
    assert registered(of(elder, younger)) == {"elder"}
    assert registered(of(elder, younger, by=HEALTHY)) == {"younger"}
    assert registered(of(elder, younger, selected={"younger"})) == {"younger"}


def test_a_network_can_be_named_for_one_port() -> None:
    """As everything that SERVICE_ says. A network that is not there is refused for that port alone."""
    web = container(
        publish={"80/tcp": "", "81/tcp": "", "82/tcp": ""},
        networks={"bridge": "172.17.0.2", "back": "172.31.0.2"},
        env=("SERVICE_80_NETWORK=back", "SERVICE_81_NETWORK=gone"),
    )
    result = of(web, by=rules(internal=True))
    assert places(result) == {"core-01:web:80": "172.31.0.2:80", "core-01:web:82": "172.17.0.2:82"}
    (refusal,) = result.refusals
    assert (str(refusal.port), refusal.reason) == ("81/tcp", RefusalReason.NO_ADDRESS)
    assert refusal.detail == "container 'web' is not on the network 'gone'"


def test_tcp_and_udp_on_one_port_have_names_of_their_own() -> None:
    """A name that is given for a port's protocol is given for the port: nothing is added to it."""
    env = ("SERVICE_53_TCP_NAME=dns-tcp", "SERVICE_53_UDP_NAME=dns-udp", "SERVICE_53_UDP_ID=u")
    result = of(container(publish={"53/tcp": "0.0.0.0:53", "53/udp": "0.0.0.0:53"}, env=env))
    assert [each.identity for each in result.entries] == [("dns-tcp", "core-01:web:53"), ("dns-udp", "u")]
    assert all(not each.attributes for each in result.entries)


def test_the_order_of_decisions_under_a_family() -> None:
    """A port that is published in the other family alone is refused, and the others keep their names."""
    web = container(publish={"80/tcp": "0.0.0.0:80", "443/tcp": "0.0.0.0:443 :::443"})
    by = rules(ip="2001:db8::1", family=Family.IPV6)
    result = of(web, by=by)
    assert [(each.name, each.address, each.port) for each in result.entries] == [("nginx-443", "2001:db8::1", 443)]
    assert [(str(each.port), each.reason) for each in result.refusals] == [("80/tcp", RefusalReason.NO_ADDRESS)]


@pytest.mark.parametrize(
    ("bindings", "by", "expected"),
    [
        pytest.param("0.0.0.0:8080 :::8080", ALL, {"": "172.17.8.101:8080"}, id="both-families-are-one"),
        pytest.param(
            "0.0.0.0:8081 0.0.0.0:8080", ALL, {"": "172.17.8.101:8081", ":8080": "172.17.8.101:8080"}, id="two-ports"
        ),
        pytest.param(
            "10.0.0.2:8080 10.0.0.3:8080", ALL, {"": "172.17.8.101:8080"}, id="two-addresses-are-one-under-ip"
        ),
        pytest.param(
            "10.0.0.2:8080 10.0.0.3:8080",
            GUESSED,
            {"": "10.0.0.2:8080", ":10.0.0.3-8080": "10.0.0.3:8080"},
            id="two-addresses",
        ),
        pytest.param(
            "10.0.0.2:8080 0.0.0.0:8081 :::8081 fd00::3:8080",
            GUESSED,
            {"": "10.0.0.2:8080", ":8081": "198.51.100.1:8081", ":fd00--3-8080": "fd00::3:8080"},
            id="one-of-each",
        ),
        pytest.param(
            "0.0.0.0:8081 10.0.0.2:8080 0.0.0.0:8080",
            ALL,
            {"": "172.17.8.101:8081", ":8080": "172.17.8.101:8080"},
            id="of-two-that-are-one-the-shorter-mark",
        ),
        pytest.param(
            "0.0.0.0:8080 :::8081", ALL, {"": "172.17.8.101:8080"}, id="nobody-listens-there-under-the-other-family"
        ),
        pytest.param(":::8081", rules(), {"": "172.17.8.101:8081"}, id="off-and-only-the-other-family"),
        pytest.param("0.0.0.0:8081 0.0.0.0:8080", rules(), {"": "172.17.8.101:8081"}, id="off"),
        pytest.param(
            "0.0.0.0:8081 0.0.0.0:8080",
            evolve(rules(internal=True), all_bindings=True),
            {"": "172.17.0.2:80"},
            id="internal",
        ),
        pytest.param(
            "0.0.0.0:8080 :::8081 ::1:8082",
            evolve(rules(ip="2001:db8::1", family=Family.IPV6), all_bindings=True),
            {"": "2001:db8::1:8081", ":--1-8082": "2001:db8::1:8082"},
            id="of-one-family",
        ),
    ],
)
def test_every_binding_has_an_entry(bindings: str, by: Rules, expected: Mapping[str, str]) -> None:
    """The first keeps the id that it would have alone. The name does not change, and the rest may come in any order."""
    first, *others = bindings.split()
    for order in permutations(others):
        result = of(container(publish={"80/tcp": " ".join([first, *order])}), by=by)
        assert places(result) == {f"core-01:web:80{mark}": place for mark, place in expected.items()}
        assert {entry.name for entry in result.entries} == {"nginx"}
        assert result.refusals == ()


def test_ids_of_further_bindings_are_this_hosts() -> None:
    """udp's, too; behind a custom id the same is added, which must not make it another host's."""
    dns = container("dns", publish={"53/udp": "0.0.0.0:53 0.0.0.0:5354"})
    ids = list(places(of(dns, by=ALL)))
    assert ids == ["core-01:dns:53:udp", "core-01:dns:53:udp:5354"]
    assert [found.owner for found in map(DefaultId.parse, ids) if found] == [OWNER] * 2
    custom = container("db", publish={"80/tcp": "0.0.0.0:80 0.0.0.0:81"}, env=("SERVICE_ID=db-1",))
    assert list(places(of(custom, by=ALL))) == ["db-1", "db-1:81"]
    posing = container("db", publish={"80/tcp": "0.0.0.0:80 0.0.0.0:81"}, env=("SERVICE_ID=core-02:x",))
    result = of(posing, by=ALL)
    assert list(places(result)) == ["core-02:x"]
    assert [refusal.reason for refusal in result.refusals] == [RefusalReason.BAD_ID]


def test_what_is_wrong_with_several_bindings_is_said_once() -> None:
    """Those on all addresses need one that is known; one on an address of its own does not, and keeps its mark."""
    web = container(publish={"80/tcp": "0.0.0.0:8080 :::8080 0.0.0.0:8081 10.0.0.2:8082"})
    result = of(web, by=evolve(rules(ip="", guessed="127.0.0.1"), all_bindings=True))
    assert places(result) == {"core-01:web:80:10.0.0.2-8082": "10.0.0.2:8082"}
    assert [(str(each.port), each.reason) for each in result.refusals] == [("80/tcp", RefusalReason.NO_ADDRESS)]


def test_a_port_that_is_published_in_the_other_family_alone_is_refused() -> None:
    """Whoever dialled it would find nobody."""
    result = of(container(publish={"80/tcp": ":::8080 :::8081"}), by=ALL)
    assert (places(result), [each.detail for each in result.refusals]) == (
        {},
        ["it is published on :: alone, and not on 172.17.8.101"],
    )
    result = of(container(publish={"80/tcp": "0.0.0.0:8080"}), by=evolve(rules(ip="2001:db8::1"), all_bindings=True))
    assert [each.reason for each in result.refusals] == [RefusalReason.NO_ADDRESS]


ADDRESSES = st.sampled_from(["", "0.0.0.0", "::", "10.0.0.2", "10.0.0.3", "fd00::3", "::1"])
BINDINGS = st.lists(st.builds("{}:{}".format, ADDRESSES, st.integers(8080, 8083)), min_size=1, max_size=6)


@given(BINDINGS, st.randoms(use_true_random=False), st.sampled_from(["", "203.0.113.1"]), st.sampled_from(Family))
def test_bindings_are_registered_the_same_in_any_order(
    bindings: list[str], random: object, ip: str, kind: Family
) -> None:
    """But for which is the first; each place once, each under an id of this host, and none for a place that is not
    published."""
    address = AddressRules(ip=ip, guessed="198.51.100.1", family=kind)
    by = Rules(OWNER, address, all_bindings=True)
    first, others = bindings[0], bindings[1:]
    result = of(container(publish={"80/tcp": " ".join([first, *others])}), by=by)
    random.shuffle(others)  # type: ignore[attr-defined] # hypothesis's own kind of Random
    assert of(container(publish={"80/tcp": " ".join([first, *others])}), by=by) == result
    assert len(set(places(result).values())) == len(result.entries)
    assert all((found := DefaultId.parse(entry.id)) and found.owner == OWNER for entry in result.entries)
    assert {entry.port for entry in result.entries} <= {int(each.rpartition(":")[2]) for each in bindings}
