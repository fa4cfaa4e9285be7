"""The containers that an operator names on the command line, as the engine knows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from controller.effects.background import Background
from controller.effects.clock import Clock
from controller.errors import EngineUnavailable, Stop
from controller.source.engine_client import EngineClient
from controller.source.engine_errors import ENGINE_ERRORS, ErrorAnswer, NotFound, problem_of
from model.container import Container, from_inspect
from model.container_lookup import EngineLookup, meant
from model.listing import listed_ref

T = TypeVar("T")

#: The text of a name or an id. No other text is put into a request.
_ID_OR_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")

#: Seconds that ``BoundedLookup`` waits for the engine.
LOOKUP_SECONDS = 2.0

#: How many times as long as a lookup took ``BoundedLookup`` leaves the engine alone after it.
REST = 4.0


def is_id_or_name(text: str) -> bool:
    """Return whether a text may be the name or the id of a container."""
    return _ID_OR_NAME.fullmatch(text) is not None


class NamedContainers:
    """Asks the engine for containers. Each question has a connection of its own, so that several threads can ask."""

    def __init__(self, connect: Callable[[], EngineClient]) -> None:
        """``connect`` opens a connection to the engine."""
        self._connect = connect

    def find(self, text: str) -> Container:
        """Return the container that runs and that this name, id or beginning of an id means to the engine. Raises Stop
        if there is none, and EngineUnavailable."""
        if not is_id_or_name(text):
            raise Stop(f"{text!r} is no name and no id of a container")
        container = self._ask(f"about container {text!r}", lambda client: _inspected(text, client))
        if not container.serving:
            raise Stop(f"container {text!r} does not run: it is {container.status}")
        return container

    def running(self) -> frozenset[str]:
        """Return the ids of all containers that run. Raises EngineUnavailable."""
        return self._ask(
            "which containers run", lambda client: frozenset(str(line["Id"]) for line in client.containers(all=False))
        )

    def look_up(self, text: str) -> EngineLookup:
        """Return which containers there are, those that do not run among them, and the one that a text means. If the
        engine does not answer, the answer has its problem."""
        try:
            return self._ask("for all containers", lambda client: _looked_up(text, client))
        except EngineUnavailable as error:
            return EngineLookup(problem=str(error))

    def _ask(self, what: str, question: Callable[[EngineClient], T]) -> T:
        """Return what ``question`` returns. Raises EngineUnavailable for every error of the libraries. ``what`` says
        for people what is asked."""
        try:
            with closing(self._connect()) as client:
                return question(client)
        except ENGINE_ERRORS as error:
            raise EngineUnavailable(f"cannot ask the Docker engine {what}: {problem_of(error)}") from error


def _inspected(text: str, client: EngineClient) -> Container:
    """Return a container. Raises Stop if the engine answers that it cannot."""
    try:
        return from_inspect(client.inspect_container(text))
    except NotFound:
        raise Stop(f"there is no container {text!r}") from None
    except ErrorAnswer as error:
        raise Stop(f"the engine does not tell which container {text!r} is: {problem_of(error)}") from error


def _looked_up(text: str, client: EngineClient) -> EngineLookup:
    """Return all containers and the one that a text means. One that has gone meanwhile is not found."""
    listed = tuple(listed_ref(line) for line in client.containers(all=True))
    found = meant(text, listed)
    if len(found) != 1:
        return EngineLookup(listed)
    try:
        return EngineLookup(listed, from_inspect(client.inspect_container(found[0].id)))
    except NotFound:
        return EngineLookup(listed)


class BoundedLookup:
    """Looks containers up for those who may not wait for the engine for long, and who may ask without end: one
    container at a time, each for a few seconds at most, and with a rest after each."""

    def __init__(
        self, containers: NamedContainers, background: Background, clock: Clock, seconds: float = LOOKUP_SECONDS
    ) -> None:
        self._containers = containers
        self._background = background
        self._clock = clock
        self._seconds = seconds
        self._asking = False
        #: When the rest after the last question is over, in seconds of the monotonic clock.
        self._rested_at = clock.monotonic()

    def __call__(self, text: str) -> EngineLookup:
        """See NamedContainers.look_up."""
        if self._asking:
            return EngineLookup(problem="the engine has not answered yet about another container")
        answers: list[EngineLookup] = []
        self._background.start(lambda: self._ask(text, answers), name="lookup").join(self._seconds)
        silence = EngineLookup(problem=f"the engine has not answered within {self._seconds:g} seconds")
        return next(iter(answers), silence)

    def _ask(self, text: str, answers: list[EngineLookup]) -> None:
        self._asking = True
        try:
            self._clock.sleep(max(0.0, self._rested_at - self._clock.monotonic()))
            begun = self._clock.monotonic()
            answers.append(self._containers.look_up(text))
            now = self._clock.monotonic()
            self._rested_at = now + REST * (now - begun)
        finally:
            self._asking = False
