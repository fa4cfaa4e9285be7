"""Run several tasks at the same time, so that one that hangs does not delay the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from controller.effects.background import Background

T = TypeVar("T")


def run_in_parallel(tasks: Sequence[Callable[[], T]], background: Background) -> list[T]:
    """Run the tasks in the background, wait for them, and return their results in the order of the tasks.

    A single task runs in the caller. An error of a task is raised here; of several errors, that of the first task in
    order. Work in the background ends with the program, so Ctrl-C ends it at once even if a task hangs. The executors
    of the standard library would wait for the task.
    """
    if len(tasks) == 1:
        return [tasks[0]()]
    calls = [_Call(task) for task in tasks]
    started = [background.start(call, name=f"task {number}") for number, call in enumerate(calls, 1)]
    results = []
    for call, running in zip(calls, started, strict=True):
        running.join()
        results.append(call.result())
    return results


class _Call(Generic[T]):
    """A task, and its result or error once it has run."""

    def __init__(self, task: Callable[[], T]) -> None:
        self._task = task
        self._results: list[T] = []
        self._error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._results.append(self._task())
        except BaseException as error:
            self._error = error

    def result(self) -> T:
        """Return what the task returned, or raise what it raised. Call this only after the task has ended."""
        if self._error:
            raise self._error
        return self._results[0]
