"""Memo and Continued, which remember the last result of a function."""

from __future__ import annotations

from controller.reconcile.memo import Continued, Memo


def test_a_memo_calls_its_function_only_if_the_arguments_differ_from_the_last_ones() -> None:
    """It remembers one call: the first arguments after other ones are computed again."""
    calls: list[tuple[int, int]] = []

    def add(one: int, other: int) -> int:
        calls.append((one, other))
        return one + other

    memo = Memo(add)
    assert [memo(1, 2), memo(1, 2), memo(2, 2), memo(1, 2)] == [3, 3, 4, 3]
    assert calls == [(1, 2), (2, 2), (1, 2)]


class Compared:
    """Equals every other one, and counts how often it was compared."""

    def __init__(self) -> None:
        self.comparisons = 0

    def __eq__(self, other: object) -> bool:
        self.comparisons += 1
        return True

    def __hash__(self) -> int:
        return 0


def test_a_memo_does_not_compare_an_argument_with_itself() -> None:
    """It keeps the latest arguments, also those that only equal the ones before."""
    calls: list[Compared] = []
    memo = Memo(calls.append)
    one, other = Compared(), Compared()
    for argument in (one, other, other, other):
        memo(argument)
    assert calls == [one]
    assert one.comparisons + other.comparisons == 1


def test_a_continued_function_gets_its_last_answer() -> None:
    """Its first call gets none, and equal arguments are no call."""

    def join(text: str, earlier: str = "-") -> str:
        return earlier + text

    continued = Continued(join)
    assert [continued("a"), continued("a"), continued("b"), continued("a")] == ["-a", "-a", "-ab", "-aba"]
