"""Asking a running agent how it is, from outside."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException

from controller.errors import one_line, plain
from controller.observe.health import Answer

TIMEOUT = 5.0

DEFAULT_PORT = "9119"


def default_url(listen: str) -> str:
    """The ``/healthz`` of the agent that listens at ``listen``, as in WHARFINGER_LISTEN; empty for the default. One
    that listens everywhere is asked on loopback."""
    host, _, port = listen.rpartition(":")
    everywhere = host in {"", "0.0.0.0", "[::]"}  # noqa: S104 - compared with, not bound to
    return f"http://{'127.0.0.1' if everywhere else host}:{port or DEFAULT_PORT}/healthz"


def ask(url: str) -> Answer:
    """What the agent says. Nobody there is no good answer; nothing is raised."""
    # A proxy of the environment has no part in this.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            return Answer(True, _readable(response.read(1000)))
    except urllib.error.HTTPError as error:
        return Answer(False, _readable(error.read(1000)))
    except (OSError, ValueError, HTTPException) as error:
        return Answer(False, f"cannot ask {url}: {one_line(error)}")


def _readable(body: bytes) -> str:
    """An agent with several registries says a line for each."""
    return "\n".join(map(plain, body.decode(errors="replace").strip().split("\n")))
