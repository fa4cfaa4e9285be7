"""Tests of model.container: reading the engine's inspect answers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from model.container import (
    STOP_TIMEOUT,
    UNKNOWN_TIME,
    BadPort,
    Binding,
    Container,
    MalformedContainer,
    MalformedPort,
    PortId,
    from_inspect,
    ports_in,
)
from model.stop_signal import TERM
from model.tag_template import Query
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


@pytest.mark.parametrize("name", ["SERVICE_TAGS", "SERVICE_80_tcp_tags"])
def test_what_templates_ask_for_is_kept(name: str) -> None:
    """They stand in the container's environment, in its labels, and in the tags of every entry. Nothing else of the
    answer is kept for them, and nothing that the answer does not say."""
    env = [*INSPECT["Config"]["Env"], f"{name}={{{{.Path}}}}", f"{name}={{{{.Config.Hostname}}}}", "OTHER={{.Id}}"]
    document = with_value(with_value(INSPECT, "Config.Env", env), "Config.Labels", {name: "{{.Created}},{{.Nothing}}"})
    document = with_value(document, "Config.Hostname", "web-1")
    assert from_inspect(document, ["a", "{{.Name}},{{x"]).answers == {
        Query(("Config", "Hostname")): "web-1",
        Query(("Created",)): INSPECT["Created"],
    }
    assert from_inspect(document, ["a,{{.Name}}"]).answers[Query(("Name",))] == "/nginx"
    assert from_inspect(INSPECT, ["a", "b"]).answers == {}


def test_a_list_that_is_null_in_the_answer_is_empty() -> None:
    """The engine writes null for a list that a container does not have."""
    document = with_value(with_value(INSPECT, "Config.Env", None), "Config.ExposedPorts", None)
    document = with_value(with_value(document, "NetworkSettings.Ports", None), "NetworkSettings.Networks", None)
    container = from_inspect(with_value(with_value(document, "Config.Labels", None), "HostConfig.NetworkMode", ""))
    assert (container.env, container.exposed, container.published) == ((), (), {})
    assert (container.networks, container.labels, container.network_mode) == ({}, {}, "default")


@pytest.mark.parametrize(
    "field",
    [
        "Config.Env",
        "Config.Labels",
        "Config.ExposedPorts",
        "Config.Image",
        "Created",
        "HostConfig.NetworkMode",
        "NetworkSettings.Ports",
        "NetworkSettings.Networks",
        "State.Health",
    ],
)
def test_a_field_that_is_absent_or_null_is_empty(field: str) -> None:
    """A container without the field is read in the same way, whether the engine leaves it out or writes null."""
    *parents, last = field.split(".")
    absent = with_value(INSPECT, field, None)
    place = absent
    for parent in parents:
        place = place[parent]
    del place[last]
    assert from_inspect(absent) == from_inspect(with_value(INSPECT, field, None))


def test_a_network_and_a_binding_that_are_null_are_empty() -> None:
    """The container is on the network and has no address there; the port has no binding."""
    document = with_value(INSPECT, "NetworkSettings.Networks", {"front": None})
    container = from_inspect(with_value(document, "NetworkSettings.Ports", {"80/tcp": [None]}))
    assert (container.networks, container.published[PortId(80, "tcp")]) == ({"front": ""}, ())


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
    assert container.published[PortId(80, "tcp")] == read


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
        ("Config.Env", {"SERVICE_IGNORE": "true"}, "Config.Env is no list"),
        ("Config.Env", "SERVICE_IGNORE=true", "Config.Env is no list"),
        ("Config.Env", ["PATH=/bin", 5], "a line of Config.Env is no text: '5'"),
        ("Config.Env", ["PATH=/bin", None], "a line of Config.Env is no text: 'None'"),
        ("Config.Labels", ["SERVICE_IGNORE=true"], "Config.Labels is no mapping"),
        ("Config.Labels", [], "Config.Labels is no mapping"),
        ("Config.Labels", {"SERVICE_IGNORE": True}, "the label 'SERVICE_IGNORE' is no text"),
        ("Config.ExposedPorts", ["80/tcp"], "Config.ExposedPorts is no mapping"),
        ("Config.Image", 5, "Config.Image is no text"),
        ("HostConfig.NetworkMode", False, "HostConfig.NetworkMode is no text"),
        ("HostConfig", None, "shape"),
        ("NetworkSettings", None, "shape"),
        ("NetworkSettings.Ports", ["80/tcp"], "NetworkSettings.Ports is no mapping"),
        ("NetworkSettings.Ports", {"80/tcp": {"HostPort": "80"}}, "NetworkSettings.Ports of 80/tcp is no list"),
        ("NetworkSettings.Ports", {"80/tcp": [{"HostPort": "99999"}]}, "HostPort of a published port has '99999'"),
        ("NetworkSettings.Ports", {"80/tcp": [{"HostPort": 80}]}, "80"),
        ("NetworkSettings.Ports", {"80/tcp": [{"HostIp": "all", "HostPort": "80"}]}, "all"),
        ("NetworkSettings.Networks", {"bridge": {"GlobalIPv6Address": 6}}, "6"),
        ("NetworkSettings.Networks", {"bridge": "172.17.0.2"}, "NetworkSettings.Networks.bridge is no mapping"),
        ("State.Health", "healthy", "State.Health is no mapping"),
        ("Config", None, "shape"),
        ("State", {}, "Status"),
        ("State", None, "shape"),
        ("State", "running", "shape"),
        ("State.Status", 1, "State.Status is no text"),
        ("State.ExitCode", "none", "none"),
        ("Name", None, "Name is no name: 'None'"),
        ("Name", "/", "Name is no name: \"'/'\""),
        ("Id", None, "None"),
    ],
)
def test_a_malformed_answer_raises_an_error_that_names_the_culprit(path: str, value: object, culprit: str) -> None:
    """An answer that cannot be understood raises MalformedContainer."""
    with pytest.raises(MalformedContainer, match=culprit):
        from_inspect(with_value(INSPECT, path, value))


def test_a_container_that_does_not_run_needs_no_name() -> None:
    """After a crash the engine may show a dead container without a name."""
    for name in (None, "", 5):
        assert from_inspect(with_value(with_value(INSPECT, "State.Status", "dead"), "Name", name)).name == ""


def test_containers_sort_by_creation_time_and_then_by_id() -> None:
    """The engine drops trailing zeros of the nanoseconds, so its own timestamps do not sort as text. A time in another
    form and with an offset sorts by its moment, and one that cannot be read sorts last."""
    times = [
        "2026-01-01T00:30:00.5+01:00",
        "2025-12-31 18:45:00 -0500 EST",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.09Z",
        "2026-01-01 00:00:00.1 +0000 UTC",
        "2026-01-01 00:00:00.123456789 +0000 UTC m=+0.01",
        "2026-01-01t00:00:00.1234567895z",
        "2026-01-01T05:30:01+05:30",
        "",
    ]
    containers = [from_inspect(with_value(INSPECT, "Created", time)) for time in times]
    assert sorted(containers, key=lambda each: each.age) == containers
    assert containers[0].age == ("2025-12-31T23:30:00.500000000Z", INSPECT["Id"])


@pytest.mark.parametrize(
    "time",
    [
        *(None, "", "yesterday", 1767225600, [], "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:61Z"),
        *(
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "٢٠٢٦-01-01T00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+99:00",
        ),
    ],
)
def test_a_time_that_cannot_be_read_only_sorts(time: object) -> None:
    """The container is read all the same."""
    assert from_inspect(with_value(INSPECT, "Created", time)).created == UNKNOWN_TIME


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("53/udp", "53/udp"),
        ("80", "80/tcp"),
        ("80/", "80/tcp"),
        ("80/TCP", "80/tcp"),
        ("0080/tcp", "80/tcp"),
        ("65535/sctp", "65535/sctp"),
        ("8000-8002/udp", "8000/udp 8001/udp 8002/udp"),
        ("8000-8001", "8000/tcp 8001/tcp"),
        ("8000-8000/tcp", "8000/tcp"),
        ("9000-9099/tcp", " ".join(f"{number}/tcp" for number in range(9000, 9100))),
    ],
)
def test_a_port_is_written_as_number_and_protocol_and_a_range_stands_for_its_ports(text: str, read: str) -> None:
    """A number without a protocol is read as tcp."""
    assert " ".join(map(str, ports_in(text))) == read


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0/tcp", "has '0' where a number from 1 to 65535 belongs"),
        ("http/tcp", "has 'http' where"),
        ("70000/tcp", "has '70000' where"),
        ("", "has '' where"),
        ("-80/tcp", "has '' where"),
        ("8000-/tcp", "has '' where"),
        ("0-10/tcp", "has '0' where"),
        ("65530-65540/tcp", "has '65540' where"),
        ("1-2-3/tcp", "has '2-3' where"),
        (" 80/tcp", "has ' 80' where"),
        ("٨٠/tcp", "has '٨٠' where"),
        ("9" * 5000, "has '9999"),
        ("80/dccp", "has the protocol 'dccp', which is none of tcp, udp, sctp"),
        ("80/tcp/udp", "has the protocol 'tcp/udp'"),
        ("9000-8000/tcp", "is a range that ends before it begins"),
        ("8000-8100/tcp", "is a range of 101 ports, which is more than 100"),
        ("1-65535/udp", "is a range of 65535 ports"),
    ],
)
def test_what_is_no_port_is_a_bad_port_that_says_what_is_wrong(text: str, problem: str) -> None:
    """The bad port keeps the text of the engine."""
    (bad,) = ports_in(text)
    assert isinstance(bad, BadPort)
    assert bad.text == text
    assert bad.problem.startswith(problem)
    assert len(str(bad)) <= 101


def test_a_text_that_is_no_port_is_malformed() -> None:
    """A range is not one port."""
    with pytest.raises(MalformedPort, match="8000-8010"):
        PortId.parse("8000-8010/tcp")


def with_ports(exposed: list[str], published: Mapping[str, object]) -> Container:
    """Return the recorded container with these exposed ports, and these ports in its ``NetworkSettings``."""
    document = with_value(INSPECT, "Config.ExposedPorts", {each: {} for each in exposed})
    return from_inspect(with_value(document, "NetworkSettings.Ports", published))


def test_a_port_that_is_exposed_alone_and_in_a_range_is_one_port() -> None:
    """Ranges may overlap, and a protocol may be in capital letters. The bad ports come last."""
    exposed = ["http/tcp", "8001-8003/tcp", "8000-8001/tcp", "8002/TCP", "53/udp"]
    ports = with_ports(exposed, {}).exposed
    assert list(map(str, ports)) == ["53/udp", "8000/tcp", "8001/tcp", "8002/tcp", "8003/tcp", "http/tcp"]


def test_the_bindings_of_a_port_that_is_written_in_two_ways_are_added() -> None:
    """The engine takes a protocol in capital letters."""
    two = {"80/tcp": [{"HostPort": "1"}], "80/TCP": [{"HostPort": "2"}]}
    assert with_ports([], two).published == {PortId(80, "tcp"): (Binding("", 1), Binding("", 2))}


def test_an_exposed_port_that_the_engine_does_not_name_beside_others_is_not_published() -> None:
    """The engine reads an exposed port that is no plain number as number 0, and an unknown protocol as protocol 0."""
    exposed = ["3306/tcp", "8000-8001/tcp", "http/tcp", "81/dccp"]
    container = with_ports(exposed, {"0/tcp": None, "81/0": None, "3306/tcp": [{"HostPort": "3306"}]})
    assert {str(port): len(bindings) for port, bindings in container.published.items()} == {
        "3306/tcp": 1,
        "8000/tcp": 0,
        "8001/tcp": 0,
        "81/dccp": 0,
        "http/tcp": 0,
    }
    assert with_ports(exposed, {}).published == {}


@pytest.mark.parametrize("text", ["0/tcp", "8000-8001/tcp"])
def test_a_published_port_that_is_no_single_port_is_bad(text: str) -> None:
    """Nobody knows which port of the container the binding leads to."""
    (port,) = with_ports([], {text: [{"HostPort": "32768"}]}).published
    assert isinstance(port, BadPort)
    assert str(port) == text


def test_only_a_container_network_mode_joins_another_containers_network() -> None:
    """The joined container's id stands in the network mode ``container:<id>``."""
    joined = from_inspect(with_value(INSPECT, "HostConfig.NetworkMode", "container:abc"))
    assert (joined.joined, from_inspect(INSPECT).joined) == ("abc", "")


def test_a_container_that_joins_anothers_network_has_nothing_of_its_own_there() -> None:
    """Podman shows the other's ports, addresses and networks as its own."""
    joined = from_inspect(with_value(INSPECT, "HostConfig.NetworkMode", "container:abc"))
    assert joined.exposed
    assert (dict(joined.published), joined.address, dict(joined.networks)) == ({}, "", {})
    assert (dict(joined.networks_ipv6), joined.address_ipv6, dict(joined.network_ids)) == ({}, "", {})


@pytest.mark.parametrize("field", ["Health", "Healthcheck"])
def test_the_health_is_read_under_either_name(field: str) -> None:
    """Old versions of Podman call it Healthcheck."""
    state = {"Status": "running", "ExitCode": 0, field: {"Status": "unhealthy"}}
    assert from_inspect(with_value(INSPECT, "State", state)).health == "unhealthy"


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
        ({"PortBindings": {"80/tcp": None, "443/tcp": []}}, set()),
        ({"PortBindings": None, "PublishAllPorts": True}, {80, 443}),
        ({}, set()),
    ],
    ids=["-p", "neither", "without a binding", "-P", "no word of it"],
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
        ("2026-01-02 03:04:05 +0000 UTC", "2026-01-02T03:04:05.000000000Z"),
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


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("SIGQUIT", 3),
        ("SIGRTMIN+3", 37),
        ("28", 28),
        ("SIGTERM", TERM),
        ("", TERM),
        (None, TERM),
        ("NONE", TERM),
        (7, 7),
    ],
)
def test_the_signal_that_stops_it_is_read(given: object, read: int) -> None:
    """It is TERM if its image and its creator named none, or none that the engine knows."""
    assert from_inspect(with_value(INSPECT, "Config.StopSignal", given)).stop_signal == read


@pytest.mark.parametrize(
    ("given", "read"),
    [(30, 30), (0, 0), (-1, -1), (10**9, 10**9), (None, STOP_TIMEOUT), ("30", STOP_TIMEOUT), (True, STOP_TIMEOUT)],
)
def test_the_time_that_it_has_to_end_is_read(given: object, read: float) -> None:
    """It is ten seconds if its creator did not say, and what is no number does not count."""
    assert from_inspect(with_value(INSPECT, "Config.StopTimeout", given)).stop_timeout == read
