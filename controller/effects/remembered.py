"""Remember what name servers answered to a question, and ask them again in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from controller.effects.background import Background
from controller.effects.clock import Clock

T = TypeVar("T")

#: Seconds between two look-ups of the same name.
REFRESH = 30.0

#: The least seconds between two look-ups. A look-up that failed is repeated after this time.
RETRY = 5.0


class Remembered(Generic[T]):
    """The last answer to one question. If a look-up fails, or nothing is found, the answer before it stays."""

    def __init__(self, look_up: Callable[[], Sequence[T]], subject: str, background: Background, clock: Clock) -> None:
        """``look_up`` asks name servers, however long they take, and raises OSError or UnicodeError. ``subject`` is
        what is looked up, as the beginning of a message. Nothing is asked yet."""
        self._look_up_once, self._subject, self._clock = look_up, subject, clock
        self._answered, self._doubted = background.waker(), background.waker()
        self._asked_before = self._ended = False
        self._answer: Sequence[T] = ()
        #: Why the last look-up failed; empty if it found something.
        self.problem = "the name servers have not answered yet"

    def answer(self, seconds: float) -> Sequence[T]:
        """Return the answer. The first call waits for it, for ``seconds`` at most, and later calls never wait. Raises
        OSError if no answer is known."""
        if not self._asked_before:
            self._answered.wait(seconds)
            self._asked_before = True
        if not self._answer:
            raise OSError(f"{self._subject} is unknown: {self.problem}")
        return self._answer

    def doubt(self) -> None:
        """Have it looked up again soon."""
        self._doubted.set()

    def end(self) -> None:
        """End ``keep_up``, after at most RETRY seconds."""
        self._ended = True
        self._doubted.set()

    def keep_up(self) -> None:
        """Look it up again and again. This runs in the background."""
        while not self._ended:
            wait = REFRESH - RETRY if self._look_up() else 0.0
            self._answered.set()
            self._clock.sleep(RETRY)
            self._doubted.wait(wait)
            self._doubted.clear()

    def _look_up(self) -> bool:
        """Ask, however long it takes. Return whether something was found."""
        try:
            found = self._look_up_once()
        except (OSError, UnicodeError) as error:  # A name that is no host name raises UnicodeError.
            self.problem = str(error)
            return False
        if found:
            self._answer, self.problem = found, ""
        return bool(found)
