"""Ask the engine questions in the background, beside the pass, so that a question that hangs holds up nothing else.

Two workers ask one question after the other, so that the engine works on one while the answer to another is read.
More threads make a healthy engine no faster. When no question is answered for a moment, more workers start and take the
questions that wait. So no question waits for long behind one that hangs, and an engine that is only slow is not
flooded.

``Questions`` is always called from the same thread, and that thread owns all state here. Workers share with it only
the queues, whose operations are atomic, and the questions that they are asking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from attrs import define, frozen

from controller.effects.background import Background
from controller.effects.clock import Clock, Deadline

#: How many workers ask the questions that ``ask`` waits for, until one is slow.
WORKERS = 2

#: Seconds after which a question is slow. When no question has ended for this time, more workers are started.
SLOW = 0.1

#: How many workers are started the first, second, and each further time that no question has ended for SLOW seconds
#: while ``ask`` waits. The last number counts for all that follow.
MORE_WORKERS = (4, 16, 32)

#: Maximum number of workers. A worker whose question hangs counts until the time-out of its connection ends the
#: question.
MAX_WORKERS = 256

#: How many workers ask questions that were begun and are not slow. An inspect blocks while its container ends, so one
#: worker would hold up the others.
MAX_PROMPT_WORKERS = 16

#: Maximum number of connections that are kept while no worker uses them.
MAX_IDLE = 16

#: A question is repeated only while there are fewer workers than this. The rest of MAX_WORKERS is kept for first
#: questions.
MAX_WORKERS_FOR_REPEATS = 128

#: Seconds from the end of a slow question that got no answer to the next question about its subject: after the first
#: such question, the second, and so on. The last number counts for all that follow. The wait grows because the engine
#: may keep every such question.
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)

#: Seconds after which a question is given up although its connection still waits. Usually the time-outs of the
#: connection end it earlier.
LIMIT = 15.0


class Client(Protocol):
    """A connection to the engine."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Client)
A = TypeVar("A")
T = TypeVar("T")


@frozen
class Inquiry(Generic[C, A]):
    """What is to be asked about a subject."""

    #: Asks the engine. Any exception counts as no answer.
    ask: Callable[[C], A]
    #: Returns whether the answer to a question from an earlier call of ``ask`` may still be used.
    holds: Callable[[A], bool] = lambda answer: True
    #: What the engine's list shows of the subject. When it changes, the subject's back-off ends.
    seen: object = None


@frozen
class Answer(Generic[A]):
    """The engine answered."""

    value: A


@frozen
class Silence:
    """The engine did not answer, or answered with an error."""

    #: For how long it has not answered.
    seconds: float
    #: The error of the last question that ended; None if no question has ended.
    error: Exception | None = None


@define(eq=False)
class _Question(Generic[C, A]):
    """A question that was asked. Moments are in seconds of the monotonic clock."""

    subject: str
    inquiry: Inquiry[C, A]
    asked_at: float
    #: When a worker began to ask it, and when it ended; None before that.
    begun_at: float | None = None
    ended_at: float | None = None
    #: The answer; None while the question is open, and after an error.
    answer: Answer[A] | None = None
    error: Exception | None = None
    #: Whether its subject gets a back-off if it was slow and ended without an answer.
    backs_off: bool = True

    def lasts(self, seconds: float, now: float) -> bool:
        """Return whether asking it has taken at least ``seconds``, until its end or until now."""
        return self.begun_at is not None and (self.ended_at or now) - self.begun_at >= seconds


@define(eq=False)
class _Worker(Generic[C, A]):
    """A worker, which asks questions in the background."""

    #: The question that it asks first; None: it begins with the first question that waits.
    first: _Question[C, A] | None
    #: When it began with the question that it asks, in seconds of the monotonic clock.
    busy_since: float
    ended: bool = False


@define
class _SlowSubject:
    """A subject about which the engine was slow. Moments are in seconds of the monotonic clock."""

    since: float
    #: What was seen of the subject when it was last asked about.
    seen: object
    #: How many questions in a row ended without an answer.
    failures: int = 0
    #: When it may be asked about again.
    again_at: float = 0.0
    #: The error of the last question that ended.
    error: Exception | None = None

    def failed(self, error: Exception | None, now: float) -> None:
        """Note that one more question ended without an answer."""
        self.failures += 1
        self.again_at = now + BACKOFF[min(self.failures, len(BACKOFF)) - 1]
        self.error = error

    def is_due(self, seen: object, now: float) -> bool:
        """Return whether the subject may be asked about again: its back-off is over, or it looks changed."""
        return now >= self.again_at or seen != self.seen


class Questions(Generic[C, A]):
    """The questions of one kind, at most one about each subject at a time."""

    def __init__(
        self,
        dial: Callable[[], C],
        background: Background,
        clock: Clock,
        patience: float,
        on_error: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """``dial`` connects to the engine, for one worker. ``patience`` is how many seconds ``ask`` waits for the
        answer to a first question. ``on_error`` is called for each question that ended without an answer, and
        ``on_end`` for each that ended, as soon as it has, in the background."""
        self._dial = dial
        self._background = background
        self._clock = clock
        self._patience = patience
        self._on_error = on_error
        self._on_end = on_end
        #: Set when a worker ends.
        self._waker = background.waker()
        #: The questions that no worker has begun with, and those that workers have ended.
        self._waiting: deque[_Question[C, A]] = deque()
        self._ended: deque[_Question[C, A]] = deque()
        #: The connections that no worker uses.
        self._idle: deque[C] = deque()
        self._workers: list[_Worker[C, A]] = []
        #: The questions whose end was not noted yet, by subject.
        self._open: dict[str, _Question[C, A]] = {}
        #: The questions whose end was noted, and not yet returned by ``ask``, by subject.
        self._untold: dict[str, _Question[C, A]] = {}
        #: The subjects about which the engine was slow.
        self._slow: dict[str, _SlowSubject] = {}

    def ask(self, inquiries: Mapping[str, Inquiry[C, A]], deadline: Deadline) -> Mapping[str, Answer[A] | Silence]:
        """Return the answer or the silence about each subject. Subjects that are not in ``inquiries`` are forgotten.

        This waits only for answers to first questions, and for at most half of the time until the deadline. A first
        question is about a subject that is not known to be slow. If the engine is slow about a subject, it is asked
        about it again in the background, with a back-off for this subject, and a later call returns the answer.
        """
        began = self._clock.monotonic()
        self._note_ends()
        self._slow = {subject: slow for subject, slow in self._slow.items() if subject in inquiries}
        replies = self._tell(inquiries, began)
        first = []
        for subject, inquiry in inquiries.items():
            if subject in replies or subject in self._open:
                continue
            if slow := self._slow.get(subject):
                self._repeat(_Question(subject, inquiry, began), slow)
            else:
                first.append(_Question(subject, inquiry, began))
        self._put(first)
        self._wait_for(first, Deadline.after(deadline.left / 2, self._clock))
        replies |= self._tell(inquiries, began)
        return {subject: replies.get(subject) or self._silence(subject, each) for subject, each in inquiries.items()}

    def begin(self, subject: str, inquiry: Inquiry[C, A]) -> None:
        """Have a question asked in the background, and return without waiting. ``results`` returns its answer. No
        question about this subject may be open.

        The question is asked at once, unless MAX_PROMPT_WORKERS ask others and none of those is slow.

        Use this or ``ask`` of one object, not both.
        """
        question = _Question(subject, inquiry, self._clock.monotonic(), backs_off=False)
        self._open[subject] = question
        self._waiting.append(question)
        self._start_prompt_workers()

    def results(self) -> Mapping[str, Answer[A] | Silence]:
        """Return the answers to the questions that were begun and have ended since the last call, without waiting. A
        question that ended without an answer is a silence, whose subject has no back-off."""
        self._note_ends()
        self._start_prompt_workers()
        untold, self._untold = self._untold, {}
        return {subject: question.answer or self._failed(question) for subject, question in untold.items()}

    def reset(self) -> None:
        """Forget everything except open questions, and close the connections that no worker uses. This is for a lost
        connection: when the engine is back, it may be another one."""
        self._note_ends()
        while client := _taken(self._idle):
            client.close()
        self._untold, self._slow = {}, {}

    # Asking.

    def _put(self, questions: list[_Question[C, A]]) -> None:
        """Have the questions asked for which ``ask`` waits."""
        self._open |= {each.subject: each for each in questions}
        self._waiting.extend(questions)
        if self._waiting:
            self._start_workers(WORKERS)

    def _repeat(self, question: _Question[C, A], slow: _SlowSubject) -> None:
        """Have a question repeated by a worker of its own, if its back-off is over."""
        if slow.is_due(question.inquiry.seen, question.asked_at) and self._count_workers() < MAX_WORKERS_FOR_REPEATS:
            slow.seen = question.inquiry.seen
            self._open[question.subject] = question
            self._start_worker(question)

    def _wait_for(self, questions: list[_Question[C, A]], deadline: Deadline) -> None:
        """Wait until each question has ended, or a worker has been asking it for as long as the patience lasts."""
        more = iter(MORE_WORKERS)
        self._note_ends()
        while any(self._is_waited_for(each) for each in questions) and not deadline.passed:
            before = len(self._open)
            self._waker.wait(min(SLOW, deadline.left))
            self._waker.clear()
            self._note_ends()
            if len(self._open) == before:
                self._start_workers(next(more, MORE_WORKERS[-1]))

    def _is_waited_for(self, question: _Question[C, A]) -> bool:
        overdue = question.ended_at is None and question.lasts(self._patience, self._clock.monotonic())
        return self._open.get(question.subject) is question and not overdue

    def _start_workers(self, number: int) -> None:
        """Start this number of workers, or fewer if fewer questions wait or MAX_WORKERS is reached."""
        for _ in range(min(number, len(self._waiting), MAX_WORKERS - self._count_workers())):
            self._start_worker(None)

    def _start_prompt_workers(self) -> None:
        """Start workers for the questions that wait, so that at most MAX_PROMPT_WORKERS ask one that is not slow."""
        if self._waiting:
            now = self._clock.monotonic()
            prompt = sum(not each.ended and now - each.busy_since < SLOW for each in self._workers)
            self._start_workers(MAX_PROMPT_WORKERS - prompt)

    def _count_workers(self) -> int:
        self._workers = [each for each in self._workers if not each.ended]
        return len(self._workers)

    def _start_worker(self, first: _Question[C, A] | None) -> None:
        """Start a worker. It begins with the question ``first``; if that is None, with the first one that waits."""
        worker = _Worker[C, A](first, self._clock.monotonic())
        self._workers.append(worker)
        self._background.start(lambda: self._work(worker), name="questions to the engine")

    def _work(self, worker: _Worker[C, A]) -> None:
        """Ask one question after the other, until none waits. This runs in the background."""
        client = _taken(self._idle)
        question = worker.first or _taken(self._waiting)
        while question:
            question.begun_at = worker.busy_since = self._clock.monotonic()
            try:
                client = client or self._dial()
                question.answer = Answer(question.inquiry.ask(client))
            except Exception as error:  # Whatever it is, the thread that asks has to deal with it.
                question.error = error
            question.ended_at = self._clock.monotonic()
            self._ended.append(question)
            self._on_end()
            question = _taken(self._waiting)
        self._leave(client)
        worker.ended = True
        self._waker.set()

    def _leave(self, client: C | None) -> None:
        """Keep a connection for another worker, or close it if there are enough of them."""
        if client and len(self._idle) < MAX_IDLE:
            self._idle.append(client)
        elif client:
            client.close()

    # Noting and returning the results.

    def _note_ends(self) -> None:
        """Note which questions have ended, and give up those that have been open for too long."""
        now = self._clock.monotonic()
        while question := _taken(self._ended):
            self._note_end(question)
        for question in [each for each in self._open.values() if each.lasts(LIMIT, now) and each.ended_at is None]:
            question.error, question.ended_at = TimeoutError(), now
            self._note_end(question)

    def _note_end(self, question: _Question[C, A]) -> None:
        """Note the end of a question, unless it was given up before."""
        subject, now = question.subject, self._clock.monotonic()
        if self._open.get(subject) is not question:
            return
        del self._open[subject]
        if question.answer:
            self._untold[subject] = question
            return
        self._on_error()
        if question.backs_off and (question.lasts(SLOW, now) or subject in self._slow):
            slow = self._slow.setdefault(subject, _SlowSubject(question.asked_at, question.inquiry.seen))
            slow.failed(question.error, now)
        else:
            self._untold[subject] = question

    def _tell(self, inquiries: Mapping[str, Inquiry[C, A]], began: float) -> dict[str, Answer[A] | Silence]:
        """Return the results of questions that ended. An answer to a question of an earlier call is used only if the
        inquiry says that it still holds."""
        untold, self._untold = self._untold, {}
        told: dict[str, Answer[A] | Silence] = {}
        for subject, question in untold.items():
            inquiry, answer = inquiries.get(subject), question.answer
            if inquiry is None:
                continue
            if answer is None:
                told[subject] = self._failed(question)
            elif question.asked_at >= began or inquiry.holds(answer.value):
                told[subject] = answer
                self._slow.pop(subject, None)
        return told

    def _failed(self, question: _Question[C, A]) -> Silence:
        return Silence(self._clock.monotonic() - question.asked_at, question.error)

    def _silence(self, subject: str, inquiry: Inquiry[C, A]) -> Silence:
        """Return for how long the engine has not answered about a subject. From now on, the subject counts as slow."""
        now, question = self._clock.monotonic(), self._open.get(subject)
        since = question.asked_at if question else now
        slow = self._slow.setdefault(subject, _SlowSubject(since, inquiry.seen))
        return Silence(now - slow.since, slow.error)


def _taken(queue: deque[T]) -> T | None:
    """Take the first item out of a queue, and return it; None if the queue is empty."""
    try:
        return queue.popleft()
    except IndexError:
        return None
