"""The containers that hints name, and what the engine says of them when it is asked at once.

Each of them is inspected in the background. Its end needs no inspect: the engine tells of an end by an event, shows the
container in its list for up to 1.6 seconds after it, and does not answer an inspect until it has cleared up. So a
container that an event ended counts as ended until an inspect says that it runs.

One thread calls all methods, and owns all state here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import inf

from attrs import define, field

from controller.effects.clock import Clock
from controller.source.engine_client import EngineClient
from controller.source.events import Hints
from controller.source.questions import Answer, Inquiry, Questions, Silence
from controller.source.sent_signals import SentSignals
from model.container import Container
from model.hint import Hint, HintKind
from model.hint_pace import CRASH_LOOP_INTERVAL, Run
from model.snapshot import UnknownContainer

#: Seconds for which the end of a container waits for an inspect that says that it runs. An end does not wait if it is
#: expected, because somebody sent the container a signal.
DOUBT = 0.001

#: Seconds for which an end waits for an inspect if its hint is late. The container may run again by then. An engine
#: that has cleared up answers at once.
DOUBT_IF_LATE = 0.5

#: Seconds for which the start of a container waits for the inspects of those that join its network.
PATIENCE_WITH_JOINERS = 0.5

#: Seconds by which a wait may end too early.
EARLY = 0.0002

#: Seconds after its last hint for which the runs of a container that is not listed are remembered.
MEMORY = 60.0

#: What is known of a container; None: it is not there, or does not run.
State = Container | UnknownContainer | None


@define
class _Told:
    """What was told of one container since the last list. Moments are in seconds of the monotonic clock."""

    #: When the last question about it was asked.
    asked_at: float = -inf
    #: Whether that question is open, and whether a hint has come since.
    is_open: bool = False
    again: bool = False
    #: The last answer of an inspect; None if there was none.
    answer: Answer[Container | None] | None = None
    #: The hint of its end, and when it was noted; None if the container has not ended, or an inspect has answered
    #: since.
    died: Hint | None = None
    died_at: float = -inf
    #: Until when the hint of its end waits for an inspect that says that it runs.
    doubted_until: float = -inf
    #: Until when its start waits for those that join its network; infinity if it does not wait.
    joined_until: float = inf

    def state(self, known: State) -> State:
        """Return what is known of the container, where ``known`` is what was known before."""
        latest = self.answer.value if self.answer else known
        return None if self._ends(latest) else latest

    def _ends(self, container: State) -> bool:
        return isinstance(container, Container) and self.died is not None and self.died.ended(container)

    def note_answer(self, answer: Answer[Container | None]) -> None:
        """Note the answer of an inspect. One that was asked before the container's end says nothing about the end."""
        if self.asked_at < self.died_at and self._ends(answer.value):
            return
        self.answer, self.died = answer, None


_NOTHING_TOLD = _Told()


def _was_started(before: State, now: State) -> bool:
    """Return whether a container runs, and another run of it was known before, or none."""
    return isinstance(now, Container) and not (isinstance(before, Container) and before.started == now.started)


@define
class _Life:
    """The runs of one container."""

    run: Run = field(factory=Run)
    #: When the last hint of it was noted, and when its last change acted, in seconds of the monotonic clock.
    hinted_at: float = -inf
    changed_at: float = -inf


class HintedContainers:
    """What hints have told of containers."""

    def __init__(
        self,
        subscription: Hints,
        questions: Questions[EngineClient, Container | None],
        inspect: Callable[[str], Inquiry[EngineClient, Container | None]],
        clock: Clock,
        signals: SentSignals,
        *,
        ends_at_once: bool,
    ) -> None:
        """``inspect`` takes the id of a container and returns the inquiry that inspects it. ``signals`` receives each
        hint, because it may be about a signal. ``ends_at_once`` says whether a hint alone ends a container. It must not
        if the exit code matters, which only an inspect tells."""
        self._subscription, self._questions, self._inspect = subscription, questions, inspect
        self._clock, self._signals = clock, signals
        self._ends_at_once = ends_at_once
        self._told: dict[str, _Told] = {}
        self._lives: dict[str, _Life] = {}
        #: The ids of the containers of which something was told that ``take_in`` has not returned yet.
        self._new: set[str] = set()
        #: The ids of the containers to inspect again. That is left to the next call of ``take_in``, because the pass
        #: that uses the answer at hand need not wait for the start of the inspect.
        self._again: set[str] = set()
        #: When ``take_in`` may return more although nothing more is told; None if that cannot be.
        self.look_at: float | None = None
        #: Whether an inspect failed since ``take_gap`` was called.
        self._failed = False

    @property
    def flow(self) -> bool:
        """Whether all events arrive as they happen."""
        return self._subscription.flows

    def take_gap(self) -> bool:
        """Return whether events or answers may have been missed since the last call, so that the containers have to be
        listed."""
        failed, self._failed = self._failed, False
        return self._subscription.take_gap() or failed

    def take_in(self, known: Mapping[str, State], *, crash_loops_too: bool) -> dict[str, State]:
        """Return the states of the containers of which something new was told, by id. ``known`` has what was known
        before. The changes of a container in a crash loop wait, unless ``crash_loops_too``."""
        now = self._clock.monotonic()
        for container_id in self._taken_again():
            self._ask(container_id)
        for hint in self._subscription.take():
            self._note_hint(hint, now)
        for container_id, reply in self._questions.results().items():
            self._note_reply(container_id, reply, now)
        due = {each: self._due(each, crash_loops_too=crash_loops_too) for each in self._new}
        ready = [
            each for each, moment in due.items() if moment <= now + EARLY and not self._awaits_joiners(each, known, now)
        ]
        self._new.difference_update(ready)
        later = [self._later(each, due[each]) for each in self._new] + [now] * bool(self._again)
        self.look_at = min(later, default=None)
        for each in ready:
            self._life(each).changed_at = now
        return {each: self._told[each].state(known.get(each)) for each in ready}

    def _taken_again(self) -> set[str]:
        """Return the containers to inspect again, and forget that they are to be."""
        again, self._again = self._again, set()
        return again

    def _due(self, container_id: str, *, crash_loops_too: bool) -> float:
        """Return when what was told of a container may act, in seconds of the monotonic clock."""
        told, life = self._told[container_id], self._life(container_id)
        waits_for_inspect = told.doubted_until if told.died else -inf
        if life.run.in_crash_loop and not crash_loops_too:
            return max(waits_for_inspect, life.changed_at + CRASH_LOOP_INTERVAL)
        return waits_for_inspect

    def _awaits_joiners(self, container_id: str, known: Mapping[str, State], now: float) -> bool:
        """Return whether what was told of a container waits for those that join its network, and have them inspected.

        They have lost their network by a start of the container, unless they were started again, too. Whoever looked at
        the start alone would take their entries away.
        """
        told, before = self._told[container_id], known.get(container_id)
        joiners = self._joiners(container_id, known) if _was_started(before, told.state(before)) else []
        for each in joiners:
            if self._told.get(each, _NOTHING_TOLD).asked_at < told.asked_at:
                self._ask(each)
        if not any(self.is_asked(each) or each in self._again for each in joiners):
            told.joined_until = inf
            return False
        told.joined_until = min(told.joined_until, now + PATIENCE_WITH_JOINERS)
        return now + EARLY < told.joined_until

    @staticmethod
    def _joiners(container_id: str, known: Mapping[str, State]) -> list[str]:
        return [each.id for each in known.values() if isinstance(each, Container) and each.joined == container_id]

    def _later(self, container_id: str, due: float) -> float:
        """Return when to look at a container again that is not ready."""
        joined_until = self._told[container_id].joined_until
        return due if joined_until == inf else max(due, joined_until)

    def _note_hint(self, hint: Hint, now: float) -> None:
        life = self._life(hint.container)
        expected = life.run.signalled
        life.run, life.hinted_at = life.run.after(hint), now
        told = self._told.setdefault(hint.container, _Told())
        is_newer = told.died is None or hint.nanoseconds > told.died.nanoseconds
        if hint.kind is HintKind.START and is_newer:
            told.died = None
        elif hint.kind is HintKind.DIE and is_newer and self._ends_at_once:
            told.died, told.died_at = hint, now
            told.doubted_until = now + self._doubt(hint, expected=expected)
            self._new.add(hint.container)
        self._signals.note(hint, now, self._clock.wall())
        self._ask(hint.container)

    @staticmethod
    def _doubt(hint: Hint, *, expected: bool) -> float:
        """Return for how many seconds the end that a hint tells of waits for an inspect that says that the container
        runs."""
        if hint.late:
            return DOUBT_IF_LATE
        return 0.0 if expected else DOUBT

    def ask_later(self, container_id: str) -> None:
        """Have a container inspected when ``take_in`` is called next."""
        self._again.add(container_id)

    def _ask(self, container_id: str) -> None:
        """Have a container inspected at once, in the background. If it is being inspected, it is inspected again."""
        told = self._told.setdefault(container_id, _Told())
        if told.is_open:
            told.again = True
            return
        told.is_open, told.asked_at = True, self._clock.monotonic()
        self._questions.begin(container_id, self._inspect(container_id))

    def _note_reply(self, container_id: str, reply: Answer[Container | None] | Silence, now: float) -> None:
        told = self._told[container_id]
        told.is_open = False
        if isinstance(reply, Answer):
            told.note_answer(reply)
            self._new.add(container_id)
            self._signals.note_answer(container_id, told.asked_at)
        else:
            self._failed = True
        if told.again:
            told.again = False
            self.ask_later(container_id)

    def _life(self, container_id: str) -> _Life:
        return self._lives.setdefault(container_id, _Life())

    # What the reading of the list needs.

    def ends(self, container_id: str, known: State) -> bool:
        """Return whether a hint ended this container, which was known as ``known``, and no inspect has answered
        since."""
        told = self._told.get(container_id)
        return told is not None and told.died is not None and told.state(known) is None

    def is_asked(self, container_id: str) -> bool:
        """Return whether the container is being inspected because of a hint."""
        told = self._told.get(container_id)
        return told is not None and told.is_open

    def described(self, container_id: str) -> tuple[Container, float] | None:
        """Return the container as an inspect described it because of a hint since the last list, and when that inspect
        was asked for; None if there was none."""
        told = self._told.get(container_id)
        if told and told.answer and told.answer.value and not told.is_open:
            return told.answer.value, told.asked_at
        return None

    def forget(self, listed: Collection[str], ended: Collection[str], listed_at: float) -> None:
        """Forget what a list is newer than. ``listed`` are the ids in it, ``ended`` those of the containers of which
        it shows nothing but what they were before their end, and ``listed_at`` is when it was asked for."""
        for container_id, told in [*self._told.items()]:
            if container_id in listed and container_id not in ended:
                told.died = None
            if told.is_open or (told.died and container_id in listed):
                told.answer = None
            elif told.asked_at < listed_at:
                del self._told[container_id]
                self._new.discard(container_id)
        for container_id, life in [*self._lives.items()]:
            if container_id not in listed and life.hinted_at < listed_at - MEMORY:
                del self._lives[container_id]
        self._signals.forget(listed, listed_at)
