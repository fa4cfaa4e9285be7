"""Functions that remember their last answer. On an idle host each pass decides the same again."""

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
        same = self._last is not None and self._last[0] == arguments
        answer = self._last[1] if self._last and same else self._ask(arguments)
        # These arguments are kept also if they only equal those before: the next ones may be the same objects, which
        # are compared in no time.
        self._last = arguments, answer
        return answer

    def _ask(self, arguments: tuple[Any, ...]) -> R:
        return self._function(*arguments)


class Continued(Memo[R]):
    """A memo that hands its last answer to ``function`` as ``earlier``, from which the next answer takes over what has
    not changed."""

    def _ask(self, arguments: tuple[Any, ...]) -> R:
        return self._function(*arguments, earlier=self._last[1]) if self._last else self._function(*arguments)
