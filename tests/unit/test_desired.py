"""Tests of model.desired: which entries, refusals, held and excluded containers a snapshot comes to."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from model.container import Container, ContainerRef
from model.desired import NO_HOLDINGS, RECORD_ROOM, Desired, ExclusionReason, HoldReason, desired
from model.draining import Draining
from model.engine_network import Network
from model.entry import DefaultId
from model.family import Family
from model.layout import Layout, PlainLayout, ValueFormat
from model.ownership import Holding
from model.record import claim_size
from model.refusal import RefusalReason
from model.rules import AddressRules, Deregister, HealthRule, Rules
from model.skydns import SkyDnsLayout
from model.snapshot import Snapshot, UnknownContainer
from model.tag_template import Query
from tests.support.builders import OWNER, PLAIN, container, container_with_metadata, rules

#: The published port of most containers here.
WEB = {"80/tcp": "0.0.0.0:8000"}

HEALTHY = evolve(rules(), health=HealthRule.HEALTHY)
ALL_BINDINGS = evolve(rules(), all_bindings=True)

#: Every binding, without ``-ip``: the host's address is the guessed one.
GUESSED = evolve(rules(ip="", guessed="198.51.100.1"), all_bindings=True)

DNS_LAYOUT = SkyDnsLayout("/skydns/local/cluster")


def desired_state(
    *containers: Container,
    under: Rules | None = None,
    unknown: tuple[str, ...] = (),
    selected: set[str] | None = None,
    layout: Layout = PLAIN,
    holdings: Mapping[str, Holding] = NO_HOLDINGS,
) -> Desired:
    """Return the desired state of these containers under these rules. ``unknown`` names containers that the engine
    would not describe, ``selected`` those that --filter selects; None: there is no filter. ``holdings`` tells who has
    which key now."""
    not_described = tuple(UnknownContainer(ref(name), "timed out") for name in unknown)
    ids = None if selected is None else frozenset(f"id-{name}" for name in selected)
    return desired(Snapshot(containers, not_described, ids), under or rules(), layout, holdings)


def ref(name: str) -> ContainerRef:
    """Return the reference to the container with this name."""
    return ContainerRef(f"id-{name}", name)


def names_and_ids(result: Desired) -> list[str]:
    """Return ``name/id`` of each entry."""
    return ["/".join(entry.identity) for entry in result.entries]


def registered_containers(result: Desired) -> set[str]:
    """Return the names of the containers that have entries."""
    return {entry.container.name for entry in result.entries}


def addresses_by_id(result: Desired) -> dict[str, str]:
    """Return address and port of each entry, by id."""
    return {entry.id: f"{entry.address}:{entry.port}" for entry in result.entries}


def dns_paths(result: Desired) -> list[str]:
    """Return the key of each entry in the DNS layout, without the prefix."""
    return [DNS_LAYOUT.key(each).removeprefix(f"{DNS_LAYOUT.prefix}/") for each in result.entries]


def refused_ports(result: Desired) -> list[tuple[str, str, str]]:
    """Return container, port and reason of each refusal."""
    return [(each.container.name, str(each.port), each.reason.value) for each in result.refusals]


def with_identity(name: str, created: int, service: str, entry_id: str) -> Container:
    """Make a container that wants an entry with this service name and id."""
    return container_with_metadata(name, created, f"NAME={service} ID={entry_id}")


# Which containers have entries.


@pytest.mark.parametrize("status", ["created", "restarting", "removing", "exited", "dead"])
def test_a_container_that_does_not_serve_has_no_entries(status: str) -> None:
    """Only running and paused containers have entries."""
    assert desired_state(container(publish=WEB, status=status)) == Desired()


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
def test_only_a_healthy_container_has_entries_where_health_counts(
    health: str, any_has: bool, healthy_has: bool
) -> None:
    """A container without a HEALTHCHECK counts as healthy. Without --health, health does not matter."""
    web = container(publish=WEB, health=health)
    assert registered_containers(desired_state(web)) == ({"web"} if any_has else set())
    excluded = Desired(excluded={ref("web"): ExclusionReason.UNHEALTHY})
    assert desired_state(web, under=HEALTHY) == (desired_state(web) if healthy_has else excluded)


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
def test_an_unhealthy_container_is_held_only_if_it_failed(status: str, health: str, joined: str, held: bool) -> None:
    """The engine calls a container that ended unhealthy, so health says nothing about a failed one. A container that
    runs and is unhealthy loses its entries, also if the engine would not describe the holder of its network."""
    mode = f"container:id-{joined}" if joined else "default"
    web = container(publish=WEB, status=status, exit_code=3, health=health, network_mode=mode)
    under = evolve(HEALTHY, deregister=Deregister.ON_SUCCESS)
    result = desired_state(web, under=under, unknown=("net",))
    assert result.held == ({ref("net"), ref("web")} if held else {ref("net")})


def test_each_held_container_is_held_for_a_reason() -> None:
    """The reason tells the four kinds of held containers apart."""
    failed = container("failed", publish=WEB, status="exited", exit_code=3)
    side = container("side", expose=("80/tcp",), network_mode="container:id-net")
    lan = container("lan", expose=("80/tcp",), network_mode="lan", networks={"lan": ""}, network_ids={"lan": "n1"})
    under = evolve(rules(), deregister=Deregister.ON_SUCCESS)
    assert desired_state(failed, side, lan, under=under, unknown=("net",)).why_held == {
        ref("net"): HoldReason.UNREADABLE,
        ref("failed"): HoldReason.FAILED,
        ref("side"): HoldReason.JOINS_UNREADABLE,
        ref("lan"): HoldReason.NETWORK_UNKNOWN,
    }


def test_only_selected_containers_have_entries() -> None:
    """Without a filter every container has entries; with an empty selection none has."""
    both = container("web", publish=WEB), container("db", publish={"5432/tcp": "0.0.0.0:5432"})
    assert registered_containers(desired_state(*both)) == {"web", "db"}
    assert registered_containers(desired_state(*both, selected={"web", "gone"})) == {"web"}
    assert desired_state(*both, selected=set()) == Desired(
        excluded={ref("web"): ExclusionReason.FILTERED, ref("db"): ExclusionReason.FILTERED}
    )


def test_a_container_that_is_not_selected_is_neither_held_nor_refused() -> None:
    """A failed container, and one that joins the network of an unknown container, are held only if --filter selects
    them. The unknown container itself is always held."""
    failed = container("failed", publish=WEB, status="exited", exit_code=3)
    side = container("side", expose=("80/tcp",), network_mode="container:id-net")
    evil = container("evil", publish=WEB, env=("SERVICE_NAME=../evil",))
    under = evolve(rules(), deregister=Deregister.ON_SUCCESS)
    excluded = {ref("side"): ExclusionReason.FILTERED, ref("evil"): ExclusionReason.FILTERED}
    result = desired_state(failed, side, evil, under=under, unknown=("net",), selected=set())
    assert result == Desired(held=frozenset({ref("net")}), excluded=excluded)
    held = desired_state(failed, side, evil, under=under, unknown=("net",), selected={"failed", "side"}).held
    assert held == {ref("net"), ref("failed"), ref("side")}


def test_a_selected_container_can_have_the_address_of_one_that_is_not_selected() -> None:
    """A container that --filter does not select still gives its address to a selected one that joins its network."""
    holder = container("net", publish=WEB, network_mode="back", address="", networks={"back": "172.31.0.7"})
    side = container("side", expose=("9000/tcp",), network_mode="container:id-net", address="", networks={})
    assert addresses_by_id(desired_state(holder, side, selected={"side"})) == {"core-01:side:9000": "172.31.0.7:9000"}


def one_off(name: str, **more: Any) -> Container:
    """Make a container as ``docker compose run`` starts it."""
    return container(name, publish=WEB, labels={"com.docker.compose.oneoff": "True"}, **more)


@pytest.mark.parametrize(
    ("value", "excluded"),
    [("True", True), ("true", True), ("TRUE", True), (" true ", True), ("False", False), ("", False), ("1", False)],
)
def test_a_one_off_of_compose_has_entries_only_where_the_operator_asks(value: str, excluded: bool) -> None:
    """Compose gives every container the label, with False where the container belongs to its service."""
    web = evolve(one_off("web"), labels={"com.docker.compose.oneoff": value})
    expected = {ref("web"): ExclusionReason.ONE_OFF} if excluded else {}
    assert desired_state(web).excluded == expected
    assert registered_containers(desired_state(web)) == (set() if excluded else {"web"})
    assert registered_containers(desired_state(web, under=evolve(rules(), one_offs=True))) == {"web"}


def test_a_one_off_takes_no_id_from_its_service_and_gives_others_its_network() -> None:
    """This is so although it may be older than the container of the service that runs now."""
    env = ("SERVICE_ID=x",)
    service = container("service", publish={"80/tcp": "0.0.0.0:8001"}, env=env, created="2026-02-01")
    side = container("side", expose=("80/tcp",), network_mode="container:id-once")
    result = desired_state(one_off("once", env=env), service, side, under=rules(internal=True))
    assert {each.container.name: each.address for each in result.entries} == {
        "service": "172.17.0.2",
        "side": "172.17.0.2",
    }


def test_a_one_off_that_failed_or_joins_an_unknown_network_is_not_held() -> None:
    """A filter that does not select it is the reason that counts."""
    under = evolve(rules(), deregister=Deregister.ON_SUCCESS)
    failed = one_off("failed", status="exited", exit_code=3)
    joined = one_off("joined", network_mode="container:id-net")
    assert desired_state(failed, joined, under=under, unknown=("net",)).held == {ref("net")}
    assert desired_state(failed, under=evolve(under, one_offs=True)).held == {ref("failed")}
    assert desired_state(one_off("web"), selected=set()).excluded == {ref("web"): ExclusionReason.FILTERED}


def test_an_unknown_container_and_those_that_join_its_network_are_held() -> None:
    """Nothing is refused or deleted for a container whose address is not known."""
    side = container("side", expose=("80/tcp",), network_mode="container:id-net")
    result = desired_state(side, container(publish=WEB), unknown=("net",))
    assert result.held == {ref("net"), ref("side")}
    assert names_and_ids(result) == ["nginx/core-01:web:80"]
    assert result.refusals == ()


def test_a_container_that_drains_is_not_held_although_it_joins_an_unknown_network() -> None:
    """Its entries go, whatever address they have."""
    side = container("side", expose=("80/tcp",), network_mode="container:id-net")
    unknown = (UnknownContainer(ref("net"), "timed out"),)
    result = desired(Snapshot((side,), unknown, draining={side.id: Draining("it is stopped")}), rules(), PLAIN)
    assert result.held == {ref("net")}
    assert result.excluded == {ref("side"): ExclusionReason.DRAINING}


@pytest.mark.parametrize(
    ("status", "code", "deregister", "held"),
    [
        ("exited", 3, "on-success", True),
        ("restarting", 1, "on-success", True),
        ("exited", 0, "on-success", False),
        ("exited", 137, "on-success", False),
        ("exited", 255, "on-success", False),
        ("created", 127, "on-success", False),
        ("dead", 1, "on-success", False),
        ("exited", 3, "always", False),
    ],
)
def test_a_failed_container_is_held_with_deregister_on_success(
    status: str, code: int, deregister: str, held: bool
) -> None:
    """An exit by a signal is no failure; as in registrator, an exit code with the bit 128 stands for a signal."""
    given = container(publish=WEB, status=status, exit_code=code)
    result = desired_state(given, under=evolve(rules(), deregister=Deregister(deregister)))
    assert result == Desired(held=frozenset({ref("web")}) if held else frozenset())


def test_the_desired_state_does_not_depend_on_the_order_of_the_list() -> None:
    """The engine may list the containers in any order."""
    containers = [
        container(f"c{number}", publish=WEB, env=(f"SERVICE_ID=x{number % 3}",), created=f"2026-01-{number + 1:02}")
        for number in range(9)
    ]
    expected = desired_state(*containers)
    for seed in range(10):
        Random(seed).shuffle(containers)
        assert desired_state(*containers) == expected


# What an entry is made of.


def test_an_entry_has_address_ports_tags_and_attributes() -> None:
    """An entry has everything that is known of its port: also the container and its image."""
    env = ("SERVICE_TAGS=a,b", "SERVICE_REGION=eu")
    given = container(publish={"53/udp": "0.0.0.0:5353"}, env=env)
    (entry,) = desired_state(given, under=evolve(rules(), tags=("all",))).entries
    assert (entry.name, entry.id) == ("nginx", "core-01:web:53:udp")
    assert (entry.address, entry.port, str(entry.container_port)) == ("172.17.8.101", 5353, "53/udp")
    assert (entry.tags, dict(entry.attributes)) == (("a", "b", "all", "udp"), {"region": "eu"})
    assert (entry.container, entry.image) == (ref("web"), "nginx")


ASKED = {Query(("Config", "Hostname")): "web-1", Query(("Config", "Labels"), "tier"): "front,db"}


@pytest.mark.parametrize(
    ("own", "forced", "expected"),
    [
        ("host-{{.Config.Hostname}},x", (), ("host-web-1", "x")),
        ('{{index .Config.Labels "tier"}}', (), ("front", "db")),
        ("a", ("all,{{.Config.Hostname}}",), ("a", "all", "web-1")),
        ("a,,b", ("all", ""), ("a", "", "b", "all")),
    ],
)
def test_templates_in_tags_are_replaced(own: str, forced: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """They may make several tags, as registrator splits a text after its templates have been replaced."""
    given = container(publish={"80/tcp": "0.0.0.0:80"}, labels={"SERVICE_TAGS": own}, answers=ASKED)
    (entry,) = desired_state(given, under=evolve(rules(), tags=forced)).entries
    assert (entry.tags, entry.tags_problem) == (expected, "")


def test_a_template_that_makes_an_empty_text_makes_no_tag() -> None:
    """A label that a container does not have leaves nothing behind, not even the tag between two commas."""
    empty = {Query(("Config", "Labels"), "tier"): ""}
    labels = {"SERVICE_TAGS": 'a,{{index .Config.Labels "tier"}},b'}
    given = container(publish={"80/tcp": "0.0.0.0:80"}, labels=labels, answers=empty)
    (entry,) = desired_state(given).entries
    assert entry.tags == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "forced", "problem"),
    [
        (
            {"SERVICE_TAGS": "{{toUpper .Name}}"},
            (),
            "label SERVICE_TAGS has '{{toUpper .Name}}', and only {{.Field}} and {{index .Field",
        ),
        (
            {"SERVICE_80_TAGS": "{{.Config.Env}}"},
            (),
            "label SERVICE_80_TAGS asks for '{{.Config.Env}}', which may have",
        ),
        ({}, ("{{.Nothing}}",), "-tags asks for '{{.Nothing}}', and the engine does not tell that as text"),
    ],
)
def test_tags_with_a_bad_template_are_refused_where_they_are_written(
    labels: dict[str, str], forced: tuple[str, ...], problem: str
) -> None:
    """Only JSON values have tags. The port has an entry in the other layouts, where a bad template does no harm. Other
    containers are not concerned."""
    given, under = container(publish={"80/tcp": "0.0.0.0:80"}, labels=labels), evolve(rules(), tags=forced)
    other = container("other", publish={"80/tcp": "0.0.0.0:81"}, answers={Query(("Nothing",)): "n"})
    in_json = desired_state(given, other, under=under, layout=PlainLayout.under("/services", ValueFormat.JSON))
    (refused,) = in_json.refusals
    assert (refused.container.name, refused.reason) == ("web", RefusalReason.BAD_ATTRIBUTE)
    assert refused.detail.startswith(problem)
    assert [each.container.name for each in in_json.entries] == ["other"]
    for layout in (PLAIN, SkyDnsLayout("/skydns/local/cluster")):
        assert len([*desired_state(given, other, under=under, layout=layout).entries]) == 2


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "nginx"),
        ("registry.local:5000/team/foobar:1.2", "foobar"),
        ("nginx@sha256:0123", "nginx@sha256"),
        ("sha256:0123", "sha256"),
    ],
)
def test_the_last_part_of_the_image_without_tag_names_the_service(image: str, name: str) -> None:
    """registrator names services in the same way."""
    assert names_and_ids(desired_state(container(publish=WEB, image=image))) == [f"{name}/core-01:web:80"]


def test_an_empty_name_for_a_port_still_drops_the_suffix() -> None:
    """As registrator, the rule asks only whether a name was given for the port."""
    ports = {"80/tcp": "0.0.0.0:80", "443/tcp": "0.0.0.0:443"}
    assert names_and_ids(desired_state(container(publish=ports, env=("SERVICE_443_NAME=",)))) == [
        "nginx/core-01:web:443",
        "nginx-80/core-01:web:80",
    ]


def test_tcp_and_udp_on_one_port_number_can_have_different_names() -> None:
    """A name for one protocol of a port is a name for the port, so no suffix is added."""
    env = ("SERVICE_53_TCP_NAME=dns-tcp", "SERVICE_53_UDP_NAME=dns-udp", "SERVICE_53_UDP_ID=u")
    result = desired_state(container(publish={"53/tcp": "0.0.0.0:53", "53/udp": "0.0.0.0:53"}, env=env))
    assert [each.identity for each in result.entries] == [("dns-tcp", "core-01:web:53"), ("dns-udp", "u")]
    assert all(not each.attributes for each in result.entries)


@pytest.mark.parametrize("others", [(), ("80/tcp",), ("80/tcp", "80/udp")])
def test_sctp_has_an_id_of_its_own_whatever_else_the_container_has(others: tuple[str, ...]) -> None:
    """tcp keeps the id that registrator gives it. The other protocols do not change the ids of each other."""
    ports = ("80/sctp", *others)
    result = desired_state(container(publish={each: f"0.0.0.0:{8000 + at}" for at, each in enumerate(ports)}))
    ids = {"80/tcp": "core-01:web:80", "80/udp": "core-01:web:80:udp", "80/sctp": "core-01:web:80:sctp"}
    assert {str(each.container_port): each.id for each in result.entries} == {each: ids[each] for each in ports}
    assert {each.id: each.port for each in result.entries}["core-01:web:80:sctp"] == 8000
    assert result.refusals == ()


def test_of_a_port_by_two_protocols_with_one_id_tcp_has_the_entry() -> None:
    """sctp takes no key from tcp under a custom id either."""
    ports = {"80/sctp": "0.0.0.0:1", "80/tcp": "0.0.0.0:2"}
    result = desired_state(container(publish=ports, env=("SERVICE_ID=x",)))
    assert addresses_by_id(result) == {"x": "172.17.8.101:2"}
    assert refused_ports(result) == [("web", "80/sctp", "duplicate")]


def test_a_further_binding_of_an_sctp_port_has_an_id_of_this_host() -> None:
    """The suffix stands behind the protocol."""
    web = container(publish={"80/sctp": "0.0.0.0:8080 0.0.0.0:8081"})
    ids = [each.id for each in desired_state(web, under=ALL_BINDINGS).entries]
    assert ids == ["core-01:web:80:sctp", "core-01:web:80:sctp:8081"]
    assert all(DefaultId.parse(each) for each in ids)


# Ports that are none.

ODD_PORTS = ("http/tcp", "0/udp", "70000/tcp", "9000-8000/tcp", "8000-8100/tcp", "81/dccp")


@pytest.mark.parametrize("odd", ODD_PORTS)
def test_a_port_that_is_none_is_refused_and_the_others_are_registered(odd: str) -> None:
    """The refusal names the port as the engine writes it. As with registrator, it counts for the names of the others,
    whether it is hidden or not."""
    host = container(expose=("80/tcp", odd), network_mode="host")
    result = desired_state(host)
    assert names_and_ids(result) == ["nginx-80/core-01:web:80"]
    assert refused_ports(result) == [("web", odd, "bad-port")]
    assert repr(odd) in result.refusals[0].detail
    assert "ranges of at most 100" in result.refusals[0].detail
    hidden = desired_state(evolve(host, env=("SERVICE_IGNORE=true", "SERVICE_80_IGNORE=")))
    assert (names_and_ids(hidden), hidden.refusals) == (names_and_ids(result), ())


def test_a_port_that_is_none_is_refused_with_explicit_only_if_the_container_has_a_name() -> None:
    """A name for another port does not count."""
    for name, refused in (("SERVICE_NAME=a", 1), ("SERVICE_80_NAME=a", 0)):
        host = container(expose=("80/tcp", "http/tcp"), network_mode="host", env=(name,))
        assert len(desired_state(host, under=evolve(rules(), explicit=True)).refusals) == refused


def test_a_range_of_a_hundred_ports_is_registered() -> None:
    """Each of its ports has an entry of its own."""
    result = desired_state(container(expose=("8000-8099/tcp", "8050/tcp"), network_mode="host"))
    assert len(result.entries) == 100
    assert result.refusals == ()


def test_an_exposed_range_does_not_count_where_its_ports_could_be_published_and_are_not() -> None:
    """On the default bridge, only published ports count; with -internal, all exposed ports do."""
    web = container(publish={**WEB, "8000-8001/tcp": "", "http/tcp": ""})
    assert (names_and_ids(desired_state(web)), desired_state(web).refusals) == (["nginx/core-01:web:80"], ())
    internal = desired_state(web, under=rules(internal=True))
    assert [each.port for each in internal.entries] == [80, 8000, 8001]
    assert refused_ports(internal) == [("web", "http/tcp", "bad-port")]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("SERVICE_NAME=rtp", ["rtp-80", "rtp-8000", "rtp-8001"]),
        ("SERVICE_8000-8001_NAME=rtp", ["nginx-80", "rtp", "rtp"]),
        ("SERVICE_8001-8001_NAME=rtp", ["nginx-80", "nginx-8000", "rtp"]),
    ],
)
def test_a_name_for_a_range_has_no_suffix(name: str, names: list[str]) -> None:
    """The ports of the range are entries of one service, and their ids differ."""
    result = desired_state(container(expose=("80/tcp", "8000-8001/tcp"), network_mode="host", env=(name,)))
    assert [entry.name for entry in result.entries] == names


def test_a_range_of_ports_can_be_hidden() -> None:
    """The other ports are registered under the names that they have beside the hidden ones."""
    ports = container(expose=("80/tcp", "10000-10050/udp", "10051-20000/udp"), network_mode="host")
    result = desired_state(evolve(ports, labels={"SERVICE_10000-20000_IGNORE": "true"}))
    assert (names_and_ids(result), result.refusals) == (["nginx-80/core-01:web:80"], ())


def test_a_network_can_be_named_for_one_port() -> None:
    """SERVICE_<port>_NETWORK applies to that port only. A network that the container is not on is refused for that port
    only."""
    web = container(
        publish={"80/tcp": "", "81/tcp": "", "82/tcp": ""},
        networks={"bridge": "172.17.0.2", "back": "172.31.0.2"},
        env=("SERVICE_80_NETWORK=back", "SERVICE_81_NETWORK=gone"),
    )
    result = desired_state(web, under=rules(internal=True))
    assert addresses_by_id(result) == {"core-01:web:80": "172.31.0.2:80", "core-01:web:82": "172.17.0.2:82"}
    (refusal,) = result.refusals
    assert (str(refusal.port), refusal.reason) == ("81/tcp", RefusalReason.NO_ADDRESS)
    asked_for = "which environment variable SERVICE_81_NETWORK asks for"
    assert refusal.detail == f"container 'web' is not on the network 'gone', {asked_for}"


# Ports that are refused.


@pytest.mark.parametrize(
    ("web", "detail"),
    [
        (
            container(publish={"80/tcp": "0.0.0.0:80", "81/tcp": "0.0.0.0:81"}, labels={"SERVICE_name": "a//b"}),
            "label SERVICE_name 'a//b', which makes 'a//b-80', has the path part ''",
        ),
        (
            container(publish={"80/tcp": "0.0.0.0:80"}, labels={"SERVICE_NAME": ""}, image="registry/_x:1"),
            "the image's name '_x' has a part that begins with '_', which etcd hides: '_x'",
        ),
        (
            container("a" * 250, publish={"80/tcp": "0.0.0.0:80"}, labels={"SERVICE_ID": ""}),
            f"the default id 'core-01:{'a' * 92}'… has a part longer than 255 bytes",
        ),
    ],
)
def test_a_refusal_tells_what_was_set_and_what_was_not(web: Container, detail: str) -> None:
    """The detail has the variable as the container spells it, and what the program adds to its value. An empty variable
    counts as not set."""
    assert desired_state(web).refusals[0].detail == detail


@pytest.mark.parametrize(
    ("env", "cure"),
    [
        ("SERVICE_80_NAME=a.b", "environment variable SERVICE_80_NAME"),
        ("SERVICE_80-90_tcp_Name=", "environment variable SERVICE_80-90_tcp_Name"),
        ("SERVICE_ID=x", "SERVICE_NAME or SERVICE_<port>_NAME"),
    ],
)
def test_the_cure_of_a_name_that_dns_cannot_have_names_the_variable_that_counts(env: str, cure: str) -> None:
    """Another variable would change nothing, because the one for the port has precedence, also if it is empty."""
    web = container(publish=WEB, env=(env,), image="a.b")
    (refusal,) = desired_state(web, layout=DNS_LAYOUT).refusals
    assert refusal.detail.endswith(f"; give the service another name with {cure}")


@pytest.mark.parametrize(
    ("env", "reason", "part"),
    [
        ("SERVICE_NAME=../evil", RefusalReason.BAD_NAME, "SERVICE_NAME '../evil'"),
        ("SERVICE_NAME=_x", RefusalReason.BAD_NAME, "hides"),
        ("SERVICE_80_NAME=_x", RefusalReason.BAD_NAME, "environment variable SERVICE_80_NAME '_x' has a part that"),
        ("SERVICE_80_tcp_ID=a//b", RefusalReason.BAD_ID, "environment variable SERVICE_80_tcp_ID 'a//b' has the path"),
        ("SERVICE_ID=../../other/victim", RefusalReason.BAD_ID, "SERVICE_ID '../../other/victim'"),
        ("SERVICE_ID=core-02:web:80", RefusalReason.BAD_ID, "host 'core-02'"),
        ("SERVICE_ID=a/core-02:web:80:udp", RefusalReason.BAD_ID, "host 'core-02'"),
        ("SERVICE_ID=core-01:web:80", RefusalReason.BAD_ID, "container 'web', and this is 'bad'"),
        ("SERVICE_80_ID=core-01:web:80:udp", RefusalReason.BAD_ID, "container 'web', and this is 'bad'"),
        ("SERVICE_80_TCP_ID=a/core-01:web:443", RefusalReason.BAD_ID, "container 'web', and this is 'bad'"),
        ("SERVICE_ID=core-01:web:80:10.0.0.2-8080", RefusalReason.BAD_ID, "container 'web', and this is 'bad'"),
        ("SERVICE_ID=core-01:gone:80", RefusalReason.BAD_ID, "container 'gone', and this is 'bad'"),
        ("SERVICE_ID=core-01:bad2:80", RefusalReason.BAD_ID, "container 'bad2', and this is 'bad'"),
        ("SERVICE_ID=core-01:ba:80", RefusalReason.BAD_ID, "container 'ba', and this is 'bad'"),
        ("SERVICE_ID=core-01:BAD:080", RefusalReason.BAD_ID, "container 'BAD', and this is 'bad'"),
    ],
)
def test_a_bad_name_or_id_is_refused_and_other_containers_are_registered(
    env: str, reason: RefusalReason, part: str
) -> None:
    """The refusal names the container, the port and the culprit."""
    result = desired_state(container("bad", publish=WEB, env=(env,)), container(publish=WEB))
    assert names_and_ids(result) == ["nginx/core-01:web:80"]
    (refusal,) = result.refusals
    assert (refusal.container.name, str(refusal.port), refusal.reason) == ("bad", "80/tcp", reason)
    assert part in refusal.detail


def test_a_bad_name_that_comes_from_the_image_is_refused() -> None:
    """The refusal says that the name is the image's."""
    (refusal,) = desired_state(container(publish=WEB, image="x/_hidden:1")).refusals
    assert "the image's name '_hidden'" in refusal.detail


@pytest.mark.parametrize(
    "entry_id",
    ["core-01:web:80", "core-01:web:443", "core-01:web:80:udp", "a/core-01:web:80", "core-01:web", "x:web:y"],
)
def test_a_container_may_ask_for_an_id_with_its_own_name_or_in_no_containers_form(entry_id: str) -> None:
    """An id with the container's own name can only clash with another port of the same container, and then the lower
    port has the key. An id that has no container's form cannot be taken for another container's."""
    web = container(publish=WEB, env=(f"SERVICE_ID={entry_id}",))
    assert names_and_ids(desired_state(web)) == [f"nginx/{entry_id}"]


def test_of_two_ports_that_want_an_id_with_their_containers_name_the_lower_has_it() -> None:
    """The higher port is refused as a duplicate. No other container is concerned."""
    env = ("SERVICE_NAME=x", "SERVICE_80_NAME=x", "SERVICE_443_NAME=x", "SERVICE_80_ID=core-01:web:443")
    result = desired_state(container(publish={"80/tcp": "0.0.0.0:80", "443/tcp": "0.0.0.0:443"}, env=env))
    assert addresses_by_id(result) == {"core-01:web:443": "172.17.8.101:80"}
    assert refused_ports(result) == [("web", "443/tcp", "duplicate")]


def test_a_label_that_names_another_container_in_the_id_is_refused_as_a_variable_is() -> None:
    """A label overrides the environment, so the id in it is checked in the same way."""
    web = container(publish=WEB, env=("SERVICE_ID=fine",), labels={"SERVICE_ID": "core-01:db:80"})
    assert refused_ports(desired_state(web)) == [("web", "80/tcp", "bad-id")]


def test_a_renamed_container_may_not_keep_an_id_with_its_former_name() -> None:
    """A new container may get the former name, as when a container is replaced, and then the id is that container's."""
    env = ("SERVICE_ID=core-01:web:80",)
    assert names_and_ids(desired_state(container("web", publish=WEB, env=env))) == ["nginx/core-01:web:80"]
    both = desired_state(container("web-old", publish=WEB, env=env, created="2025"), container("web", publish=WEB))
    assert [(each.id, each.container.name) for each in both.entries] == [("core-01:web:80", "web")]


def test_a_suffix_that_makes_an_id_of_another_container_is_refused() -> None:
    """--all-bindings adds the host's port to the id, and then the id looks like one of another container."""
    env = ("SERVICE_ID=core-01:db",)
    result = desired_state(container(publish={"80/tcp": "0.0.0.0:80 0.0.0.0:81"}, env=env), under=ALL_BINDINGS)
    assert addresses_by_id(result) == {"core-01:db": "172.17.8.101:80"}
    assert refused_ports(result) == [("web", "80/tcp", "bad-id")]


# This host's address is missing.

UNADDRESSED = rules(ip="", guessed="127.0.0.1")


def unaddressed_ports(result: Desired) -> dict[str, int]:
    """Return the port of each entry that has no address, by key."""
    assert {each.address for each in result.unaddressed.values()} <= {""}
    return {key.removeprefix("/services/"): each.port for key, each in result.unaddressed.items()}


def test_an_entry_that_lacks_only_this_hosts_address_is_refused_and_its_key_is_known() -> None:
    """The key has to be known so that what is registered under it can be held. The refusal names the flag that cures
    it."""
    result = desired_state(container(publish=WEB), under=UNADDRESSED)
    assert (result.by_key, unaddressed_ports(result)) == ({}, {"nginx/core-01:web:80": 8000})
    (refusal,) = result.refusals
    assert (refusal.reason, refusal.detail) == (RefusalReason.NO_ADDRESS, result.host_address_problem)
    assert "127.0.0.1" in refusal.detail
    assert refusal.detail.endswith("give the host's address with -ip")
    assert result.none_addressed


def test_a_host_is_not_without_address_where_one_entry_has_one() -> None:
    """A label or a binding may give an entry its own address. Entries that need the host's address are refused all the
    same."""
    told = container("told", publish={"80/tcp": "192.0.2.7:8001"})
    result = desired_state(container(publish=WEB), told, under=UNADDRESSED)
    assert addresses_by_id(result) == {"core-01:told:80": "192.0.2.7:8001"}
    assert unaddressed_ports(result) == {"nginx/core-01:web:80": 8000}
    assert not result.none_addressed
    assert result.placed.keys() == {"/services/nginx/core-01:told:80", "/services/nginx/core-01:web:80"}


@pytest.mark.parametrize(
    "refused",
    [
        container(publish=WEB, env=("SERVICE_NAME=../evil",)),
        container(publish=WEB, env=("SERVICE_ID=core-02:web:80",)),
        container(expose=("80/tcp",), network_mode="none"),
        container(expose=("80/tcp",), network_mode="container:id-gone"),
    ],
    ids=["name", "id", "no network", "joins nothing"],
)
def test_an_entry_that_lacks_more_than_this_hosts_address_is_only_refused(refused: Container) -> None:
    """-ip would not give such an entry an address, so there is no key to hold."""
    result = desired_state(refused, under=UNADDRESSED)
    assert (len(result.refusals), result.unaddressed, result.host_address_problem) == (1, {}, "")
    assert not result.none_addressed


def test_an_internal_address_that_a_container_lacks_is_not_this_hosts() -> None:
    """With -internal, only a container with host networking needs the host's address, and its port is its own. A
    container that has no address of its own lacks something else."""
    bare = container("bare", publish={"80/tcp": ""}, address="", networks={})
    result = desired_state(
        bare, container("net", expose=("81/tcp",), network_mode="host"), under=rules(ip="", internal=True)
    )
    assert unaddressed_ports(result) == {"nginx/core-01:net:81": 81}
    assert refused_ports(result) == [("bare", "80/tcp", "no-address"), ("net", "81/tcp", "no-address")]


def test_an_entry_without_address_keeps_its_place_among_the_others() -> None:
    """Which of two containers has a key does not depend on whether the host's address is known."""
    older = with_identity("older", 1, "db", "x")
    younger = container_with_metadata("younger", 2, "NAME=db ID=x", labels={"my.ip": "10.9.8.7"})
    result = desired_state(older, younger, under=rules(ip="", label="my.ip"))
    assert (result.by_key, unaddressed_ports(result)) == ({}, {"db/x": 8000})
    assert refused_ports(result) == [("older", "80/tcp", "no-address"), ("younger", "80/tcp", "duplicate")]


def test_every_binding_counts_while_the_address_is_not_known() -> None:
    """Which of the bindings could be reached depends on the host's address, so all of them count until it is known. The
    port is refused only once."""
    web = container(publish={"80/tcp": "0.0.0.0:8080 :::8080 :::8082 192.0.2.7:8083"})
    result = desired_state(web, under=evolve(UNADDRESSED, all_bindings=True))
    assert unaddressed_ports(result) == {"nginx/core-01:web:80": 8080, "nginx/core-01:web:80:8082": 8082}
    assert addresses_by_id(result) == {"core-01:web:80:192.0.2.7-8083": "192.0.2.7:8083"}
    assert refused_ports(result) == [("web", "80/tcp", "no-address")]


def test_a_container_is_held_while_the_engine_has_not_said_what_its_network_is() -> None:
    """The whole container is held, and the others are not. A port that is ignored depends on no network."""
    ids: dict[str, Any] = {
        "network_mode": "lan",
        "networks": {"lan": "10.0.0.2"},
        "network_ids": {"lan": "id-lan"},
        "address": "",
    }
    side = container("side", publish={"80/tcp": "0.0.0.0:8000"}, expose=("81/tcp",), **ids)
    ignored = container("ignored", expose=("81/tcp",), env=("SERVICE_81_IGNORE=yes",), **ids)
    web = container(publish={"80/tcp": "0.0.0.0:8001"})
    result = desired_state(side, ignored, web)
    assert registered_containers(result) == {"web"}
    assert (result.held, result.refusals) == (frozenset({ref("side")}), ())
    (undecided,) = result.undecided
    assert undecided.ref == ref("side")
    assert "has not said yet what its network 'lan' is" in undecided.problem
    told = desired(Snapshot((side, ignored, web), networks={"id-lan": Network("macvlan")}), rules(), PLAIN)
    assert (registered_containers(told), told.held, told.undecided) == ({"side", "web"}, frozenset(), ())


def test_a_container_that_joins_an_undescribed_one_by_way_of_another_is_held() -> None:
    """Which network it uses is not known, through however many links."""
    mid = container("mid", expose=("80/tcp",), network_mode="container:id-net")
    side = container("side", expose=("80/tcp",), network_mode="container:id-mid")
    assert desired_state(mid, side, unknown=("net",)).held == {ref("net"), ref("mid"), ref("side")}
    ring = container("ring", expose=("80/tcp",), network_mode="container:id-ring")
    assert desired_state(ring, unknown=("net",)).held == {ref("net")}


@pytest.mark.parametrize(
    ("bindings", "under", "warned"),
    [
        ("127.0.0.1:8000", rules(ip="", guessed="198.51.100.1"), True),
        ("::1:8000", rules(ip="", guessed="198.51.100.1"), True),
        ("127.0.0.1:8000", rules(ip="127.0.0.1"), False),
        ("127.0.0.1:8000", rules(ip="", label="my.ip"), False),
        ("10.0.0.9:8000", rules(ip="", guessed="198.51.100.1"), False),
    ],
)
def test_an_entry_with_a_loopback_address_that_nobody_gave_is_noted(bindings: str, under: Rules, warned: bool) -> None:
    """Other hosts cannot dial it. Whoever gives a loopback address with -ip or a label may mean it."""
    web = container(publish={"80/tcp": bindings}, labels={"my.ip": "127.0.0.1"})
    result = desired_state(web, under=under)
    assert result.loopback == (result.entries if warned else ())
    assert len(result.entries) == 1


def test_a_port_refused_for_its_family_still_counts_for_the_names_of_the_others() -> None:
    """The container has several service ports, so the port's number is added to the name."""
    web = container(publish={"80/tcp": "0.0.0.0:80", "443/tcp": "0.0.0.0:443 :::443"})
    under = rules(ip="2001:db8::1", family=Family.IPV6)
    result = desired_state(web, under=under)
    assert [(each.name, each.address, each.port) for each in result.entries] == [("nginx-443", "2001:db8::1", 443)]
    assert [(str(each.port), each.reason) for each in result.refusals] == [("80/tcp", RefusalReason.NO_ADDRESS)]


# Several bindings of one port (--all-bindings).


@pytest.mark.parametrize(
    ("bindings", "under", "expected"),
    [
        pytest.param("0.0.0.0:8080 :::8080", ALL_BINDINGS, {"": "172.17.8.101:8080"}, id="both-families-are-one-place"),
        pytest.param(
            "0.0.0.0:8081 0.0.0.0:8080",
            ALL_BINDINGS,
            {"": "172.17.8.101:8080", ":8081": "172.17.8.101:8081"},
            id="two-ports",
        ),
        pytest.param(
            "10.0.0.2:8080 10.0.0.3:8080",
            ALL_BINDINGS,
            {"": "172.17.8.101:8080"},
            id="two-addresses-are-one-with-ip-option",
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
            {"": "198.51.100.1:8081", ":10.0.0.2-8080": "10.0.0.2:8080", ":fd00--3-8080": "fd00::3:8080"},
            id="one-of-each",
        ),
        pytest.param(
            "0.0.0.0:8081 10.0.0.2:8080 0.0.0.0:8080",
            ALL_BINDINGS,
            {"": "172.17.8.101:8080", ":8081": "172.17.8.101:8081"},
            id="of-two-for-one-place-the-shorter-suffix",
        ),
        pytest.param(
            "0.0.0.0:8080 :::8081",
            ALL_BINDINGS,
            {"": "172.17.8.101:8080"},
            id="a-binding-of-the-other-family-does-not-count",
        ),
        pytest.param("0.0.0.0:8081 0.0.0.0:8080", rules(), {"": "172.17.8.101:8080"}, id="option-off"),
        pytest.param(
            "0.0.0.0:8081 0.0.0.0:8080",
            evolve(rules(internal=True), all_bindings=True),
            {"": "172.17.0.2:80"},
            id="internal",
        ),
        pytest.param(
            "0.0.0.0:8080 fd00::3:8082 :::8081 ::1:8083",
            evolve(rules(ip="2001:db8::1", family=Family.IPV6), all_bindings=True),
            {"": "2001:db8::1:8081", ":fd00--3-8082": "2001:db8::1:8082"},
            id="of-one-family",
        ),
    ],
)
def test_every_distinct_binding_has_an_entry(bindings: str, under: Rules, expected: Mapping[str, str]) -> None:
    """The first binding keeps the id that it would have alone. The name stays the same, and the order in which the
    engine lists the bindings does not matter."""
    for order in permutations(bindings.split()):
        result = desired_state(container(publish={"80/tcp": " ".join(order)}), under=under)
        assert addresses_by_id(result) == {f"core-01:web:80{suffix}": address for suffix, address in expected.items()}
        assert {entry.name for entry in result.entries} == {"nginx"}
        assert result.refusals == ()


def test_the_ids_of_further_bindings_belong_to_this_host() -> None:
    """The suffix is added behind ``:udp`` and behind a custom id. A custom id that takes the form of another host's id
    by the suffix is refused."""
    dns = container("dns", publish={"53/udp": "0.0.0.0:53 0.0.0.0:5354"})
    ids = list(addresses_by_id(desired_state(dns, under=ALL_BINDINGS)))
    assert ids == ["core-01:dns:53:udp", "core-01:dns:53:udp:5354"]
    assert [found.owner for found in map(DefaultId.parse, ids) if found] == [OWNER] * 2
    custom = container("db", publish={"80/tcp": "0.0.0.0:80 0.0.0.0:81"}, env=("SERVICE_ID=db-1",))
    assert list(addresses_by_id(desired_state(custom, under=ALL_BINDINGS))) == ["db-1", "db-1:81"]
    disguised = container("db", publish={"80/tcp": "0.0.0.0:80 0.0.0.0:81"}, env=("SERVICE_ID=core-02:x",))
    result = desired_state(disguised, under=ALL_BINDINGS)
    assert list(addresses_by_id(result)) == ["core-02:x"]
    assert [refusal.reason for refusal in result.refusals] == [RefusalReason.BAD_ID]


def test_bindings_refused_for_the_same_reason_have_one_refusal() -> None:
    """A binding on a concrete address needs no address of the host, and keeps its suffix."""
    web = container(publish={"80/tcp": "0.0.0.0:8080 :::8080 0.0.0.0:8081 10.0.0.2:8082"})
    result = desired_state(web, under=evolve(rules(ip="", guessed="127.0.0.1"), all_bindings=True))
    assert addresses_by_id(result) == {"core-01:web:80:10.0.0.2-8082": "10.0.0.2:8082"}
    assert [(str(each.port), each.reason) for each in result.refusals] == [("80/tcp", RefusalReason.NO_ADDRESS)]


def test_a_port_that_is_published_only_in_the_other_family_is_refused() -> None:
    """Nothing listens at the address that would be registered."""
    result = desired_state(container(publish={"80/tcp": ":::8080 :::8081"}), under=ALL_BINDINGS)
    assert (addresses_by_id(result), [each.detail for each in result.refusals]) == (
        {},
        ["it is published on :: alone, and not on 172.17.8.101"],
    )
    for all_bindings in (True, False):
        under = evolve(rules(ip="2001:db8::1"), all_bindings=all_bindings)
        result = desired_state(container(publish={"80/tcp": "0.0.0.0:8080"}), under=under)
        assert [each.reason for each in result.refusals] == [RefusalReason.NO_ADDRESS]


ADDRESSES = st.sampled_from(["", "0.0.0.0", "::", "10.0.0.2", "10.0.0.3", "fd00::3", "::1"])
BINDINGS = st.lists(st.builds("{}:{}".format, ADDRESSES, st.integers(8080, 8083)), min_size=1, max_size=6)


@given(BINDINGS, st.randoms(use_true_random=False), st.sampled_from(["", "203.0.113.1"]), st.sampled_from(Family))
def test_the_order_of_bindings_does_not_matter(bindings: list[str], random: object, ip: str, family: Family) -> None:
    """Each address and port has one entry, under an id of this host, and only published ports have one."""
    address = AddressRules(ip=ip, guessed="198.51.100.1", family=family)
    under = Rules(OWNER, address, all_bindings=True)
    result = desired_state(container(publish={"80/tcp": " ".join(bindings)}), under=under)
    shuffled = [*bindings]
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis's own kind of Random
    assert desired_state(container(publish={"80/tcp": " ".join(shuffled)}), under=under) == result
    assert len(set(addresses_by_id(result).values())) == len(result.entries)
    assert all((found := DefaultId.parse(entry.id)) and found.owner == OWNER for entry in result.entries)
    assert {entry.port for entry in result.entries} <= {int(each.rpartition(":")[2]) for each in bindings}


# Which entries can be registered together.


def test_of_two_containers_with_one_id_the_older_one_has_the_entry() -> None:
    """The order of the list does not matter. The refusal of the younger one names the older one."""
    young = container_with_metadata("young", 2, "ID=x")
    old = container_with_metadata("old", 1, "ID=x")
    for order in ((young, old), (old, young)):
        result = desired_state(*order)
        assert [entry.container.name for entry in result.entries] == ["old"]
        assert [(each.container.name, each.reason) for each in result.refusals] == [("young", RefusalReason.DUPLICATE)]
        assert "'old' already has nginx/x" in result.refusals[0].detail


#: Two containers that want one key, and the values that they would give it. The newcomer's time of creation is the
#: earlier one, as after a clock was set back.
NEWCOMER = container_with_metadata("newcomer", 1, "NAME=db ID=x")
HOLDER = evolve(
    container_with_metadata("holder", 2, "NAME=db ID=x"),
    published=container(publish={"80/tcp": "0.0.0.0:8001"}).published,
)
PUBLISHED = {"newcomer": "172.17.8.101:8000", "holder": "172.17.8.101:8001"}


@pytest.mark.parametrize(
    ("claimed_for", "value", "has_it"),
    [
        ("holder", PUBLISHED["holder"], "holder"),
        ("holder", "", "holder"),
        ("holder", "172.17.8.101:1", "holder"),
        ("newcomer", PUBLISHED["newcomer"], "newcomer"),
        ("newcomer", PUBLISHED["holder"], "holder"),
        ("", PUBLISHED["holder"], "holder"),
        ("gone", PUBLISHED["holder"], "holder"),
        ("gone", "172.17.8.101:1", "newcomer"),
        ("", "172.17.8.101:1", "newcomer"),
    ],
)
def test_a_container_that_has_a_key_keeps_it_whatever_its_time_of_creation(
    claimed_for: str, value: str, has_it: str
) -> None:
    """The value in the registry tells who has the key, and else the claim. Where neither is about one of the
    containers, the older one gets it. The other one is refused."""
    holdings = {"/services/db/x": Holding(f"id-{claimed_for}" if claimed_for else "", value)}
    for containers in permutations((NEWCOMER, HOLDER)):
        result = desired_state(*containers, holdings=holdings)
        assert registered_containers(result) == {has_it}
        (refusal,) = result.refusals
        assert (refusal.reason, refusal.container.name != has_it) == (RefusalReason.DUPLICATE, True)


@pytest.mark.parametrize(("claimed_for", "has_it"), [("holder", "holder"), ("gone", "newcomer"), ("", "newcomer")])
def test_of_two_containers_with_the_value_in_the_registry_the_claimed_one_has_the_key(
    claimed_for: str, has_it: str
) -> None:
    """This is so with a label of -useIpFromLabel. Without a claim for either, the older one has the key."""
    twin = evolve(HOLDER, published=NEWCOMER.published)
    result = desired_state(
        NEWCOMER, twin, holdings={"/services/db/x": Holding(f"id-{claimed_for}", PUBLISHED["newcomer"])}
    )
    assert registered_containers(result) == {has_it}


def test_a_newcomer_takes_neither_a_directory_nor_room_in_the_owner_record_from_a_holder() -> None:
    """A key above or below the holder's is refused, too. Refusals keep their order, the older container's first."""
    above = container_with_metadata("above", 0, "NAME=a ID=b")
    below = container_with_metadata("below", 1, "NAME=a/b/c ID=d")
    holder = container_with_metadata("holder", 2, "NAME=a/b ID=c")
    result = desired_state(above, below, holder, holdings={"/services/a/b/c": Holding("id-holder", "")})
    assert registered_containers(result) == {"holder"}
    assert refused_ports(result) == [("above", "80/tcp", "duplicate"), ("below", "80/tcp", "duplicate")]
    size = claim_size(f"/services/db/{'x' * 200}{0:04}")
    crowd = [
        container_with_metadata(f"c{number}", number % 60, f"NAME=db ID={'x' * 200}{number:04}")
        for number in range(RECORD_ROOM // size + 1)
    ]
    last = max(crowd, key=lambda each: each.age)
    key = f"/services/db/{last.env[1].removeprefix('SERVICE_ID=')}"
    assert refused_ports(desired_state(*crowd)) == [(last.name, "80/tcp", "bad-id")]
    assert last.name in registered_containers(desired_state(*crowd, holdings={key: Holding(last.id, "")}))


@pytest.mark.parametrize("value", [PUBLISHED["holder"], "172.17.8.101:1"], ids=["its value", "another value"])
@pytest.mark.parametrize(("newcomer", "strict"), [("NAME=WEB", True), ("NAME=web/core-01:holder:80", False)])
def test_a_newcomer_takes_no_name_and_no_directory_from_a_holder_with_a_default_id(
    newcomer: str, strict: bool, value: str
) -> None:
    """The newcomer was created earlier by a clock that was set back. Its name, which differs from the holder's in case
    alone, or its key, which lies below the holder's, is refused."""
    containers = container_with_metadata("newcomer", 0, newcomer), container_with_metadata("holder", 1, "NAME=web")
    holdings = {"/services/web/core-01:holder:80": Holding("", value, "holder")}
    result = desired_state(*containers, under=evolve(rules(), strict_names=strict), holdings=holdings)
    assert registered_containers(result) == {"holder"}


def test_of_two_ports_of_a_holder_the_lower_one_has_the_entry() -> None:
    """The value in the registry may be the other port's, as host ports change at a restart."""
    ports = {"80/tcp": "0.0.0.0:8001", "81/tcp": "0.0.0.0:8000"}
    web = container(publish=ports, env=("SERVICE_80_NAME=db", "SERVICE_81_NAME=db", "SERVICE_ID=x"))
    result = desired_state(web, holdings={"/services/db/x": Holding("id-web", "172.17.8.101:8000")})
    assert addresses_by_id(result) == {"x": "172.17.8.101:8001"}


def test_a_key_that_is_held_is_not_for_others() -> None:
    """This is so while the engine does not describe the container that has the key, or that one's network. The key of a
    container that failed goes to another container that wants it."""
    holdings = {"/services/db/x": Holding("id-held", "172.17.8.101:9")}
    under = evolve(rules(), deregister=Deregister.ON_SUCCESS)
    joined = evolve(container("held", network_mode="container:id-net"), env=NEWCOMER.env)
    for result in (
        desired_state(NEWCOMER, unknown=("held",), holdings=holdings),
        desired_state(NEWCOMER, joined, unknown=("net",), holdings=holdings),
    ):
        assert result.entries == ()
        assert [each.detail for each in result.refusals] == ["container 'held' has db/x, which is held"]
    failed = container("held", status="exited", exit_code=3)
    for others in ((), (failed,)):
        assert registered_containers(desired_state(NEWCOMER, *others, under=under, holdings=holdings)) == {"newcomer"}


def test_an_excluded_older_container_does_not_keep_an_id_from_a_younger_one() -> None:
    """A container that is not selected, or not healthy, has no entries, so it excludes none."""
    older = container_with_metadata("older", 1, "ID=x", health="unhealthy")
    younger = container_with_metadata("younger", 2, "ID=x")
    assert registered_containers(desired_state(older, younger)) == {"older"}
    assert registered_containers(desired_state(older, younger, under=HEALTHY)) == {"younger"}
    assert registered_containers(desired_state(older, younger, selected={"younger"})) == {"younger"}


def test_of_two_ports_with_one_id_the_lower_one_has_the_entry() -> None:
    """Of two ports of one container with the same id, the lower one is registered and the other one is refused."""
    ports = {"53/udp": "0.0.0.0:53", "53/tcp": "0.0.0.0:53"}
    result = desired_state(container(publish=ports, env=("SERVICE_ID=x",)))
    assert [str(entry.container_port) for entry in result.entries] == ["53/tcp"]
    assert [str(refusal.port) for refusal in result.refusals] == ["53/udp"]


#: Name and id of two entries that exclude each other.
EXCLUDING_ENTRIES = [
    (("team", "app"), ("team/app", "x")),
    (("team/app", "x"), ("team", "app")),
    (("team/app", "x"), ("team", "app/x")),
    (("a", "b"), ("a/b/c/d", "e")),
    (("a/b/c/d", "e"), ("a", "b")),
]


@pytest.mark.parametrize(("first", "second"), EXCLUDING_ENTRIES)
@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_entries_that_exclude_each_other_the_older_container_has_its_own(
    first: tuple[str, str], second: tuple[str, str], reverse: bool
) -> None:
    """A key excludes another one that would lie below it. The order of the list does not matter."""
    both = with_identity("older", 1, *first), with_identity("younger", 2, *second)
    result = desired_state(*(both[::-1] if reverse else both))
    assert [entry.identity for entry in result.entries] == [first]
    (refusal,) = result.refusals
    assert (refusal.container.name, refusal.reason) == ("younger", RefusalReason.DUPLICATE)
    assert "/".join(first) in refusal.detail
    assert "/".join(second) in refusal.detail


def test_a_name_that_begins_like_another_excludes_nothing() -> None:
    """A key excludes only keys below it, not keys that begin with the same letters."""
    both = with_identity("one", 1, "team", "app"), with_identity("two", 2, "team/apple", "x")
    assert len(desired_state(*both).entries) == 2


def test_a_port_that_the_layout_cannot_write_is_refused_and_the_others_are_registered() -> None:
    """The refusals are in the order of container and port, together with those that every layout makes."""
    containers = (
        container_with_metadata("last", 9, "NAME=a.b"),
        container_with_metadata("first", 1, "NAME=x PRIORITY=high"),
        container_with_metadata("good", 2, "NAME=good PRIORITY=10"),
        container_with_metadata("hidden", 3, "NAME=_hidden"),
        container_with_metadata("half", 4, "53_TTL=-1", "80/tcp", "53/udp"),
    )
    plain = desired_state(*containers, unknown=("odd",))
    dns = desired_state(*containers, unknown=("odd",), layout=DNS_LAYOUT)
    assert refused_ports(plain) == [("hidden", "80/tcp", "bad-name")]
    assert dns_paths(dns) == ["good/core-01--good--80", "nginx-80/core-01--half--80"]
    assert refused_ports(dns) == [
        ("first", "80/tcp", "bad-attribute"),
        ("hidden", "80/tcp", "bad-name"),
        ("half", "53/udp", "bad-attribute"),
        ("last", "80/tcp", "bad-name"),
    ]
    assert dns.held == plain.held == frozenset({ref("odd")})
    assert len(plain.entries) == 5


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_names_that_differ_in_case_the_older_container_has_the_dns_name(reverse: bool) -> None:
    """Two names that differ in case are one name in DNS and two in the plain layout. The order of the list does not
    matter."""
    both = container_with_metadata("older", 1, "NAME=web ID=x"), container_with_metadata("younger", 2, "NAME=WEB ID=x")
    containers = both[::-1] if reverse else both
    assert len(desired_state(*containers).entries) == 2
    dns = desired_state(*containers, layout=DNS_LAYOUT)
    assert [each.container.name for each in dns.entries] == ["older"]
    assert refused_ports(dns) == [("younger", "80/tcp", "duplicate")]
    assert dns.refusals[0].detail == "container 'older' already has web/x"


def test_of_two_dns_names_that_exclude_each_other_the_older_container_has_its_own() -> None:
    """A key with a DNS record cannot be a directory for other keys."""
    dns = desired_state(
        container_with_metadata("older", 1, "NAME=Team ID=db"),
        container_with_metadata("younger", 2, "NAME=team/db ID=x"),
        layout=DNS_LAYOUT,
    )
    assert refused_ports(dns) == [("younger", "80/tcp", "duplicate")]
    assert dns.refusals[0].detail == "container 'older' already has team/db, which leaves no room for team/db/x"


def test_ids_that_exclude_each_other_in_the_plain_layout_may_not_in_dns() -> None:
    """In the DNS layout an id becomes one label, even if it has slashes."""
    containers = (
        container_with_metadata("older", 1, "NAME=a ID=b"),
        container_with_metadata("younger", 2, "NAME=a ID=b/c"),
    )
    assert refused_ports(desired_state(*containers)) == [("younger", "80/tcp", "duplicate")]
    dns = desired_state(*containers, layout=DNS_LAYOUT)
    assert dns.refusals == ()
    assert len(set(dns_paths(dns))) == 2


def test_a_refused_port_excludes_no_other_port() -> None:
    """The younger container has the entry that the older one wants and cannot have."""
    both = (
        container_with_metadata("older", 1, "NAME=web ID=x TTL=soon"),
        container_with_metadata("younger", 2, "NAME=web ID=x TTL=60"),
    )
    dns = desired_state(*both, layout=DNS_LAYOUT)
    assert [each.container.name for each in dns.entries] == ["younger"]
    assert refused_ports(dns) == [("older", "80/tcp", "bad-attribute")]


NAMES = st.sampled_from(["web", "Web", "a/b", "a", "A/b", "b", "a.b", "any", "_x"])

CONTAINERS = st.builds(
    lambda number, created, name, entry_id: with_identity(f"c{number}", created, name, entry_id),
    st.integers(0, 99),
    st.integers(0, 59),
    NAMES,
    st.sampled_from(["x", "X", "a", "b", "a/b", "", "core-01:web:80"]),
)


@given(st.lists(CONTAINERS, max_size=8, unique_by=lambda each: each.id), st.randoms())
def test_no_two_desired_keys_exclude_each_other(containers: list[Container], chance: Random) -> None:
    """Each port has an entry or a refusal, and the order of the list does not matter. The value format does not change
    the keys."""
    plain = desired_state(*containers)
    json = desired_state(*containers, layout=PlainLayout.under("", ValueFormat.JSON))
    assert (json.entries, json.refusals) == (plain.entries, plain.refusals)
    dns = desired_state(*containers, layout=DNS_LAYOUT)
    assert len(dns.entries) + len(dns.refusals) == len(containers)
    found = sorted(dns_paths(dns))
    assert len(set(found)) == len(found)
    assert not any(one.startswith(f"{other}/") for one in found for other in found)
    chance.shuffle(containers)
    assert desired_state(*containers, layout=DNS_LAYOUT) == dns


# The room in the owner record.


def test_custom_ids_that_do_not_fit_into_the_owner_record_are_refused() -> None:
    """etcd would refuse a record that is too large, and with it every change under a custom id. The youngest
    containers' ids are refused. Default ids need no room in the record, so they are never refused for this."""
    name = "n" * 200
    many = [
        container_with_metadata(
            f"c{number:04}",
            0,
            f"NAME={name}/{number}/{name}/{name}/{name}" + (f" ID=custom-{number}" if number % 2 else ""),
        )
        for number in range(2000)
    ]
    result = desired_state(*many)
    kept = [each for each in result.entries if each.id.startswith("custom")]
    assert len([each for each in result.entries if each.id.startswith("core-01")]) == 1000
    assert 0 < len(kept) < 1000
    assert sum(claim_size(PLAIN.key(each)) for each in kept) <= RECORD_ROOM
    assert {each.reason for each in result.refusals} == {RefusalReason.BAD_ID}
    assert "no room for environment variable SERVICE_ID 'custom-1999'; use fewer" in result.refusals[-1].detail
    assert len(kept) + len(result.refusals) == 1000
    assert {each.id for each in kept} == {f"custom-{number}" for number in range(1, 2 * len(kept), 2)}


def test_a_duplicate_takes_no_room_in_the_owner_record() -> None:
    """Only entries that will be written are claimed, so a refused duplicate leaves its room to others."""
    name = "n" * 200
    path = f"{name}/{name}/{name}/{name}"
    claims = RECORD_ROOM // claim_size(f"/services/{path}/custom-0000")
    same = [container_with_metadata(f"a{number:04}", 0, f"NAME={path} ID=custom-0000") for number in range(claims)]
    others = [
        container_with_metadata(f"b{number:04}", 1, f"NAME={path} ID=custom-{number:04}") for number in range(1, claims)
    ]
    result = desired_state(*same, *others)
    assert len(result.entries) == claims
    assert {each.reason for each in result.refusals} == {RefusalReason.DUPLICATE}


# --strict-names.

STRICT = evolve(rules(), strict_names=True)


@pytest.mark.parametrize(
    ("env", "refused"),
    [
        ("SERVICE_NAME=x {server {}}", "bad-name"),
        ("SERVICE_80_NAME=a/b/c", "bad-name"),
        ("SERVICE_NAME=a.b", "bad-name"),
        ("SERVICE_80_TCP_ID=*", "bad-id"),
        ("SERVICE_ID=a/b", "bad-id"),
        ("SERVICE_ID=db.1_x:2", None),
        ("SERVICE_NAME=Web-2", None),
        ("SERVICE_TAGS=*", None),
    ],
)
def test_strict_names_judge_what_a_container_chooses(env: str, refused: str | None) -> None:
    """Without the flag, all of these are registered. With it, the detail names the variable and the flag."""
    web = container(publish=WEB, env=(env,))
    assert desired_state(web).refusals == ()
    refusals = desired_state(web, under=STRICT).refusals
    assert [each.reason.value for each in refusals] == ([refused] if refused else [])
    for each in refusals:
        assert each.detail.startswith(f"environment variable {env.partition('=')[0]} {env.partition('=')[2]!r} has the")
        assert "--strict-names allows only" in each.detail


@pytest.mark.parametrize("image", ["my_app", "registry.example:5000/team/my.app:1", "my__app@sha256:0123"])
def test_strict_names_do_not_judge_what_comes_from_the_image_or_the_engine(image: str) -> None:
    """The engine allows only harmless characters in the name of an image or a container."""
    assert desired_state(container("we_b.1", publish=WEB, image=image), under=STRICT).refusals == ()


@pytest.mark.parametrize(
    ("older", "younger", "reason", "detail"),
    [
        ("NAME=txt ID=a", "NAME=TXT ID=b", "bad-name", "environment variable SERVICE_NAME 'TXT' differs in case alone"),
        ("NAME=TXT ID=a", "NAME=txt ID=b", "bad-name", "environment variable SERVICE_NAME 'txt' differs in case alone"),
        ("NAME=Nginx ID=a", "TAGS=x", "bad-name", "the image's name 'nginx' differs in case alone from 'Nginx' of"),
        ("TAGS=x", "80_NAME=NGINX", "bad-name", "environment variable SERVICE_80_NAME 'NGINX' differs in case alone"),
        ("ID=db", "80_ID=Db", "bad-id", "environment variable SERVICE_80_ID 'Db' differs in case alone from 'db' of"),
    ],
)
def test_strict_names_refuse_the_younger_of_two_that_differ_in_case_alone(
    older: str, younger: str, reason: str, detail: str
) -> None:
    """The older container keeps its name or id, also one without an address. The detail names both containers'
    spellings. Without the flag both are registered."""
    both = container_with_metadata("old", 0, older), container_with_metadata("new", 1, younger)
    assert desired_state(*both).refusals == ()
    (refusal,) = desired_state(*both, under=STRICT).refusals
    assert (refusal.container.name, refusal.reason.value) == ("new", reason)
    assert refusal.detail.startswith(detail)
    assert refusal.detail.endswith(" of container 'old', and --strict-names does not allow that")
    unaddressed = desired_state(*both, under=evolve(STRICT, address=UNADDRESSED.address))
    assert [each.reason.value for each in unaddressed.refusals] == ["no-address", reason]


def test_strict_names_leave_equal_names_and_default_ids_alone() -> None:
    """Many containers share a name. Two names of one container that have equal letters are judged by port, the lower
    first. A refused spelling does not count. The ids of containers whose names differ in case alone are the engine's
    choice."""
    result = desired_state(
        container_with_metadata("web", 0, "80_NAME=app 81_NAME=App", "80/tcp", "81/tcp"),
        container_with_metadata("Web", 1, "80_NAME=app"),
        container_with_metadata("bad", 2, "NAME=API ID=*"),
        container_with_metadata("good", 3, "NAME=api"),
        under=STRICT,
    )
    assert names_and_ids(result) == ["api/core-01:good:80", "app/core-01:Web:80", "app/core-01:web:80"]
    assert refused_ports(result) == [("web", "81/tcp", "bad-name"), ("bad", "80/tcp", "bad-id")]
