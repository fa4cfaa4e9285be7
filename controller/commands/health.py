"""Ask a running agent over HTTP whether it is alive: ``wharfinger health``."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException

from controller.errors import one_line, plain
from controller.observe.health import Answer

#: Seconds to wait for the agent's answer.
TIMEOUT = 5.0

#: The port of an agent whose ``--listen`` was not given.
DEFAULT_PORT = "9119"

#: Bytes of an answer that are read. An agent's own answer is shorter; something else may listen at its port.
MAX_ANSWER = 1000


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
    # The agent runs on this host, so a proxy that the environment names is not used.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            return Answer(True, _printable(response.read(MAX_ANSWER)))
    except urllib.error.HTTPError as error:
        return Answer(False, _printable(error.read(MAX_ANSWER)))
    except (OSError, ValueError, HTTPException) as error:
        return Answer(False, f"cannot ask {url}: {one_line(error)}")


def _printable(body: bytes) -> str:
    """Return the body as text. Line breaks stay, as an agent with several registries has a line for each."""
    return "\n".join(map(plain, body.decode(errors="replace").strip().split("\n")))
