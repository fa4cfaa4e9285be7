"""Two agents whose passes are interleaved, a step of the registry at a time, in an order that a test chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller.clock import Deadline
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import OneByOne
from model.memory import Memory, memory_after
from model.plan import Change
from model.report import Outcome
from model.stored import Actual, Stored
from tests.support.fakes import FakeSource
from tests.support.memory_registry import Killed, MemoryRegistry

#: Long enough for any machine to get to a thread.
PATIENCE = 30.0


class _Over(BaseException):
    """The test is over."""


class Player(OneByOne):
    """An agent that stands still before each request to the registry, until it is given a step.

    ``told`` hears of each change that was made, once it is made.
    """

    def __init__(
        self, task: PassSettings, source: FakeSource, registry: MemoryRegistry, told: Callable[[Change, Outcome], None]
    ) -> None:
        self.source = source
        self._task, self._registry, self._told = task, registry, told
        self._order: type[BaseException] | None = None
        self._broken: BaseException | None = None
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._passes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    def step(self) -> None:
        """Let it make one request, or begin a pass, and go on to the next one."""
        self._go.release()
        self._wait()

    def kill(self) -> None:
        """End its process where it stands; another one is started, which remembers nothing."""
        self._order = Killed
        self.step()

    def finish(self, passes: int = 1) -> None:
        """Let it end the pass that it is in, and make so many more."""
        enough = self._passes + passes + 1
        while self._passes < enough:
            self.step()

    def close(self) -> None:
        """Leave it alone for good."""
        self._order = _Over
        self._go.release()
        self._thread.join(PATIENCE)

    def read(self, owner: str, deadline: Deadline, *, consistent: bool = False) -> Actual:
        """See Reader."""
        self._stand()
        return self._registry.read(owner, deadline, consistent=consistent)

    def other_records(self, owner: str, deadline: Deadline) -> tuple[Stored, ...]:
        """See Reader."""
        self._stand()
        return self._registry.other_records(owner, deadline)

    def apply(self, owner: str, change: Change, deadline: Deadline) -> Outcome:
        """See Registry."""
        self._stand()
        outcome = self._registry.apply(owner, change, deadline)
        self._told(change, outcome)
        return outcome

    def _wait(self) -> None:
        assert self._stands.acquire(timeout=PATIENCE), "the agent does not come to a stand"
        if self._broken:
            raise self._broken

    def _stand(self) -> None:
        self._stands.release()
        self._go.acquire()
        order, self._order = self._order, None
        if order:
            raise order

    def _run(self) -> None:
        memory = Memory()
        try:
            while True:
                try:
                    self._stand()
                    memory = memory_after(reconcile(self._task, self.source, self, memory), memory)
                except Killed:
                    memory = Memory()
                self._passes += 1
        except _Over:
            return
        except BaseException as error:
            self._broken = error
            self._stands.release()
