"""The desired state."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve

from model.container import Container, ContainerRef
from model.desired import Desired, desired
from model.refusal import RefusalReason
from model.rules import Deregister, Rules
from model.snapshot import Snapshot, UnknownContainer
from tests.support.builders import PLAIN, container, rules

WEB = {"80/tcp": "0.0.0.0:8000"}


def of(*containers: Container, by: Rules | None = None, unknown: tuple[UnknownContainer, ...] = ()) -> Desired:
    """The desired state of these containers."""
    return desired(Snapshot(containers, unknown), by or rules(), PLAIN)


def identities(result: Desired) -> list[str]:
    """``name/id`` of each entry."""
    return ["/".join(entry.identity) for entry in result.entries]


@pytest.mark.parametrize("status", ["created", "restarting", "removing", "exited", "dead"])
def test_a_container_that_does_not_serve_has_no_entries(status: str) -> None:
    """Only running and paused ones do."""
    assert of(container(publish=WEB, status=status)) == Desired()


def test_an_entry_says_all_about_its_port() -> None:
    """Address, ports, tags and attributes."""
    env = ("SERVICE_TAGS=a,b", "SERVICE_REGION=eu")
    given = container(publish={"53/udp": "0.0.0.0:5353"}, env=env)
    (entry,) = of(given, by=evolve(rules(), tags=("all",))).entries
    assert (entry.name, entry.id) == ("nginx", "core-01:web:53:udp")
    assert (entry.address, entry.port, str(entry.container_port)) == ("172.17.8.101", 5353, "53/udp")
    assert (entry.tags, dict(entry.attributes)) == (("a", "b", "all", "udp"), {"region": "eu"})
    assert (entry.container, entry.image) == (ContainerRef("id-web", "web"), "nginx")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "nginx"),
        ("registry.local:5000/team/foobar:1.2", "foobar"),
        ("nginx@sha256:0123", "nginx@sha256"),
        ("sha256:0123", "sha256"),
    ],
)
def test_the_image_names_the_service(image: str, name: str) -> None:
    """Its last part without the tag, as registrator has it."""
    assert identities(of(container(publish=WEB, image=image))) == [f"{name}/core-01:web:80"]


def test_an_empty_name_for_a_port_still_drops_the_suffix() -> None:
    """registrator asks only whether the name was given for the port."""
    ports = {"80/tcp": "0.0.0.0:80", "443/tcp": "0.0.0.0:443"}
    assert identities(of(container(publish=ports, env=("SERVICE_443_NAME=",)))) == [
        "nginx/core-01:web:443",
        "nginx-80/core-01:web:80",
    ]


@pytest.mark.parametrize(
    ("env", "reason", "word"),
    [
        ("SERVICE_NAME=../evil", RefusalReason.BAD_NAME, "SERVICE_NAME '../evil'"),
        ("SERVICE_NAME=_x", RefusalReason.BAD_NAME, "hides"),
        ("SERVICE_ID=../../other/victim", RefusalReason.BAD_ID, "SERVICE_ID '../../other/victim'"),
        ("SERVICE_ID=core-02:web:80", RefusalReason.BAD_ID, "host 'core-02'"),
        ("SERVICE_ID=a/core-02:web:80:udp", RefusalReason.BAD_ID, "host 'core-02'"),
    ],
)
def test_a_bad_name_is_refused_and_harms_no_other(env: str, reason: RefusalReason, word: str) -> None:
    """The refusal names container, port and culprit; the container beside it is registered."""
    result = of(container("bad", publish=WEB, env=(env,)), container(publish=WEB))
    assert identities(result) == ["nginx/core-01:web:80"]
    (refusal,) = result.refusals
    assert (refusal.container.name, str(refusal.port), refusal.reason) == ("bad", "80/tcp", reason)
    assert word in refusal.detail


def test_a_bad_image_name_is_refused() -> None:
    """The name that nobody chose can be bad, too."""
    (refusal,) = of(container(publish=WEB, image="x/_hidden:1")).refusals
    assert "the image's name '_hidden'" in refusal.detail


def test_an_address_that_cannot_be_had_is_refused() -> None:
    """With the reason that the address rules give."""
    (refusal,) = of(container(publish=WEB), by=rules(ip="", guessed="127.0.0.1")).refusals
    assert refusal.reason is RefusalReason.NO_ADDRESS


def test_the_older_container_keeps_an_id() -> None:
    """Whatever order the engine lists them in; the younger one is refused with the older one's name."""
    young = container("young", publish=WEB, env=("SERVICE_ID=x",), created="2026-02-01T00:00:00.000000000Z")
    old = container("old", publish=WEB, env=("SERVICE_ID=x",))
    for order in ((young, old), (old, young)):
        result = of(*order)
        assert [entry.container.name for entry in result.entries] == ["old"]
        assert [(each.container.name, each.reason) for each in result.refusals] == [("young", RefusalReason.DUPLICATE)]
        assert "'old' already has nginx/x" in result.refusals[0].detail


def test_one_container_with_one_id_for_two_ports() -> None:
    """The lower port keeps it."""
    ports = {"53/udp": "0.0.0.0:53", "53/tcp": "0.0.0.0:53"}
    result = of(container(publish=ports, env=("SERVICE_ID=x",)))
    assert [str(entry.container_port) for entry in result.entries] == ["53/tcp"]
    assert [str(refusal.port) for refusal in result.refusals] == ["53/udp"]


def test_order_does_not_matter() -> None:
    """The desired state is the same for every order of the list."""
    containers = [
        container(f"c{number}", publish=WEB, env=(f"SERVICE_ID=x{number % 3}",), created=f"2026-01-{number + 1:02}")
        for number in range(9)
    ]
    expected = of(*containers)
    for seed in range(10):
        Random(seed).shuffle(containers)
        assert of(*containers) == expected


def test_an_unknown_container_is_held() -> None:
    """And what joins its network, as nobody knows the address."""
    unknown = UnknownContainer(ContainerRef("id-net", "net"), "timed out")
    side = container("side", expose=("80/tcp",), network_mode="container:id-net")
    result = of(side, container(publish=WEB), unknown=(unknown,))
    assert result.held == {ContainerRef("id-net", "net"), ContainerRef("id-side", "side")}
    assert identities(result) == ["nginx/core-01:web:80"]
    assert result.refusals == ()


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
def test_a_failed_container_is_held_on_success(status: str, code: int, deregister: str, held: bool) -> None:
    """An exit by a signal is no failure; registrator tests for the bit 128."""
    given = container(publish=WEB, status=status, exit_code=code)
    result = of(given, by=evolve(rules(), deregister=Deregister(deregister)))
    assert result == Desired(held=frozenset({ContainerRef("id-web", "web")}) if held else frozenset())
