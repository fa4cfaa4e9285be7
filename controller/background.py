"""Work that goes on beside the caller. No other module starts a thread or waits for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Task(Protocol):
    """Work that was started in the background."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until the work has ended, for ``timeout`` seconds at most; None: for as long as it takes."""


class Waker(Protocol):
    """Ends somebody's waiting before its time."""

    def set(self) -> None:
        """End the waiting that goes on, or the next one."""

    def clear(self) -> None:
        """Forget an earlier ``set``."""

    def wait(self, timeout: float) -> bool:
        """Wait for a ``set``, for ``timeout`` seconds at most; returns whether one came."""


class Background(Protocol):
    """Starts work in the background. A simulation passes one of its own, which decides who goes on and when."""

    def start(self, work: Callable[[], object], name: str) -> Task:
        """Do the work beside the caller. What still runs when the program ends is cut off, so the work must be safe to
        end anywhere. ``name`` is for debugging."""

    def waker(self) -> Waker:
        """Make a waker, not set."""


class Threads:
    """The background of the real program: a daemon thread for each piece of work."""

    def start(self, work: Callable[[], object], name: str) -> Task:
        """Do the work in a thread of its own."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def waker(self) -> Waker:
        """Make a waker, not set."""
        return threading.Event()
