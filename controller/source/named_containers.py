"""The containers that an operator names on the command line, as the engine knows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from controller.errors import EngineUnavailable, Stop
from controller.source.engine_client import EngineClient
from controller.source.engine_errors import ENGINE_ERRORS, ErrorAnswer, NotFound, problem_of
from model.container import Container, from_inspect

T = TypeVar("T")

#: The text of a name or an id. No other text is put into a request.
_ID_OR_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class NamedContainers:
    """Asks the engine for containers. Each question has a connection of its own, so that several threads can ask."""

    def __init__(self, connect: Callable[[], EngineClient]) -> None:
        """``connect`` opens a connection to the engine."""
        self._connect = connect

    def find(self, text: str) -> Container:
        """Return the container that runs and that this name, id or beginning of an id means to the engine. Raises Stop
        if there is none, and EngineUnavailable."""
        if not _ID_OR_NAME.fullmatch(text):
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
