"""Tests of model.snapshot: which containers the filters select."""

from __future__ import annotations

import pytest

from model.snapshot import Snapshot
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
