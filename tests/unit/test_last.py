"""Remembering the last answer."""

from __future__ import annotations

from controller.reconcile.memo import Memo


def test_the_same_question_is_answered_once() -> None:
    """Equal arguments are the same question; another one in between is asked anew, and so is the first after it."""
    asked: list[tuple[int, int]] = []

    def add(one: int, other: int) -> int:
        asked.append((one, other))
        return one + other

    last = Memo(add)
    assert [last(1, 2), last(1, 2), last(2, 2), last(1, 2)] == [3, 3, 4, 3]
    assert asked == [(1, 2), (2, 2), (1, 2)]
