"""Agents whose passes are interleaved one request at a time, in an order that a test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller.effects.clock import Deadline
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import OneByOne, Reading
from model.heartbeat import Heartbeat
from model.interest import Interest
from model.memory import Memory, memory_after
from model.plan import Change
from model.record import InnerPrefix
from model.report import Outcome
from model.stored import Actual, Stored
from tests.support.fakes import FakeSource
from tests.support.memory_registry import Killed, MemoryRegistry

#: Seconds to wait for the agent's thread. It is long enough for a slow machine.
PATIENCE = 30.0


class _Closed(BaseException):
    """The test has ended, so the agent's thread has to end."""


class SteppedAgent(OneByOne):
    """An agent that makes pass after pass in a thread, and pauses before each pass and each request to the registry.

    ``step`` lets it go on to the next pause. ``on_outcome`` is called after each change with its outcome.
    """

    def __init__(
        self,
        settings: PassSettings,
        source: FakeSource,
        registry: MemoryRegistry,
        on_outcome: Callable[[Change, Outcome], None],
    ) -> None:
        self.source = source
        self._settings, self._registry, self._on_outcome = settings, registry, on_outcome
        #: What the agent's thread raises at its next step.
        self._raise_next: type[BaseException] | None = None
        #: What ended the agent's thread before its time.
        self._error: BaseException | None = None
        self._may_go_on, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._passes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait_until_paused()

    def step(self) -> None:
        """Let the agent make one request or begin a pass, and wait until it pauses again."""
        self._may_go_on.release()
        self._wait_until_paused()

    def kill(self) -> None:
        """Kill the agent where it pauses, and start another one, which has an empty memory."""
        self._raise_next = Killed
        self.step()

    def finish(self, passes: int = 1) -> None:
        """Let the agent end its current pass and make this many more."""
        enough = self._passes + passes + 1
        while self._passes < enough:
            self.step()

    def close(self) -> None:
        """End the agent's thread."""
        self._raise_next = _Closed
        self._may_go_on.release()
        self._thread.join(PATIENCE)

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        self._pause()
        return self._registry.read(owner, deadline, consistent=consistent)

    def about_owner(self, owner: str, deadline: Deadline) -> Actual:
        """See Reader."""
        self._pause()
        return self._registry.about_owner(owner, deadline)

    def observe(
        self, interest: Interest, deadline: Deadline, *, consistent: bool = False, hurried: bool = False
    ) -> Reading:
        """See Reader."""
        self._pause()
        return self._registry.observe(interest, deadline, consistent=consistent, hurried=hurried)

    def look_up(self, interest: Interest, deadline: Deadline, again: frozenset[str] = frozenset()) -> Reading:
        """See Reader."""
        if again:
            self._pause()
        return self._registry.look_up(interest, deadline, again)

    def take_in(self, owner: str, outcome: Outcome) -> None:
        """See Reader."""
        self._registry.take_in(owner, outcome)

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        self._pause()
        return self._registry.other_records(owner, deadline)

    def inner_prefixes(self, deadline: Deadline) -> tuple[InnerPrefix, ...]:
        """See Reader."""
        self._pause()
        return self._registry.inner_prefixes(deadline)

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Registry."""
        self._pause()
        outcome = self._registry.apply(owner, change, deadline)
        self._on_outcome(change, outcome)
        return outcome

    def show_alive(self, owner: str, heartbeat: Heartbeat, deadline: Deadline) -> None:
        """See Writer."""
        self._pause()
        self._registry.show_alive(owner, heartbeat, deadline)

    def _wait_until_paused(self) -> None:
        assert self._paused.acquire(timeout=PATIENCE), "the agent neither paused nor ended"
        if self._error:
            raise self._error

    def _pause(self) -> None:
        self._paused.release()
        self._may_go_on.acquire()
        error, self._raise_next = self._raise_next, None
        if error:
            raise error

    def _run(self) -> None:
        memory = Memory()
        try:
            while True:
                try:
                    self._pause()
                    memory = memory_after(reconcile(self._settings, self.source, self, memory), memory)
                except Killed:
                    memory = Memory()
                self._passes += 1
        except _Closed:
            return
        except BaseException as error:
            self._error = error
            self._paused.release()
