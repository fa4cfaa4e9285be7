"""Ask a running agent over HTTP whether it is alive: ``wharfinger health``."""

from __future__ import annotations

import os
import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from controller.effects.background import Threads
from controller.errors import masked, one_line, plain
from controller.observe.answer import Answer
from model.host_port import HostPort

#: Seconds to wait for the agent's answer, with the look-up of its name. The image's HEALTHCHECK gives the whole command
#: 5 seconds.
TIMEOUT = 4.0

#: Where an agent listens by default.
DEFAULT_LISTEN = "0.0.0.0:9119"

#: Bytes of an answer that are read. An agent's own answer is shorter; something else may listen at its port.
MAX_ANSWER = 10_000

#: What an agent says if it is alive: a line for each registry.
_ALIVE = re.compile(r"(\S+: )?ok(\n\S+: ok)*")

#: The ports of the schemes, for a URL that gives none.
_PORTS = {"http": 80, "https": 443}

#: How an answer begins.
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})\b")


def ask(url: str = "") -> Answer:
    """Return what is answered at this URL, or if it is empty, what the agent at WHARFINGER_LISTEN answers."""
    return fetch_health(url) if url else ask_agent(os.environ.get("WHARFINGER_LISTEN"))


def ask_agent(listen: str | None) -> Answer:
    """Return what the agent on this host answers. ``listen`` is WHARFINGER_LISTEN, or None if that is not set.

    An empty WHARFINGER_LISTEN turns the HTTP server off. The answer is then good, because there is nobody to ask.
    """
    if listen == "":
        return Answer(True, "There is nothing to ask: WHARFINGER_LISTEN is empty, so the agent has no HTTP server.")
    try:
        answer = fetch_health(health_url(DEFAULT_LISTEN if listen is None else listen))
    except ValueError as error:
        return Answer(False, f"WHARFINGER_LISTEN {masked(str(listen))!r} is no address to ask: {error}")
    if listen is None and not answer.good:
        hint = "If the agent was started with --listen, set WHARFINGER_LISTEN instead, or give its URL to this command."
        return Answer(False, f"{answer.text}\n{hint}")
    return answer


def health_url(listen: str) -> str:
    """Return the URL of ``/healthz`` of an agent that listens at ``listen``, which is HOST:PORT. Raises ValueError.

    An agent that listens at every address of a family is asked at the loopback address of this family.
    """
    if {"/", "@"} & set(listen):
        raise ValueError("it should be HOST:PORT or :PORT")
    address = HostPort.parse(listen)
    return f"http://{address._replace(host=_to_dial(address.host))}/healthz"


def _to_dial(host: str) -> str:
    try:
        address = ip_address(host or "0.0.0.0")  # noqa: S104 - compared with, not bound to
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def fetch_health(url: str, seconds: float = TIMEOUT) -> Answer:
    """Return what is answered at this URL, after these seconds at most. It is good if an agent says that it is alive.
    Raises nothing: an agent that cannot be reached is a bad answer, too.

    The question is asked in the background, because neither the look-up of a name nor an answer that comes byte by byte
    has a time limit of its own.
    """
    answers: list[Answer] = []
    Threads().start(lambda: answers.append(_fetch(url)), name="health").join(seconds)
    return (
        answers[0]
        if answers
        else Answer(False, f"cannot ask {masked(url)}: there was no answer within {seconds:g} seconds")
    )


def _fetch(url: str) -> Answer:
    try:
        return _get(url)
    except (OSError, ValueError) as error:
        return Answer(False, f"cannot ask {masked(url)}: {one_line(error)}")


def _get(url: str) -> Answer:
    """Return what is answered at this URL. Raises OSError or ValueError."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # What follows the colon may be a part of a password, and must not be shown.
        host = port = None
    if parts.scheme not in _PORTS or not host:
        raise ValueError("it is no URL as in http://127.0.0.1:9119/healthz")
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    request = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n\r\n".encode()
    status, body = _ask(request, host, port or _PORTS[parts.scheme], encrypted=parts.scheme == "https")
    text = _printable(body)
    if status == 200 and not _ALIVE.fullmatch(text):
        return Answer(False, f"what answers at {masked(url)} is no agent, or not its /healthz: {text[:300]}")
    return Answer(status == 200, text or f"{masked(url)} answered with status {status}")


def _ask(request: bytes, host: str, port: int, *, encrypted: bool) -> tuple[int, bytes]:
    """Send one HTTP request, and return the status and the body of the answer. Raises OSError or ValueError.

    The answer to a request of HTTP/1.0 ends with the connection, so no library is needed to read it. ``http.client``
    takes longer to load than everything else here, and ``urllib.request`` would use a proxy that the environment names,
    although the agent runs on this host.
    """
    with _connect(host, port, encrypted=encrypted) as connection, connection.makefile("rb") as answer:
        connection.sendall(request)
        head, _, body = answer.read(MAX_ANSWER).partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if status is None:
        raise ValueError("what answers there does not speak HTTP")
    return int(status[1]), body


def _connect(host: str, port: int, *, encrypted: bool) -> socket.socket:
    connection = socket.create_connection((host, port), TIMEOUT)
    if not encrypted:
        return connection
    import ssl  # noqa: PLC0415 - it takes as long to load as the rest of the command

    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)


def _printable(body: bytes) -> str:
    """Return the body as text. Line breaks stay, as an agent with several registries has a line for each."""
    return "\n".join(map(plain, body.decode(errors="replace").strip().split("\n")))
