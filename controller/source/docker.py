"""The containers of this host, and the only module that imports the docker SDK.

``GET /containers/json`` shows neither environment nor exposed ports. So each container that is new in this list, or
that looks changed there, is inspected once. The answer is kept for as long as the list shows the container unchanged.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import docker
import docker.constants
import docker.errors
import docker.utils
import requests
from attrs import field, frozen

from controller.effects.clock import Deadline
from controller.effects.connections import BoundedAdapter, UnixAdapter
from controller.effects.names import MACHINE, Names
from controller.errors import EngineUnavailable, one_line
from model.container import SERVING, Container, ContainerRef, from_inspect
from model.listing import agrees_with_list, shown_in_list
from model.snapshot import EngineIdentity, Presence, Snapshot, UnknownContainer

#: Seconds that a request may take. After many containers had died at once, the engine was seen to hold an inspect back
#: for 1.6 s.
TIMEOUT = 5

#: Seconds for all questions whether containers are there together, and for one of them. A burst of deaths holds the
#: first answer back as above, and the others not.
PRESENCE_SECONDS, PRESENCE_TIMEOUT = 3.0, 2

#: The sockets to try when nothing says where the engine is: Docker's own, and the one that registrator's users mount.
SOCKETS = ("/var/run/docker.sock", "/tmp/docker.sock")  # noqa: S108 - a place to look, not one to write

#: The errors of reading an answer that is JSON, but not as the API documents it.
_UNEXPECTED_ANSWER = (KeyError, TypeError, AttributeError)

_ERRORS = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    OSError,
    ValueError,
    *_UNEXPECTED_ANSWER,
)


#: What a container's id or name looks like. The engine takes no other name.
_ID_OR_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class EngineClient(Protocol):
    """The methods of ``docker.APIClient`` that are used."""

    timeout: int

    def info(self) -> Any: ...

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any: ...

    def inspect_container(self, container: str) -> Any: ...

    def close(self) -> None: ...


@frozen
class EngineSettings:
    """Where the engine is."""

    #: The engine's URL, in the form of DOCKER_HOST. Empty by default: ``environment`` and ``sockets`` decide.
    host: str = ""
    #: The environment variables, of which Docker's own are used: DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.
    #: Empty by default, so that nothing depends on the environment unless the caller says so.
    environment: Mapping[str, str] = field(factory=dict)
    #: The sockets to try if neither of the above names the engine. The first one that exists is used.
    sockets: Sequence[str] = SOCKETS

    @property
    def url(self) -> str:
        """The URL of the engine. If none of the sockets exists it is that of the first one."""
        if given := self.host or self.environment.get("DOCKER_HOST"):
            return given
        existing = [path for path in self.sockets if _is_socket(path)]
        return f"unix://{existing[0] if existing else self.sockets[0]}"


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def connect(settings: EngineSettings, timeout: int = TIMEOUT, names: Names = MACHINE) -> docker.APIClient:
    """Return a client that is connected to the engine. Raises an error of the docker SDK or of requests.

    The API version is negotiated, because newer engines refuse old versions. ``timeout`` is the seconds that a request
    may take as a whole, however its answer arrives. ``names`` has the address of an engine over TCP.
    """
    client = _client(settings, timeout, names, docker.constants.DEFAULT_DOCKER_API_VERSION)
    try:
        version = client.version(api_version=False)["ApiVersion"]
    finally:
        client.close()
    return _client(settings, timeout, names, version)


def _client(settings: EngineSettings, timeout: int, names: Names, version: str) -> docker.APIClient:
    """Return a client that speaks this version of the API, and connects when it is first asked."""
    tls = docker.utils.kwargs_from_env(environment=dict(settings.environment)).get("tls", False)
    client = docker.APIClient(base_url=settings.url, version=version, timeout=timeout, tls=tls)
    url = str(docker.utils.parse_host(settings.url, tls=bool(tls)))
    if url.startswith("http+unix://"):
        client.mount("http+docker://", UnixAdapter(url.removeprefix("http+unix://")))
    elif url.startswith(("http://", "https://")):
        client.mount(url, BoundedAdapter(names))
    return client


@frozen
class _CachedInspect:
    """The container that an inspect returned, and what the list showed of it at that time."""

    shown: Mapping[str, Any]
    container: Container


class Engine:
    """The Docker engine of this host."""

    def __init__(
        self,
        dial: Callable[[], EngineClient],
        *,
        stopped_too: bool,
        on_error: Callable[[], None] = lambda: None,
        where: str = "",
        filters: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Nothing is connected yet.

        ``dial`` connects to the engine. ``stopped_too`` says whether ``read`` also returns stopped containers.
        ``on_error`` is called for each request without a usable answer. ``where`` is the engine's URL, for messages.
        ``filters`` are names and values as for ``docker ps --filter``.
        """
        self._dial = dial
        self._where = f" ({where})" if where else ""
        self._stopped_too = stopped_too
        self._on_error = on_error
        self._filters = _for_api(filters)
        self._client: EngineClient | None = None
        self._identity: EngineIdentity | None = None
        self._inspected: dict[str, _CachedInspect] = {}

    def identity(self) -> EngineIdentity:
        """Return the engine's name for its host, and its id. Raises EngineUnavailable.

        The engine is asked once for each connection, because it cannot change them while it runs.
        """
        if not self._identity:
            self._identity = self._ask(_ask_identity)
        return self._identity

    def read(self, deadline: Deadline) -> Snapshot:
        """Return this host's containers. Raises EngineUnavailable.

        A container that cannot be read while others can is among the ``unknown`` ones.

        With filters the engine is asked for two lists, first for the filtered one. The full list and the inspects have
        to agree, so nothing comes between them. A container has entries only if both lists have it. So a container that
        starts or ends between the lists has none, in either order of the lists. One that is only in the second list is
        new, and is selected in the next pass. If it took the place of a container with entries, the plan has a delete,
        and before a delete everything is read again.
        """
        if self._client:
            # Each answer may take what is left of the pass at most; the client uses the timeout that it has.
            self._client.timeout = max(1, min(TIMEOUT, round(deadline.left)))
        selected = self._ask(self._list_selected) if self._filters else None
        lines = self._ask(lambda client: {line["Id"]: line for line in client.containers(all=self._stopped_too)})
        inspected: dict[str, _CachedInspect] = {}
        containers, unknown = [], []
        for line in lines.values():
            found = self._read_container(line, inspected, deadline)
            if isinstance(found, Container):
                containers.append(found)
            elif found:
                unknown.append(found)
        self._inspected = inspected
        return Snapshot(tuple(containers), tuple(unknown), selected)

    def _list_selected(self, client: EngineClient) -> frozenset[str]:
        """Return the ids of the containers that the filters let through."""
        try:
            return frozenset(line["Id"] for line in client.containers(all=self._stopped_too, filters=self._filters))
        except docker.errors.APIError as error:
            if not error.is_client_error():
                raise
            # The message of the error begins with a long URL. The engine's explanation is what helps.
            raise docker.errors.DockerException(f"it refuses --filter: {error.explanation}") from error

    def _read_container(
        self, line: Mapping[str, Any], inspected: dict[str, _CachedInspect], deadline: Deadline
    ) -> Container | UnknownContainer | None:
        """Return the container of a line of the list, or None if it is gone by now.

        What is known from an inspect that agrees with the line is added to ``inspected``.
        """
        try:
            before, shown = self._inspected.get(line["Id"]), shown_in_list(line)
            if before and before.shown == shown:
                inspected[line["Id"]] = before
                return before.container
            if deadline.passed:
                return UnknownContainer(_ref(line), "the pass ran out of time")
            container = self._inspect(line["Id"])
            if container and agrees_with_list(container, line):
                inspected[container.id] = _CachedInspect(shown, container)
            return container
        except _ERRORS as error:
            self._on_error()
            return UnknownContainer(_ref(line), _message(error))

    def _inspect(self, container_id: str) -> Container | None:
        assert self._client
        try:
            return from_inspect(self._client.inspect_container(container_id))
        except docker.errors.NotFound:
            return None

    def presence(self, containers: Collection[str], deadline: Deadline) -> Mapping[str, Presence]:
        """Return what the engine says of each of these containers, which are given by id or name.

        They are inspected one after the other, for half of what is left of the pass and PRESENCE_SECONDS at most. Those
        that are not reached by then are UNKNOWN.
        """
        until = Deadline.after(min(PRESENCE_SECONDS, deadline.left / 2), deadline.clock)
        return {each: Presence.UNKNOWN if until.passed else self._presence_of(each, until) for each in containers}

    def _presence_of(self, id_or_name: str, until: Deadline) -> Presence:
        if not _ID_OR_NAME.fullmatch(id_or_name):
            return Presence.ABSENT
        assert self._client
        self._client.timeout = max(1, min(PRESENCE_TIMEOUT, math.ceil(until.left)))
        try:
            return _presence_in(self._client.inspect_container(id_or_name), id_or_name)
        except docker.errors.NotFound:
            return Presence.ABSENT
        except _ERRORS:
            self._on_error()
            return Presence.UNKNOWN

    def _ask(self, request: Callable[[EngineClient], Any]) -> Any:
        """Return what ``request`` returns, over a connection that is opened if there is none. An error closes it.

        Raises EngineUnavailable for every error of the libraries.
        """
        try:
            self._client = self._client or self._dial()
            return request(self._client)
        except _ERRORS as error:
            self._on_error()
            self.close()
            raise EngineUnavailable(f"cannot read the Docker engine: {_message(error)}{self._where}") from error

    def close(self) -> None:
        """Close the connection. The next request opens another one."""
        if self._client:
            self._client.close()
        self._client, self._identity = None, None


def _presence_in(document: Any, id_or_name: str) -> Presence:
    """Return what the answer of an inspect says of the container with this id or name. The engine also answers for one
    whose id begins like that."""
    if id_or_name not in {document["Id"], document["Name"].lstrip("/")}:
        return Presence.ABSENT
    return Presence.RUNNING if document["State"]["Status"] in SERVING else Presence.STOPPED


def _for_api(filters: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the filters as the engine's API takes them: the values by name."""
    names = dict.fromkeys(name for name, _ in filters)
    return {name: [value for other, value in filters if other == name] for name in names}


def _ask_identity(client: EngineClient) -> EngineIdentity:
    info = client.info()
    return EngineIdentity(str(info["Name"] or ""), str(info.get("ID") or ""))


def _ref(line: Mapping[str, Any]) -> ContainerRef:
    """Return id and name of the container of a line of the list."""
    names: Sequence[str] = line.get("Names") or ()
    # A link gives a container a second name, as in /other/alias. Its own name has one slash.
    own = [name[1:] for name in names if name.count("/") == 1]
    return ContainerRef(line["Id"], own[0] if own else "")


def _message(error: BaseException) -> str:
    """Return what is wrong, for the operator. The libraries wrap the error of the socket several times, and the
    innermost error has the best message."""
    for cause in _causes(error):
        if isinstance(cause, requests.exceptions.Timeout):
            return "no answer in time"
        if isinstance(cause, FileNotFoundError | ConnectionRefusedError | PermissionError):
            return one_line(cause)
    return f"unexpected answer: {error!r}" if isinstance(error, _UNEXPECTED_ANSWER) else one_line(error)


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return the error and the errors that it wraps, the innermost last."""
    causes: list[BaseException] = []
    while error and error not in causes:
        causes.append(error)
        error = (
            error.__cause__ or error.__context__ or next((a for a in error.args if isinstance(a, BaseException)), None)
        )
    return causes
