"""Memo, which remembers the last result of a function."""

from __future__ import annotations

from controller.reconcile.memo import Memo


def test_a_memo_calls_its_function_only_if_the_arguments_differ_from_the_last_ones() -> None:
    """It remembers one call: the first arguments after other ones are computed again."""
    calls: list[tuple[int, int]] = []

    def add(one: int, other: int) -> int:
        calls.append((one, other))
        return one + other

    memo = Memo(add)
    assert [memo(1, 2), memo(1, 2), memo(2, 2), memo(1, 2)] == [3, 3, 4, 3]
    assert calls == [(1, 2), (2, 2), (1, 2)]
