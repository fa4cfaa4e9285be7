"""Tests of model.snapshot: which containers the filters select, and what is said of the described ones."""

from __future__ import annotations

import pytest

from model.snapshot import Presence, Snapshot
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
    """One that is listed and does not serve, as while it is being restarted, counts as stopped."""
    snapshot = Snapshot((container("web"), container("db", status="restarting"), container("ui", status="paused")))
    by_name = {"web": Presence.LISTED, "db": Presence.STOPPED, "ui": Presence.LISTED}
    assert snapshot.presences == {**by_name, **{f"id-{name}": each for name, each in by_name.items()}}
