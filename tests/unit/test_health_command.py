"""``wharfinger health``, over real HTTP."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from controller.commands.agent_http import TIMEOUT, agent_url
from controller.commands.health import ask_agent, fetch_health
from controller.observe.answer import Answer
from tests.support.processes import free_ports
from tests.support.trickling import Trickler


@contextmanager
def agent(status: int, text: bytes, encrypt: Callable[[socket.socket], socket.socket] | None = None) -> Iterator[str]:
    """Serve this answer at /healthz, and yield the URL. ``encrypt`` wraps the server's socket."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        if encrypt:
            server.socket = encrypt(server.socket)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http{'s' * bool(encrypt)}://127.0.0.1:{server.server_port}/healthz"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (None, "http://127.0.0.1:9119"),
        (":80", "http://127.0.0.1:80"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://[::1]:80"),
        ("[0:0:0:0:0:0:0:0]:80", "http://[::1]:80"),
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("10.0.0.1:80", "http://10.0.0.1:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("[fe80::1%eth0]:80", "http://[fe80::1%eth0]:80"),
        ("localhost:80", "http://localhost:80"),
    ],
)
def test_the_url_is_derived_from_where_the_agent_listens(listen: str | None, url: str) -> None:
    """An agent that listens at every address is asked on loopback, by IPv6 if it listens there alone."""
    assert agent_url(listen) == url


def test_an_agent_without_an_http_server_is_not_asked() -> None:
    """The image's health check must not fail for it."""
    answer = ask_agent("")
    assert (answer.good, answer.text[:25]) == (True, "There is nothing to ask: ")


@pytest.mark.parametrize("listen", ["9119", "::1:9119", "127.0.0.1", ":", " ", "host:x", ":0"])
def test_an_address_that_makes_no_sense_is_named(listen: str) -> None:
    """The agent itself does not start with it."""
    answer = ask_agent(listen)
    assert (answer.good, answer.text.partition(" is no address")[0]) == (False, f"WHARFINGER_LISTEN {listen!r}")


@pytest.mark.parametrize(
    ("status", "text", "answer"),
    [
        (200, b"ok\n", Answer(True, "ok")),
        (503, b"no pass has ended\n", Answer(False, "no pass has ended")),
        (503, b"etcd: ok\netcd-2: \rhangs\n", Answer(False, "etcd: ok\netcd-2: \\rhangs")),
        (200, b"etcd: ok\netcd-2: ok\n", Answer(True, "etcd: ok\netcd-2: ok")),
        (503, b"\x1b[31mred\xff", Answer(False, "\\x1b[31mred\ufffd")),
    ],
    ids=["alive", "dead", "one of several dead", "several alive", "odd"],
)
def test_the_answer_of_the_agent_is_passed_on(status: int, text: bytes, answer: Answer) -> None:
    """It is good only with status 200, and its control characters are escaped."""
    with agent(status, text) as url:
        assert fetch_health(url) == answer


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, b"<h1>It works!</h1>"), (200, b""), (200, b"not ok"), (200, b"ok\nor so"), (204, b""), (404, b"ok")],
)
def test_another_program_at_the_port_is_a_bad_answer(status: int, text: bytes) -> None:
    """It may answer anything with status 200. The message says who answers what."""
    with agent(status, text) as url:
        answer = fetch_health(url)
    assert not answer.good
    assert answer.text


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent runs on this host."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_ports(1)[0]}")
    with agent(200, b"ok") as url:
        assert fetch_health(url).good


def test_an_agent_behind_tls_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate has to be of a CA that the system trusts."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with agent(200, b"ok\n", lambda sock: context.wrap_socket(sock, server_side=True)) as url:
        assert "certificate verify failed" in fetch_health(url).text
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert fetch_health(url) == Answer(True, "ok")


def test_an_agent_without_tls_is_no_agent_at_an_https_url() -> None:
    """Nothing is raised."""
    with agent(200, b"ok\n") as url:
        assert not fetch_health(url.replace("http:", "https:")).good


@pytest.mark.parametrize("url", ["rubbish", "http://[::1/healthz", "ftp://127.0.0.1:1/x", "http://127.0.0.1:1/healthz"])
def test_an_agent_that_cannot_be_reached_is_a_bad_answer(url: str) -> None:
    """Nothing is raised, and the message names the URL."""
    answer = fetch_health(url)
    assert (answer.good, url in answer.text) == (False, True)


def test_an_answer_that_comes_byte_by_byte_is_not_waited_for() -> None:
    """The whole question has a time limit, which is shorter than that of the image's health check."""
    assert TIMEOUT < 5
    with agent(200, b"ok") as url, Trickler(address_of(url)) as slow:
        answer = fetch_health(f"http://127.0.0.1:{slow.address[1]}/healthz", seconds=0.3)
    assert (answer.good, "no answer within 0.3 seconds" in answer.text) == (False, True)


def address_of(url: str) -> tuple[str, int]:
    """Return the host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def test_a_server_that_does_not_speak_http_is_a_bad_answer() -> None:
    """Something else may listen at the agent's port."""
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def greet() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 smtp.example ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        assert not fetch_health(f"http://127.0.0.1:{odd.getsockname()[1]}/healthz").good
        thread.join()


@pytest.mark.parametrize(
    "url",
    ["http://agent:hunt/er2@127.0.0.1:1/healthz", "http://agent:hunter2@127.0.0.1:1/", "agent:hunter2@127.0.0.1:1"],
)
def test_no_answer_has_a_password(url: str) -> None:
    """It does not matter where the URL comes from, and which characters the password has."""
    for answer in (fetch_health(url), ask_agent(url)):
        assert not answer.good
        assert "***@127.0.0.1:1" in answer.text
        assert "hunt" not in answer.text
