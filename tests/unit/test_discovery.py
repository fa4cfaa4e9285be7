"""Endpoints in SRV records, which are looked up in the background."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import pytest

from controller.effects.background import Threads
from controller.effects.clock import Clock
from controller.effects.discovery import Discovery
from controller.effects.names import Names
from controller.effects.network import Network, Resolved
from model.host_port import HostPort
from model.srv import SrvRecord
from tests.support.waiting import wait_until

RECORD = "_etcd-client._tcp.example.test"

ONE, TWO = SrvRecord(0, 1, 2379, "etcd-1.test."), SrvRecord(0, 1, 2379, "etcd-2.test.")
AT_ONE, AT_TWO = HostPort("etcd-1.test", 2379), HostPort("etcd-2.test", 2379)


class Dns:
    """A name server, and the discovery that asks it. ``answer`` is its records or an error. ``look_again`` returns when
    it has been asked once more."""

    def __init__(self, *answer: SrvRecord, problem: str = "") -> None:
        self.answer: Sequence[SrvRecord] = answer
        self.problem = problem
        self.asked = list[str]()
        self.resolved = list[str]()
        self._pause = threading.Semaphore(0)
        clock, network = Clock(sleep=lambda _: self._acquire()), Network(self._resolve, srv_records=self._records)
        self.names = Names(network, Threads(), clock)
        self.discovery = Discovery(network, self.names, Threads(), clock, self._draw)
        self.draws = 0

    def _acquire(self) -> None:
        self._pause.acquire()

    def _draw(self) -> float:
        """Draw the first record at first, and the last one later."""
        self.draws += 1
        return float(self.draws > 2)

    def _resolve(self, host: str, port: int) -> Sequence[Resolved]:
        self.resolved.append(host)
        return [(socket.AF_INET, ("127.0.0.1", port))]

    def _records(self, name: str) -> Sequence[SrvRecord]:
        self.asked.append(name)
        if self.problem:
            raise OSError(self.problem)
        return self.answer

    def endpoints(self) -> Sequence[HostPort]:
        """Return the endpoints that are known."""
        return self.discovery.endpoints(RECORD, 10.0)

    def look_again(self) -> None:
        """Have the records looked up again."""
        before = len(self.asked)
        self.discovery.doubt(RECORD)
        self._pause.release()
        wait_until(lambda: len(self.asked) > before, 5, "another look-up")
        self._pause.release()
        self.discovery.doubt(RECORD)
        wait_until(lambda: len(self.asked) > before + 1, 5, "the end of that look-up")


def test_endpoints_are_looked_up_once_and_remembered() -> None:
    """Only the first call waits."""
    dns = Dns(ONE, TWO)
    assert [*dns.endpoints()] == [AT_ONE, AT_TWO]
    assert dns.endpoints() is dns.endpoints()
    assert dns.asked == [RECORD]


def test_changed_records_are_followed() -> None:
    """An endpoint that is new is there, and one that is gone is not."""
    dns = Dns(ONE)
    assert [*dns.endpoints()] == [AT_ONE]
    dns.answer = (TWO,)
    dns.look_again()
    assert [*dns.endpoints()] == [AT_TWO]
    assert dns.discovery.problem(RECORD) == ""


def test_the_order_stays_while_the_records_do() -> None:
    """It was drawn when they were first seen, and a name server may give them in any order."""
    dns = Dns(ONE, TWO)
    known = dns.endpoints()
    dns.answer = (TWO, ONE)
    dns.look_again()
    assert dns.endpoints() is known


@pytest.mark.parametrize("useless", [(), (SrvRecord(0, 0, 0, "."),)], ids=["no record", "no service"])
def test_an_answer_without_endpoints_leaves_those_that_are_known(useless: tuple[SrvRecord, ...]) -> None:
    """An agent without any endpoint could not even ask whether that is so for good."""
    dns = Dns(ONE)
    known = dns.endpoints()
    dns.answer = useless
    dns.look_again()
    assert dns.endpoints() is known
    assert dns.discovery.problem(RECORD) == "it names no host and port"
    dns.answer = (ONE,)
    dns.look_again()
    assert (dns.endpoints(), dns.discovery.problem(RECORD)) == (known, "")


def test_a_look_up_that_fails_leaves_the_endpoints_that_are_known() -> None:
    """What is wrong can be asked for."""
    dns = Dns(ONE)
    known = dns.endpoints()
    dns.problem = "no name server answered"
    dns.look_again()
    assert (dns.endpoints(), dns.discovery.problem(RECORD)) == (known, "no name server answered")


def test_an_error_names_the_record_that_was_asked_for() -> None:
    """It says what the name server said. An answer that names no endpoint is an error, too, while none is known."""
    dns = Dns(problem="the DNS has no such record")
    message = f"the SRV record {RECORD}, which has the endpoints, is unknown: the DNS has no such record"
    with pytest.raises(OSError, match=message):
        dns.endpoints()
    for nothing in (Dns(SrvRecord(0, 0, 0, ".")), Dns()):
        with pytest.raises(OSError, match="is unknown: it names no host and port"):
            nothing.endpoints()


def test_the_name_of_a_host_that_is_gone_is_looked_up_no_longer() -> None:
    """If it comes back, it is looked up anew."""
    dns = Dns(ONE)
    dns.names.addresses(*AT_ONE, 10.0)
    dns.discovery.let_go(AT_ONE)
    dns.discovery.let_go(AT_TWO)
    threads = [each for each in threading.enumerate() if each.name == f"addresses of {AT_ONE.host}"]
    for _ in threads:
        dns._pause.release()
    wait_until(lambda: not any(each.is_alive() for each in threads), 5, "the end of the look-ups")
    assert dns.resolved == [AT_ONE.host]
    dns.names.addresses(*AT_ONE, 10.0)
    assert dns.resolved == [AT_ONE.host] * 2
