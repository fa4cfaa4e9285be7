"""Ask a running agent over HTTP whether it is alive: ``wharfinger health``."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from controller.errors import masked, one_line, plain
from controller.observe.answer import Answer

#: Seconds to wait for the agent's answer.
TIMEOUT = 5.0

#: The port of an agent whose ``--listen`` was not given.
DEFAULT_PORT = "9119"

#: Bytes of an answer that are read. An agent's own answer is shorter; something else may listen at its port.
MAX_ANSWER = 1000

_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}


def health_url(listen: str) -> str:
    """Return the URL of ``/healthz`` of an agent that listens at ``listen``, as written in WHARFINGER_LISTEN.

    An empty ``listen`` means the default address. An agent that listens on every interface is asked on loopback.
    """
    host, _, port = listen.rpartition(":")
    everywhere = host in {"", "0.0.0.0", "[::]"}  # noqa: S104 - compared with, not bound to
    return f"http://{'127.0.0.1' if everywhere else host}:{port or DEFAULT_PORT}/healthz"


def fetch_health(url: str) -> Answer:
    """Return what the agent answers at this URL. It is good if the HTTP status is 200. Raises nothing: an agent that
    cannot be reached is a bad answer, too."""
    try:
        return _get(url)
    except (OSError, ValueError, HTTPException) as error:
        return Answer(False, f"cannot ask {masked(url)}: {one_line(error)}")


def _get(url: str) -> Answer:
    """Return what is answered at this URL. Raises OSError, ValueError or HTTPException.

    ``urllib.request`` is not used. It takes longer to load, and it would use a proxy that the environment names,
    although the agent runs on this host.
    """
    parts = urlsplit(url)
    if parts.scheme not in _CONNECTIONS or not parts.hostname:
        raise ValueError("it is no URL as in http://127.0.0.1:9119/healthz")
    with closing(_CONNECTIONS[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT)) as connection:
        connection.request("GET", parts._replace(scheme="", netloc="", fragment="").geturl() or "/")
        response = connection.getresponse()
        return Answer(response.status == 200, _printable(response.read(MAX_ANSWER)))


def _printable(body: bytes) -> str:
    """Return the body as text. Line breaks stay, as an agent with several registries has a line for each."""
    return "\n".join(map(plain, body.decode(errors="replace").strip().split("\n")))
