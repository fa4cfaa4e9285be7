"""Where the engine is, and how to connect to it."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import Factory, field, frozen

from controller.effects.clock import Clock
from controller.effects.files import Renewed, Report, TlsFiles
from controller.effects.http_client import KeptConnection, UnixRoute
from controller.effects.names import MACHINE, Names
from controller.source.engine_client import EngineClient, Versions, negotiated, version_of

if TYPE_CHECKING:
    from controller.effects.docker_context import DockerContext

#: Seconds that a request may take. After many containers had died at once, the engine was seen to hold an inspect back
#: for 1.6 s.
TIMEOUT = 5

#: The sockets to try when nothing says where the engine is: Docker's own, the one that registrator's users mount, and
#: that of Podman as root.
SOCKETS = (
    "/var/run/docker.sock",
    "/tmp/docker.sock",  # noqa: S108 - a place to look, not one to write
    "/run/podman/podman.sock",
)

#: Docker's own environment variables that say how to connect to an engine over TCP.
TLS_VARIABLES = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")

#: The machine's clock.
CLOCK = Clock()


class SocketChoice:
    """The socket of an engine that nothing names: the first of some places that is there when it is first asked for.

    The choice stays for as long as the process runs. If another engine's socket appeared later in a place that comes
    first, or if the chosen one went, then an agent that turned to the other engine would delete the entries of all
    containers that it does not have.
    """

    def __init__(self, places: Sequence[str] = SOCKETS) -> None:
        self._places = tuple(places)
        #: The chosen place; none while no socket was there. Of several threads, one makes the choice.
        self._chosen: dict[str, str] = {}

    @property
    def path(self) -> str:
        """The chosen place; the first one while none of them has a socket, and then nothing is chosen yet."""
        if not self._chosen and (existing := next(filter(_is_socket, self._places), "")):
            self._chosen.setdefault("path", existing)
        return self._chosen.get("path", self._places[0])


@frozen
class EngineSettings:
    """Where the engine is."""

    #: The engine's URL, in the form of DOCKER_HOST. Empty by default: ``environment`` and ``sockets`` decide.
    host: str = ""
    #: The environment variables, of which Docker's own are used: DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.
    #: Empty by default, so that nothing depends on the environment unless the caller says so.
    environment: Mapping[str, str] = field(factory=dict)
    #: The socket to use if neither of the above names the engine.
    sockets: SocketChoice = field(factory=SocketChoice, eq=False)

    #: The context that says where the engine is and how to connect to it, where neither ``host`` nor DOCKER_HOST names
    #: the engine. None by default.
    context: DockerContext | None = None

    #: Told when the files for TLS have changed.
    report_renewal: Report = lambda files, problem: None
    #: The TLS context for an engine over TCP, made again when the files for TLS have changed. All connections to the
    #: engine share it.
    tls_context: Renewed[ssl.SSLContext] = field(
        init=False,
        eq=False,
        repr=False,
        default=Factory(lambda self: self.tls_files.renewed(self.report_renewal), takes_self=True),
    )

    @property
    def asks_for_tls(self) -> bool:
        """Whether the context, or else the environment, asks for TLS to an engine over TCP."""
        if self.context:
            return self.context.tls
        return bool(self.environment.get("DOCKER_CERT_PATH") or self.environment.get("DOCKER_TLS_VERIFY"))

    @property
    def tls_files(self) -> TlsFiles:
        """The files for TLS, as the docker command and its SDK find them. Without DOCKER_TLS_VERIFY, those of the
        environment do not verify the engine."""
        if self.context:
            return self.context.tls_files
        if not self.asks_for_tls:
            return TlsFiles()
        folder = self.environment.get("DOCKER_CERT_PATH") or os.path.join(os.path.expanduser("~"), ".docker")
        ca, cert, key = (os.path.join(folder, name) for name in ("ca.pem", "cert.pem", "key.pem"))
        verify = bool(self.environment.get("DOCKER_TLS_VERIFY"))
        return TlsFiles(ca if verify else "", cert, key, verify)

    @property
    def url(self) -> str:
        """The URL of the engine. While none of the sockets exists it is that of the first one."""
        if given := self.host or self.environment.get("DOCKER_HOST") or (self.context and self.context.host):
            return given
        return f"unix://{self.sockets.path}"

    @property
    def named_by(self) -> str:
        """What says where the engine is: a flag or an environment variable. Empty if nothing does, and the sockets are
        tried."""
        named = {"--docker-host": self.host, "DOCKER_HOST": self.environment.get("DOCKER_HOST")}
        return next((name for name, url in named.items() if url), "DOCKER_CONTEXT" if self.context else "")

    @property
    def connection_variables(self) -> Mapping[str, str]:
        """The environment variables that say how to connect to the engine, whatever its URL."""
        if self.context:
            return self.context.variables
        return {name: self.environment[name] for name in TLS_VARIABLES if name in self.environment}

    @property
    def socket(self) -> str:
        """The path of the Unix socket that the URL names; empty if it names a host. A URL without a path means Docker's
        own socket."""
        scheme, _, path = self.url.strip().partition("://")
        return (path or SOCKETS[0]) if scheme.lower() in {"unix", "http+unix"} else ""


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def connect(
    settings: EngineSettings,
    timeout: int = TIMEOUT,
    names: Names = MACHINE,
    clock: Clock = CLOCK,
    versions: Versions | None = None,
) -> EngineClient:
    """Return a client that is connected to the engine. Raises EngineError, and UnusableFiles while the TLS files cannot
    be used.

    The API version is negotiated, because newer engines refuse old versions. ``timeout`` is the seconds that a request
    may take as a whole, even if its answer comes byte by byte. ``names`` looks up the host of an engine over TCP.
    ``versions`` remembers the version for the connections that are opened next.
    """
    if settings.socket:
        version = partial(versions.of, settings.socket) if versions else version_of
        return negotiated(KeptConnection(UnixRoute(settings.socket), clock), timeout, version)
    from controller.source.engine_over_tcp import connect_over_tcp  # noqa: PLC0415 - it loads the docker SDK

    return connect_over_tcp(settings.url, settings.asks_for_tls, settings.tls_context.value, timeout, names, clock)
