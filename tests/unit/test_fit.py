"""What is wanted, cut to what a layout can hold."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.container import Container
from model.desired import Desired, Snapshot, UnknownContainer, desired
from model.entry import ContainerRef, RefusalReason
from model.fit import ROOM, fitted
from model.layout import PlainLayout, ValueFormat
from model.record import claim_size
from model.skydns import SkyDnsLayout
from tests.support.builders import container, entry, rules

PLAIN = PlainLayout.under("/services")
DNS = SkyDnsLayout("/skydns/local/cluster")


def asking(name: str, created: int, says: str, *ports: str) -> Container:
    """A container that says this of itself, ``NAME=web`` for ``SERVICE_NAME=web``, with a space between."""
    return container(
        name,
        publish={port: f"0.0.0.0:{8000 + number}" for number, port in enumerate(ports or ("80/tcp",))},
        env=tuple(f"SERVICE_{each}" for each in says.split()),
        created=f"2026-01-01T00:00:{created:02}.000000000Z",
    )


def wanted(*containers: Container) -> Desired:
    """What these containers ask for, whatever the layout."""
    return desired(Snapshot(containers, (UnknownContainer(ContainerRef("id-odd", "odd"), "odd"),)), rules())


def keys(result: Desired) -> list[str]:
    """Where the entries are, below the domain."""
    return [DNS.key(each).removeprefix(f"{DNS.prefix}/") for each in result.entries]


def refusals(result: Desired) -> list[tuple[str, str, str]]:
    """Container, port and reason of each."""
    return [(each.container.name, str(each.port), each.reason.value) for each in result.refusals]


def test_what_a_layout_cannot_hold_is_refused_and_the_rest_goes_on() -> None:
    """Beside what was refused for every layout, in order of container and port; what is held stays so."""
    result = wanted(
        asking("last", 9, "NAME=a.b"),
        asking("first", 1, "NAME=x PRIORITY=high"),
        asking("good", 2, "NAME=good PRIORITY=10"),
        asking("hidden", 3, "NAME=_hidden"),
        asking("half", 4, "53_TTL=-1", "80/tcp", "53/udp"),
    )
    assert refusals(result) == [("hidden", "80/tcp", "bad-name")]
    cut = fitted(result, DNS)
    assert keys(cut) == ["good/core-01--good--80", "nginx-80/core-01--half--80"]
    assert refusals(cut) == [
        ("first", "80/tcp", "bad-attribute"),
        ("hidden", "80/tcp", "bad-name"),
        ("half", "53/udp", "bad-attribute"),
        ("last", "80/tcp", "bad-name"),
    ]
    assert cut.held == result.held == frozenset({ContainerRef("id-odd", "odd")})
    assert len(fitted(result, PLAIN).entries) == 5


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_names_that_differ_in_case_the_older_container_has_it(turned: bool) -> None:
    """They are one name of the DNS; whatever the order in which they are read, and to be read in the refusal."""
    both = asking("elder", 1, "NAME=web ID=x"), asking("younger", 2, "NAME=WEB ID=x")
    result = wanted(*(both[::-1] if turned else both))
    assert len(result.entries) == 2
    cut = fitted(result, DNS)
    assert [each.container.name for each in cut.entries] == ["elder"]
    assert refusals(cut) == [("younger", "80/tcp", "duplicate")]
    assert cut.refusals[0].detail == "container 'elder' already has web/x"


def test_a_record_is_no_directory() -> None:
    """Of two keys of which one lies below the other the older container's stays."""
    cut = fitted(wanted(asking("elder", 1, "NAME=Team ID=db"), asking("younger", 2, "NAME=team/db ID=x")), DNS)
    assert refusals(cut) == [("younger", "80/tcp", "duplicate")]
    assert cut.refusals[0].detail == "container 'elder' already has team/db, which leaves no room for team/db/x"


def test_ids_that_exclude_each_other_elsewhere_need_not_here() -> None:
    """An id is one label here, slashes and all."""
    result = wanted(asking("elder", 1, "NAME=a ID=b"), asking("younger", 2, "NAME=a ID=b/c"))
    assert refusals(result) == [("younger", "80/tcp", "duplicate")]
    cut = fitted(result, DNS)
    assert cut.refusals == ()
    assert len(set(keys(cut))) == 2


def test_what_is_refused_stands_in_nobodys_way() -> None:
    """The younger container has what the older one asks for and cannot have."""
    both = asking("elder", 1, "NAME=web ID=x TTL=soon"), asking("younger", 2, "NAME=web ID=x TTL=60")
    cut = fitted(wanted(*both), DNS)
    assert [each.container.name for each in cut.entries] == ["younger"]
    assert refusals(cut) == [("elder", "80/tcp", "bad-attribute")]


def test_what_was_made_by_hand_is_fitted_as_well() -> None:
    """Without decisions there are the entries themselves."""
    cut = fitted(Desired((entry(), entry("a.b"))), DNS)
    assert [each.name for each in cut.entries] == ["nginx"]
    assert [each.reason for each in cut.refusals] == [RefusalReason.BAD_NAME]


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
    """One entry or refusal a port; the same whatever the order, and once more; the plain layout holds everything."""
    result = wanted(*containers)
    for layout in (PLAIN, PlainLayout.under("", ValueFormat.JSON)):
        assert fitted(result, layout) == result
    cut = fitted(result, DNS)
    assert len(cut.entries) + len(cut.refusals) == len(containers)
    found = sorted(keys(cut))
    assert len(set(found)) == len(found)
    assert not any(one.startswith(f"{other}/") for one in found for other in found)
    assert fitted(cut, DNS) == cut
    chance.shuffle(containers)
    assert fitted(wanted(*containers), DNS) == cut


def test_the_owner_record_has_room_for_so_many_custom_ids() -> None:
    """A record that etcd does not take would hold up all of them: the younger containers' ids are refused, and default
    ids, which need no room, are not."""
    name = "n" * 200
    many = [
        entry(f"{name}/{number}/{name}/{name}/{name}", f"custom-{number}" if number % 2 else f"core-01:c{number}:80")
        for number in range(2000)
    ]
    result = fitted(Desired(tuple(many)), PLAIN)
    kept = [each for each in result.entries if each.id.startswith("custom")]
    assert len([each for each in result.entries if each.id.startswith("core-01")]) == 1000
    assert 0 < len(kept) < 1000
    assert sum(claim_size(PLAIN.key(each)) for each in kept) <= ROOM
    assert {each.reason for each in result.refusals} == {RefusalReason.BAD_ID}
    assert len(kept) + len(result.refusals) == 1000
    assert {each.id for each in kept} == {each.id for each in many[1 : 2 * len(kept) : 2]}
