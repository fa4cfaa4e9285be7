"""A client of the engine that counts its requests, whatever they go over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from controller.source.engine_client import EngineClient, Filters
from controller.source.engine_connection import EngineSettings


class CountedClient:
    """An EngineClient that calls a function at each request."""

    def __init__(self, client: EngineClient, on_request: Callable[[], None]) -> None:
        self._client, self._on_request = client, on_request

    @property
    def timeout(self) -> int:
        """See EngineClient."""
        return self._client.timeout

    @timeout.setter
    def timeout(self, seconds: int) -> None:
        self._client.timeout = seconds

    @property
    def kind(self) -> str:
        """See EngineClient."""
        return self._client.kind

    def info(self) -> Any:
        """See EngineClient."""
        self._on_request()
        return self._client.info()

    def containers(self, *, all: bool, filters: Filters | None = None) -> Any:
        """See EngineClient."""
        self._on_request()
        return self._client.containers(all=all, filters=filters)

    def inspect_container(self, container: str) -> Any:
        """See EngineClient."""
        self._on_request()
        return self._client.inspect_container(container)

    def inspect_network(self, net_id: str) -> Any:
        """See EngineClient."""
        self._on_request()
        return self._client.inspect_network(net_id)

    def events(self, since: float, filters: Filters, silence: float) -> Iterator[Any]:
        """See EngineClient."""
        self._on_request()
        return self._client.events(since, filters, silence)

    def event_history(self, since: float, until: float, filters: Filters) -> list[Any]:
        """See EngineClient."""
        self._on_request()
        return self._client.event_history(since, until, filters)

    def close(self) -> None:
        """See EngineClient."""
        self._client.close()


def counted(
    connect: Callable[[EngineSettings], EngineClient], on_request: Callable[[], None]
) -> Callable[[EngineSettings], EngineClient]:
    """Return a function that connects as ``connect`` does, to a client that calls ``on_request`` at each request. An
    attempt to connect that fails counts as a request."""

    def connect_counted(settings: EngineSettings) -> EngineClient:
        try:
            return CountedClient(connect(settings), on_request)
        except Exception:
            on_request()
            raise

    return connect_counted
