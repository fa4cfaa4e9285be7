"""Tests of model.described: every closed list of the model says in a sentence when each member occurs."""

from __future__ import annotations

import importlib
import pkgutil
from itertools import chain

import pytest

import model
from model.described import DescribedEnum

for module in pkgutil.iter_modules(model.__path__):
    importlib.import_module(f"model.{module.name}")

#: The described enumerations of all modules of the model.
ENUMERATIONS = [each for each in DescribedEnum.__subclasses__() if each.__module__.startswith("model.")]


def test_the_described_enumerations_are_found() -> None:
    """The next test would show nothing without them."""
    names = {each.__name__ for each in ENUMERATIONS}
    assert names == {
        "Action",
        "Alive",
        "DrainScope",
        "EntryState",
        "ExclusionReason",
        "HintOutcome",
        "HoldReason",
        "KeyState",
        "LeftOutReason",
        "PassResult",
        "PortState",
        "Presence",
        "Reason",
        "RefusalReason",
        "Result",
        "Stage",
        "Verdict",
    }


@pytest.mark.parametrize("member", list(chain.from_iterable(ENUMERATIONS)), ids=str)
def test_each_member_has_a_sentence(member: DescribedEnum) -> None:
    """The sentence begins with a capital letter, or with the name of a flag, and ends with a full stop."""
    assert member.about[0].isupper()
    assert member.about.endswith(".")


def test_a_member_is_found_by_its_value_alone() -> None:
    """The sentence is no part of the value."""

    class Colour(DescribedEnum):
        """An enumeration with one member."""

        RED = "red", "The light says stop."

    assert Colour("red") is Colour.RED
    assert (Colour.RED.value, Colour.RED.about) == ("red", "The light says stop.")
