"""A client of the engine that counts its requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.source.counted_client import counted
from controller.source.engine_client import EngineClient
from controller.source.engine_connection import EngineSettings
from tests.support.fakes import FakeDocker, inspected

REQUESTS: list[Callable[[EngineClient], object]] = [
    lambda client: client.info(),
    lambda client: client.containers(all=True),
    lambda client: client.inspect_container("web"),
    lambda client: client.inspect_network("lan"),
    lambda client: [*client.events(0.0, {}, 1.0)],
    lambda client: client.event_history(0.0, 1.0, {}),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_each_request_counts_once_and_is_passed_on(request_: Callable[[EngineClient], object]) -> None:
    """The answer is the same as without counting, and so is the time limit."""
    engine, seen = FakeDocker(inspected("web")), list[None]()
    engine.networks["lan"] = {"Driver": "bridge"}
    client = counted(lambda settings: engine.dial(), lambda: seen.append(None))(EngineSettings())
    assert seen == []
    client.timeout = 3
    assert request_(client) == request_(engine)
    assert (len(seen), engine.timeout, client.timeout) == (1, 3, 3)
    client.close()
    assert (len(seen), engine.open) == (1, 0)


def test_an_attempt_to_connect_that_fails_counts() -> None:
    """Otherwise there would be more errors than requests."""
    seen = list[None]()

    def refuse(settings: EngineSettings) -> EngineClient:
        raise OSError("no engine here")

    with pytest.raises(OSError, match="no engine here"):
        counted(refuse, lambda: seen.append(None))(EngineSettings())
    assert len(seen) == 1
