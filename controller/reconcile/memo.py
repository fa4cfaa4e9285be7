"""A cache of one result. On an idle host each pass computes the same desired state again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Memo(Generic[R]):
    """Calls ``function`` only when its arguments differ from those of the call before. It changes what a pass costs,
    and never what a pass decides."""

    def __init__(self, function: Callable[..., R]) -> None:
        self._function = function
        self._last: tuple[tuple[Any, ...], R] | None = None

    def __call__(self, *arguments: Any) -> R:
        if self._last is None or self._last[0] != arguments:
            self._last = arguments, self._function(*arguments)
        return self._last[1]
