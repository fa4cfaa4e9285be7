"""The listener: real sockets, in a time that the test decides."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from controller.effects.listener import Later, Limits, Listener
from controller.effects.network import listen
from tests.support.fakes import FakeTime
from tests.support.processes import free_ports

LIMITS = Limits(connections=3, seconds=10.0, lingering=2.0)

#: More than the kernel keeps of what a client does not read.
HUGE = b"x" * 50_000_000


class Listening(socket.socket):
    """A listening socket whose next ``failures`` attempts to accept a connection fail with ``error``."""

    failures = 0
    error = errno.EMFILE

    def accept(self) -> tuple[socket.socket, object]:
        """Accept a connection, or raise the error."""
        if self.failures:
            self.failures -= 1
            raise OSError(self.error, "no")
        return super().accept()


class Served:
    """A listener whose requests end with a dot, and the clients that a test connects to it."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.reports: list[str] = []
        self.answer = b"answer"
        self.made: list[bytes] = []
        plain = [listen("127.0.0.1", port)[0] for port in free_ports(2)]
        self.listening, self.other = (Listening(fileno=each.detach()) for each in plain)
        self._listener = Listener(
            [self.listening, self.other],
            self._answer_to,
            self.time.clock,
            self.reports.append,
            LIMITS,
        )
        self._clients: list[socket.socket] = []

    def _answer_to(self, received: bytes) -> bytes | Later | None:
        """Return the answer to a request that ends with a dot. The answer to one that ends with ``later.`` takes its
        time."""
        if received.endswith(b"later."):
            return partial(self._make, received)
        return self.answer if received.endswith(b".") else None

    def _make(self, request: bytes) -> bytes:
        self.made.append(request)
        return self.answer

    def connect(self, says: bytes = b"", *, go_on: bool = True) -> socket.socket:
        """Connect a client that sends this, and let the listener go on."""
        client = socket.create_connection(self.listening.getsockname(), timeout=5)
        self._clients.append(client)
        client.sendall(says)
        if go_on:
            self.go_on()
        return client

    def go_on(self, seconds: float = 0.0, turns: int = 5) -> None:
        """Let time pass, and the listener do all that there is to do."""
        self.time.advance(seconds)
        for _ in range(turns):
            self._listener.turn(0)

    def close(self) -> None:
        """Close all sockets."""
        self._listener.close()
        for each in self._clients:
            each.close()


@pytest.fixture
def served() -> Iterator[Served]:
    """Yield a listener."""
    served = Served()
    yield served
    served.close()


def is_closed(client: socket.socket) -> bool:
    """Return whether the listener has closed the client's connection."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def is_reset(client: socket.socket) -> bool:
    """Return whether nobody takes what the client sends any more."""
    client.settimeout(1)
    try:
        for _ in range(100):
            client.sendall(b"more" * 10_000)
    except (ConnectionError, TimeoutError) as error:
        return isinstance(error, ConnectionError)
    return False


def received(client: socket.socket) -> bytes:
    """Return what the client receives until the listener ends the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_client_gets_one_answer_and_then_the_end(served: Served) -> None:
    """It may send its request in pieces. A second request has no answer."""
    client = served.connect(b"he")
    client.sendall(b"llo.and again.")
    served.go_on()
    assert received(client) == b"answer"


def test_the_oldest_connection_gives_way_at_the_limit(served: Served) -> None:
    """The new client is served, and the other connections stay."""
    first, second, third = (served.connect() for _ in range(3))
    fourth = served.connect(b"hello.")
    assert received(fourth) == b"answer"
    assert [is_closed(each) for each in (first, second, third)] == [True, False, False]


@pytest.mark.parametrize("before", range(2 * LIMITS.connections))
def test_a_request_in_the_middle_of_a_flood_is_answered(served: Served, before: int) -> None:
    """Far more clients than there may be connections come between two turns of the listener."""
    old = served.connect()
    old.sendall(b"hello.")
    for _ in range(before):
        served.connect(go_on=False)
    new = served.connect(b"hello.", go_on=False)
    for _ in range(3 * LIMITS.connections):
        served.connect(go_on=False)
    served.go_on()
    assert (received(old), received(new)) == (b"answer", b"answer")


def test_a_client_that_goes_on_sending_its_request_is_no_younger_for_it(served: Served) -> None:
    """It gives way before those that came later and send nothing."""
    slow, *others = (served.connect() for _ in range(3))
    slow.sendall(b"h")
    served.go_on(1)
    served.connect()
    assert [is_closed(each) for each in (slow, *others)] == [True, False, False]


@pytest.mark.parametrize("last", [1, 100], ids=["at the limit", "far above"])
def test_a_flood_of_connections_is_reported_once_a_minute(served: Served, last: int) -> None:
    """Whoever floods the port does not fill the log."""
    for _ in range(LIMITS.connections + last):
        served.connect()
    assert len(served.reports) == 1
    served.go_on(61)
    for _ in range(LIMITS.connections + last):
        served.connect()
    assert served.reports == ["all connections are in use, so the oldest one is closed for each new one"] * 2


@pytest.mark.parametrize("answer", [b"answer", HUGE], ids=["requests nothing", "does not read"])
def test_a_connection_ends_after_its_time_whatever_the_client_does(served: Served, answer: bytes) -> None:
    """Neither a byte now and then, nor an answer that is not read, prolongs it."""
    served.answer = answer
    client = served.connect(b"." if answer == HUGE else b"h")
    for _ in range(9):
        served.go_on(1.1)
        if answer != HUGE:
            client.sendall(b"e")
    assert not is_closed(client)
    served.go_on(0.2)
    assert is_reset(client)


def test_a_large_answer_is_received_whole(served: Served) -> None:
    """It is sent as fast as the client reads."""
    served.answer = HUGE[:5_000_000]
    client = served.connect(b".")
    client.setblocking(False)
    count = 0
    while count < len(served.answer):
        served.go_on()
        try:
            count += len(client.recv(1_000_000))
        except BlockingIOError:
            continue
    served.go_on()
    assert is_closed(client)


def test_what_follows_the_request_is_dropped_for_a_while(served: Served) -> None:
    """A client that sends a body gets its answer, because the connection is not reset while the client sends."""
    client = served.connect(b"hello.")
    for _ in range(3):
        client.sendall(b"body" * 10_000)
        served.go_on()
    assert received(client) == b"answer"
    served.go_on(2.1)
    assert is_reset(client)


def test_an_answer_that_takes_its_time_is_made_after_the_others(served: Served) -> None:
    """Each turn makes one of them, the oldest one. A client that has ended its side of the connection gets it, too."""
    late = [served.connect(b"%d later." % number, go_on=False) for number in range(2)]
    for client in late:
        client.shutdown(socket.SHUT_WR)
    prompt = served.connect(b"hello.", go_on=False)
    served.go_on(turns=1)
    assert (received(prompt), served.made) == (b"answer", [b"0 later."])
    served.go_on()
    assert [received(each) for each in late] == [b"answer"] * 2


def test_an_answer_that_takes_its_time_is_not_made_for_a_client_that_gave_way(served: Served) -> None:
    """So a flood of such requests does not keep the listener busy."""
    for number in range(100):
        served.connect(b"%d later." % number, go_on=False)
    prompt = served.connect(b"hello.", go_on=False)
    served.go_on(turns=100)
    assert received(prompt) == b"answer"
    assert len(served.made) < 50
    assert served.made[-1] == b"99 later."


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_process_without_room_for_a_connection_closes_the_oldest_one(served: Served, error: int) -> None:
    """The next attempt to accept then succeeds."""
    old = served.connect()
    served.listening.error, served.listening.failures = error, 1
    client = served.connect(b"hello.")
    assert (received(client), is_closed(old)) == (b"answer", True)
    assert served.reports == ["the process may open no more files, so connections have to give way or wait"]


def test_a_process_without_room_for_any_connection_tries_again_a_second_later(served: Served) -> None:
    """Until then it does not try, because that would use up the processor."""
    served.listening.failures = 1
    client = served.connect(b"hello.")
    served.go_on(0.5)
    assert not is_closed(client)
    served.go_on(0.6)
    client.setblocking(True)
    assert received(client) == b"answer"


def test_a_process_without_room_for_any_connection_waits_at_all_its_sockets(served: Served) -> None:
    """It listens at several addresses, and clients of each of them wait."""
    for listening in (served.listening, served.other):
        listening.failures = 2
    clients = [socket.create_connection(each.getsockname(), timeout=5) for each in (served.listening, served.other)]
    served.go_on()
    assert served.listening.failures + served.other.failures == 3
    for client in clients:
        client.sendall(b"hello.")
    for _ in range(4):
        served.go_on(1.1)
    assert [received(client) for client in clients] == [b"answer"] * 2
    for client in clients:
        client.close()


def test_a_connection_that_ends_before_it_is_accepted_is_left_out(served: Served) -> None:
    """The next one is accepted."""
    served.listening.error, served.listening.failures = errno.ECONNABORTED, 1
    assert received(served.connect(b"hello.")) == b"answer"
    assert served.reports == []
