"""Tests of the addresses of host names, which are looked up in the background."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.effects.names import Names
from controller.effects.network import Network, Resolved
from controller.effects.remembered import REFRESH, RETRY
from tests.support.waiting import wait_until

#: Seconds within which even a busy machine answers a call that waits for nothing.
AT_ONCE = 1.0


def at(*addresses: str) -> Sequence[Resolved]:
    """Return these addresses in the form in which a look-up returns them."""
    return [(socket.AF_INET, (address, 1)) for address in addresses]


class NameServer:
    """Answers look-ups with ``answer``, which is addresses or an error. While it is dead, it answers nothing."""

    def __init__(self, answer: Sequence[Resolved] | Exception = ()) -> None:
        self.answer = answer
        self.asked = 0
        self._alive = threading.Event()
        self._alive.set()

    def die(self) -> None:
        """Stop answering."""
        self._alive.clear()

    def revive(self) -> None:
        """Answer again, also the look-ups that were made meanwhile."""
        self._alive.set()

    def was_asked_again(self, before: int) -> bool:
        """Return whether the server was asked more than ``before`` times."""
        return self.asked > before

    def resolve(self, host: str, port: int) -> Sequence[Resolved]:
        """See Network."""
        self.asked += 1
        self._alive.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Pauses:
    """The sleeps of the background work. Each one lasts until the test ends it."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self._end = threading.Semaphore(0)

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        self.begun.append(seconds)
        self._end.acquire()

    def end_one(self) -> None:
        """End the present sleep, or the next one."""
        self._end.release()


def names(server: NameServer, sleep: Callable[[float], None] | None = None) -> Names:
    """Return names that this server knows. Unless the test gives a ``sleep`` of its own, no sleep of the background
    work ends."""
    return Names(Network(server.resolve), Threads(), Clock(sleep=sleep or Pauses().sleep))


def test_a_name_is_looked_up_once_and_remembered() -> None:
    """Only the first call waits for the name server."""
    server = NameServer(at("10.0.0.1", "10.0.0.2"))
    remembered = names(server)
    for _ in range(3):
        assert remembered.addresses("etcd.example", 1, 10.0) == at("10.0.0.1", "10.0.0.2")
    assert server.asked == 1


def test_an_address_asks_nobody() -> None:
    """An address is used as it is, without a look-up."""
    server = NameServer()
    assert names(server).addresses("10.0.0.7", 1, 0.0) == at("10.0.0.7")
    assert server.asked == 0


def test_only_the_first_call_waits_for_a_name_server_that_is_dead() -> None:
    """The first call waits for as long as it may, and later calls fail at once. If the server answers at last, its
    answer is used."""
    server = NameServer(at("10.0.0.1"))
    server.die()
    remembered = names(server)
    begun = time.monotonic()
    with pytest.raises(OSError, match=r"address of etcd.example is unknown: the name servers have not answered yet"):
        remembered.addresses("etcd.example", 1, 0.3)
    assert time.monotonic() - begun >= 0.3
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(OSError, match="unknown"):
            remembered.addresses("etcd.example", 1, 10.0)
    assert time.monotonic() - begun < AT_ONCE
    server.revive()
    wait_until(lambda: known(remembered) == at("10.0.0.1"), 5, "the answer that was late")
    assert server.asked == 1


def known(remembered: Names) -> Sequence[Resolved]:
    """Return the addresses that are remembered for the name; nothing if none are."""
    try:
        return remembered.addresses("etcd.example", 1, 0.0)
    except OSError:
        return ()


@pytest.mark.parametrize("error", [OSError("no such host"), UnicodeError("label too long")])
def test_a_name_that_nobody_knows_is_asked_for_again(error: Exception) -> None:
    """The next look-up comes after some seconds, however often the name is asked for meanwhile. The error says what the
    name server said."""
    server, pauses = NameServer(error), Pauses()
    remembered = names(server, pauses.sleep)
    with pytest.raises(OSError, match=f"unknown: {error}"):
        remembered.addresses("etcd.example", 1, 10.0)
    server.answer = at("10.0.0.1")
    pauses.end_one()
    wait_until(lambda: known(remembered) == at("10.0.0.1"), 5, "the second look-up")
    assert pauses.begun[0] == RETRY


def test_a_look_up_that_fails_or_finds_nothing_leaves_what_is_known() -> None:
    """The next look-up that finds an address replaces them."""
    server, pauses = NameServer(at("10.0.0.1")), Pauses()
    remembered = names(server, pauses.sleep)
    assert remembered.addresses("etcd.example", 1, 10.0) == at("10.0.0.1")
    answers: list[Sequence[Resolved] | Exception] = [OSError("no such host"), [], at("10.0.0.2")]
    for answer in answers:
        assert known(remembered) == at("10.0.0.1")
        server.answer = answer
        asked = server.asked
        remembered.doubt("etcd.example", 1)
        pauses.end_one()
        wait_until(partial(server.was_asked_again, asked), 5, "another look-up")
    wait_until(lambda: known(remembered) == at("10.0.0.2"), 5, "the new address")


def test_addresses_are_refreshed_though_nobody_doubts_them() -> None:
    """A name is looked up every half minute, even if nobody reports that its addresses do not answer."""
    waits = list[float]()

    class Waker:
        """A waker whose waits end at once."""

        def set(self) -> None: ...

        def clear(self) -> None: ...

        def wait(self, timeout: float) -> bool:
            waits.append(timeout)
            return False

    class Background(Threads):
        """Threads whose wakers end each wait at once."""

        def waker(self) -> Waker:
            return Waker()

    server, pauses = NameServer(at("10.0.0.1")), Pauses()
    remembered = Names(Network(server.resolve), Background(), Clock(sleep=pauses.sleep))
    wait_until(lambda: known(remembered) == at("10.0.0.1"), 5, "the first look-up")
    server.answer = at("10.0.0.2")
    pauses.end_one()
    wait_until(lambda: known(remembered) == at("10.0.0.2"), 5, "the second look-up")
    assert (pauses.begun[0], REFRESH - RETRY in waits) == (RETRY, True)


def test_to_doubt_a_name_that_was_never_asked_for_is_nothing() -> None:
    """The name is not looked up."""
    server = NameServer()
    names(server).doubt("etcd.example", 1)
    assert server.asked == 0
