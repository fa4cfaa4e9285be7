"""The answer of a health check. ``wharfinger health`` loads this module, and none of those that find the answer."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """Whether a check is passed, and why."""

    good: bool
    #: Why, for people.
    text: str
