"""Closed lists whose members say in a sentence when they occur."""

from __future__ import annotations

from enum import Enum
from typing import Self


class DescribedEnum(Enum):
    """An enumeration whose members are written ``NAME = "value", "sentence"``. Docs and output take the sentences from
    here, so that there is one place where a word is explained."""

    #: When the member occurs, in a sentence for people.
    about: str

    def __new__(cls, value: str, about: str = "") -> Self:
        member = object.__new__(cls)
        member._value_ = value
        member.about = about
        return member
