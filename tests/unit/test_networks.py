"""Tests of controller.source.networks: what the engine says of its networks."""

from __future__ import annotations

from controller.effects.clock import Deadline
from controller.source.networks import REFUSAL_INTERVAL, Networks
from controller.source.questions import Questions
from model.engine_network import Network
from tests.support.fakes import FakeDocker, FakeTime, Inline

LAN = Network("macvlan")


class Telling:
    """An engine that says what its networks are, of which some tests change ``answers``: None is a refusal."""

    def __init__(self, **answers: Network | None) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.time = FakeTime()
        questions = Questions[FakeDocker, Network | None](FakeDocker().dial, Inline(), self.time.clock, 0.0)
        self.networks = Networks[FakeDocker](self._answer, questions, self.time.clock)

    def _answer(self, network_id: str, client: FakeDocker) -> Network | None:
        self.asked.append(network_id)
        return self.answers[network_id]

    def told(self, *wanted: str, existing: str = "abc") -> dict[str, Network | None]:
        """Return what the engine said of these networks."""
        return self.networks.told(wanted, existing, Deadline.after(10, self.time.clock))


def test_a_network_is_asked_about_once() -> None:
    """What it is never changes. One about which there is no answer is missing, and is asked about again."""
    engine = Telling(a=LAN)
    assert [engine.told("a", "b") for _ in range(2)] == [{"a": LAN}] * 2
    assert engine.asked.count("a") == 1
    engine.answers["b"] = LAN
    engine.time.advance(60)
    assert engine.told("a", "b") == {"a": LAN, "b": LAN}


def test_a_refusal_counts_until_there_is_an_answer() -> None:
    """The engine is asked again after an interval, and at once after a reset."""
    engine = Telling(a=None)
    assert [engine.told("a") for _ in range(2)] == [{"a": None}] * 2
    engine.time.advance(REFUSAL_INTERVAL)
    del engine.answers["a"]
    assert engine.told("a") == {"a": None}
    engine.networks.reset()
    assert engine.told("a") == {}
    engine.networks.reset()
    engine.answers["a"] = LAN
    assert engine.told("a") == {"a": LAN}
    assert engine.asked == ["a"] * 4


def test_a_network_that_does_not_exist_any_more_is_forgotten() -> None:
    """So the memory does not grow. One that exists and is not wanted for a moment is remembered."""
    engine = Telling(a=LAN, b=None)
    engine.told("a", "b")
    assert engine.told() == {}
    assert engine.told("a", "b") == {"a": LAN, "b": None}
    assert engine.told(existing="c") == {}
    engine.told("a", "b")
    assert engine.asked == ["a", "b"] * 2
