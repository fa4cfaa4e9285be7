"""The containers of this host, and the only module that imports the docker SDK.

``GET /containers/json`` shows neither environment nor exposed ports. So each container that is new in this list, or
that looks changed there, is inspected once. The answer is kept for as long as the list shows the container unchanged.

The pass itself asks for the lists, and for the host's name if it cannot go on without it. Everything else is asked in
the background; see questions.py.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol

import docker
import docker.constants
import docker.errors
import docker.utils
import docker.utils.config
import requests
from attrs import Factory, define, field, frozen

from controller.effects.background import Background
from controller.effects.clock import Clock, Deadline
from controller.effects.connections import BoundedAdapter, TlsAdapter, UnixAdapter
from controller.effects.files import Renewed, Report, TlsFiles, UnusableFiles
from controller.effects.names import MACHINE, Names
from controller.effects.one_sided_tls import shows_no_tls, shows_tls
from controller.errors import EngineUnavailable, one_line, running_user
from controller.source.networks import Networks
from controller.source.questions import Answer, Inquiry, Questions, Silence
from model.address import networks_in_question
from model.container import SERVING, Container, ContainerRef, from_inspect
from model.engine_network import Network
from model.listing import agrees_with_list, joiners_to_inspect, may_have_started, shown_in_list
from model.snapshot import EngineIdentity, Presence, Snapshot, UnknownContainer

#: Seconds that a request may take. After many containers had died at once, the engine was seen to hold an inspect back
#: for 1.6 s.
TIMEOUT = 5

#: Seconds that a pass waits for an inspect or for ``info``. If the answer comes later, the next pass uses it.
PATIENCE = 0.5

#: What is said of an engine that did not answer within a time-out.
NO_ANSWER = "no answer in time"

#: Seconds between two requests for the engine's name and id. They are also asked for after each reconnect.
IDENTITY_INTERVAL = 60.0

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


def _no_config_file(config_path: object = None) -> None:
    """Stands for the SDK's search for Docker's config.json, and finds none.

    The SDK reads that file whenever it makes a client, fails if an entry in it is malformed, and sends the HttpHeaders
    that are in it. The agent needs nothing of it, and the SDK has no other way to leave it out.
    """


docker.utils.config.find_config_file = _no_config_file


class EngineClient(Protocol):
    """The methods of ``docker.APIClient`` that are used."""

    timeout: int

    def info(self) -> Any: ...

    def containers(self, *, all: bool, filters: dict[str, list[str]] | None = None) -> Any: ...

    def inspect_container(self, container: str) -> Any: ...

    def inspect_network(self, net_id: str) -> Any: ...

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

    #: Told when the files in DOCKER_CERT_PATH have changed.
    report_renewal: Report = lambda files, problem: None
    #: The TLS context for an engine over TCP, made again when the files in DOCKER_CERT_PATH have changed. All
    #: connections to the engine share it.
    tls_context: Renewed[ssl.SSLContext] = field(
        init=False,
        eq=False,
        repr=False,
        default=Factory(lambda self: self.tls_files.renewed(self.report_renewal), takes_self=True),
    )

    @property
    def asks_for_tls(self) -> bool:
        """Whether the environment asks for TLS to an engine over TCP."""
        return bool(self.environment.get("DOCKER_CERT_PATH") or self.environment.get("DOCKER_TLS_VERIFY"))

    @property
    def tls_files(self) -> TlsFiles:
        """The files for TLS, as the docker command and its SDK find them. Without DOCKER_TLS_VERIFY, they do not verify
        the engine."""
        if not self.asks_for_tls:
            return TlsFiles()
        folder = self.environment.get("DOCKER_CERT_PATH") or os.path.join(os.path.expanduser("~"), ".docker")
        ca, cert, key = (os.path.join(folder, name) for name in ("ca.pem", "cert.pem", "key.pem"))
        verify = bool(self.environment.get("DOCKER_TLS_VERIFY"))
        return TlsFiles(ca if verify else "", cert, key, verify)

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
    """Return a client that is connected to the engine. Raises an error of the docker SDK or of requests, and
    UnusableFiles while the TLS files cannot be used.

    The API version is negotiated, because newer engines refuse old versions. ``timeout`` is the seconds that a request
    may take as a whole, even if its answer comes byte by byte. ``names`` looks up the host of an engine over TCP.
    """
    client = _client(settings, timeout, names, docker.constants.DEFAULT_DOCKER_API_VERSION)
    try:
        version = _version_of(client)
    finally:
        client.close()
    return _client(settings, timeout, names, version)


def _version_of(client: docker.APIClient) -> str:
    """Return the version of the API that the engine speaks.

    The engine tells it at ``/version``, and in a header of each answer. A socket proxy may refuse ``/version``, and may
    let requests through only with a version in their path, or only without one. The list of containers is asked for
    here because the agent cannot do without it.
    """
    try:
        return str(client.version(api_version=False)["ApiVersion"])
    except (docker.errors.APIError, *_UNEXPECTED_ANSWER, ValueError) as error:
        if shows_tls(str(error)):
            raise  # No other request would get through either.
        refusal = error
    for version in ("", f"/v{client.api_version}"):
        url = f"{client.base_url}{version}/containers/json"
        answer = client.get(url, params={"limit": "1"}, timeout=client.timeout)
        if told := answer.headers.get("Api-Version"):
            return str(told)
    raise docker.errors.DockerException(
        "it tells the version of its API neither at /version nor in the header Api-Version of its list of containers; "
        "have the proxy before it let /version or this header through"
    ) from refusal


def _client(settings: EngineSettings, timeout: int, names: Names, version: str) -> docker.APIClient:
    """Return a client that speaks this version of the API, and connects at its first request.

    The SDK makes no request before it gets here, because the version is given. So no request goes through a proxy that
    the environment names, or uses a CA or a password from there.
    """
    url = str(docker.utils.parse_host(settings.url, tls=settings.asks_for_tls))
    client = docker.APIClient(base_url=url, version=version, timeout=timeout)
    client.trust_env = False
    client.max_redirects = 0
    if url.startswith("http+unix://"):
        client.mount("http+docker://", UnixAdapter(url.removeprefix("http+unix://")))
    elif url.startswith("https://"):
        client.mount(url, TlsAdapter(settings.tls_context.value, names))
    elif url.startswith("http://"):
        client.mount(url, BoundedAdapter(names))
    return client


@define
class _CachedInspect:
    """The container that an inspect returned, and what the list showed of it at that time."""

    shown: Mapping[str, Any]
    container: Container
    #: The status text of the latest list, and when that list was asked for, in seconds of the monotonic clock.
    status: str
    listed_at: float


@frozen
class Asking:
    """How the engine is asked in the background, beside the pass."""

    #: Runs the workers that ask.
    background: Background
    clock: Clock
    #: Seconds that a pass waits for an inspect.
    patience: float = PATIENCE
    #: Whether only the engine can tell the owner name, so that a pass cannot go on without its answer.
    name_needed: bool = True
    #: Whether a port that the engine does not map depends on what the container's networks are.
    networks_needed: bool = True


class Engine:
    """The Docker engine of this host."""

    def __init__(
        self,
        dial: Callable[[], EngineClient],
        asking: Asking,
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
        self._name_needed = asking.name_needed
        self._networks_needed = asking.networks_needed
        self._clock = clock = asking.clock
        self._client: EngineClient | None = None
        self._inspected: dict[str, _CachedInspect] = {}
        #: The ids of the containers whose networks others join, as far as these were inspected before.
        self._joined: frozenset[str] = frozenset()
        #: When the latest list was asked for, in seconds of the monotonic clock.
        self._listed_at = clock.monotonic()
        self._inspects = Questions[EngineClient, Container | None](
            dial, asking.background, clock, asking.patience, on_error
        )
        self._presences = Questions[EngineClient, Presence](dial, asking.background, clock, asking.patience, on_error)
        self._networks = Networks[EngineClient](
            _ask_network, Questions(dial, asking.background, clock, asking.patience, on_error), clock
        )
        self._identity = EngineIdentity("")
        self._identity_due = clock.monotonic()
        self._identities = Questions[EngineClient, EngineIdentity](dial, asking.background, clock, PATIENCE, on_error)

    def identity(self) -> EngineIdentity:
        """Return the engine's name for its host, and its id. Raises EngineUnavailable.

        The engine is asked after each connect and once a minute. If it does not answer, the last answer counts, or an
        empty identity if there was none. But if the name is needed and not known, that is an error. The name stays the
        first one that the engine gave: under a new name, nobody would remove what is registered under the first one.
        """
        if self._name_needed and not self._identity.name:
            self._identity = self._ask(
                _ask_identity, "; it has to tell this host's name, or else give one with --hostname"
            )
            self._identity_due = self._clock.monotonic() + IDENTITY_INTERVAL
        elif self._clock.monotonic() >= self._identity_due:
            self._look_at_identity()
        return self._identity

    def _look_at_identity(self) -> None:
        """Ask the engine for its name and id in the background, and note its answer."""
        inquiries = {"info": Inquiry[EngineClient, EngineIdentity](_ask_identity)}
        reply = self._identities.ask(inquiries, Deadline.after(2 * PATIENCE, self._clock))["info"]
        if isinstance(reply, Answer):
            self._identity = self._identity.followed_by(reply.value)
        if isinstance(reply, Answer) or reply.error:
            self._identity_due = self._clock.monotonic() + IDENTITY_INTERVAL

    def read(self, deadline: Deadline, *, hurried: bool = False, full: bool = False) -> Snapshot:
        """Return this host's containers. Raises EngineUnavailable.

        A container that cannot be read while others can is among the ``unknown`` ones.

        With filters the engine is asked for two lists, first for the filtered one. The full list and the inspects have
        to agree, so nothing comes between them. A container has entries only if both lists have it. So a container that
        starts or ends between the lists has none, in either order of the lists. A container that is only in the second
        list is new, and the next pass selects it. If it took the place of a container with entries, the plan has a
        delete, and before a delete everything is read again.
        """
        if self._client:
            # Each answer may take what is left of the pass at most; the client uses the timeout that it has.
            self._client.timeout = max(1, min(TIMEOUT, round(deadline.left)))
        selected = self._ask(self._list_selected) if self._filters else None
        self._listed_at = self._clock.monotonic()
        lines = self._ask(lambda client: {line["Id"]: line for line in client.containers(all=self._stopped_too)})
        self._joined = frozenset(each.container.joined for each in self._inspected.values())
        looks = {container_id: self._look(line) for container_id, line in lines.items()}
        kept = {container_id: look for container_id, look in looks.items() if isinstance(look, Container)}
        for each in joiners_to_inspect(kept, looks.keys() - kept.keys()):
            looks[each] = _inquiry(lines[each], shown_in_list(lines[each]))
        inquiries = {container_id: look for container_id, look in looks.items() if isinstance(look, Inquiry)}
        replies = self._inspects.ask(inquiries, deadline)
        self._inspected = {each: self._inspected[each] for each in lines if each in self._inspected}
        found = [
            self._described(lines[container_id], replies[container_id]) if isinstance(look, Inquiry) else look
            for container_id, look in looks.items()
        ]
        containers = tuple(each for each in found if isinstance(each, Container))
        unknown = tuple(each for each in found if isinstance(each, UnknownContainer))
        return Snapshot(containers, unknown, selected, self._told_networks(containers, deadline))

    def _told_networks(self, containers: Collection[Container], deadline: Deadline) -> Mapping[str, Network | None]:
        """Return what the engine says of the networks that decide about a port of these containers, by id."""
        wanted = networks_in_question(containers) if self._networks_needed else frozenset[str]()
        existing = frozenset(each for container in containers for each in container.network_ids.values())
        return self._networks.told(sorted(wanted), existing, deadline)

    def _list_selected(self, client: EngineClient) -> frozenset[str]:
        """Return the ids of the containers that the filters let through."""
        try:
            return frozenset(line["Id"] for line in client.containers(all=self._stopped_too, filters=self._filters))
        except docker.errors.APIError as error:
            if not error.is_client_error():
                raise
            # The message of the error begins with a long URL. The engine's explanation is what helps.
            raise docker.errors.DockerException(f"it refuses --filter: {error.explanation}") from error

    def _look(self, line: Mapping[str, Any]) -> Container | UnknownContainer | Inquiry[EngineClient, Container | None]:
        """Return what is known of the container in a line of the list: the container as it was inspected before, if the
        list shows it unchanged; an unknown container, if the line cannot be understood; otherwise the inquiry by which
        to inspect it."""
        try:
            before, shown = self._inspected.get(line["Id"]), shown_in_list(line)
        except _ERRORS as error:
            return self._unknown(line, error)
        if before and before.shown == shown and not self._may_have_started(before, line):
            before.status, before.listed_at = line.get("Status") or "", self._listed_at
            return before.container
        return _inquiry(line, shown)

    def _may_have_started(self, before: _CachedInspect, line: Mapping[str, Any]) -> bool:
        """Return whether the container in a line of the list may have been started since an earlier list, and another
        one joins its network. When any other container was started does not matter."""
        seconds = self._clock.monotonic() - before.listed_at
        joined = before.container.id in self._joined
        return joined and may_have_started(before.status, line.get("Status") or "", seconds)

    def _described(
        self, line: Mapping[str, Any], reply: Answer[Container | None] | Silence
    ) -> Container | UnknownContainer | None:
        """Return the container in a line of the list as ``reply``, the answer of its inspect, describes it; None if the
        container is gone by now. An answer that agrees with the line is kept."""
        if isinstance(reply, Silence):
            return UnknownContainer(_ref(line), _silence_message(reply))
        container = reply.value
        try:
            if container and agrees_with_list(container, line):
                status = line.get("Status") or ""
                self._inspected[container.id] = _CachedInspect(shown_in_list(line), container, status, self._listed_at)
        except _ERRORS as error:
            return self._unknown(line, error)
        return container

    def presence(self, containers: Collection[str], deadline: Deadline) -> Mapping[str, Presence]:
        """Return what the engine says of each of these containers, which are given by id or name. A container about
        which it does not answer in time is UNKNOWN; later calls ask again in the background, with a back-off."""
        inquiries = {
            each: Inquiry[EngineClient, Presence](partial(_ask_presence, each))
            for each in containers
            if _ID_OR_NAME.fullmatch(each)
        }
        replies = self._presences.ask(inquiries, deadline)
        told = {each: reply.value if isinstance(reply, Answer) else Presence.UNKNOWN for each, reply in replies.items()}
        return {each: told.get(each, Presence.ABSENT) for each in containers}

    def _unknown(self, line: Mapping[str, Any], error: Exception) -> UnknownContainer:
        """Return the unknown container for a line of the list that cannot be understood."""
        self._on_error()
        return UnknownContainer(_ref(line), _message(error))

    def _ask(self, request: Callable[[EngineClient], Any], advice: str = "") -> Any:
        """Return what ``request`` returns, over a connection that is opened if there is none. An error closes it.

        Raises EngineUnavailable for every error of the libraries. ``advice`` is added where the engine was reached.
        """
        try:
            self._client = self._client or self._dial()
            return request(self._client)
        except _ERRORS as error:
            self._on_error()
            more = advice if self._client else ""
            self.close()
            raise EngineUnavailable(f"cannot read the Docker engine: {_message(error)}{self._where}{more}") from error

    def close(self) -> None:
        """Close the connections. The next request opens another one, and another engine may answer it."""
        if self._client:
            self._client.close()
        self._client, self._identity_due = None, self._clock.monotonic()
        self._inspects.reset()
        self._presences.reset()
        self._networks.reset()
        self._identities.reset()


def _ask_presence(id_or_name: str, client: EngineClient) -> Presence:
    try:
        return _presence_in(client.inspect_container(id_or_name), id_or_name)
    except docker.errors.NotFound:
        return Presence.ABSENT


def _presence_in(document: Any, id_or_name: str) -> Presence:
    """Return what the answer of an inspect says of the container with this id or name. The engine also answers with a
    container whose id only begins with that text, so such an answer means that the container is absent."""
    if id_or_name not in {document["Id"], (document.get("Name") or "").lstrip("/")}:
        return Presence.ABSENT
    return Presence.RUNNING if document["State"]["Status"] in SERVING else Presence.STOPPED


def _for_api(filters: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the filters as the engine's API takes them: the values by name."""
    names = dict.fromkeys(name for name, _ in filters)
    return {name: [value for other, value in filters if other == name] for name in names}


def _ask_identity(client: EngineClient) -> EngineIdentity:
    info = client.info()
    return EngineIdentity(str(info.get("Name") or ""), str(info.get("ID") or ""))


#: The status codes of a client error that say nothing about the question itself. The same question may get an answer.
_TRY_AGAIN = frozenset({408, 425, 429})


def _ask_network(network_id: str, client: EngineClient) -> Network | None:
    """Return what the network with this id is. Return None if the engine, or a proxy before it, refuses to say.

    Raises ValueError for an answer that does not name the driver, which is none of the engine's.
    """
    try:
        document = client.inspect_network(network_id)
    except docker.errors.APIError as error:
        refused = error.is_client_error() or error.status_code == HTTPStatus.NOT_IMPLEMENTED
        if refused and error.status_code not in _TRY_AGAIN:
            return None
        raise
    driver = document["Driver"]
    if not (driver and isinstance(driver, str)):
        raise ValueError(f"network {network_id} has the driver {driver!r}")
    return Network(driver, bool(document.get("Internal")))


def _inspect(container_id: str, client: EngineClient) -> Container | None:
    """Return a container, or None if there is none with this id."""
    try:
        return from_inspect(client.inspect_container(container_id))
    except docker.errors.NotFound:
        return None


def _inquiry(line: Mapping[str, Any], shown: object) -> Inquiry[EngineClient, Container | None]:
    """Return the inquiry by which to inspect the container in a line of the list. ``shown`` is what the line shows."""
    return Inquiry(partial(_inspect, line["Id"]), partial(_still_agrees, line), shown)


def _still_agrees(line: Mapping[str, Any], container: Container | None) -> bool:
    """Return whether the answer to an earlier inspect agrees with a line of the list. It does not if the line cannot be
    understood."""
    try:
        return container is not None and agrees_with_list(container, line)
    except _ERRORS:
        return False


def _ref(line: Mapping[str, Any]) -> ContainerRef:
    """Return id and name of the container of a line of the list. The name is empty if the line does not tell it."""
    names = line.get("Names")
    texts = [each for each in (names if isinstance(names, list) else ()) if isinstance(each, str)]
    # A link gives a container a second name, as in /other/alias. Its own name has one slash.
    own = [name[1:] for name in texts if name.count("/") == 1]
    return ContainerRef(line["Id"], own[0] if own else "")


def _silence_message(silence: Silence) -> str:
    """Return why a container is unknown, for the operator."""
    message = _message(silence.error) if silence.error else NO_ANSWER
    return f"its inspect has not answered for {silence.seconds:.1f} s" if message == NO_ANSWER else message


def _message(error: BaseException) -> str:
    """Return what is wrong, for the operator, and what to do if only one of both ends uses TLS. The libraries wrap the
    error of the socket several times, and one of the inner errors has the best message."""
    if told := next(filter(None, map(_told_by, _causes(error))), ""):
        return told
    if isinstance(error, _UNEXPECTED_ANSWER):
        return f"unexpected answer: {error!r}"
    return one_line(error) + _advice_on_tls(one_line(error))


def _told_by(cause: BaseException) -> str:
    """Return what an error tells, whatever wraps it; empty if it tells nothing by itself."""
    match cause:
        case UnusableFiles():
            return str(cause)
        case requests.exceptions.TooManyRedirects():
            return "it redirects to another place, which is not followed"
        case requests.exceptions.Timeout() | TimeoutError():
            return NO_ANSWER
        case FileNotFoundError() | ConnectionRefusedError():
            return one_line(cause)
        case PermissionError():
            return f"{one_line(cause)}, as {running_user()}"
    return ""


def _advice_on_tls(message: str) -> str:
    """Return what to do if this message shows that only one end of the connection uses TLS; else an empty text."""
    if shows_tls(message):
        return "; the engine uses TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
    if shows_no_tls(message):
        return "; the engine does not use TLS: give tcp://, and unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
    return ""


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return the error and the errors that it wraps, the innermost last."""
    causes: list[BaseException] = []
    while error and error not in causes:
        causes.append(error)
        error = (
            error.__cause__ or error.__context__ or next((a for a in error.args if isinstance(a, BaseException)), None)
        )
    return causes
