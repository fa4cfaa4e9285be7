"""Asking a running agent how it is, over real HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from controller.commands.health import ask, default_url
from controller.observe.health import Answer
from tests.support.processes import free_ports


@contextmanager
def agent(status: int, text: bytes) -> Iterator[str]:
    """Answers so at /healthz; yields the URL."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/healthz"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("", "http://127.0.0.1:9119/healthz"),
        (":80", "http://127.0.0.1:80/healthz"),
        ("0.0.0.0:80", "http://127.0.0.1:80/healthz"),
        ("[::]:80", "http://127.0.0.1:80/healthz"),
        ("10.0.0.1:80", "http://10.0.0.1:80/healthz"),
        ("[::1]:80", "http://[::1]:80/healthz"),
        ("localhost:80", "http://localhost:80/healthz"),
    ],
)
def test_where_the_agent_is_asked(listen: str, url: str) -> None:
    """Where it listens; one that listens everywhere on loopback."""
    assert default_url(listen) == url


@pytest.mark.parametrize(
    ("status", "text", "answer"),
    [
        (200, b"ok\n", Answer(True, "ok")),
        (503, b"no pass has ended\n", Answer(False, "no pass has ended")),
        (503, b"etcd: ok\netcd-2: \rhangs\n", Answer(False, "etcd: ok\netcd-2: \\rhangs")),
        (404, b"", Answer(False, "")),
        (200, b"\x1b[31mred\xff", Answer(True, "\\x1b[31mred\ufffd")),
    ],
    ids=["alive", "dead", "several", "another program", "odd"],
)
def test_what_it_says_is_passed_on(status: int, text: bytes, answer: Answer) -> None:
    """Good with 200 alone; what it says does not play with the terminal."""
    with agent(status, text) as url:
        assert ask(url) == answer


def test_a_proxy_of_the_environment_has_no_part_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent is on this host."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_ports(1)[0]}")
    with agent(200, b"ok") as url:
        assert ask(url).good


@pytest.mark.parametrize("url", ["rubbish", "http://[::1/healthz", "ftp://127.0.0.1:1/x", "http://127.0.0.1:1/healthz"])
def test_nobody_there_is_no_good_answer(url: str) -> None:
    """Nothing is raised; the message names the URL."""
    answer = ask(url)
    assert (answer.good, url in answer.text) == (False, True)


def test_who_does_not_speak_http_is_no_good_answer() -> None:
    """Something else listens there."""
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def greet() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 smtp.example ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert not ask(f"http://127.0.0.1:{odd.getsockname()[1]}/healthz").good
        thread.join()
