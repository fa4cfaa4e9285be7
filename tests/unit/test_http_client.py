"""The program's own HTTP client. What it does with time limits, TLS and names: contract/test_deadlines and others."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from http.client import RemoteDisconnected

import pytest

from controller.effects.clock import Clock
from controller.effects.http_client import KeptConnection, TcpRoute, UnwantedAnswer
from controller.effects.names import MACHINE
from controller.effects.request_time import RequestTime, TimeLimits
from tests.support.answering import Answering, fake

LIMITS = TimeLimits(total=10.0, connect=10.0, read=10.0)

#: A body that no socket takes at once.
LARGE = b"x" * 5_000_000


class Counted(TcpRoute):
    """The way to a server, which counts the connections."""

    def __init__(self, server: Answering) -> None:
        super().__init__(*server.address, MACHINE)
        self.connections = 0

    def connect(self, time: RequestTime) -> socket.socket:
        """See Route."""
        self.connections += 1
        return super().connect(time)


class Pair:
    """The way to a server that has sent ``answer`` before it is asked. ``server`` is its end of the connection."""

    host = "server.example"

    def __init__(self, answer: bytes) -> None:
        self.client, self.server = socket.socketpair()
        self.server.sendall(answer)

    def connect(self, time: RequestTime) -> socket.socket:
        """See Route."""
        return self.client

    def has_changed(self) -> bool:
        """See Route."""
        return False


@pytest.fixture
def server() -> Iterator[Answering]:
    """A server that keeps connections open."""
    with fake(200, "good", Server="test") as server:
        yield server


def test_requests_share_a_connection(server: Answering) -> None:
    """The answer is complete, and the names of its headers are in lower case."""
    route = Counted(server)
    client = KeptConnection(route, Clock())
    answer = client.request("POST", "/one?a=b", LIMITS, b"{}", {"Content-Type": "application/json"})
    assert (answer.status, answer.body, answer.headers["server"]) == (200, b"good", "test")
    assert client.request("GET", "/two", LIMITS).status == 200
    assert (server.asked, route.connections) == (["POST /one?a=b", "GET /two"], 1)


def test_after_close_the_next_request_connects_again(server: Answering) -> None:
    """``close`` may be called at any time."""
    route = Counted(server)
    client = KeptConnection(route, Clock())
    client.close()
    for _ in range(2):
        client.request("GET", "/", LIMITS)
        client.close()
    client.close()
    assert route.connections == 2


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """The server may have restarted. The request that follows goes out over a new connection."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    route = Pair(answer)
    client = KeptConnection(route, Clock())
    assert client.request("GET", "/", LIMITS).status == 200
    route.server.close()
    route.client, route.server = socket.socketpair()
    route.server.sendall(answer)
    assert client.request("GET", "/", LIMITS).status == 200
    route.server.close()


def test_an_answer_before_the_end_of_the_request_is_received() -> None:
    """A server that refuses a request reads no more of it, and closes the connection."""
    route = Pair(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    route.server.close()
    answer = KeptConnection(route, Clock()).request("POST", "/", LIMITS, LARGE)
    assert (answer.status, answer.body) == (413, b"no")


def test_a_server_that_says_nothing_and_closes_is_an_error() -> None:
    """The error is that of the standard library."""
    route = Pair(b"")
    route.server.close()
    with pytest.raises(RemoteDisconnected, match="closed connection without response"):
        KeptConnection(route, Clock()).request("GET", "/", LIMITS)


def test_a_large_request_keeps_to_its_time() -> None:
    """The server reads nothing of it."""
    route = Pair(b"")
    with pytest.raises(TimeoutError):
        KeptConnection(route, Clock()).request("POST", "/", TimeLimits(0.05, 0.05, 0.05), LARGE)
    route.server.close()


def test_a_client_that_nobody_refers_to_has_closed_its_connection() -> None:
    """The server sees the end of the connection."""
    route = Pair(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    client = KeptConnection(route, Clock())
    client.request("GET", "/", LIMITS)
    del client
    while route.server.recv(4096):
        pass
    route.server.close()


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("etcd.example", "etcd.example:80"),
        ("::1", "[::1]:80"),
        ("bücher.example", "xn--bcher-kva.example:80"),
        ("ä" * 60, f"{'ä' * 60}:80"),
    ],
)
def test_the_host_header_has_the_name_as_it_was_given(name: str, host: str) -> None:
    """An IPv6 address is in brackets, and a name is in ASCII. What is no host name has no address to connect to."""
    assert TcpRoute(name, 80, MACHINE).host == host


def test_lines_arrive_until_the_server_ends_the_answer() -> None:
    """The connection is closed then."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    route = Pair(head + b"6\r\none\ntw\r\n2\r\no\n\r\n0\r\n\r\n")
    assert list(KeptConnection(route, Clock()).lines("/events", LIMITS, 10.0)) == [b"one\n", b"two\n"]
    assert route.client.fileno() == -1
    route.server.close()


def test_lines_that_do_not_come_are_an_error_after_the_silence() -> None:
    """The limits of the request are not those of the silence."""
    route = Pair(b"HTTP/1.1 200 OK\r\n\r\none\n")
    found = KeptConnection(route, Clock()).lines("/events", LIMITS, 0.05)
    assert next(found) == b"one\n"
    with pytest.raises(TimeoutError):
        next(found)
    route.server.close()


def test_an_answer_that_is_no_success_has_no_lines() -> None:
    """The error has the answer."""
    route = Pair(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    with pytest.raises(UnwantedAnswer, match="status 403") as caught:
        list(KeptConnection(route, Clock()).lines("/events", LIMITS, 10.0))
    assert caught.value.answer.body == b"no"
    route.server.close()


def test_each_request_is_logged_without_its_body(server: Answering, caplog: pytest.LogCaptureFixture) -> None:
    """``--log-level trace`` shows it. A body may hold a password."""
    caplog.set_level(logging.DEBUG)
    KeptConnection(TcpRoute(*server.address, MACHINE), Clock()).request("POST", "/sign-in", LIMITS, b"secret")
    assert caplog.messages == [f'127.0.0.1:{server.server_port} "POST /sign-in" 200']
