"""Virtual time, and threads of which only the holder of a baton runs.

The program under simulation is written with threads and waits, and runs as it is. Each of its threads is a real one
here, but it gives the baton away whenever it waits, and gets it back at the virtual moment at which its wait is over.
So a run does not depend on the machine: it repeats exactly from its seed.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable

from controller.effects.clock import Clock

#: What a wall clock shows when the simulation begins, in seconds since 1970: 2026-01-01T00:00:00Z.
EPOCH = 1_767_225_600

#: Longer than a thread needs to come to its next wait, in real seconds. A simulation that waits longer is broken.
PATIENCE = 60.0


class Killed(BaseException):
    """The process of this task was killed at this very instruction."""


class Stopped(BaseException):
    """The simulation is over, and the task has to end."""


class Task:
    """A thread of the program. It runs while it has the baton."""

    def __init__(self, scheduler: Scheduler, process: Process | None, name: str) -> None:
        self.scheduler = scheduler
        self.process = process
        self.name = name
        self.ended = False
        #: Counts the waits, so that an event of an earlier wait can be told from one of this wait.
        self.wait_number = 0
        self.baton = threading.Semaphore(0)
        self._joining: list[Task] = []

    def join(self, timeout: float | None = None) -> None:
        """Wait until the task has ended, for ``timeout`` virtual seconds at most."""
        if not self.ended:
            current = self.scheduler.current_task()
            self._joining.append(current)
            self.scheduler.wait(timeout)

    def end(self) -> None:
        """Note that the task has ended, and wake who waits for it."""
        self.ended = True
        for each in self._joining:
            self.scheduler.wake(each)


class SimulatedWaker:
    """See Waker."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiting: Task | None = None

    def set(self) -> None:
        """See Waker."""
        self._is_set = True
        if self._waiting:
            self._scheduler.wake(self._waiting)

    def clear(self) -> None:
        """See Waker."""
        self._is_set = False

    def wait(self, timeout: float) -> bool:
        """See Waker."""
        if not self._is_set:
            self._waiting = self._scheduler.current_task()
            self._scheduler.wait(timeout)
            self._waiting = None
        return self._is_set


class Process:
    """Tasks that are started, frozen and killed together. It is the ``Background`` of the program that runs in it."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self._scheduler = scheduler
        self.name = name
        self.killed = False
        #: Until this virtual time no task of the process gets the baton.
        self.frozen_until = 0.0
        self._tasks: list[Task] = []

    def start(self, work: Callable[[], object], name: str) -> Task:
        """See Background."""
        task = self._scheduler.spawn(work, name, self)
        self._tasks.append(task)
        return task

    def waker(self) -> SimulatedWaker:
        """See Background."""
        return SimulatedWaker(self._scheduler)

    def kill(self) -> None:
        """End every task at its present wait."""
        self.killed = True
        for task in self._tasks:
            if not task.ended:
                self._scheduler.wake(task)

    @property
    def running(self) -> bool:
        """Whether the process has a task that has not ended."""
        return not self.killed and any(not task.ended for task in self._tasks)


class Scheduler:
    """Decides who has the baton and what time it is. ``chance`` decides among events of one moment."""

    def __init__(self, chance: random.Random) -> None:
        self.now = 0.0
        self._chance = chance
        self._sequence = 0
        #: Moment, tie-break, number, and what happens: a call, or the end of a task's wait of this number.
        self._events: list[tuple[float, float, int, Callable[[], object] | tuple[Task, int]]] = []
        self._driver = Task(self, None, "driver")
        self._current = self._driver
        self._tasks: list[Task] = []
        self._failure: BaseException | None = None
        self._stopping = False

    def clock(self, offset: float = 0.0) -> Clock:
        """Return the clock of a host; ``offset`` is how far its wall clock is ahead, in seconds."""
        return Clock(lambda: EPOCH + self.now + offset, lambda: self.now, self.wait)

    def current_task(self) -> Task:
        """Return the task that has the baton."""
        return self._current

    def call_at(self, moment: float, call: Callable[[], object]) -> None:
        """Have something happen at a virtual moment. The call must not wait."""
        self._push(moment, call)

    def spawn(self, work: Callable[[], object], name: str, process: Process | None = None) -> Task:
        """Start a task. It gets the baton for the first time when the present task waits."""
        task = Task(self, process, name)
        self._tasks.append(task)
        threading.Thread(target=self._run, args=(task, work), name=name, daemon=True).start()
        self._push(self.now, (task, task.wait_number))
        return task

    def wait(self, seconds: float | None) -> None:
        """Give the baton away for this many virtual seconds, or until ``wake``."""
        task = self._current
        if seconds is not None:
            self._push(self.now + max(0.0, seconds), (task, task.wait_number))
        self._give_away(task)

    def wake(self, task: Task) -> None:
        """End the present wait of a task now."""
        self._push(self.now, (task, task.wait_number))

    def run_until(self, moment: float) -> None:
        """Let everything happen until a virtual moment. Called by the driver. Raises what a call or task raised."""
        assert self._current is self._driver
        self._push(moment, (self._driver, self._driver.wait_number))
        self._give_away(self._driver)
        if self._failure:
            raise self._failure

    def close(self) -> None:
        """End every task."""
        self._stopping = True
        for task in self._tasks:
            if not task.ended:
                self._current = task
                task.baton.release()
                assert self._driver.baton.acquire(timeout=PATIENCE), f"{task.name} does not end"
        self._current = self._driver

    def _push(self, moment: float, event: Callable[[], object] | tuple[Task, int]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (moment, self._chance.random(), self._sequence, event))

    def _run(self, task: Task, work: Callable[[], object]) -> None:
        """The body of a task's thread."""
        assert task.baton.acquire(timeout=None)
        try:
            self._check(task)
            work()
        except (Killed, Stopped):
            pass
        except BaseException as error:
            self._failure = self._failure or error
        task.end()
        if self._stopping:
            self._driver.baton.release()
        else:
            self._next_task(task)

    def _give_away(self, task: Task) -> None:
        """Hand the baton on, and return when the task has it again. Raises Killed or Stopped."""
        heir = self._next_task(task)
        if heir is not task:
            task.baton.acquire()
        task.wait_number += 1
        self._check(task)

    def _check(self, task: Task) -> None:
        if task is self._driver:
            return
        if self._stopping:
            raise Stopped
        if task.process and task.process.killed:
            raise Killed

    def _next_task(self, giver: Task) -> Task:
        """Let things happen until a task's wait is over; give that task the baton and return it."""
        heir = self._driver if self._failure else self._heir()
        self._current = heir
        if heir is not giver:
            heir.baton.release()
        return heir

    def _heir(self) -> Task:
        while True:
            moment, _, _, event = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            if not isinstance(event, tuple):
                try:
                    event()
                except BaseException as error:
                    self._failure = error
                    return self._driver
                continue
            task, wait_number = event
            if task.ended or wait_number != task.wait_number:
                continue
            frozen_until = task.process.frozen_until if task.process else 0.0
            if frozen_until > self.now and task.process and not task.process.killed:
                self._push(frozen_until, event)
                continue
            return task
