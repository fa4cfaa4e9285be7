"""Tests of model.container: reading the engine's inspect answers."""

from __future__ import annotations

import pytest

from model.container import Binding, Container, MalformedContainer, PortId, from_inspect
from tests.support.builders import with_value
from tests.support.parity import load_case

#: A recorded inspect answer about a running container.
(INSPECT,) = load_case("quickstart-nginx").inspect.values()


def published_on_all(port: int) -> tuple[Binding, ...]:
    """Return the bindings of a port that is published on all addresses: the engine lists one for each family."""
    return Binding("0.0.0.0", port), Binding("::", port)


def test_an_inspect_answer_becomes_a_container() -> None:
    """Every field that the rules need is read."""
    container = from_inspect(INSPECT)
    assert container == Container(
        id=INSPECT["Id"],
        name="nginx",
        image="nginx",
        created="2026-11-22T07:28:12.459456121Z",
        env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",),
        exposed=(PortId(80, "tcp"), PortId(443, "tcp")),
        published={PortId(443, "tcp"): published_on_all(32768), PortId(80, "tcp"): published_on_all(32769)},
        address="172.29.0.2",
        networks={"bridge": "172.29.0.2"},
        address_ipv6="fd00:29::242:ac1d:2",
        networks_ipv6={"bridge": "fd00:29::242:ac1d:2"},
        network_ids={"bridge": "95bd62a06c6379224178bad96fbd776808eac375ca384c383e1e900af5959d61"},
        to_publish=frozenset({PortId(80, "tcp"), PortId(443, "tcp")}),
        started="2026-11-22T07:28:12.824865343Z",
    )
    assert container.serving


def test_a_list_that_is_null_in_the_answer_is_empty() -> None:
    """The engine writes null for a list that a container does not have."""
    document = with_value(with_value(INSPECT, "Config.Env", None), "Config.ExposedPorts", None)
    document = with_value(with_value(document, "NetworkSettings.Ports", None), "NetworkSettings.Networks", None)
    container = from_inspect(with_value(with_value(document, "Config.Labels", None), "HostConfig.NetworkMode", ""))
    assert (container.env, container.exposed, container.published) == ((), (), {})
    assert (container.networks, container.labels, container.network_mode) == ({}, {}, "default")


@pytest.mark.parametrize(
    ("bindings", "read"),
    [
        (None, ()),
        ([], ()),
        ([{"HostIp": "", "HostPort": ""}], ()),
        ([{"HostPort": "8000"}], (Binding("", 8000),)),
        (
            [{"HostIp": "10.0.0.1", "HostPort": "8000"}, {"HostIp": "::", "HostPort": "8001"}],
            (Binding("10.0.0.1", 8000), Binding("::", 8001)),
        ),
    ],
)
def test_every_binding_of_a_port_is_read_in_the_engines_order(bindings: object, read: tuple[Binding, ...]) -> None:
    """A port can be published several times, and once for each address family."""
    container = from_inspect(with_value(INSPECT, "NetworkSettings.Ports", {"80/tcp": bindings}))
    assert container.published == {PortId(80, "tcp"): read}


@pytest.mark.parametrize(
    ("health", "read", "healthy"),
    [
        (None, "", True),
        ({"Status": ""}, "", True),
        ({"Status": "none"}, "none", True),
        ({"Status": "healthy"}, "healthy", True),
        ({"Status": "starting"}, "starting", False),
        ({"Status": "unhealthy"}, "unhealthy", False),
    ],
    ids=str,
)
def test_a_container_is_healthy_if_it_says_so_or_has_no_healthcheck(health: object, read: str, healthy: bool) -> None:
    """A container that is starting is not healthy."""
    container = from_inspect(with_value(INSPECT, "State.Health", health))
    assert (container.health, container.healthy) == (read, healthy)


@pytest.mark.parametrize(
    ("path", "value", "culprit"),
    [
        ("Created", "yesterday", "yesterday"),
        ("Config.ExposedPorts", {"http/tcp": {}}, "http"),
        ("Config.ExposedPorts", {"0/tcp": {}}, "0"),
        ("NetworkSettings.Ports", {"80/tcp": [{"HostPort": "99999"}]}, "99999"),
        ("NetworkSettings.Ports", {"80/tcp": [{"HostIp": "all", "HostPort": "80"}]}, "all"),
        ("NetworkSettings.Networks", {"bridge": {"GlobalIPv6Address": 6}}, "6"),
        ("State.Health", "healthy", "shape"),
        ("Config", None, "shape"),
        ("State", {}, "Status"),
        ("Name", None, "shape"),
    ],
)
def test_a_malformed_answer_raises_an_error_that_names_the_culprit(path: str, value: object, culprit: str) -> None:
    """An answer that cannot be understood raises MalformedContainer."""
    with pytest.raises(MalformedContainer, match=culprit):
        from_inspect(with_value(INSPECT, path, value))


def test_containers_sort_by_creation_time_and_then_by_id() -> None:
    """The engine drops trailing zeros of the nanoseconds, so its own timestamps do not sort as text."""
    times = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.09Z", "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.123Z"]
    containers = [from_inspect(with_value(INSPECT, "Created", time)) for time in times]
    assert sorted(containers, key=lambda each: each.age) == containers
    assert containers[0].age == ("2026-01-01T00:00:00.000000000Z", INSPECT["Id"])


def test_a_port_is_written_as_number_and_protocol() -> None:
    """A number without a protocol is read as tcp."""
    assert [str(PortId.parse(text)) for text in ("53/udp", "80/tcp", "80")] == ["53/udp", "80/tcp", "80/tcp"]


def test_only_a_container_network_mode_joins_another_containers_network() -> None:
    """The joined container's id stands in the network mode ``container:<id>``."""
    joined = from_inspect(with_value(INSPECT, "HostConfig.NetworkMode", "container:abc"))
    assert (joined.joined, from_inspect(INSPECT).joined) == ("abc", "")


#: The networks of a container: their ids by their names. One has a name that looks like the beginning of an id.
NETWORK_IDS = {"front": "4c1dd5a5", "back": "4c99", "99aa": "77bb", "host": "99aabb"}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("front", "front"),
        ("4c1dd5a5", "front"),
        ("4c1d", "front"),
        ("4c", "4c"),
        ("99aa", "99aa"),
        ("99aab", "host"),
        ("7", "99aa"),
        ("gone", "gone"),
        ("default", "default"),
        ("container:4c1d", "container:4c1d"),
    ],
)
def test_the_network_that_it_was_started_on_is_known_by_its_name(given: str, name: str) -> None:
    """Docker also takes an id and the beginning of an id, and shows what it was given. A name goes before an id, and
    the beginning of several ids names no network."""
    networks = {each: {"NetworkID": network_id, "IPAddress": ""} for each, network_id in NETWORK_IDS.items()}
    document = with_value(with_value(INSPECT, "NetworkSettings.Networks", networks), "HostConfig.NetworkMode", given)
    assert from_inspect(document).network_mode == name


@pytest.mark.parametrize(
    ("host_config", "ports"),
    [
        ({"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8000"}]}}, {80}),
        ({"PortBindings": {}, "PublishAllPorts": False}, set()),
        ({"PortBindings": None, "PublishAllPorts": True}, {80, 443}),
        ({}, set()),
    ],
    ids=["-p", "neither", "-P", "no word of it"],
)
def test_the_ports_that_are_to_be_published_are_read(host_config: dict[str, object], ports: set[int]) -> None:
    """``-p`` names them, and ``-P`` stands for all exposed ones."""
    container = from_inspect(with_value(INSPECT, "HostConfig", host_config))
    assert container.to_publish == {PortId(number, "tcp") for number in ports}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000000Z"),
        ("2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.120000000Z"),
        ("2026-01-02T03:04:05.123456789+02:00", "2026-01-02T01:04:05.123456789Z"),
        ("2026-01-02T23:04:05.5-01:30", "2026-01-03T00:34:05.500000000Z"),
        ("0001-01-01T00:00:00Z", ""),
        ("0001-01-01T00:00:00+02:00", ""),
        ("2026-13-02T03:04:05Z", ""),
        ("2026-01-02 03:04:05 +0000 UTC", ""),
        ("", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_the_last_start_is_read_if_it_is_a_moment(given: object, read: str) -> None:
    """Starts are compared as text. Of what is no moment, or was never, nothing is known."""
    assert from_inspect(with_value(INSPECT, "State.StartedAt", given)).started == read


def test_of_two_starts_the_later_one_is_known_only_if_both_are() -> None:
    """Equal ones are neither before nor after each other."""
    moments = [
        from_inspect(with_value(INSPECT, "State.StartedAt", f"2026-01-02T03:04:05{each}Z")) for each in ("", ".1", ".2")
    ]
    unknown = from_inspect(with_value(INSPECT, "State.StartedAt", ""))
    assert moments[2].started_after(moments[1])
    assert moments[1].started_after(moments[0])
    assert not moments[1].started_after(moments[1])
    assert not moments[0].started_after(moments[1])
    assert not unknown.started_after(moments[1])
    assert not moments[1].started_after(unknown)
