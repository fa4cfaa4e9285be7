"""The door to the Docker engine, and to the docker SDK.

``GET /containers/json`` shows neither environment nor exposed ports, so each container that is new or looks changed in
the list is inspected once; what the inspect said is kept for as long as the list shows the container unchanged.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import docker
import docker.errors
import docker.utils
import requests
from attrs import field, frozen

from controller.clock import Deadline
from controller.errors import EngineUnavailable, one_line
from model.container import Container, ContainerRef, from_inspect
from model.listing import agrees_with_list, shown_in_list
from model.snapshot import Snapshot, UnknownContainer

#: Seconds for one answer. After a burst of deaths the engine was seen to hold an inspect back for 1.6 s.
TIMEOUT = 5

#: Where to look when nobody says where the engine is: Docker's own place, and where registrator's users mount it.
SOCKETS = ("/var/run/docker.sock", "/tmp/docker.sock")  # noqa: S108 - a place to look, not one to write

#: What an answer raises that is JSON, but not what the API promises.
_MISSHAPEN = (KeyError, TypeError, AttributeError)

_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException, OSError, ValueError, *_MISSHAPEN)


class Client(Protocol):
    """As much of docker.APIClient as is used."""

    timeout: int

    def info(self) -> Any: ...

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any: ...

    def inspect_container(self, container: str) -> Any: ...

    def close(self) -> None: ...


@frozen
class EngineSettings:
    """``host`` is a URL as in DOCKER_HOST; empty: from Docker's own variables in ``environment``, else the first of
    ``sockets`` that is there."""

    host: str = ""
    environment: Mapping[str, str] = field(factory=dict)
    sockets: Sequence[str] = SOCKETS


def connect(settings: EngineSettings) -> docker.APIClient:
    """A client for the engine, its API version negotiated: newer engines refuse old versions."""
    tls = docker.utils.kwargs_from_env(environment=dict(settings.environment)).get("tls", False)
    return docker.APIClient(base_url=url_of(settings), version="auto", timeout=TIMEOUT, tls=tls)


def url_of(settings: EngineSettings) -> str:
    """Where the engine is looked for."""
    return settings.host or settings.environment.get("DOCKER_HOST") or _found_socket(settings.sockets)


def _found_socket(sockets: Sequence[str]) -> str:
    there = [path for path in sockets if _is_socket(path)]
    return f"unix://{there[0] if there else sockets[0]}"


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


@frozen
class EngineIdentity:
    """``name`` is the engine's name for its host, empty when it could not find out; ``id`` its own id, empty where an
    engine has none."""

    name: str
    id: str = ""


@frozen
class _Seen:
    """What the list showed of a container when its inspect answer was taken."""

    shown: Mapping[str, Any]
    container: Container


class Engine:
    """The containers of this host, as the engine tells them."""

    def __init__(
        self,
        dial: Callable[[], Client],
        *,
        stopped_too: bool,
        on_error: Callable[[], None] = lambda: None,
        where: str = "",
        filters: Sequence[tuple[str, str]] = (),
    ) -> None:
        """``dial`` connects to the engine. ``stopped_too``: whether containers that are not running are wanted.
        ``on_error`` is called for each request that got no usable answer. ``where`` the engine is, for messages.
        ``filters`` are names and values as of ``docker ps --filter``."""
        self._dial = dial
        self._where = f" ({where})" if where else ""
        self._stopped_too = stopped_too
        self._on_error = on_error
        self._filters = _by_name(filters)
        self._client: Client | None = None
        self._identity: EngineIdentity | None = None
        self._seen: dict[str, _Seen] = {}

    def identity(self) -> EngineIdentity:
        """The engine's name for its host, and its id. Asked once a connection, as an engine cannot change them while it
        runs. Raises EngineUnavailable."""
        if not self._identity:
            self._identity = self._ask(lambda client: _identity_in(client.info()))
        return self._identity

    def read(self, deadline: Deadline) -> Snapshot:
        """This host's containers. Raises EngineUnavailable; a container that alone cannot be read is ``unknown``.

        With filters the engine is asked twice, and the filtered list comes first: the full one and the inspects have to
        agree, so nothing comes between them. A container has entries only if both lists have it, so what starts or ends
        in between has none, whichever comes first. One that is only in the second list is new, and is selected in the
        next pass; where it took the place of one with entries, it looks like a delete, for which all is read again.
        """
        if self._client:
            # What is left of the pass bounds each answer; the client asks with the time-out that it has.
            self._client.timeout = max(1, min(TIMEOUT, round(deadline.left)))
        selected = self._ask(self._selected_by) if self._filters else None
        listed = self._ask(lambda client: {line["Id"]: line for line in client.containers(all=self._stopped_too)})
        seen: dict[str, _Seen] = {}
        containers, unknown = [], []
        for line in listed.values():
            found = self._look_at(line, seen, deadline)
            if isinstance(found, Container):
                containers.append(found)
            elif found:
                unknown.append(found)
        self._seen = seen
        return Snapshot(tuple(containers), tuple(unknown), selected)

    def _selected_by(self, client: Client) -> frozenset[str]:
        """The ids of the containers that the filters let through."""
        try:
            return frozenset(line["Id"] for line in client.containers(all=self._stopped_too, filters=self._filters))
        except docker.errors.APIError as error:
            if not error.is_client_error():
                raise
            # The whole message begins with a long URL, and the engine's own words are what helps.
            raise docker.errors.DockerException(f"it refuses --filter: {error.explanation}") from error

    def _look_at(
        self, line: Mapping[str, Any], seen: dict[str, _Seen], deadline: Deadline
    ) -> Container | UnknownContainer | None:
        """The container of a line of the list; None when it is gone since."""
        try:
            before, shown = self._seen.get(line["Id"]), shown_in_list(line)
            if before and before.shown == shown:
                seen[line["Id"]] = before
                return before.container
            if deadline.passed:
                return UnknownContainer(_ref(line), "the pass ran out of time")
            container = self._inspect(line["Id"])
            if container and agrees_with_list(container, line):
                seen[container.id] = _Seen(shown, container)
            return container
        except _ERRORS as error:
            self._on_error()
            return UnknownContainer(_ref(line), _plain(error))

    def _inspect(self, container_id: str) -> Container | None:
        assert self._client
        try:
            return from_inspect(self._client.inspect_container(container_id))
        except docker.errors.NotFound:
            return None

    def _ask(self, question: Callable[[Client], Any]) -> Any:
        try:
            self._client = self._client or self._dial()
            return question(self._client)
        except _ERRORS as error:
            self._on_error()
            self.close()
            raise EngineUnavailable(f"cannot read the Docker engine: {_plain(error)}{self._where}") from error

    def close(self) -> None:
        """Let go of the connection; the next question makes a new one."""
        if self._client:
            self._client.close()
        self._client, self._identity = None, None


def _by_name(filters: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The filters as the engine's API takes them."""
    names = dict.fromkeys(name for name, _ in filters)
    return {name: [value for other, value in filters if other == name] for name in names}


def _identity_in(info: Mapping[str, Any]) -> EngineIdentity:
    return EngineIdentity(str(info["Name"] or ""), str(info.get("ID") or ""))


def _ref(line: Mapping[str, Any]) -> ContainerRef:
    names: Sequence[str] = line.get("Names") or ()
    # A link gives a container a second name, /other/alias; its own has one slash.
    own = [name[1:] for name in names if name.count("/") == 1]
    return ContainerRef(line["Id"], own[0] if own else "")


def _plain(error: BaseException) -> str:
    """The libraries wrap the socket's own error several times over; the innermost says it best."""
    for cause in _chain(error):
        if isinstance(cause, requests.exceptions.Timeout):
            return "no answer in time"
        if isinstance(cause, FileNotFoundError | ConnectionRefusedError | PermissionError):
            return one_line(cause)
    return f"unexpected answer: {error!r}" if isinstance(error, _MISSHAPEN) else one_line(error)


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error and error not in chain:
        chain.append(error)
        error = (
            error.__cause__ or error.__context__ or next((a for a in error.args if isinstance(a, BaseException)), None)
        )
    return chain
