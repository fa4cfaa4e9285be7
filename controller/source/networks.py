"""What the engine says of its networks, which decides about ports that the engine does not map."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Generic, TypeVar

from controller.effects.clock import Clock, Deadline
from controller.source.questions import Answer, Client, Inquiry, Questions
from model.engine_network import Network

#: Seconds until the engine is asked again about a network of which it refused to say what it is. Usually a proxy before
#: the engine forbids the question, and the proxy may get other rules.
REFUSAL_INTERVAL = 60.0

C = TypeVar("C", bound=Client)


class Networks(Generic[C]):
    """Remembers what the engine said of each network. A network never changes, so each is asked about once."""

    def __init__(
        self, ask: Callable[[str, C], Network | None], questions: Questions[C, Network | None], clock: Clock
    ) -> None:
        """``ask`` asks the engine what the network with this id is, and returns None if it refuses to say."""
        self._ask = ask
        self._questions = questions
        self._clock = clock
        self._told: dict[str, Network] = {}
        #: When to ask again about each network of which the engine refused to say what it is.
        self._refused: dict[str, float] = {}

    def told(self, wanted: Collection[str], existing: Collection[str], deadline: Deadline) -> dict[str, Network | None]:
        """Return what the engine said of the ``wanted`` networks, by id. None: it refuses to say. A network about which
        it has not answered yet is missing. Networks that are not among the ``existing`` ones are forgotten."""
        now = self._clock.monotonic()
        due = [each for each in wanted if each not in self._told and now >= self._refused.get(each, now)]
        inquiries = {each: Inquiry[C, Network | None](partial(self._ask, each)) for each in due}
        for network_id, reply in self._questions.ask(inquiries, deadline).items():
            if isinstance(reply, Answer):
                self._note(network_id, reply.value)
        self._told = _only(existing, self._told)
        self._refused = _only(existing, self._refused)
        return {each: self._told.get(each) for each in wanted if each in self._told or each in self._refused}

    def _note(self, network_id: str, network: Network | None) -> None:
        if network is None:
            self._refused[network_id] = self._clock.monotonic() + REFUSAL_INTERVAL
        else:
            self._told[network_id] = network

    def reset(self) -> None:
        """Forget which questions were refused, and close the connections. This is for a lost connection: whoever is
        there when the engine is back may answer."""
        self._refused = {}
        self._questions.reset()


V = TypeVar("V")


def _only(keys: Collection[str], values: Mapping[str, V]) -> dict[str, V]:
    return {key: value for key, value in values.items() if key in keys}
