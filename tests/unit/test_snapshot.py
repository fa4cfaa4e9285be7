"""Tests of model.snapshot: which containers the filters select, and what is known of an engine and its containers."""

from __future__ import annotations

from math import inf

import pytest

from model.container import ContainerRef
from model.drain_order import NO_DRAIN, DrainedContainer, DrainOrder
from model.draining import Draining
from model.snapshot import EngineIdentity, Presence, Snapshot, UnknownContainer
from tests.support.builders import container


@pytest.mark.parametrize(
    ("selected", "expected"),
    [(None, True), (frozenset({"id-web", "id-db"}), True), (frozenset({"id-db"}), False), (frozenset(), False)],
    ids=["no filter", "selected", "another is selected", "nothing is selected"],
)
def test_a_container_is_selected_by_its_id_or_if_there_is_no_filter(
    selected: frozenset[str] | None, expected: bool
) -> None:
    """A filter that selects nothing is not the same as no filter."""
    assert Snapshot((container(),), selected=selected).selects(container()) is expected


def test_the_presence_of_a_described_container_is_found_by_its_id_and_its_name() -> None:
    """A container that is listed and does not serve counts as stopped, for example one that is being restarted."""
    snapshot = Snapshot((container("web"), container("db", status="restarting"), container("ui", status="paused")))
    by_name = {"web": Presence.LISTED, "db": Presence.STOPPED, "ui": Presence.LISTED}
    assert snapshot.presences == {**by_name, **{f"id-{name}": each for name, each in by_name.items()}}


def test_the_problem_of_an_unknown_container_does_not_count_in_comparisons() -> None:
    """The text says for how long there was no answer, so it changes in each pass. That alone is no reason to decide
    anew."""
    ref = ContainerRef("id-web", "web")
    assert UnknownContainer(ref, "no answer for 1 s") == UnknownContainer(ref, "no answer for 2 s")
    assert UnknownContainer(ref, "x") != UnknownContainer(ContainerRef("id-db", "db"), "x")


@pytest.mark.parametrize(
    ("before", "later", "expected"),
    [
        (EngineIdentity("a", "1"), EngineIdentity("a", "1"), EngineIdentity("a", "1")),
        (EngineIdentity("a", "1"), EngineIdentity("b", "2"), EngineIdentity("a", "2", "b")),
        (EngineIdentity("a", "1", "b"), EngineIdentity("c", "1"), EngineIdentity("a", "1", "c")),
        (EngineIdentity("a", "1", "b"), EngineIdentity("a", "1"), EngineIdentity("a", "1")),
        (EngineIdentity("a", "1", "b"), EngineIdentity("", ""), EngineIdentity("a", "1")),
        (EngineIdentity(""), EngineIdentity("b", "2"), EngineIdentity("b", "2")),
        (EngineIdentity("", "1"), EngineIdentity("", ""), EngineIdentity("", "1")),
    ],
    ids=[
        "the same",
        "another engine",
        "renamed twice",
        "the old name again",
        "nothing is said",
        "known at last",
        "never known",
    ],
)
def test_an_engine_keeps_the_first_name_that_it_gave(
    before: EngineIdentity, later: EngineIdentity, expected: EngineIdentity
) -> None:
    """The newest id counts. A new name is kept beside the first one."""
    assert before.followed_by(later) == expected


# What the operator drains.

DRAINED = {name: DrainedContainer(f"id-{name}", "", name) for name in ("web", "db", "ui")}


def test_the_operator_drains_the_running_containers_that_an_order_covers() -> None:
    """A container that has ended does not drain, although the order names it, and one that the engine has sent a stop
    signal goes on draining."""
    stopping = {"id-api": Draining("the engine has sent it the signal TERM")}
    snapshot = Snapshot((container("web"), container("db", status="exited"), container("api")), draining=stopping)
    drained = snapshot.with_drain_order(DrainOrder({each.id: each for each in DRAINED.values()}))
    assert drained.draining == {**stopping, "id-web": Draining("the operator drains it", by_operator=True)}
    assert drained.drain_order == DrainOrder({"id-web": DRAINED["web"]})


def test_the_operator_drains_all_containers() -> None:
    """Those that nobody named are among them."""
    drained = Snapshot((container("web"), container("db", status="paused"))).with_drain_order(DrainOrder(all_until=inf))
    assert drained.draining.keys() == {"id-web", "id-db"}
    assert drained.drain_order == DrainOrder(all_until=inf)


def test_without_an_order_the_snapshot_is_the_same_object() -> None:
    """So whoever decided by it need not decide again."""
    snapshot = Snapshot((container(),))
    assert snapshot.with_drain_order(NO_DRAIN) is snapshot
