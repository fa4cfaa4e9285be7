"""The HTTP server, and the only module that imports waitress: ``/metrics``, ``/healthz``, ``/readyz``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from waitress.server import create_server

from controller.effects.background import Background
from controller.errors import Stop, one_line
from controller.host_port import HostPort
from controller.observe.answer import Answer
from controller.observe.health import Condition

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_INDEX = b"""<!doctype html><html lang="en"><title>wharfinger</title><h1>wharfinger</h1>
<ul><li><a href="/metrics">/metrics</a><li><a href="/healthz">/healthz</a><li><a href="/readyz">/readyz</a></ul></html>
"""


def router(health: Condition, metrics: App) -> App:
    """Return the WSGI application that serves health and metrics. It answers GET and HEAD, and changes nothing."""
    pages: dict[str, App] = {
        "/": lambda environ, start: _reply(start, "200 OK", _INDEX, "text/html; charset=utf-8"),
        "/metrics": metrics,
        "/healthz": lambda environ, start: _answer(start, health.alive()),
        "/readyz": lambda environ, start: _answer(start, health.ready()),
    }

    def app(environ: Environ, start: StartResponse) -> Iterable[bytes]:
        page = pages.get(environ["PATH_INFO"])
        if page is None:
            return _reply(start, "404 Not Found", b"not found\n")
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _reply(start, "405 Method Not Allowed", b"only GET and HEAD\n", more=[("Allow", "GET, HEAD")])
        body = page({**environ, "REQUEST_METHOD": "GET"}, start)
        return body if environ["REQUEST_METHOD"] == "GET" else []

    return app


def _answer(start: StartResponse, answer: Answer) -> Iterable[bytes]:
    status = "200 OK" if answer.good else "503 Service Unavailable"
    return _reply(start, status, f"{answer.text}\n".encode())


def _reply(
    start: StartResponse,
    status: str,
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
    more: Sequence[tuple[str, str]] = (),
) -> Iterable[bytes]:
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        *more,
    ]
    start(status, headers)
    return [body]


def serve(app: App, address: HostPort, background: Background) -> None:
    """Listen at the address, and serve in the background until the program ends.

    Raises Stop when the program cannot listen there, for example because the port is in use.
    """
    try:
        # Slow clients wait among up to a thousand connections, and do not occupy one of the threads.
        server = create_server(
            app, listen=str(address), threads=4, connection_limit=1000, channel_timeout=10, ident=None
        )
    except (OSError, ValueError) as error:
        raise Stop(f"cannot listen on {address}: {one_line(error)}; choose another address with --listen") from error
    background.start(server.run, name="http")
