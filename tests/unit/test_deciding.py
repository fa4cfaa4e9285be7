"""Deciding: what an agent remembers of its decisions saves work, and changes no pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from controller.reconcile.deciding import Deciding
from model.layout import Layout, PlainLayout
from model.skydns import SkyDnsLayout
from model.stored import Lifetime
from tests.support.memory_registry import RecordingRegistry
from tests.support.pass_harness import Host, serving

SKYDNS = SkyDnsLayout("/skydns/local/cluster")

#: Something that happens to a host or to its registry between two passes.
Event = Callable[[Host], object]


def agent(layout: Layout, lifetime: Lifetime, *, remembers: bool) -> Host:
    """Return a host whose agent remembers its decisions, or one whose agent does not."""
    host = Host(registry=RecordingRegistry(layout.prefix, lifetime), layout=layout)
    deciding = Deciding.remembering() if remembers else Deciding()
    host.settings = evolve(host.settings, deciding=deciding, lifetime=lifetime)
    return host


def runs(name: str, number: int, *env: str) -> Event:
    """Return the start of a container, or its restart with another port or environment."""

    def happen(host: Host) -> None:
        others = [each for each in host.source.containers if each.name != name]
        host.runs(serving(name, *env, number=number), *others)

    return happen


def stops(name: str) -> Event:
    """Return the end of a container."""
    return lambda host: host.runs(*(each for each in host.source.containers if each.name != name))


def overwrites(place: int) -> Event:
    """Return that somebody writes another value to a key that is there."""

    def happen(host: Host) -> None:
        if keys := sorted(host.registry.keys()):
            host.registry.put(keys[place % len(keys)], "192.0.2.9:9", ttl=5)

    return happen


def removes(place: int) -> Event:
    """Return that somebody removes a key."""

    def happen(host: Host) -> None:
        if keys := sorted(host.registry.keys()):
            host.registry.remove(keys[place % len(keys)])

    return happen


def restarts(host: Host) -> None:
    """Replace the agent by one that knows nothing, except for its decisions."""
    host.restarts()


def writes_elsewhere(host: Host) -> None:
    """Move the position of the store."""
    host.registry.put("/elsewhere", "x")


NAMES = st.sampled_from(["a", "b", "c"])
ENVIRONMENTS = st.sampled_from([(), ("SERVICE_ID=x",), ("SERVICE_NAME=web", "SERVICE_ID=y"), ("SERVICE_NAME=a/b",)])
EVENTS = st.one_of(
    st.builds(lambda name, number, env: runs(name, number, *env), NAMES, st.integers(8000, 8002), ENVIRONMENTS),
    st.builds(stops, NAMES),
    st.builds(overwrites, st.integers(0, 3)),
    st.builds(removes, st.integers(0, 3)),
    st.sampled_from([restarts, writes_elsewhere]),
)


@given(
    st.lists(st.lists(EVENTS, max_size=3), min_size=2, max_size=8),
    st.sampled_from([PlainLayout("/services"), SKYDNS]),
    st.sampled_from([Lifetime(), Lifetime(30, 10)]),
)
def test_an_agent_that_remembers_makes_the_same_passes(
    happenings: Sequence[Sequence[Event]], layout: Layout, lifetime: Lifetime
) -> None:
    """Whatever happens between the passes, plans, outcomes and keys are those of an agent that decides from scratch."""
    remembering, forgetful = (agent(layout, lifetime, remembers=each) for each in (True, False))
    for events in happenings:
        for event in events:
            for host in (remembering, forgetful):
                event(host)
        reports = [host.tries_a_pass() for host in (remembering, forgetful)]
        assert reports[0] == reports[1]
        assert remembering.registry.stored == forgetful.registry.stored
        assert remembering.memory == forgetful.memory


@pytest.mark.parametrize("layout", [PlainLayout("/services"), SKYDNS], ids=["plain", "skydns"])
def test_nothing_is_planned_anew_for_an_unchanged_host(layout: Layout) -> None:
    """The plan is the object of the pass before, also if the engine's and the registry's answers are new objects, and
    if somebody writes elsewhere in the store."""
    host = agent(layout, Lifetime(), remembers=True)
    host.runs(serving("web"), serving("db", "SERVICE_ID=db", number=8001))
    for _ in range(2):
        host.has_a_pass()
    before = host.has_a_pass().plan
    writes_elsewhere(host)
    assert before.in_sync == 2
    assert host.has_a_pass().plan is before
    host.registry.remove(min(host.registry.keys()))
    assert host.has_a_pass().plan is not before
