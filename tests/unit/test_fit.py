"""The desired state in different layouts, and within the room of the owner record."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.container import Container, ContainerRef
from model.desired import RECORD_ROOM, Desired, desired
from model.layout import Layout, PlainLayout, ValueFormat
from model.record import claim_size
from model.refusal import RefusalReason
from model.skydns import SkyDnsLayout
from model.snapshot import Snapshot, UnknownContainer
from tests.support.builders import PLAIN, container, rules

DNS = SkyDnsLayout("/skydns/local/cluster")


def asking(name: str, created: int, says: str, *ports: str) -> Container:
    """A container that says this of itself, ``NAME=web`` for ``SERVICE_NAME=web``, with a space between."""
    return container(
        name,
        publish={port: f"0.0.0.0:{8000 + number}" for number, port in enumerate(ports or ("80/tcp",))},
        env=tuple(f"SERVICE_{each}" for each in says.split()),
        created=f"2026-01-01T00:00:{created:02}.000000000Z",
    )


def wanted(*containers: Container, layout: Layout = PLAIN) -> Desired:
    """What these containers should have in this layout, beside one that the engine would not describe."""
    return desired(Snapshot(containers, (UnknownContainer(ContainerRef("id-odd", "odd"), "odd"),)), rules(), layout)


def keys(result: Desired) -> list[str]:
    """Where the entries are, below the domain."""
    return [DNS.key(each).removeprefix(f"{DNS.prefix}/") for each in result.entries]


def refusals(result: Desired) -> list[tuple[str, str, str]]:
    """Container, port and reason of each."""
    return [(each.container.name, str(each.port), each.reason.value) for each in result.refusals]


def test_a_port_that_a_layout_cannot_hold_is_refused_and_the_others_are_registered() -> None:
    """The refusals are in order of container and port, among those that every layout refuses."""
    containers = (
        asking("last", 9, "NAME=a.b"),
        asking("first", 1, "NAME=x PRIORITY=high"),
        asking("good", 2, "NAME=good PRIORITY=10"),
        asking("hidden", 3, "NAME=_hidden"),
        asking("half", 4, "53_TTL=-1", "80/tcp", "53/udp"),
    )
    plain, dns = wanted(*containers), wanted(*containers, layout=DNS)
    assert refusals(plain) == [("hidden", "80/tcp", "bad-name")]
    assert keys(dns) == ["good/core-01--good--80", "nginx-80/core-01--half--80"]
    assert refusals(dns) == [
        ("first", "80/tcp", "bad-attribute"),
        ("hidden", "80/tcp", "bad-name"),
        ("half", "53/udp", "bad-attribute"),
        ("last", "80/tcp", "bad-name"),
    ]
    assert dns.held == plain.held == frozenset({ContainerRef("id-odd", "odd")})
    assert len(plain.entries) == 5


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_names_that_differ_in_case_the_older_container_has_the_dns_name(turned: bool) -> None:
    """They are one name in DNS and two in the plain layout. The order of reading does not matter."""
    both = asking("older", 1, "NAME=web ID=x"), asking("younger", 2, "NAME=WEB ID=x")
    containers = both[::-1] if turned else both
    assert len(wanted(*containers).entries) == 2
    dns = wanted(*containers, layout=DNS)
    assert [each.container.name for each in dns.entries] == ["older"]
    assert refusals(dns) == [("younger", "80/tcp", "duplicate")]
    assert dns.refusals[0].detail == "container 'older' already has web/x"


def test_of_two_keys_of_which_one_lies_below_the_other_the_older_containers_stays() -> None:
    """A DNS record is no directory."""
    dns = wanted(asking("older", 1, "NAME=Team ID=db"), asking("younger", 2, "NAME=team/db ID=x"), layout=DNS)
    assert refusals(dns) == [("younger", "80/tcp", "duplicate")]
    assert dns.refusals[0].detail == "container 'older' already has team/db, which leaves no room for team/db/x"


def test_ids_that_exclude_each_other_in_the_plain_layout_need_not_in_dns() -> None:
    """In DNS an id is one label, slashes and all."""
    containers = asking("older", 1, "NAME=a ID=b"), asking("younger", 2, "NAME=a ID=b/c")
    assert refusals(wanted(*containers)) == [("younger", "80/tcp", "duplicate")]
    dns = wanted(*containers, layout=DNS)
    assert dns.refusals == ()
    assert len(set(keys(dns))) == 2


def test_a_refused_port_excludes_no_other_one() -> None:
    """The younger container gets what the older one asks for and cannot have."""
    both = asking("older", 1, "NAME=web ID=x TTL=soon"), asking("younger", 2, "NAME=web ID=x TTL=60")
    dns = wanted(*both, layout=DNS)
    assert [each.container.name for each in dns.entries] == ["younger"]
    assert refusals(dns) == [("older", "80/tcp", "bad-attribute")]


NAMES = st.sampled_from(["web", "Web", "a/b", "a", "A/b", "b", "a.b", "any", "_x"])
ASKING = st.builds(
    lambda number, created, name, entry_id: asking(f"c{number}", created, f"NAME={name} ID={entry_id}"),
    st.integers(0, 99),
    st.integers(0, 59),
    NAMES,
    st.sampled_from(["x", "X", "a", "b", "a/b", "", "core-01:web:80"]),
)


@given(st.lists(ASKING, max_size=8, unique_by=lambda each: each.id), st.randoms())
def test_no_two_keys_exclude_each_other(containers: list[Container], chance: Random) -> None:
    """Each port has an entry or a refusal, whatever the order. JSON values change nothing about the keys."""
    plain = wanted(*containers)
    json = wanted(*containers, layout=PlainLayout.under("", ValueFormat.JSON))
    assert (json.entries, json.refusals) == (plain.entries, plain.refusals)
    dns = wanted(*containers, layout=DNS)
    assert len(dns.entries) + len(dns.refusals) == len(containers)
    found = sorted(keys(dns))
    assert len(set(found)) == len(found)
    assert not any(one.startswith(f"{other}/") for one in found for other in found)
    chance.shuffle(containers)
    assert wanted(*containers, layout=DNS) == dns


def test_the_owner_record_has_room_for_a_limited_number_of_custom_ids() -> None:
    """A record that etcd refuses would hold up all of them. So the younger containers' ids are refused. Default ids
    need no room in the record, and are not."""
    name = "n" * 200
    many = [
        asking(
            f"c{number:04}",
            0,
            f"NAME={name}/{number}/{name}/{name}/{name}" + (f" ID=custom-{number}" if number % 2 else ""),
        )
        for number in range(2000)
    ]
    result = wanted(*many)
    kept = [each for each in result.entries if each.id.startswith("custom")]
    assert len([each for each in result.entries if each.id.startswith("core-01")]) == 1000
    assert 0 < len(kept) < 1000
    assert sum(claim_size(PLAIN.key(each)) for each in kept) <= RECORD_ROOM
    assert {each.reason for each in result.refusals} == {RefusalReason.BAD_ID}
    assert len(kept) + len(result.refusals) == 1000
    assert {each.id for each in kept} == {f"custom-{number}" for number in range(1, 2 * len(kept), 2)}


def test_a_duplicate_takes_no_room_in_the_owner_record() -> None:
    """Only entries that will be written are claimed."""
    name = "n" * 200
    path = f"{name}/{name}/{name}/{name}"
    claims = RECORD_ROOM // claim_size(f"/services/{path}/custom-0000")
    same = [asking(f"a{number:04}", 0, f"NAME={path} ID=custom-0000") for number in range(claims)]
    others = [asking(f"b{number:04}", 1, f"NAME={path} ID=custom-{number:04}") for number in range(1, claims)]
    result = wanted(*same, *others)
    assert len(result.entries) == claims
    assert {each.reason for each in result.refusals} == {RefusalReason.DUPLICATE}
