"""The HTTP client: its time limits, whatever the other end does, and the connection that it keeps."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.effects.http_client import HTTP_ERRORS, HttpAnswer, KeptConnection, TcpRoute, UnixRoute, UnwantedAnswer
from controller.effects.names import MACHINE, Names
from controller.effects.network import Network
from controller.effects.request_time import RequestTime, TimeLimits
from tests.support.processes import REPOSITORY
from tests.support.scripted_server import Connection, Script, ScriptedServer
from tests.support.secure_etcd import Authority, authority
from tests.support.waiting import wait_until

#: Enough for a request to which the server answers, on a busy machine, too.
ENOUGH = TimeLimits(total=30.0, connect=30.0, read=30.0)

#: The limits of a request to which the server does not answer as it should. It may be silent for longer than the
#: request may take.
WHOLE = TimeLimits(total=0.4, connect=30.0, read=30.0)

#: The limits of a request whose server must not be silent.
SILENT = TimeLimits(total=30.0, connect=30.0, read=0.2)

#: Seconds after which a request whose limits are 0.4 s has certainly ended, on a busy machine, too.
SOON = 10.0

ANSWER = b"HTTP/1.1 200 OK\r\nX-Name: Value\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

#: Starts a server that runs one script for each connection, and returns a client of it, and the server.
Opened = Callable[..., tuple[KeptConnection, ScriptedServer]]


@pytest.fixture(params=["unix", "tcp"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Return what opens a client of a server with these scripts, over a Unix socket and over TCP."""
    with contextlib.ExitStack() as stack:

        def open_at(*scripts: Script) -> tuple[KeptConnection, ScriptedServer]:
            path = str(tmp_path / "server.sock")
            server = stack.enter_context(ScriptedServer(*scripts, at=path if request.param == "unix" else ""))
            route = UnixRoute(path) if request.param == "unix" else TcpRoute("127.0.0.1", server.port, MACHINE)
            client = KeptConnection(route, Clock())
            stack.callback(client.close)
            return client, server

        yield open_at


@frozen
class Connected:
    """The way to a server to which there is a connection."""

    sock: socket.socket
    host: str = "server.test"

    def connect(self, time: RequestTime) -> socket.socket:
        """See Route."""
        return self.sock

    def has_changed(self) -> bool:
        """See Route."""
        return False


def answering(*answers: bytes) -> Script:
    """Return a script that gives each of these answers to one request, and then closes the connection."""

    def script(connection: Connection) -> None:
        for answer in answers:
            connection.request()
            connection.send(answer)

    return script


def hanging(connection: Connection) -> None:
    """Neither read nor write."""
    connection.wait()


@contextmanager
def ending(seconds: float = SOON) -> Iterator[None]:
    """Fail unless what is in the context times out, and soon."""
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="timed out"):
        yield
    assert time.monotonic() - began < seconds


def test_a_request_is_answered(opened: Opened) -> None:
    """The server gets method, path, headers and body, and the client gets status, headers and body."""
    seen = list[bytes]()

    def script(connection: Connection) -> None:
        seen.append(connection.request())
        connection.send(ANSWER)

    client, server = opened(script)
    answer = client.request("POST", "/a%20b?all=1", ENOUGH, b'{"a": 1}', {"Content-Type": "application/json"})
    assert answer == HttpAnswer(200, {"x-name": "Value", "content-length": "5"}, b"hello")
    host = f"127.0.0.1:{server.port}" if server.port else "localhost"
    assert seen[0].startswith(b"POST /a%20b?all=1 HTTP/1.1\r\n")
    assert f"\r\nHost: {host}\r\n".encode() in seen[0]
    assert b"\r\nContent-Type: application/json\r\n" in seen[0]
    assert seen[0].endswith(b'\r\n\r\n{"a": 1}')


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_an_answer_of_any_status_is_returned(opened: Opened, status: int) -> None:
    """A redirect is not followed."""
    client, server = opened(answering(b"HTTP/1.1 %d X\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n" % status))
    assert client.request("GET", "/", ENOUGH).status == status
    assert server.connections == 1


def test_a_body_in_chunks_is_put_together(opened: Opened) -> None:
    """So is one that ends with the connection."""
    client, _ = opened(
        answering(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), answering(b"HTTP/1.1 200 OK\r\n\r\nhello")
    )
    assert client.request("GET", "/", ENOUGH).body == b"hello"
    client.close()
    assert client.request("GET", "/", ENOUGH).body == b"hello"


def test_the_connection_is_kept(opened: Opened) -> None:
    """Until it is closed."""
    client, server = opened(answering(*[ANSWER] * 3))
    for _ in range(3):
        assert client.request("GET", "/", ENOUGH).body == b"hello"
    assert server.connections == 1
    client.close()
    client.close()
    assert client.request("GET", "/", ENOUGH).body == b"hello"
    assert server.connections == 2


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(opened: Opened) -> None:
    """Nothing was lost. A server that is restarted closes its connections."""
    closed = threading.Event()

    def script(connection: Connection) -> None:
        answering(ANSWER)(connection)
        connection.socket.shutdown(socket.SHUT_RDWR)
        closed.set()

    client, server = opened(script)
    for number in range(1, 4):
        assert client.request("GET", "/", ENOUGH).body == b"hello"
        assert closed.wait(SOON)
        closed.clear()
        assert server.connections == number


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", ANSWER[:-1], CHUNKED + b"2\r\nhe\r\n", b"?\r\n"])
def test_an_answer_that_ends_too_early_is_an_error(opened: Opened, sent: bytes) -> None:
    """The next request opens another connection."""
    client, server = opened(answering(sent), answering(ANSWER))
    with pytest.raises(HTTP_ERRORS):
        client.request("GET", "/", ENOUGH)
    assert client.request("GET", "/", ENOUGH).body == b"hello"
    assert server.connections == 2


def test_a_server_that_closes_the_connection_at_once_is_an_error(opened: Opened) -> None:
    """The request may have been carried out, so it is not repeated."""
    client, server = opened(answering(b""))
    with pytest.raises(RemoteDisconnected):
        client.request("GET", "/", ENOUGH)
    assert server.connections == 1


def test_an_answer_before_the_end_of_the_request_is_received() -> None:
    """A server that refuses a request reads no more of it, and closes the connection."""
    client_end, server_end = socket.socketpair()
    server_end.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    server_end.close()
    answer = KeptConnection(Connected(client_end), Clock()).request("POST", "/", ENOUGH, LARGE)
    assert (answer.status, answer.body) == (413, b"no")


def test_a_client_that_nobody_refers_to_has_closed_its_connection() -> None:
    """The server sees the end of the connection."""
    client_end, server_end = socket.socketpair()
    server_end.sendall(ANSWER)
    client = KeptConnection(Connected(client_end), Clock())
    client.request("GET", "/", ENOUGH)
    del client
    assert client_end.fileno() == -1
    server_end.close()


def test_each_request_is_logged_without_its_body(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    """``--log-level trace`` shows it. A body may hold a password."""
    caplog.set_level(logging.DEBUG)
    client, server = opened(answering(ANSWER))
    client.request("POST", "/sign-in", ENOUGH, b"secret")
    host = f"127.0.0.1:{server.port}" if server.port else "localhost"
    assert caplog.messages == [f'{host} "POST /sign-in" 200']


def test_nobody_who_listens_is_an_error(tmp_path: Path) -> None:
    """It is the error of the socket."""
    with pytest.raises(FileNotFoundError):
        KeptConnection(UnixRoute(f"{tmp_path}/nowhere.sock"), Clock()).request("GET", "/", ENOUGH)
    with pytest.raises(ConnectionRefusedError):
        KeptConnection(TcpRoute("127.0.0.1", 1, MACHINE), Clock()).request("GET", "/", ENOUGH)


# Time limits.


@pytest.mark.parametrize("limits", [WHOLE, SILENT], ids=["whole", "silence"])
def test_a_server_that_does_not_answer_is_given_up(opened: Opened, limits: TimeLimits) -> None:
    """Neither does it read the request. The next request opens another connection."""
    client, server = opened(hanging, answering(ANSWER))
    with ending():
        client.request("GET", "/", limits)
    assert client.request("GET", "/", ENOUGH).body == b"hello"
    assert server.connections == 2


@pytest.mark.parametrize(
    ("at_once", "slowly"),
    [
        (b"", ANSWER),
        (b"HTTP/1.1 200 OK\r\n", b"X-Name: Value\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a" * 1000),
        (CHUNKED, b"1\r\na\r\n" * 1000),
        (CHUNKED + b"3e8\r\n", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
    ids=["status", "headers", "body", "chunks", "one chunk", "body without length", "100 Continue"],
)
def test_an_answer_that_trickles_is_given_up(opened: Opened, at_once: bytes, slowly: bytes) -> None:
    """The server is never silent for long, and the request as a whole has a limit."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(at_once)
        connection.send(slowly, size=1, seconds=0.05)

    client, _ = opened(script)
    with ending():
        client.request("GET", "/", TimeLimits(total=0.4, connect=30.0, read=10.0))


#: More than the buffers of any connection hold.
LARGE = b"a" * 20_000_000


def test_a_large_body_arrives(opened: Opened) -> None:
    """It is sent piece by piece."""
    seen = list[int]()

    def script(connection: Connection) -> None:
        seen.append(len(connection.request()))
        connection.send(ANSWER)

    client, _ = opened(script)
    assert client.request("POST", "/", ENOUGH, LARGE).status == 200
    assert seen[0] > len(LARGE)


@pytest.mark.parametrize("limits", [WHOLE, SILENT], ids=["whole", "silence"])
def test_a_server_that_does_not_read_a_large_body_is_given_up(opened: Opened, limits: TimeLimits) -> None:
    """Sending has the limits that receiving has."""
    client, _ = opened(hanging)
    with ending():
        client.request("POST", "/", limits, LARGE)


def test_a_server_that_reads_a_large_body_slowly_is_given_up(opened: Opened) -> None:
    """It never stops reading, and the request as a whole has a limit."""

    def script(connection: Connection) -> None:
        while connection.socket.recv(10_000):
            connection.wait(0.02)

    client, _ = opened(script)
    with ending():
        client.request("POST", "/", TimeLimits(total=0.4, connect=30.0, read=10.0), LARGE)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """Return a port at which connections are not accepted, because too many are waiting."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(10):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


@pytest.mark.parametrize(
    "limits", [TimeLimits(30.0, 0.2, 30.0), TimeLimits(0.2, 30.0, 30.0)], ids=["connecting", "whole"]
)
def test_a_host_that_accepts_no_connection_is_given_up(deaf_port: int, limits: TimeLimits) -> None:
    """Connecting has a limit of its own, and that of the request."""
    with ending():
        KeptConnection(TcpRoute("127.0.0.1", deaf_port, MACHINE), Clock()).request("GET", "/", limits)


# Addresses.


def names(*addresses: str) -> Names:
    """Return names of which each has these addresses."""
    network = Network(resolve=lambda host, port: [(socket.AF_INET, (each, port)) for each in addresses])
    return Names(network, Threads(), Clock())


def test_the_addresses_of_a_name_are_tried_in_turn() -> None:
    """The Host header has the name."""
    seen = list[bytes]()

    def script(connection: Connection) -> None:
        seen.append(connection.request())
        connection.send(ANSWER)

    with ScriptedServer(script) as server:
        client = KeptConnection(TcpRoute("etcd.test", server.port, names("127.0.0.9", "127.0.0.1")), Clock())
        assert client.request("GET", "/", ENOUGH).body == b"hello"
        client.close()
    assert f"\r\nHost: etcd.test:{server.port}\r\n".encode() in seen[0]


def test_a_name_none_of_whose_addresses_answers_is_looked_up_again() -> None:
    """The error is that of the last address."""
    looked_up = list[str]()

    def resolve(host: str, port: int) -> Any:
        looked_up.append(host)
        return [(socket.AF_INET, ("127.0.0.9", port))]

    clock = Clock(sleep=lambda seconds: None)
    client = KeptConnection(TcpRoute("gone.test", 1, Names(Network(resolve), Threads(), clock)), Clock())
    with pytest.raises(ConnectionRefusedError):
        client.request("GET", "/", ENOUGH)
    wait_until(lambda: len(looked_up) == 2, what="the second look-up")


def test_a_name_without_an_address_is_an_error() -> None:
    """The name server knows none."""
    client = KeptConnection(TcpRoute("nobody.test", 1, names()), Clock())
    with pytest.raises(OSError, match=r"the address of nobody\.test is unknown"):
        client.request("GET", "/", TimeLimits(0.2, 30.0, 30.0))


def test_an_ipv6_address_is_in_brackets_in_the_host_header() -> None:
    """Its colons would otherwise be taken for that of the port."""
    assert TcpRoute("::1", 2379, MACHINE).host == "[::1]:2379"


@pytest.mark.parametrize(
    ("name", "host"),
    [("bücher.test", "xn--bcher-kva.test:2379"), ("ä" * 60, f"{'ä' * 60}:2379")],
    ids=["a host name", "too long"],
)
def test_a_name_is_in_ascii_in_the_host_header(name: str, host: str) -> None:
    """A name that is no host name stays as it is. It has no address, so no request is made."""
    assert TcpRoute(name, 2379, MACHINE).host == host


# TLS.


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """Return an authority."""
    return authority(tmp_path / "ours")


def for_servers(of: Authority) -> ssl.SSLContext:
    """Return the context of a server that asks for no client certificate."""
    context = of.server_context()
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting(of: Authority) -> ssl.SSLContext:
    """Return the context of a client that trusts this authority."""
    return ssl.create_default_context(cafile=of.path)


def over_tls(port: int, context: Callable[[], ssl.SSLContext]) -> KeptConnection:
    """Return a client over TLS."""
    return KeptConnection(TcpRoute("127.0.0.1", port, MACHINE, context), Clock())


def test_requests_go_over_tls(ours: Authority) -> None:
    """The connection is kept for as long as the context is the same."""
    context = trusting(ours)
    with ScriptedServer(answering(ANSWER, ANSWER), context=for_servers(ours)) as server:
        client = over_tls(server.port, lambda: context)
        for _ in range(2):
            assert client.request("GET", "/", ENOUGH).body == b"hello"
        assert server.connections == 1
        client.close()


def test_another_context_ends_the_connection_under_the_old_one(ours: Authority) -> None:
    """It may have another certificate, or trust others."""
    contexts = [trusting(ours), trusting(ours)]
    with ScriptedServer(answering(ANSWER, ANSWER), context=for_servers(ours)) as server:
        client = over_tls(server.port, lambda: contexts[0])
        assert client.request("GET", "/", ENOUGH).body == b"hello"
        contexts.pop(0)
        assert client.request("GET", "/", ENOUGH).body == b"hello"
        assert server.connections == 2
        client.close()


def test_a_context_that_cannot_be_made_is_the_requests_error(ours: Authority) -> None:
    """Nothing is sent meanwhile, and the next request asks again."""
    problems = [ValueError("no certificate")]
    context = trusting(ours)

    def current() -> ssl.SSLContext:
        if problems:
            raise problems.pop()
        return context

    with ScriptedServer(answering(ANSWER), context=for_servers(ours)) as server:
        client = over_tls(server.port, current)
        with pytest.raises(ValueError, match="no certificate"):
            client.request("GET", "/", ENOUGH)
        assert client.request("GET", "/", ENOUGH).body == b"hello"
        assert server.connections == 1
        client.close()


def test_a_server_that_is_not_trusted_gets_no_request(ours: Authority, tmp_path: Path) -> None:
    """Its certificate is of another authority."""
    context, seen = trusting(authority(tmp_path / "theirs")), list[bytes]()
    with (
        ScriptedServer(lambda each: seen.append(each.request()), context=for_servers(ours)) as server,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        over_tls(server.port, lambda: context).request("GET", "/", ENOUGH)
    assert not [each for each in seen if each]


@pytest.mark.parametrize("limits", [WHOLE, SILENT], ids=["whole", "silence"])
def test_a_server_that_never_ends_the_handshake_is_given_up(ours: Authority, limits: TimeLimits) -> None:
    """The handshake is part of the request."""
    context = trusting(ours)
    with ScriptedServer(hanging) as server, ending():
        over_tls(server.port, lambda: context).request("GET", "/", limits)


# Lines.


def test_lines_arrive_while_the_answer_goes_on(opened: Opened) -> None:
    """They are those of the body, however it is cut into chunks. They end with the answer."""
    go_on = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(CHUNKED + b"4\r\none\n\r\n6\r\ntwo\nth\r\n")
        go_on.wait(SOON)
        connection.send(b"4\r\nree\n\r\n0\r\n\r\n")

    client, _ = opened(script)
    lines = client.lines("/events", ENOUGH, SOON)
    assert [next(lines), next(lines)] == [b"one\n", b"two\n"]
    go_on.set()
    assert list(lines) == [b"three\n"]


def test_lines_may_be_silent_for_a_while_only(opened: Opened) -> None:
    """A line that trickles is silence, too. The limits of the request are those of everything up to the headers."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\none\n")
        connection.send(b"a" * 1000, size=1, seconds=0.05)

    client, server = opened(script, answering(ANSWER))
    lines = client.lines("/events", ENOUGH, 0.4)
    assert next(lines) == b"one\n"
    with ending():
        next(lines)
    assert client.request("GET", "/", ENOUGH).body == b"hello"
    assert server.connections == 2


def test_lines_may_go_on_for_longer_than_a_request(opened: Opened) -> None:
    """Each line begins the silence anew."""

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        connection.send(b"a\n" * 6, size=2, seconds=0.1)

    client, _ = opened(script)
    assert list(client.lines("/events", TimeLimits(0.3, 0.3, 0.3), SOON)) == [b"a\n"] * 6


def test_a_server_that_does_not_begin_with_the_lines_is_given_up(opened: Opened) -> None:
    """Up to the headers, the limits of the request count."""
    client, _ = opened(hanging)
    with ending():
        next(client.lines("/events", WHOLE, 30.0))


#: A program that ends while one of its threads waits for a line.
ENDS_WHILE_WAITING = """
import sys, threading
from controller.effects.clock import Clock
from controller.effects.http_client import KeptConnection, UnixRoute
from controller.effects.request_time import TimeLimits

lines = KeptConnection(UnixRoute(sys.argv[1]), Clock()).lines("/events", TimeLimits(30.0, 30.0, 30.0), 30.0)
next(lines)
threading.Thread(target=next, args=(lines,), daemon=True).start()
"""


def test_the_program_ends_although_a_thread_waits_for_lines(tmp_path: Path) -> None:
    """The agent is to stop at once while its engine has no event to tell."""
    ended = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(CHUNKED + b"4\r\none\n\r\n")
        ended.wait(2 * SOON)

    path = str(tmp_path / "server.sock")
    with ScriptedServer(script, at=path):
        try:
            subprocess.run([sys.executable, "-c", ENDS_WHILE_WAITING, path], check=True, timeout=SOON, cwd=REPOSITORY)
        finally:
            ended.set()


def test_the_connection_is_closed_with_the_lines(opened: Opened) -> None:
    """The server sees that nobody listens any more."""
    left = threading.Event()

    def script(connection: Connection) -> None:
        connection.request()
        connection.send(CHUNKED + b"4\r\none\n\r\n")
        assert connection.request() == b""
        left.set()

    client, _ = opened(script)
    lines = client.lines("/events", ENOUGH, 30.0)
    assert next(lines) == b"one\n"
    lines.close()  # type: ignore[attr-defined] # it is a generator
    assert left.wait(SOON)


def test_an_answer_without_lines_is_raised_as_a_whole(opened: Opened) -> None:
    """Its status says why."""
    client, _ = opened(answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
    with pytest.raises(UnwantedAnswer, match="status 403") as refused:
        next(client.lines("/events", ENOUGH, 30.0))
    assert (refused.value.answer.status, refused.value.answer.body) == (403, b"no")
    assert isinstance(refused.value, HTTPException)


def test_lines_that_end_in_the_midst_of_a_chunk_are_an_error(opened: Opened) -> None:
    """What arrived before is yielded."""
    client, _ = opened(answering(CHUNKED + b"4\r\none\n\r\n9\r\ntw"))
    lines = client.lines("/events", ENOUGH, 30.0)
    assert next(lines) == b"one\n"
    with pytest.raises(HTTP_ERRORS):
        list(lines)
