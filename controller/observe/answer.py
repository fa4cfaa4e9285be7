"""The answer of a health check.

It has a module of its own so that ``wharfinger health`` need not load the modules that do the check.
"""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """Whether a check was passed, and why."""

    good: bool
    #: Why, for people.
    text: str
