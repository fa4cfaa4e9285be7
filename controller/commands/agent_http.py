"""Ask a running agent over HTTP, without any library.

``wharfinger health`` runs twice a minute, also on a busy machine. ``http.client`` takes longer to load than everything
else here, and ``urllib.request`` would use a proxy that the environment names, although the agent runs on this host.
"""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from controller.effects.background import Threads
from controller.errors import masked
from model.host_port import HostPort

#: Seconds to wait for the agent's answer, with the look-up of its name. The image's HEALTHCHECK gives the whole command
#: 5 seconds.
TIMEOUT = 4.0

#: Where an agent listens by default.
DEFAULT_LISTEN = "0.0.0.0:9119"

#: Bytes of an answer that are read by default. What an agent says of its health and of itself is shorter, but something
#: else may listen at its port.
MAX_ANSWER = 10_000

#: The ports of the schemes, for a URL that gives none.
_PORTS = {"http": 80, "https": 443}

#: How an answer begins.
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})\b")


def agent_url(listen: str | None) -> str:
    """Return the URL of the HTTP server of an agent that listens at ``listen``, which is WHARFINGER_LISTEN, or None if
    that is not set. Raises ValueError, with a message that names the variable.

    An agent that listens at every address of a family is asked at the loopback address of this family.
    """
    try:
        return f"http://{_to_dial(DEFAULT_LISTEN if listen is None else listen)}"
    except ValueError as error:
        raise ValueError(f"WHARFINGER_LISTEN {masked(str(listen))!r} is no address to ask: {error}") from error


def _to_dial(listen: str) -> HostPort:
    if {"/", "@"} & set(listen):
        raise ValueError("it should be HOST:PORT or :PORT")
    address = HostPort.parse(listen)
    return address._replace(host=_host_to_dial(address.host))


def _host_to_dial(host: str) -> str:
    try:
        address = ip_address(host or "0.0.0.0")  # noqa: S104 - compared with, not bound to
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def fetch(url: str, seconds: float = TIMEOUT, *, token: str = "", most: int = MAX_ANSWER) -> tuple[int, bytes]:
    """Return the status and the body of what is answered at this URL, after these seconds at most. Raises OSError or
    ValueError. ``token`` is sent if it is not empty. Of a longer answer, only its first ``most`` bytes are read.

    The question is asked in the background, because neither the look-up of a name nor an answer that comes byte by byte
    has a time limit of its own.
    """
    answers: list[tuple[int, bytes]] = []
    errors: list[OSError | ValueError] = []

    def ask() -> None:
        try:
            answers.append(_get(url, token, most))
        except (OSError, ValueError) as error:
            errors.append(error)

    Threads().start(ask, name="agent").join(seconds)
    for error in errors:
        raise error
    for answer in answers:
        return answer
    raise TimeoutError(f"there was no answer within {seconds:g} seconds")


def _get(url: str, token: str, most: int) -> tuple[int, bytes]:
    """Return the status and the body of what is answered at this URL. Raises OSError or ValueError."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # What follows the colon may be a part of a password, and must not be shown.
        host = port = None
    if parts.scheme not in _PORTS or not host:
        raise ValueError("it is no URL as in http://127.0.0.1:9119/healthz")
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    sent = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n{sent}\r\n".encode()
    return _ask(request, host, port or _PORTS[parts.scheme], most, encrypted=parts.scheme == "https")


def _ask(request: bytes, host: str, port: int, most: int, *, encrypted: bool) -> tuple[int, bytes]:
    """Send one HTTP request, and return the status and the body of the answer. Raises OSError or ValueError. The answer
    to a request of HTTP/1.0 ends with the connection."""
    with _connect(host, port, encrypted=encrypted) as connection, connection.makefile("rb") as answer:
        connection.sendall(request)
        head, _, body = answer.read(most).partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if status is None:
        raise ValueError("what answers there does not speak HTTP")
    return int(status[1]), body


def _connect(host: str, port: int, *, encrypted: bool) -> socket.socket:
    connection = socket.create_connection((host, port), TIMEOUT)
    if not encrypted:
        return connection
    # TLS takes as long to load as everything else here.
    from controller.effects.tls import verifying_context  # noqa: PLC0415

    return verifying_context().wrap_socket(connection, server_hostname=host)
