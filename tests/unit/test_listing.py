"""Tests of model.listing: the engine's list of containers, compared with its inspect answers."""

from __future__ import annotations

from typing import Any

import pytest

from model.container import Container, ContainerRef, from_inspect
from model.listing import (
    agrees_with_list,
    is_up,
    joiners_to_inspect,
    listed_ref,
    may_have_started,
    shown_in_list,
    shows_health,
)
from tests.support.builders import container, with_value
from tests.support.parity import load_case, load_cases

NGINX = load_case("quickstart-nginx")

#: One container's line in the recorded list, and the inspect answer about it.
(LISTED,) = NGINX.containers_json
(INSPECT,) = NGINX.inspect.values()

#: How the status text shows each health of a running container.
STATUS_BY_HEALTH = {
    "": "Up 3 minutes",
    "starting": "Up 3 minutes (health: starting)",
    "healthy": "Up 3 minutes (healthy)",
    "unhealthy": "Up 3 minutes (unhealthy)",
}

# Whether an inspect answer agrees with the list.


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: case.name)
def test_recorded_inspect_answers_agree_with_the_recorded_lists(case: Any) -> None:
    """The engine's two answers about a container at rest agree, whatever its ports and networks are."""
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
    ],
)
def test_an_inspect_answer_of_another_moment_disagrees(path: str, value: object) -> None:
    """A container that was restarted, renamed or changed between the list and the inspect is noticed."""
    assert not agrees_with_list(from_inspect(with_value(INSPECT, path, value)), LISTED)


@pytest.mark.parametrize("seen", [*STATUS_BY_HEALTH, "none"])
@pytest.mark.parametrize("shown", STATUS_BY_HEALTH)
def test_a_health_that_changed_between_list_and_inspect_disagrees(shown: str, seen: str) -> None:
    """The inspect answer must not be kept while the list shows another health. A list without any does not tell."""
    container = from_inspect(with_value(INSPECT, "State.Health", {"Status": seen}))
    assert agrees_with_list(container, {**LISTED, "Status": STATUS_BY_HEALTH[shown]}) is (shown in {"", seen})


@pytest.mark.parametrize("seen", [*STATUS_BY_HEALTH, "none"])
@pytest.mark.parametrize("shown", STATUS_BY_HEALTH)
def test_a_list_without_health_does_not_show_that_of_a_container_with_a_healthcheck(shown: str, seen: str) -> None:
    """Podman's list never has any. A container without a HEALTHCHECK has no health that could change."""
    line, document = (
        {**LISTED, "Status": STATUS_BY_HEALTH[shown]},
        with_value(INSPECT, "State.Health", {"Status": seen}),
    )
    assert shows_health(from_inspect(document), line) is (bool(shown) or seen in {"", "none"})
    paused = from_inspect(with_value(document, "State.Status", "paused"))
    assert shows_health(paused, {**line, "State": "paused"})


def test_a_container_that_joined_anothers_network_agrees_with_a_list_that_shows_the_others_ports() -> None:
    """Podman's list shows them. Its own are none."""
    joined = from_inspect(with_value(INSPECT, "HostConfig.NetworkMode", "container:4c1d"))
    assert (dict(joined.published), dict(joined.networks)) == ({}, {})
    assert agrees_with_list(joined, LISTED)
    assert not agrees_with_list(joined, {**LISTED, "State": "paused"})


@pytest.mark.parametrize(
    ("state", "up"),
    [
        ("running", True),
        ("paused", True),
        ("restarting", True),
        ("stopping", True),
        ("stopped", False),
        ("exited", False),
        ("created", False),
        ("initialized", False),
        ("removing", False),
        (None, False),
    ],
)
def test_the_states_in_which_docker_lists_a_container_by_default(state: str | None, up: bool) -> None:
    """Podman has more states, and lists them all when it is asked for all containers."""
    assert is_up({**LISTED, "State": state}) is up


def test_podmans_word_for_a_container_that_ended_is_dockers() -> None:
    """Podman says stopped until it has cleaned up after the container."""
    ended = from_inspect(with_value(INSPECT, "State.Status", "stopped"))
    assert ended.status == "exited"
    assert agrees_with_list(ended, {**LISTED, "State": "stopped"})
    assert agrees_with_list(ended, {**LISTED, "State": "exited"})


def test_the_health_of_a_paused_container_never_disagrees() -> None:
    """The list does not show the health of a paused container, and the engine does not check it meanwhile."""
    paused = with_value(with_value(INSPECT, "State.Status", "paused"), "State.Health", {"Status": "unhealthy"})
    assert agrees_with_list(from_inspect(paused), {**LISTED, "State": "paused", "Status": "Up 3 minutes (Paused)"})


@pytest.mark.parametrize("names", [None, [], ["/nginx"], ["/other/alias", "/nginx"]])
def test_a_list_without_names_agrees_with_every_name(names: list[str] | None) -> None:
    """After a crash of the engine its list may lack the names. The answer is kept all the same."""
    assert agrees_with_list(from_inspect(INSPECT), {**LISTED, "Names": names})


def test_a_list_with_null_for_lists_and_mappings_agrees() -> None:
    """A container without published ports and without networks may have null for them."""
    document = with_value(with_value(INSPECT, "NetworkSettings.Ports", None), "NetworkSettings.Networks", None)
    for section in ({"NetworkSettings": None}, {"NetworkSettings": {"Networks": None}}):
        line = {**LISTED, "Ports": None, **section}
        assert agrees_with_list(from_inspect(document), line)
        assert shown_in_list(line) == shown_in_list(line)
    off = with_value(INSPECT, "NetworkSettings.Networks", {"front": None})
    assert agrees_with_list(from_inspect(off), {**LISTED, "NetworkSettings": {"Networks": {"front": None}}})


def test_the_number_0_of_a_port_that_the_engine_cannot_read_agrees() -> None:
    """The list shows such a port as number 0, with the host's port if it was published."""
    ports: dict[str, Any] = {"0/tcp": [{"HostPort": "32768"}], "80/tcp": [{"HostPort": "8000"}]}
    container = from_inspect(with_value(INSPECT, "NetworkSettings.Ports", ports))
    line = [
        {"PrivatePort": 0, "PublicPort": 32768, "Type": "tcp"},
        {"PrivatePort": 0, "Type": "udp"},
        {"PrivatePort": 80, "PublicPort": 8000, "Type": "tcp", "IP": None},
        {"PrivatePort": 80, "PublicPort": 8000, "Type": "tcp", "IP": "::"},
        None,
    ]
    assert agrees_with_list(container, {**LISTED, "Ports": line})
    assert shown_in_list({"Ports": line}) == shown_in_list({"Ports": line[::-1]})


# Whether the list shows that an inspect answer may be outdated.


def test_each_health_is_shown_differently_whatever_time_has_passed() -> None:
    """Another health in the list calls for a new inspect; the time in the status text does not."""
    lines = [{**LISTED, "Status": status} for status in STATUS_BY_HEALTH.values()]
    later = [{**line, "Status": line["Status"].replace("3 minutes", "2 hours")} for line in lines]
    assert [shown_in_list(line) for line in lines] == [shown_in_list(line) for line in later]
    assert all(shown_in_list(one) != shown_in_list(two) for one in lines for two in lines if one is not two)


def test_the_time_in_the_status_text_is_not_compared() -> None:
    """A status text that counts minutes changes by itself."""
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
def test_a_change_of_state_name_ports_or_networks_is_shown(change: dict[str, Any]) -> None:
    """A change of state, name, ports or networks calls for a new inspect."""
    assert shown_in_list({**LISTED, **change}) != shown_in_list(LISTED)


def test_another_exit_code_is_shown() -> None:
    """A container that ran again and failed looks the same except for the exit code in its status text."""
    ended = {**LISTED, "State": "exited", "Status": "Exited (0) 1 second ago"}
    assert shown_in_list(ended) == shown_in_list({**ended, "Status": "Exited (0) 2 minutes ago"})
    assert shown_in_list(ended) != shown_in_list({**ended, "Status": "Exited (3) 1 second ago"})


#: Status texts of a container that goes on running, in the engine's words.
UPTIMES = (
    "Up Less than a second",
    "Up 1 second",
    "Up 59 seconds",
    "Up About a minute",
    "Up 2 minutes (healthy)",
    "Up 59 minutes (Paused)",
    "Up About an hour",
    "Up 2 hours",
    "Up 47 hours",
    "Up 2 days",
    "Up 13 days",
    "Up 2 weeks",
    "Up 8 weeks",
    "Up 2 months",
    "Up 23 months",
    "Up 2 years",
)


def test_an_uptime_that_gets_shorter_shows_another_start() -> None:
    """A container that is started again may look the same in all other respects."""
    for number, earlier in enumerate(UPTIMES):
        assert not any(may_have_started(earlier, later, -1) for later in UPTIMES[number:])
        assert all(may_have_started(earlier, later, -1) for later in UPTIMES[:number])
    assert not may_have_started("", "Up 1 second", 0.9)
    assert not may_have_started("Exited (0) 3 minutes ago", "Exited (0) 2 minutes ago", 1e9)
    assert not may_have_started("", "Created", 1e9)


@pytest.mark.parametrize(
    ("now", "seconds", "expected"),
    [
        ("Up Less than a second", 0.05, True),
        ("Up 2 seconds", 1.9, False),
        ("Up 7 seconds", 10.2, True),
        ("Up About a minute (healthy)", 59.9, False),
        ("Up About a minute (healthy)", 60.0, True),
    ],
)
def test_an_uptime_that_is_no_longer_than_the_time_since_the_list_before_may_be_that_of_another_start(
    now: str, seconds: float, expected: bool
) -> None:
    """It may be longer than the one before all the same, if the lists are far apart."""
    assert may_have_started("Up Less than a second", now, seconds) is expected


def joiner(name: str, joins: str, second: int = 5) -> Container:
    """Make a container that joins the network of another one and was started at this second."""
    return container(name, network_mode=f"container:id-{joins}", started=f"2026-01-01T00:00:{second:02}.0Z")


@pytest.mark.parametrize(
    ("kept", "due", "found"),
    [
        pytest.param([joiner("side", "net"), container("net")], [], [], id="nothing-new"),
        pytest.param([joiner("side", "net")], ["net"], ["side"], id="the-other-one-is-inspected"),
        pytest.param([joiner("side", "gone")], ["net"], [], id="the-other-one-is-gone"),
        pytest.param(
            [joiner("side", "net"), container("net", started="2026-01-01T00:00:06.0Z")],
            [],
            ["side"],
            id="the-other-one-was-started-later",
        ),
        pytest.param(
            [joiner("side", "net"), container("net", started="2026-01-01T00:00:04.0Z")], [], [], id="started-before"
        ),
        pytest.param(
            [joiner("side", "mid"), joiner("mid", "net", 4), container("net")], [], ["mid", "side"], id="a-chain"
        ),
        pytest.param([joiner("side", "mid"), joiner("mid", "net", 4)], ["net"], ["mid", "side"], id="its-end"),
        pytest.param([container("web"), joiner("side", "net"), container("net")], ["web"], [], id="others"),
    ],
)
def test_a_joiner_is_inspected_while_it_may_have_missed_a_start(
    kept: list[Container], due: list[str], found: list[str]
) -> None:
    """Its line in the list does not show its own start."""
    ids = {each.id: each for each in kept}
    assert joiners_to_inspect(ids, {f"id-{name}" for name in due}) == {f"id-{name}" for name in found}


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["/web"], "web"),
        (["/other/alias", "/web"], "web"),
        ([], ""),
        (None, ""),
        ([7], ""),
        ("/web", ""),
    ],
)
def test_a_line_names_its_container(names: object, name: str) -> None:
    """A link gives a container further names. What is no list of names tells no name."""
    assert listed_ref({"Id": "1", "Names": names}) == ContainerRef("1", name)
