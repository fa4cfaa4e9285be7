"""Requests at a fixed rate to an HTTP server of this machine, and what became of each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Self

from attrs import frozen

#: Requests a second.
RATE = 50.0

#: Seconds after which a request that has no answer is lost.
PATIENCE = 5.0

#: The header in which the proxy names the server that it asked.
SERVER_HEADER = "X-Server"


@frozen
class Answer:
    """What became of one request."""

    #: When it was sent, in seconds of the performance counter.
    at: float
    #: The status of HTTP; None if there was no answer.
    status: int | None
    #: The body of the answer, or the error.
    text: str
    #: The address of the server that the proxy asked; empty if it is not known.
    server: str = ""

    @property
    def lost(self) -> bool:
        """Whether the request had any other end than the answer that was asked for."""
        return self.status != HTTPStatus.OK

    @property
    def kind(self) -> str:
        """What became of the request, in a word or two."""
        return self.text if self.status is None else str(self.status)


def ask(port: int) -> Answer:
    """Send one request over a connection of its own, and return what became of it."""
    at = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return Answer(at, response.status, response.read().decode(), response.headers.get(SERVER_HEADER, ""))
    except (OSError, HTTPException) as error:
        return Answer(at, None, type(error).__name__)
    finally:
        connection.close()


def lost_kinds(answers: Iterable[Answer]) -> str:
    """Return what became of the requests that were lost, with how many of each kind; empty if none was."""
    kinds = Counter(each.kind for each in answers if each.lost)
    return ", ".join(f"{number} x {kind}" for kind, number in sorted(kinds.items()))


class Load:
    """Sends at most a number of requests and then ends. Each is sent when it is due, whether or not those before it
    were answered."""

    def __init__(self, port: int, number: int, rate: float = RATE) -> None:
        self.seconds = number / rate
        self._port, self._number, self._rate = port, number, rate
        self._sent = 0
        self._answers: list[Answer] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True, name="load")

    def start(self) -> Self:
        """Begin to send."""
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether it still sends requests."""
        return self._thread.is_alive()

    def wait_for_answer_of(self, name: str, timeout: float = 20.0) -> None:
        """Wait until a server of this name, which is the body of its answers, has answered. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: any(each.text == name for each in self._answers), timeout):
                raise TimeoutError(f"{name} answered no request in {timeout:g} s")

    def cut(self, more: int) -> None:
        """Send only so many more requests."""
        self._number = min(self._number, self._sent + more)

    def wait(self) -> list[Answer]:
        """Wait until every request has ended, and return what became of them."""
        self._thread.join(self.seconds + 2 * PATIENCE)
        with self._changed:
            if len(self._answers) < self._number:
                raise TimeoutError(f"only {len(self._answers)} of {self._number} requests have ended")
            return sorted(self._answers, key=lambda each: each.at)

    def _run(self) -> None:
        begun = time.perf_counter()
        with ThreadPoolExecutor(int(self._rate * PATIENCE) + 1) as pool:
            while self._sent < self._number:
                time.sleep(max(0.0, begun + self._sent / self._rate - time.perf_counter()))
                pool.submit(self._ask)
                self._sent += 1

    def _ask(self) -> None:
        answer = ask(self._port)
        with self._changed:
            self._answers.append(answer)
            self._changed.notify_all()
