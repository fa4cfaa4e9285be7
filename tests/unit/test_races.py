"""Two agents at one registry, their passes interleaved in any order, killed at any point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.reconcile.one_pass import PassSettings
from model.container import Container
from model.layout import PlainLayout
from model.plan import Action, Change
from model.record import OwnerRecord, RecordKeys
from model.report import Outcome, Result
from model.rules import AddressRules, Rules
from tests.support.builders import container
from tests.support.fakes import FakeSource, FakeTime
from tests.support.interleaving import Player
from tests.support.memory_registry import MemoryRegistry

KEY = "/services/nginx/redis-1"
WEB = "/services/nginx/core-01:web:80"
FIRST, SECOND = 0, 1


def redis(number: int = 8000) -> Container:
    """A container that asks for the id that both hosts want."""
    return container("redis", publish={"80/tcp": f"0.0.0.0:{number}"}, env=("SERVICE_ID=redis-1",))


def web(name: str = "web") -> Container:
    """A container with an id of registrator's form."""
    return container(name, publish={"80/tcp": "0.0.0.0:8000"})


class Witness:
    """Who holds the key, and whether it was taken from anybody whose container runs."""

    def __init__(self) -> None:
        self.holder: int | None = None
        self.sources: list[FakeSource] = []

    def told(self, number: int, change: Change, outcome: Outcome) -> None:
        """A change of agent ``number``."""
        if change.key != KEY or outcome.result is not Result.APPLIED:
            return
        holder = self.holder
        robbed = holder is not None and holder != number and self.sources[holder].containers
        assert not robbed, f"{change.action.value} of a key whose container runs on the other host"
        self.holder = None if change.action is Action.DELETE else number


def task(number: int, owner: str) -> PassSettings:
    """What the operator of a host wants."""
    rules = Rules(owner, AddressRules(ip=f"10.0.0.{number + 1}"))
    return PassSettings(rules, PlainLayout("/services"), clock=FakeTime().clock)


@contextmanager
def two_hosts(registry: MemoryRegistry, *sources: FakeSource) -> Iterator[list[Player]]:
    """The agents of hosts core-01 and core-02, watched."""
    witness = Witness()
    witness.sources = list(sources)
    players = []
    for number, source in enumerate(sources):

        def told(change: Change, outcome: Outcome, number: int = number) -> None:
            witness.told(number, change, outcome)

        players.append(Player(task(number, f"core-0{number + 1}"), source, registry, told))
    try:
        yield players
    finally:
        for player in players:
            player.close()


def host(number: int, *containers: Container) -> FakeSource:
    """A host with an engine of its own."""
    return FakeSource(*containers, engine=f"ENGINE:{number}")


def come_to_rest(players: Sequence[Player], registry: MemoryRegistry) -> None:
    """Passes of both until nothing is written any more; that must be soon."""
    for _ in range(4):
        before = registry.version
        for player in players:
            player.finish()
    assert registry.version == before


#: What two first passes do at the registry: read, look at others' records perhaps, write the record, write the entry.
REQUESTS = 5


@pytest.mark.parametrize("turns", list(combinations(range(2 * REQUESTS), REQUESTS)), ids=str)
def test_of_two_hosts_that_start_at_once_exactly_one_gets_the_id(turns: tuple[int, ...]) -> None:
    """In every order of their requests; and it keeps it."""
    registry = MemoryRegistry()
    with two_hosts(registry, host(1, redis()), host(2, redis())) as players:
        for number in range(2 * REQUESTS):
            players[FIRST if number in turns else SECOND].step()
        winner = registry.stored[KEY].value
        come_to_rest(players, registry)
        assert registry.stored[KEY].value == winner
        claims = [
            OwnerRecord.decode(registry.stored[RecordKeys("/services").record(f"core-0{each}")].value)
            for each in (1, 2)
        ]
        assert sorted(KEY in claim.claims for claim in claims if claim) == [False, True]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int]]:
    """What befalls two agents: mostly steps, and now and then something else."""
    what = st.sampled_from(["step"] * 8 + ["kill", "start", "stop", "move"])
    return draw(st.lists(st.tuples(what, st.sampled_from([FIRST, SECOND])), max_size=60))


def befall(what: str, player: Player, number: int) -> None:
    """One event of a history."""
    match what:
        case "step":
            player.step()
        case "kill":
            player.kill()
        case "start":
            player.source.containers = [redis()]
        case "stop":
            player.source.containers = []
        case "move":
            player.source.containers = [redis(9000 + number)] if player.source.containers else []


@settings(max_examples=300)
@given(histories())
def test_nothing_is_ever_taken_from_a_host_whose_container_runs(history: list[tuple[str, int]]) -> None:
    """Whatever the order, with agents that are killed and containers that come, move and go. In the end the id has an
    entry if anybody runs it, and none if nobody does."""
    registry = MemoryRegistry()
    with two_hosts(registry, host(1, redis()), host(2, redis())) as players:
        for number, (what, who) in enumerate(history):
            befall(what, players[who], number)
        come_to_rest(players, registry)
        values = [f"10.0.0.{n + 1}:{_port(each)}" for n, p in enumerate(players) for each in p.source.containers]
        assert (registry.keys().get(KEY) in values) if values else (KEY not in registry.stored)
        assert registry.keys().keys() <= {KEY}


def _port(of: Container) -> int:
    ((binding,),) = of.published.values()
    assert binding is not None
    return binding.port


class Absence:
    """Says so when a key that must last is deleted, or is given another value."""

    def __init__(self, lasting: dict[str, str]) -> None:
        self._lasting = lasting

    def told(self, change: Change, outcome: Outcome) -> None:
        """A change of either agent."""
        if outcome.result is Result.APPLIED and change.key in self._lasting:
            assert change.value == self._lasting[change.key], f"{change.action.value} of {change.key}"


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(["step"] * 8 + ["kill", "start", "stop"]), st.sampled_from([FIRST, SECOND])),
        max_size=60,
    )
)
def test_two_agents_of_one_host_are_harmless(history: list[tuple[str, int]]) -> None:
    """The same settings, the same engine: what runs throughout is never absent once it is there, with either kind of
    id, while another container comes and goes; and in the end all is as one agent would have left it."""
    registry, source = MemoryRegistry(), FakeSource(redis(), web())
    lasting = {KEY: "10.0.0.1:8000", WEB: "10.0.0.1:8000"}
    told = Absence(lasting).told
    players = [Player(task(0, "core-01"), source, registry, told) for _ in range(2)]
    try:
        for what, who in history:
            match what:
                case "start":
                    source.containers = [redis(), web(), web("extra")]
                case "stop":
                    source.containers = [redis(), web()]
                case _:
                    befall(what, players[who], 0)
        come_to_rest(players, registry)
        extra = {"/services/nginx/core-01:extra:80": "10.0.0.1:8000"} if len(source.containers) == 3 else {}
        assert registry.keys() == lasting | extra
    finally:
        for player in players:
            player.close()
