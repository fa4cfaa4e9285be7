"""Tests of model.candidates: what is decided about a container is decided again only if something about it has
changed, and the answer is the one that a new decision would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import event, given
from hypothesis import strategies as st

from model import candidates
from model.container import Container, ContainerRef, ports_in
from model.desired import NOTHING_DESIRED, Desired, desired
from model.draining import Draining
from model.engine_network import Network
from model.layout import Layout, PlainLayout, ValueFormat
from model.ownership import Holding
from model.rules import AddressRules, Deregister, HealthRule, Rules
from model.skydns import SkyDnsLayout
from model.snapshot import Snapshot, UnknownContainer
from tests.support.builders import OWNER, PLAIN, container, rules

NAMES = ("a", "b", "c", "d")
NETWORKS = ("n1", "n2")
GUESS = "198.51.100.1"


METADATA = st.sampled_from(
    ["NAME=web", "NAME=WEB", "NAME=web/x", "NAME=../evil", "ID=x", "ID=core-01:a:80", "IGNORE=1", "NETWORK=back"]
)

#: The fields in which a container may differ from one that publishes port 80.
FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "publish": st.sampled_from([{}, {"80/tcp": "127.0.0.1:1 0.0.0.0:8001"}, {"80/tcp": "0.0.0.0:1", "81/udp": ":2"}]),
    "expose": st.sampled_from([("80/tcp",), ("80/tcp", "81/udp", "9-8/tcp")]),
    "env": st.lists(METADATA, min_size=1, max_size=2).map(lambda texts: tuple(f"SERVICE_{each}" for each in texts)),
    "labels": st.sampled_from([{"ip": "127.0.0.1"}, {"com.docker.compose.oneoff": "True"}]),
    "network_mode": st.sampled_from(["front", "back", "host", "none", *(f"container:id-{each}" for each in NAMES)]),
    "networks": st.sampled_from([{"front": "10.0.0.2"}, {"front": "10.0.0.2", "back": GUESS}, {}]),
    "network_ids": st.sampled_from([{"front": "n1"}, {"front": "n1", "back": "n2"}]),
    "address": st.just(""),
    "status": st.just("exited"),
    "exit_code": st.just(3),
    "health": st.just("unhealthy"),
    "created": st.just("2026-01-02"),
    "started": st.sampled_from(["2026-02-01", "2026-02-02"]),
}


def containers_of(name: str) -> st.SearchStrategy[Container]:
    """Return the containers with this name that the edits put on the host."""
    differing = st.lists(st.sampled_from(sorted(FIELDS)), max_size=4, unique=True)
    fields = differing.flatmap(lambda names: st.fixed_dictionaries({each: FIELDS[each] for each in names}))
    return fields.map(lambda fields: container(name, **{"publish": {"80/tcp": "0.0.0.0:8000"}, **fields}))


#: What the engine said of networks: each of them may not be told yet, or not be described at all.
TOLD = st.dictionaries(
    st.sampled_from(NETWORKS),
    st.sampled_from([None, Network("bridge"), Network("macvlan"), Network("bridge", internal=True)]),
)

RULES = st.builds(
    Rules,
    st.just(OWNER),
    st.builds(
        AddressRules,
        ip=st.sampled_from(["", "203.0.113.1"]),
        guessed=st.sampled_from(["", GUESS]),
        label=st.sampled_from(["", "ip"]),
        internal=st.booleans(),
        from_container=st.booleans(),
    ),
    deregister=st.sampled_from(Deregister),
    health=st.sampled_from(HealthRule),
    all_bindings=st.booleans(),
    strict_names=st.booleans(),
    one_offs=st.booleans(),
)

LAYOUTS = st.sampled_from([PLAIN, PlainLayout.under("/s", ValueFormat.JSON), SkyDnsLayout("/skydns/local/cluster")])

HOLDINGS = st.dictionaries(
    st.sampled_from(["/services/web/x", "/services/nginx/x", "/services/nginx/core-01:a:80", "/services/web"]),
    st.builds(Holding, st.sampled_from(["", *(f"id-{each}" for each in NAMES)]), st.just("v"), st.sampled_from(NAMES)),
)

#: What changes from one pass to the next: the containers with these names, and sometimes other things.
EDITS = st.fixed_dictionaries(
    {"containers": st.fixed_dictionaries({}, optional={each: st.none() | containers_of(each) for each in NAMES})},
    optional={
        "told": TOLD,
        "rules": RULES,
        "layout": LAYOUTS,
        "holdings": HOLDINGS,
        "unknown": st.sampled_from([(), (UnknownContainer(ContainerRef("id-d", "d"), "hangs"),)]),
        "selected": st.none() | st.just(frozenset({"id-a", "id-b"})),
        "draining": st.dictionaries(st.sampled_from(["id-a", "id-b"]), st.just(Draining("TERM was sent"))),
    },
)


HOSTS = st.fixed_dictionaries({each: containers_of(each) for each in NAMES})


@given(HOSTS, st.lists(EDITS, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_an_earlier_answer_changes_nothing(
    host: dict[str, Container | None], edits: list[dict[str, Any]], chance: Any
) -> None:
    """Whatever changes between two passes, the answer that builds on the earlier one equals the one from scratch, also
    in its order."""
    now: dict[str, Any] = {
        "told": {},
        "rules": rules(),
        "layout": PLAIN,
        "holdings": {},
        "unknown": (),
        "selected": None,
        "draining": {},
    }
    earlier = NOTHING_DESIRED
    for edit in edits:
        host |= edit["containers"]
        now |= {key: value for key, value in edit.items() if key != "containers"}
        listed = [each for each in host.values() if each]
        chance.shuffle(listed)
        snapshot = Snapshot(tuple(listed), now["unknown"], now["selected"], now["told"], draining=now["draining"])
        arguments = snapshot, now["rules"], now["layout"], now["holdings"]
        earlier, from_scratch = desired(*arguments, earlier=earlier), desired(*arguments)
        assert earlier == from_scratch
        assert [*earlier.by_key] == [*from_scratch.by_key]
        assert earlier.values == {key: now["layout"].value(each) for key, each in earlier.by_key.items()}
        event(f"{len(from_scratch.by_key)} entries")


class Counted:
    """Counts the containers that are decided about."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        decide = candidates._decided

        def counted(each: Container, *arguments: Any) -> candidates.Decided:
            self.names.append(each.name)
            return decide(each, *arguments)

        monkeypatch.setattr(candidates, "_decided", counted)

    def taken(self) -> list[str]:
        """Return the names of the containers that were decided about since the last call."""
        names, self.names = sorted(self.names), []
        return names


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """What is decided about in a test."""
    return Counted(monkeypatch)


def after(
    earlier: Desired,
    *containers: Container,
    told: Mapping[str, Network | None] | None = None,
    under: Rules | None = None,
    layout: Layout = PLAIN,
) -> Desired:
    """Return what is desired of these containers after an earlier answer."""
    return desired(Snapshot(containers, networks=told or {}), under or rules(), layout, earlier=earlier)


WEB = container("web", publish={"80/tcp": "0.0.0.0:80"})
NET = container("net", publish={"81/tcp": "0.0.0.0:81"}, networks={"front": "10.0.0.2"}, address="")
SIDE = container("side", expose=("9000/tcp",), network_mode="container:id-net", address="", networks={})
LAN = container("lan", expose=("80/tcp",), network_mode="lan", networks={"lan": "10.0.0.3"}, network_ids={"lan": "n1"})


def test_only_a_changed_container_is_decided_about_again(decided: Counted) -> None:
    """A container that looks the same is the same, also as another object. One that has gone is forgotten."""
    first = after(NOTHING_DESIRED, WEB, NET)
    assert decided.taken() == ["net", "web"]
    moved = container("web", publish={"80/tcp": "0.0.0.0:8080"})
    second = after(first, moved, evolve(NET))
    assert decided.taken() == ["web"]
    assert [each.port for each in second.entries if each.container.name == "web"] == [8080]
    third = after(second, moved)
    assert decided.taken() == []
    after(third, moved, NET)
    assert decided.taken() == ["net"]


def test_a_joiner_is_decided_about_again_if_the_holder_of_its_network_changes(decided: Counted) -> None:
    """Its address is that of the other container."""
    internal = rules(internal=True)
    first = after(NOTHING_DESIRED, WEB, NET, SIDE, under=internal)
    decided.taken()
    second = after(first, WEB, evolve(NET, networks={"front": "10.0.0.9"}), SIDE, under=internal)
    assert decided.taken() == ["net", "side"]
    assert {each.address for each in second.entries if each.container.name == "side"} == {"10.0.0.9"}
    third = after(second, WEB, SIDE, under=internal)
    assert decided.taken() == ["side"]
    assert [each.container.name for each in third.refusals] == ["side"]


def test_a_container_is_decided_about_again_if_the_engine_says_something_else_of_its_network(decided: Counted) -> None:
    """While the engine has not said what the network is, the container is held. What the engine says of networks that
    the container is not on does not matter."""
    first = after(NOTHING_DESIRED, WEB, LAN)
    assert [each.ref.name for each in first.undecided] == ["lan"]
    decided.taken()
    second = after(first, WEB, LAN, told={"n2": None})
    assert decided.taken() == []
    third = after(second, WEB, LAN, told={"n1": Network("macvlan"), "n2": None})
    assert decided.taken() == ["lan"]
    assert {each.address for each in third.entries if each.container.name == "lan"} == {"10.0.0.3"}


@pytest.mark.parametrize(
    "changed",
    [
        {"under": rules(ip="203.0.113.9")},
        {"under": evolve(rules(), tags=("all",))},
        {"under": rules(ip="")},
        {"layout": PlainLayout.under("/elsewhere")},
    ],
    ids=["address", "tags", "no-address", "layout"],
)
def test_every_container_is_decided_about_again_under_other_rules(decided: Counted, changed: dict[str, Any]) -> None:
    """Rules, layout and the address of this host count for all of them."""
    first = after(NOTHING_DESIRED, WEB, NET)
    decided.taken()
    after(first, WEB, NET, **changed)
    assert decided.taken() == ["net", "web"]


def test_every_container_is_decided_about_again_if_a_container_turns_out_to_have_the_guessed_address(
    decided: Counted,
) -> None:
    """Then the guess is not this host's address, and every port that needs this address is refused."""
    guessing = rules(ip="", guessed=GUESS)
    first = after(NOTHING_DESIRED, WEB, under=guessing)
    assert [each.address for each in first.entries] == [GUESS]
    decided.taken()
    second = after(first, WEB, container("agent", address=GUESS), under=guessing)
    assert decided.taken() == ["agent", "web"]
    assert second.entries == ()


@pytest.mark.parametrize(
    ("env", "explicit", "expected"),
    [
        pytest.param([], False, ["81/udp unpublished"], id="nothing-hidden"),
        pytest.param(["IGNORE="], False, ["81/udp unpublished"], id="empty"),
        pytest.param(["IGNORE=false"], False, ["80/tcp ignored", "9-8/tcp ignored", "81/udp unpublished"], id="false"),
        pytest.param(["80_IGNORE=1"], False, ["80/tcp ignored", "81/udp unpublished"], id="one-port"),
        pytest.param([], True, ["80/tcp not-named", "9-8/tcp not-named", "81/udp unpublished"], id="explicit"),
        pytest.param(["NAME=web"], True, ["81/udp unpublished"], id="explicit-with-a-name"),
        pytest.param(
            ["NAME=web", "IGNORE=no"], True, ["80/tcp ignored", "9-8/tcp ignored", "81/udp unpublished"], id="both"
        ),
    ],
)
def test_a_port_without_an_entry_and_a_refusal_is_left_out_for_a_reason(
    env: list[str], explicit: bool, expected: list[str]
) -> None:
    """Each port of a container is registered, refused, or left out. Any value of SERVICE_IGNORE but an empty one hides
    a port."""
    given = container(
        publish={"80/tcp": "0.0.0.0:8000", "81/udp": "", "9-8/tcp": ""},
        to_publish=frozenset(ports_in("9-8/tcp")),
        env=tuple(f"SERVICE_{each}" for each in env),
    )
    under = evolve(rules(), explicit=explicit)
    left_out: list[candidates.LeftOutPort] = [*candidates.left_out_ports(given, under)]
    assert [f"{each.port} {each.reason.value}" for each in left_out] == expected
    decided = desired(Snapshot((given,)), under, PLAIN)
    told = {*(each.port for each in decided.refusals), *(each.port for each in left_out)}
    told |= {each.container_port for each in decided.entries}
    assert told == {*given.published}


def test_an_ignored_port_tells_the_variable_and_its_value() -> None:
    """People write SERVICE_IGNORE=false and expect the opposite."""
    given = container(publish={"80/tcp": "0.0.0.0:8000"}, labels={"SERVICE_80_Ignore": "false"})
    (left_out,) = candidates.left_out_ports(given, rules())
    assert left_out.detail == "the label SERVICE_80_Ignore is set, and every value counts as yes, 'false' too"
