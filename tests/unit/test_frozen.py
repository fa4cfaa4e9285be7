"""Tests of model.frozen: the read-only mapping of frozen values."""

from __future__ import annotations

from typing import Any

import pytest

from model.frozen import frozen_dict


def test_a_frozen_dict_does_not_follow_changes_of_the_original() -> None:
    """A frozen dict is a copy."""
    original = {"a": 1}
    frozen = frozen_dict(original)
    original["b"] = 2
    assert frozen == {"a": 1}


def test_a_frozen_dict_cannot_be_changed() -> None:
    """A frozen value that holds it stays as it was made."""
    frozen: Any = frozen_dict({"a": 1})
    with pytest.raises(TypeError):
        frozen["a"] = 2


def test_a_frozen_dict_of_a_frozen_dict_is_the_same_one() -> None:
    """Nobody can change it, so values can share it."""
    frozen = frozen_dict({"a": 1})
    assert frozen_dict(frozen) is frozen


def test_there_is_one_empty_frozen_dict() -> None:
    """A host with a thousand containers has many thousands of empty mappings."""
    assert frozen_dict({}) is frozen_dict({})
