"""Tests of the questions to the engine that are asked beside the pass, in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from controller.effects.clock import Deadline
from controller.source.questions import (
    BACKOFF,
    LIMIT,
    MAX_IDLE,
    MAX_PROMPT_WORKERS,
    MAX_WORKERS,
    MAX_WORKERS_FOR_REPEATS,
    WORKERS,
    Answer,
    Inquiry,
    Questions,
    Silence,
)
from tests.simulation.scheduler import Process, Scheduler

#: Seconds that ``ask`` waits for the answer to a first question, and the time-out of a connection in these tests.
PATIENCE, TIMEOUT = 0.5, 5.0

#: How long ``ask`` takes if it waits for PATIENCE seconds: it looks for answers only now and then.
ABOUT_PATIENCE: Any = pytest.approx(PATIENCE + 0.05, abs=0.07)

#: Seconds that a prompt answer takes.
PROMPT = 0.001

FOREVER = 1e9

T = TypeVar("T")

Replies = Mapping[str, Answer[str] | Silence]


def about(seconds: float, within: float = 1e-6) -> Any:
    """Return a value that equals each number that is close to this many seconds."""
    return pytest.approx(seconds, abs=within)


class Client:
    """A connection to the engine of these tests."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        """Close it."""
        self._engine.open -= 1


class Engine:
    """An engine that takes its time, and that keeps note of the questions that it is asked."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(random.Random(1))
        self.process = Process(self.scheduler, "agent")
        #: Seconds until the answer about each subject; subjects that are not in here are answered about promptly.
        self.takes: dict[str, float] = {}
        #: The time-out of a connection for a whole question, in seconds.
        self.timeout = TIMEOUT
        self.errors: dict[str, Exception] = {}
        #: The subject of each question, and the time at which it was asked.
        self.asked: list[tuple[str, float]] = []
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight = 0
        self.open = self.dials = self.failures = self.ends = 0
        self.questions = Questions[Client, str](
            self._dial, self.process, self.scheduler.clock(), PATIENCE, self._on_error, self._on_end
        )

    def _dial(self) -> Client:
        self.dials += 1
        self.open += 1
        return Client(self)

    def _on_error(self) -> None:
        self.failures += 1

    def _on_end(self) -> None:
        self.ends += 1

    def inquiry(self, subject: str, *, holds: bool = True, seen: object = None) -> Inquiry[Client, str]:
        """Return the inquiry about a subject."""

        def answer(client: Client) -> str:
            self.asked.append((subject, self.scheduler.now))
            self.in_flight[subject] += 1
            assert self.in_flight[subject] == 1 or self.timeout > LIMIT, "two questions about one subject"
            self.most_in_flight = max(self.most_in_flight, self.in_flight.total())
            takes = self.takes.get(subject, PROMPT)
            self.scheduler.wait(min(takes, self.timeout))
            self.in_flight[subject] -= 1
            if error := self.errors.get(subject) or (TimeoutError("slow") if takes > self.timeout else None):
                raise error
            return f"{subject} at {self.scheduler.now:.1f}"

        return Inquiry(answer, lambda value: holds, seen)

    def ask(self, *subjects: str, seconds: float = 10.0, **inquiry: bool | object) -> tuple[Replies, float]:
        """Ask about the subjects; return the replies, and the seconds that this took."""
        inquiries = {each: self.inquiry(each, **inquiry) for each in subjects}  # type: ignore[arg-type]
        began = self.scheduler.now
        replies = self.questions.ask(inquiries, Deadline.after(seconds, self.scheduler.clock()))
        return replies, self.scheduler.now - began

    def moments(self, subject: str) -> list[float]:
        """Return the times at which the subject was asked about."""
        return [moment for asked, moment in self.asked if asked == subject]

    def run(self, work: Callable[[], T]) -> T:
        """Do the work in the thread that asks, and return its result."""
        done: list[T] = []
        self.process.start(lambda: done.append(work()), "asking")
        self.scheduler.run_until(self.scheduler.now + 10_000.0)
        return done[0]


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Yield an engine that answers promptly."""
    engine = Engine()
    yield engine
    engine.scheduler.close()


def answered(replies: Replies) -> list[str]:
    """Return the subjects about which the engine answered."""
    return [subject for subject, reply in replies.items() if isinstance(reply, Answer)]


def named(start: str, number: int) -> list[str]:
    """Return the names of this many subjects."""
    return [f"{start}-{each}" for each in range(number)]


def test_a_prompt_engine_is_asked_by_two_workers_over_a_connection_each(engine: Engine) -> None:
    """The questions need no further workers and no waits. The connections serve the next call, too."""

    def work() -> tuple[Replies, float]:
        engine.ask("before")
        return engine.ask(*named("c", 50))

    replies, seconds = engine.run(work)
    assert answered(replies) == named("c", 50)
    assert (engine.dials, engine.most_in_flight) == (WORKERS, WORKERS)
    assert seconds == about(25 * PROMPT)


def test_nothing_is_asked_and_nobody_waits_where_nothing_is_inquired_about(engine: Engine) -> None:
    """The usual pass asks nothing."""
    assert engine.run(engine.ask) == ({}, 0.0)
    assert engine.dials == 0


def test_a_subject_that_hangs_is_waited_for_once(engine: Engine) -> None:
    """The silence about the subject says for how long there has been no answer. Later calls do not wait for the
    subject."""
    engine.takes["hung"] = FOREVER

    def work() -> list[tuple[Replies, float]]:
        calls = []
        for _ in range(3):
            calls.append(engine.ask("hung", "web"))
            engine.scheduler.wait(1.0)
        return calls

    first, *later = engine.run(work)
    assert first == ({"hung": Silence(ABOUT_PATIENCE), "web": first[0]["web"]}, ABOUT_PATIENCE)
    assert [answered(replies) for replies, _ in (first, *later)] == [["web"]] * 3
    assert [seconds for _, seconds in later] == [about(PROMPT)] * 2
    assert [replies["hung"] for replies, _ in later] == [Silence(about(each, 0.1)) for each in (1.5, 2.5)]


@pytest.mark.parametrize("hung", [1, 50, 99, 100])
def test_however_many_of_a_hundred_hang_the_others_are_answered_within_an_interval(engine: Engine, hung: int) -> None:
    """No question waits for a worker whose question hangs."""
    engine.takes = dict.fromkeys(named("c", hung), FOREVER)
    replies, seconds = engine.run(lambda: engine.ask(*named("c", 100)))
    assert answered(replies) == named("c", 100)[hung:]
    assert seconds < 1.1


def test_an_engine_that_is_only_slow_is_not_flooded(engine: Engine) -> None:
    """As long as answers come, no further workers are started."""
    engine.takes = dict.fromkeys(named("c", 40), 0.09)
    replies, _ = engine.run(lambda: engine.ask(*named("c", 40)))
    assert (len(answered(replies)), engine.most_in_flight) == (40, WORKERS)


def test_a_first_question_does_not_wait_behind_those_that_hang(engine: Engine) -> None:
    """The first question is answered at once, whether the questions that hang were asked for the first time or
    repeated."""
    engine.takes = dict.fromkeys(named("c", 100), FOREVER)

    def work() -> list[tuple[list[str], float]]:
        calls = []
        for each in named("new", 30):
            replies, seconds = engine.ask(*named("c", 100), each)
            calls.append((answered(replies), seconds))
            engine.scheduler.wait(1.0)
        return calls

    _, *later = engine.run(work)
    assert later == [([each], about(PROMPT)) for each in named("new", 30)[1:]]


def test_there_is_a_maximum_of_workers_and_one_of_those_that_repeat(engine: Engine) -> None:
    """A call ends within half of its time, however many questions hang."""
    engine.takes = dict.fromkeys(named("c", 1000), FOREVER)

    def work() -> list[float]:
        calls = []
        for _ in range(120):
            calls.append(engine.ask(*named("c", 1000))[1])
            assert engine.in_flight.total() <= MAX_WORKERS
            engine.scheduler.wait(1.0)
        engine.most_in_flight = 0
        for _ in range(120):
            engine.ask(*named("c", 1000))
            engine.scheduler.wait(1.0)
        return calls

    first, *later = engine.run(work)
    assert (first, sum(later)) == (about(5.0), 0.0)
    assert 0 < engine.most_in_flight <= MAX_WORKERS_FOR_REPEATS


def test_a_question_without_an_answer_is_repeated_with_a_growing_back_off(engine: Engine) -> None:
    """There is one question about a subject at a time, and each one without an answer counts as a failure. A back-off
    begins at the end of the question."""
    engine.takes["hung"] = FOREVER

    def work() -> None:
        while engine.scheduler.now < 400:
            engine.ask("hung")
            engine.scheduler.wait(0.25)

    engine.run(work)
    moments = engine.moments("hung")
    gaps = [later - earlier - TIMEOUT for earlier, later in pairwise(moments)]
    assert gaps == [pytest.approx(each, abs=0.6) for each in (*BACKOFF, *[BACKOFF[-1]] * (len(gaps) - len(BACKOFF)))]
    assert len(gaps) > len(BACKOFF)
    assert engine.failures >= len(moments) - 1


def test_an_answer_that_comes_late_is_returned_by_the_next_call(engine: Engine) -> None:
    """The answer is returned once. From then on the subject is like any other: the next call waits for an answer about
    it."""
    engine.takes["slow"] = 1.6

    def work() -> list[tuple[Replies, float]]:
        calls = [engine.ask("slow")]
        engine.scheduler.wait(2.0)
        return [*calls, engine.ask("slow"), engine.ask("slow")]

    (first, _), late, again = engine.run(work)
    assert first == {"slow": Silence(ABOUT_PATIENCE)}
    assert late == ({"slow": Answer("slow at 1.6")}, 0.0)
    assert again == ({"slow": Silence(ABOUT_PATIENCE)}, ABOUT_PATIENCE)


def test_a_late_answer_that_does_not_hold_any_more_is_dropped_and_the_question_repeated(engine: Engine) -> None:
    """The question is repeated at once, but the call does not wait for the answer."""
    engine.takes["slow"] = 1.6

    def work() -> tuple[Replies, float]:
        engine.ask("slow")
        engine.scheduler.wait(2.0)
        return engine.ask("slow", holds=False)

    replies, seconds = engine.run(work)
    assert (replies, seconds) == ({"slow": Silence(about(2.5, 0.1))}, 0.0)
    assert engine.moments("slow") == [0.0, about(2.5, 0.1)]


def test_an_answer_in_time_need_not_hold(engine: Engine) -> None:
    """Such an answer is newer than what the caller saw before the call."""
    replies, _ = engine.run(lambda: engine.ask("web", holds=False))
    assert answered(replies) == ["web"]


def test_an_answer_to_an_earlier_question_has_to_hold_even_if_it_comes_during_the_call(engine: Engine) -> None:
    """Such an answer may be older than what the caller saw before the call."""
    engine.takes |= {"slow": 1.0, "new": 0.4}

    def work() -> Replies:
        engine.ask("slow")
        engine.scheduler.wait(0.3)
        return engine.ask("slow", "new", holds=False)[0]

    assert answered(engine.run(work)) == ["new"]


def test_a_subject_that_is_not_inquired_about_any_more_is_forgotten(engine: Engine) -> None:
    """If the subject comes back, there are not two questions about it at a time, and a late answer counts only if it
    still holds. The subject's back-off is forgotten, too."""
    engine.takes |= {"hung": FOREVER, "slow": 2.0}

    def work() -> list[Replies]:
        engine.ask("hung", "slow")
        engine.ask()
        calls = [engine.ask("hung", "slow", holds=False)[0]]
        engine.scheduler.wait(20.0)
        engine.ask()
        return [*calls, engine.ask("hung")[0]]

    back, later = engine.run(work)
    assert back == {each: Silence(ABOUT_PATIENCE) for each in ("hung", "slow")}
    assert later == {"hung": Silence(ABOUT_PATIENCE)}
    assert [len(engine.moments(each)) for each in ("hung", "slow")] == [2, 1]


def test_a_subject_that_looks_changed_is_asked_about_at_once(engine: Engine) -> None:
    """A restart may have mended the container, so its question does not wait for the end of a back-off. No call waits
    for the answer."""
    engine.takes["hung"] = FOREVER

    def work() -> float:
        for _ in range(45):
            engine.ask("hung")
            engine.scheduler.wait(1.0)
        engine.takes.clear()
        engine.ask("hung", seen="restarted")
        engine.scheduler.wait(1.0)
        replies, seconds = engine.ask("hung", seen="restarted")
        assert answered(replies) == ["hung"]
        return seconds

    assert engine.run(work) == 0.0


def test_a_prompt_error_is_told_and_the_next_call_asks_again(engine: Engine) -> None:
    """The call returns the error. There is no back-off, because a prompt error costs no time."""
    engine.errors["web"] = OSError("odd")

    def work() -> tuple[Replies, Replies]:
        first = engine.ask("web")[0]
        engine.errors.clear()
        return first, engine.ask("web")[0]

    first, second = engine.run(work)
    assert first == {"web": Silence(about(PROMPT), engine_error(first))}
    assert str(engine_error(first)) == "odd"
    assert (answered(second), engine.failures) == (["web"], 1)


def engine_error(replies: Replies) -> Exception | None:
    """Return the error in the only reply."""
    (reply,) = replies.values()
    assert isinstance(reply, Silence)
    return reply.error


def test_an_error_that_takes_its_time_leads_to_a_back_off(engine: Engine) -> None:
    """Without a back-off, the question would cost each pass that time. The silence has the error."""
    engine.takes["web"], engine.errors["web"] = 0.3, OSError("odd")

    def work() -> list[tuple[Replies, float]]:
        return [engine.ask("web"), engine.ask("web")]

    (first, seconds), (second, later) = engine.run(work)
    assert (seconds, later) == (about(0.3), 0.0)
    assert [str(engine_error(each)) for each in (first, second)] == ["odd", "odd"]


def test_a_question_that_its_connection_does_not_end_is_given_up(engine: Engine) -> None:
    """The time-out of a connection may not end a question whose answer comes byte by byte. If such a question is
    answered or fails later, that does not count."""
    engine.takes["trickles"], engine.timeout = 100.0, FOREVER

    def work() -> Replies:
        while engine.scheduler.now < 99.0:
            engine.ask("trickles")
            engine.scheduler.wait(1.0)
        engine.takes.clear()
        return engine.ask("trickles")[0]

    engine.run(work)
    assert engine.moments("trickles")[1] == pytest.approx(LIMIT + BACKOFF[0], abs=2.0)


def test_a_connection_that_cannot_be_opened_is_an_error_of_the_question(engine: Engine) -> None:
    """The next question opens a connection."""
    dial, refused = engine._dial, OSError("refused")

    def fail() -> Client:
        engine.questions._dial = dial
        raise refused

    engine.questions._dial = fail
    replies, _ = engine.run(lambda: engine.ask("web", "db"))
    assert replies["web"] == Silence(about(PROMPT), refused)
    assert answered(replies) == ["db"]


def test_few_connections_are_kept_and_a_reset_closes_them(engine: Engine) -> None:
    """After a reset another engine may answer, so a call waits again for a subject that was slow before."""
    engine.takes = dict.fromkeys(named("c", 100), FOREVER)

    def work() -> float:
        engine.ask(*named("c", 100))
        engine.scheduler.wait(10.0)
        assert engine.open == MAX_IDLE
        engine.questions.reset()
        assert engine.open == 0
        return engine.ask("c-1")[1]

    assert engine.run(work) == ABOUT_PATIENCE


# Questions that nobody waits for.


def test_a_question_that_was_begun_is_answered_beside_its_asker(engine: Engine) -> None:
    """The asker is told when there is an answer, and gets each answer once."""

    def work() -> list[Mapping[str, Answer[str] | Silence]]:
        began = engine.scheduler.now
        engine.questions.begin("a", engine.inquiry("a"))
        engine.takes["b"] = 1.0
        engine.questions.begin("b", engine.inquiry("b"))
        assert engine.scheduler.now == began
        told = [engine.questions.results()]
        engine.scheduler.wait(0.5)
        told += [engine.questions.results(), engine.questions.results()]
        engine.scheduler.wait(1.0)
        return [*told, engine.questions.results()]

    first, second, third, last = engine.run(work)
    assert (first, [*second], third, [*last]) == ({}, ["a"], {}, ["b"])
    assert engine.ends == 2


def test_a_question_that_was_begun_and_failed_has_no_back_off(engine: Engine) -> None:
    """However long it took, it may be begun again at once."""
    engine.takes["a"] = 2.0
    engine.errors["a"] = ValueError("broken")

    def work() -> list[Mapping[str, Answer[str] | Silence]]:
        told = []
        for _ in range(2):
            engine.questions.begin("a", engine.inquiry("a"))
            engine.scheduler.wait(2.5)
            told.append(engine.questions.results())
        return told

    for told in engine.run(work):
        silence = told["a"]
        assert isinstance(silence, Silence)
        assert str(silence.error) == "broken"
    assert engine.failures == 2


def test_questions_that_were_begun_and_hang_hold_up_no_other(engine: Engine) -> None:
    """While some are slow, others get workers. An engine that answers is not asked by too many at once."""
    hanging = [f"hangs-{number}" for number in range(3 * MAX_PROMPT_WORKERS)]
    prompt = [f"prompt-{number}" for number in range(100)]
    engine.takes = dict.fromkeys(hanging, 3.0)

    def work() -> int:
        for each in (*hanging, *prompt):
            engine.questions.begin(each, engine.inquiry(each))
        told = 0
        for _ in range(5):
            engine.scheduler.wait(0.11)
            told += len(engine.questions.results())
        return told

    assert engine.run(work) == len(prompt)
    assert engine.most_in_flight == 4 * MAX_PROMPT_WORKERS
