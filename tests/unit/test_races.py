"""Passes of two agents at one registry, interleaved request by request; about several agents, not one module.

An agent may be killed at any request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.container import Container
from model.plan import Action, Change
from model.report import Outcome, Result
from tests.support.fakes import FakeSource
from tests.support.interleaving import SteppedAgent
from tests.support.memory_registry import MemoryRegistry
from tests.support.pass_harness import engine_of, owner_record, pass_settings, published_number, serving

KEY = "/services/nginx/redis-1"
WEB = "/services/nginx/core-01:web:80"
OWNERS = ("core-01", "core-02")

#: The indexes of the two agents.
FIRST, SECOND = 0, 1


def redis(number: int = 8000) -> Container:
    """Return a container with the SERVICE_ID that both hosts want."""
    return serving("redis", "SERVICE_ID=redis-1", number=number)


def address(agent: int) -> str:
    """Return the address of this agent's host."""
    return f"10.0.0.{agent + 1}"


class HolderCheck:
    """Follows which agent wrote KEY, and fails if it is taken from an agent whose container runs."""

    def __init__(self, sources: Sequence[FakeSource]) -> None:
        self._sources = sources
        self._holder: int | None = None

    def on_outcome(self, agent: int, change: Change, outcome: Outcome) -> None:
        """Check a change of this agent."""
        if change.key != KEY or outcome.result is not Result.APPLIED:
            return
        holder = self._holder
        robbed = holder is not None and holder != agent and self._sources[holder].containers
        assert not robbed, f"{change.action.value} of a key whose container runs on the other host"
        self._holder = None if change.action is Action.DELETE else agent


@contextmanager
def two_hosts(registry: MemoryRegistry) -> Iterator[list[SteppedAgent]]:
    """Run the agents of core-01 and core-02, each of which runs ``redis`` at first, with a HolderCheck."""
    sources = [FakeSource(redis(), engine=engine_of(owner)) for owner in OWNERS]
    check = HolderCheck(sources)
    agents = []
    for number, (owner, source) in enumerate(zip(OWNERS, sources, strict=True)):

        def on_outcome(change: Change, outcome: Outcome, number: int = number) -> None:
            check.on_outcome(number, change, outcome)

        agents.append(SteppedAgent(pass_settings(owner, ip=address(number)), source, registry, on_outcome))
    try:
        yield agents
    finally:
        for agent in agents:
            agent.close()


def settle(agents: Sequence[SteppedAgent], registry: MemoryRegistry) -> None:
    """Let each agent in turn complete its pass and make another one, four times. The last time must write nothing."""
    for _ in range(4):
        before = registry.version
        for agent in agents:
            agent.finish()
    assert registry.version == before


#: The steps of a first pass: begin, read, perhaps read the other hosts' records, read the inner prefixes, write the
#: record, write the entry.
REQUESTS = 6


@pytest.mark.parametrize("turns", list(combinations(range(2 * REQUESTS), REQUESTS)), ids=str)
def test_of_two_hosts_that_start_at_once_exactly_one_gets_the_custom_id(turns: tuple[int, ...]) -> None:
    """In every order of their requests one host gets the id and keeps it, and only its record claims it."""
    registry = MemoryRegistry()
    with two_hosts(registry) as agents:
        for number in range(2 * REQUESTS):
            agents[FIRST if number in turns else SECOND].step()
        winner = registry.stored[KEY].value
        settle(agents, registry)
        assert registry.stored[KEY].value == winner
        assert sorted(KEY in owner_record(registry, owner).claims for owner in OWNERS) == [False, True]


#: A history: what happens, and to which of the two agents.
History = list[tuple[str, int]]


def histories(*events: str) -> st.SearchStrategy[History]:
    """Generate histories of these events, most of which are steps."""
    event = st.sampled_from(["step"] * 8 + list(events))
    return st.lists(st.tuples(event, st.sampled_from([FIRST, SECOND])), max_size=60)


def happen(event: str, agent: SteppedAgent, number: int) -> None:
    """Let an event happen to an agent. ``number`` makes the port after a move unique."""
    match event:
        case "step":
            agent.step()
        case "kill":
            agent.kill()
        case "start":
            agent.source.containers = [redis()]
        case "stop":
            agent.source.containers = []
        case "move":
            agent.source.containers = [redis(9000 + number)] if agent.source.containers else []


@settings(max_examples=300)
@given(histories("kill", "start", "stop", "move"))
def test_a_custom_id_is_never_taken_from_a_host_whose_container_runs(history: History) -> None:
    """Agents are killed, and containers start, stop and move, in any order. In the end the id has an entry if and only
    if a host runs a container with it."""
    registry = MemoryRegistry()
    with two_hosts(registry) as agents:
        for number, (event, who) in enumerate(history):
            happen(event, agents[who], number)
        settle(agents, registry)
        values = [
            f"{address(number)}:{published_number(each)}"
            for number, agent in enumerate(agents)
            for each in agent.source.containers
        ]
        assert (registry.keys().get(KEY) in values) if values else (KEY not in registry.stored)
        assert registry.keys().keys() <= {KEY}


@settings(max_examples=200)
@given(histories("kill", "start", "stop"))
def test_two_agents_of_one_host_never_remove_or_change_an_entry_whose_container_runs(history: History) -> None:
    """They have the same settings and the same engine. Two containers run throughout, one of them with a custom id, and
    another one comes and goes. In the end the entries are those that a single agent would have left."""
    registry, source = MemoryRegistry(), FakeSource(redis(), serving("web"))
    lasting = {KEY: "10.0.0.1:8000", WEB: "10.0.0.1:8000"}

    def on_outcome(change: Change, outcome: Outcome) -> None:
        if outcome.result is Result.APPLIED and change.key in lasting:
            assert change.value == lasting[change.key], f"{change.action.value} of {change.key}"

    agents = [SteppedAgent(pass_settings(), source, registry, on_outcome) for _ in range(2)]
    try:
        for event, who in history:
            match event:
                case "start":
                    source.containers = [redis(), serving("web"), serving("extra")]
                case "stop":
                    source.containers = [redis(), serving("web")]
                case _:
                    happen(event, agents[who], 0)
        settle(agents, registry)
        extra = {"/services/nginx/core-01:extra:80": "10.0.0.1:8000"} if len(source.containers) == 3 else {}
        assert registry.keys() == lasting | extra
    finally:
        for agent in agents:
            agent.close()
