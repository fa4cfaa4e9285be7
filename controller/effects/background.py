"""Work that runs beside the caller. No other module starts a thread or waits for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Task(Protocol):
    """Work that was started in the background."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until the work has ended, for at most ``timeout`` seconds. None means as long as it takes."""


class Waker(Protocol):
    """Lets one piece of work end the wait of another."""

    def set(self) -> None:
        """End the current wait, or else the next one."""

    def clear(self) -> None:
        """Forget an earlier ``set``."""

    def wait(self, timeout: float) -> bool:
        """Wait until ``set`` is called, for at most ``timeout`` seconds. Return whether it was called."""


class Background(Protocol):
    """Starts work in the background. A simulation passes its own, and so decides which work runs when."""

    def start(self, work: Callable[[], object], name: str) -> Task:
        """Run the work beside the caller. ``name`` is for debugging.

        Work that still runs when the program ends is cut off, so it must be safe to end anywhere.
        """

    def waker(self) -> Waker:
        """Return a new waker, on which ``set`` has not been called."""


class Threads:
    """The background of the real program. Each piece of work has a daemon thread."""

    def start(self, work: Callable[[], object], name: str) -> Task:
        """Run the work in a thread of its own."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def waker(self) -> Waker:
        """Return a new waker, on which ``set`` has not been called."""
        return threading.Event()
