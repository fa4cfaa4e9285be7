"""Reading the engine's answers."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from model.container import Binding, Container, MalformedContainer, PortId, from_inspect
from model.listing import agrees_with_list, shown_in_list
from tests.support.parity import load_cases

CASE = next(case for case in load_cases() if case.name == "quickstart-nginx")
(LISTED,) = CASE.containers_json
(INSPECT,) = CASE.inspect.values()


def with_path(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of the document with one field changed."""
    changed = copy.deepcopy(document)
    *parents, last = path.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    place[last] = value
    return changed


def on_all(port: int) -> tuple[Binding, ...]:
    """Published on all addresses, which the engine lists once per family."""
    return Binding("0.0.0.0", port), Binding("::", port)


def test_an_inspect_answer_is_read() -> None:
    """Every field that the rules need."""
    container = from_inspect(INSPECT)
    assert container == Container(
        id=INSPECT["Id"],
        name="nginx",
        image="nginx",
        created="2026-11-22T07:28:12.459456121Z",
        env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",),
        exposed=(PortId(80, "tcp"), PortId(443, "tcp")),
        published={PortId(443, "tcp"): on_all(32768), PortId(80, "tcp"): on_all(32769)},
        address="172.29.0.2",
        networks={"bridge": "172.29.0.2"},
        address_ipv6="fd00:29::242:ac1d:2",
        networks_ipv6={"bridge": "fd00:29::242:ac1d:2"},
    )
    assert container.serving


def test_missing_lists_are_empty() -> None:
    """The engine writes null for what a container does not have."""
    document = with_path(with_path(INSPECT, "Config.Env", None), "Config.ExposedPorts", None)
    document = with_path(with_path(document, "NetworkSettings.Ports", None), "NetworkSettings.Networks", None)
    container = from_inspect(with_path(with_path(document, "Config.Labels", None), "HostConfig.NetworkMode", ""))
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
def test_every_binding_is_read(bindings: object, read: tuple[Binding, ...]) -> None:
    """A port published several times, or once per address family, in the engine's order."""
    container = from_inspect(with_path(INSPECT, "NetworkSettings.Ports", {"80/tcp": bindings}))
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
def test_the_health_is_read(health: object, read: str, healthy: bool) -> None:
    """A container without a HEALTHCHECK counts as healthy, and one that starts does not."""
    container = from_inspect(with_path(INSPECT, "State.Health", health))
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
def test_rubbish_is_named(path: str, value: object, culprit: str) -> None:
    """An answer that cannot be understood is an error that says what is wrong."""
    with pytest.raises(MalformedContainer, match=culprit):
        from_inspect(with_path(INSPECT, path, value))


def test_ages_sort_by_time_and_then_by_id() -> None:
    """The engine drops trailing zeros of its nanoseconds; the older container comes first all the same."""
    times = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.09Z", "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.123Z"]
    containers = [from_inspect(with_path(INSPECT, "Created", time)) for time in times]
    assert sorted(containers, key=lambda each: each.age) == containers
    assert containers[0].age == ("2026-01-01T00:00:00.000000000Z", INSPECT["Id"])


def test_a_port_reads_as_it_writes() -> None:
    """tcp is what a bare number means."""
    assert [str(PortId.parse(text)) for text in ("53/udp", "80/tcp", "80")] == ["53/udp", "80/tcp", "80/tcp"]


def test_the_joined_container() -> None:
    """Only a network mode of ``container:<id>`` joins another."""
    joined = from_inspect(with_path(INSPECT, "HostConfig.NetworkMode", "container:abc"))
    assert (joined.joined, from_inspect(INSPECT).joined) == ("abc", "")


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_recorded_inspects_agree_with_recorded_lists(case: Any) -> None:
    """The engine's two answers about a container at rest agree, whatever its ports and networks."""
    for line in case.containers_json:
        assert agrees_with_list(from_inspect(case.inspect[line["Id"]]), line)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("State.Status", "exited"),
        ("Name", "/other"),
        ("NetworkSettings.Ports", {}),
        ("NetworkSettings.Ports", {"80/tcp": [{"HostIp": "", "HostPort": "1"}], "443/tcp": None}),
        ("NetworkSettings.Networks", {}),
        ("NetworkSettings.Networks.bridge.GlobalIPv6Address", ""),
        ("NetworkSettings.Networks.bridge.GlobalIPv6Address", "fd00::7"),
        ("State.Health", {"Status": "healthy"}),
    ],
)
def test_an_inspect_of_another_moment_disagrees(path: str, value: object) -> None:
    """A container that was restarting or renamed between list and inspect is noticed."""
    assert not agrees_with_list(from_inspect(with_path(INSPECT, path, value)), LISTED)


HEALTH = {
    "": "Up 3 minutes",
    "starting": "Up 3 minutes (health: starting)",
    "healthy": "Up 3 minutes (healthy)",
    "unhealthy": "Up 3 minutes (unhealthy)",
}


@pytest.mark.parametrize("seen", [*HEALTH, "none"])
@pytest.mark.parametrize("shown", HEALTH)
def test_a_health_that_flipped_between_list_and_inspect_disagrees(shown: str, seen: str) -> None:
    """What was inspected then must not be kept for as long as the list shows the other."""
    container = from_inspect(with_path(INSPECT, "State.Health", {"Status": seen}))
    agrees = shown == seen or (shown, seen) == ("", "none")
    assert agrees_with_list(container, {**LISTED, "Status": HEALTH[shown]}) is agrees


def test_the_list_does_not_tell_a_paused_containers_health() -> None:
    """So it cannot disagree; the engine does not look after it while the container is paused."""
    paused = with_path(with_path(INSPECT, "State.Status", "paused"), "State.Health", {"Status": "unhealthy"})
    assert agrees_with_list(from_inspect(paused), {**LISTED, "State": "paused", "Status": "Up 3 minutes (Paused)"})


def test_every_health_shows() -> None:
    """In the list, each calls for a new look, and time going by does not."""
    lines = [{**LISTED, "Status": status} for status in HEALTH.values()]
    later = [{**line, "Status": line["Status"].replace("3 minutes", "2 hours")} for line in lines]
    assert [shown_in_list(line) for line in lines] == [shown_in_list(line) for line in later]
    assert all(shown_in_list(one) != shown_in_list(two) for one in lines for two in lines if one is not two)


def test_time_going_by_changes_nothing_in_the_list() -> None:
    """A status text that counts minutes is no change."""
    assert shown_in_list({**LISTED, "Status": "Up 9 minutes"}) == shown_in_list(LISTED)


@pytest.mark.parametrize(
    "change",
    [
        {"State": "exited", "Status": "Exited (0) 1 second ago"},
        {"Names": ["/other"]},
        {"Ports": []},
        {"NetworkSettings": {}},
        {"NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.29.0.2", "GlobalIPv6Address": "fd00::7"}}}},
    ],
)
def test_what_can_change_shows(change: dict[str, Any]) -> None:
    """State, name, ports and networks each call for a new look."""
    assert shown_in_list({**LISTED, **change}) != shown_in_list(LISTED)


def test_another_exit_code_shows() -> None:
    """A container that ran again and failed looks the same but for the code in its status text."""
    ended = {**LISTED, "State": "exited", "Status": "Exited (0) 1 second ago"}
    assert shown_in_list(ended) == shown_in_list({**ended, "Status": "Exited (0) 2 minutes ago"})
    assert shown_in_list(ended) != shown_in_list({**ended, "Status": "Exited (3) 1 second ago"})
