"""The mistakes that the simulation has to find: each can be put into the program as it is now."""

from __future__ import annotations

import pytest

from tests.simulation.mistakes import MISTAKES, ROOT, Mistake


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.name)
def test_the_program_has_the_text_that_a_mistake_replaces_once(mistake: Mistake) -> None:
    """`python -m tests.simulation.mistakes` would stop otherwise."""
    assert (ROOT / mistake.file).read_text().count(mistake.now) == 1


def test_no_two_mistakes_have_one_name() -> None:
    """Each names a copy of the tree."""
    names = [each.name for each in MISTAKES]
    assert len(names) == len({*names})
