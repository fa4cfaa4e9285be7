"""Doing several things at once, so that one that hangs holds up none of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Do each in a thread of its own, and one alone right here; returns what they gave, in their order, once all have
    ended. What the first of them raised is raised. The threads end with the program, so that Ctrl-C ends it at once: an
    executor of the standard library would wait for them."""
    if len(tasks) == 1:
        return [tasks[0]()]
    pairs: list[tuple[Callable[[], T], Future[T]]] = [(task, Future()) for task in tasks]
    for pair in pairs:
        threading.Thread(target=_do, args=pair, daemon=True).start()
    return [future.result() for _, future in pairs]


def _do(task: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(task())
    except BaseException as error:
        future.set_exception(error)
