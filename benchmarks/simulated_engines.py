"""Serve simulated Docker engines at Unix sockets, in real time, so that real programs can talk to them.

One thread serves all engines: the list and the inspect answers of a container are worked out once for each change, and
sent as they are, so that what is measured is not the simulation.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from attrs import define, field

from tests.simulation.engine import API_VERSION, Event, SimulatedEngine
from tests.simulation.messages import Request
from tests.simulation.scheduler import EPOCH

#: The port of each container, as it publishes it.
PORT = "9000/tcp"

#: The first of the ports of the host.
FIRST_PORT = 20000

#: The actions that are told to a program that listens. The engine of the simulation has others.
_TOLD = frozenset({"start", "die", "kill", "pause", "unpause", "rename", "destroy"})


def simulated_engine(name: str, number: int, containers: int) -> SimulatedEngine:
    """Return an engine with this many containers, which run. Each publishes one port. ``number`` makes the address."""
    engine = SimulatedEngine(name, f"ENGINE:{name}", lambda: time.time() - EPOCH, address_of(number))
    for index in range(containers):
        engine.run(f"c{index:04}", "app:1", ports={PORT: FIRST_PORT + index})
    return engine


def address_of(number: int) -> str:
    """Return the address of a simulated host."""
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def entries(engine: SimulatedEngine, prefix: str) -> dict[str, str]:
    """Return the keys and values that etcd should hold for the containers of an engine made by ``simulated_engine``."""
    return {
        f"{prefix}/app/{engine.name}:{each.name}:9000": f"{engine.host_address}:{each.published[PORT][0].host_port}"
        for each in engine.running()
    }


@define
class _Served:
    """An engine, and what was worked out of it since its last change."""

    engine: SimulatedEngine
    answers: dict[str, bytes] = field(factory=dict)
    streams: list[socket.socket] = field(factory=list)


@define
class _Connection:
    """A client's connection. ``pending`` has the first bytes of a request of which the rest has not arrived yet."""

    served: _Served
    pending: bytes = b""


class EngineServer:
    """Serves engines until it is told to stop."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        #: When something was first asked of an engine, in seconds of ``time.perf_counter``.
        self.first_request: float | None = None

    def add(self, engine: SimulatedEngine, path: Path) -> None:
        """Serve an engine at a socket."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(64)
        listener.setblocking(False)
        served = _Served(engine)
        engine.on_event.append(lambda event: _tell(served, event))
        self._selector.register(listener, selectors.EVENT_READ, served)

    def watch(self, descriptor: int, act: Callable[[], None]) -> None:
        """Call ``act`` when something can be read from a file descriptor."""
        self._selector.register(descriptor, selectors.EVENT_READ, act)

    def serve(self, seconds: float) -> None:
        """Answer requests for this long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                if isinstance(key.data, _Served):
                    self._accept(key.fileobj, key.data)
                elif isinstance(key.data, _Connection):
                    self._receive(key.fileobj, key.data)
                else:
                    key.data()

    def _accept(self, listener: object, served: _Served) -> None:
        assert isinstance(listener, socket.socket)
        client, _ = listener.accept()
        self._selector.register(client, selectors.EVENT_READ, _Connection(served))

    def _receive(self, client: object, connection: _Connection) -> None:
        """Read what has arrived, and answer each request that is complete. Requests have no body."""
        assert isinstance(client, socket.socket)
        try:
            received = client.recv(65536)
            connection.pending += received
            while b"\r\n\r\n" in connection.pending:
                head, _, connection.pending = connection.pending.partition(b"\r\n\r\n")
                self.first_request = self.first_request or time.perf_counter()
                _answer(client, connection.served, head.partition(b"\r\n")[0].decode())
        except OSError:
            received = b""
        if not received:
            self._selector.unregister(client)
            if client in connection.served.streams:
                connection.served.streams.remove(client)
            client.close()


def _answer(client: socket.socket, served: _Served, line: str) -> None:
    """Answer a request, given by its first line."""
    method, target, _ = line.split(" ", 2)
    path, _, query = target.partition("?")
    params = dict(parse_qsl(query))
    if path.endswith("/events"):
        history = "until" in params
        client.sendall(_head(200, {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}))
        if history:
            client.sendall(b"0\r\n\r\n")
        else:
            served.streams.append(client)
        return
    if target not in served.answers:
        answer = served.engine.serve(Request(method, path, params))
        assert answer is not None
        response, _ = answer
        length = {"Content-Length": str(len(response.body))}
        served.answers[target] = _head(response.status, {**response.headers, **length}) + response.body
    client.sendall(served.answers[target])


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"Api-Version: {API_VERSION}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name != "Api-Version"]
    return "\r\n".join([*lines, "", ""]).encode()


def _tell(served: _Served, event: Event) -> None:
    """Forget what was worked out, and send an event to everybody who listens."""
    served.answers.clear()
    if event.action.partition(":")[0] not in _TOLD:
        return
    nanoseconds = round((event.at + EPOCH) * 1e9)
    document = {
        "status": event.action,
        "id": event.id,
        "Type": "container",
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": {"name": event.name, **event.details}},
        "scope": "local",
        "time": nanoseconds // 10**9,
        "timeNano": nanoseconds,
    }
    text = json.dumps(document).encode() + b"\n"
    for stream in list(served.streams):
        try:
            stream.sendall(b"%x\r\n%s\r\n" % (len(text), text))
        except OSError:
            served.streams.remove(stream)
