"""A client of the Docker engine's API for benchmarks, over one connection that is kept, so that it adds next to nothing
to what is measured; and the engine's events, each with the moment when it arrived."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import quote

IMAGE = "worker:1"

#: How long a server of SLOW takes to end after the signal that stops it, in seconds.
SLOWNESS = 0.05

#: What makes a container one that takes SLOWNESS to end.
SLOW: Mapping[str, object] = {
    "Cmd": ["sh", "-c", f"trap 'sleep {SLOWNESS}; exit' TERM; sleep 1000000 & wait"],
    "StopSignal": "SIGTERM",
}


class EngineApi:
    """Creates, starts, stops, kills and removes containers."""

    def __init__(self, socket_url: str) -> None:
        """``socket_url`` is the engine's URL, of the form ``unix://PATH``."""
        self._connection = UnixConnection(socket_url.removeprefix("unix://"))

    def create(self, name: str, more: Mapping[str, object] | None = None) -> str:
        """Create a container that publishes one port, which the engine chooses. ``more`` is further configuration.
        Return its id."""
        document = {"Image": IMAGE, "HostConfig": {"PublishAllPorts": True}, **(more or {})}
        return str(self._ask("POST", f"/containers/create?name={name}", document)["Id"])

    def start(self, container: str) -> float:
        """Start a container. Return the moment at which the engine had done so."""
        self._ask("POST", f"/containers/{container}/start")
        return time.perf_counter()

    def kill(self, container: str) -> None:
        """Kill a container."""
        self._ask("POST", f"/containers/{container}/kill")

    def stop(self, container: str) -> None:
        """Stop a container, and return when it has ended."""
        self._ask("POST", f"/containers/{container}/stop")

    def remove(self, containers: Iterable[str]) -> None:
        """Remove containers, whatever their state."""
        for container in containers:
            self._ask("DELETE", f"/containers/{container}?force=1&v=1")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, document: object = None) -> Any:
        body = None if document is None else json.dumps(document)
        headers = {} if document is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {text.decode(errors='replace')}")
        return json.loads(text) if text else None


class EngineEvents:
    """The events of an engine's containers. ``at`` has the moment of each, by action and container's id."""

    def __init__(self, socket_url: str) -> None:
        """The stream is open when this returns."""
        self.at: dict[tuple[str, str], float] = {}
        self._changed = threading.Condition()
        self._connection = UnixConnection(socket_url.removeprefix("unix://"))
        filters = quote(json.dumps({"type": ["container"], "event": ["start", "kill", "die"]}))
        self._connection.request("GET", f"/events?filters={filters}")
        response = self._connection.getresponse()
        threading.Thread(target=self._read, args=(response,), daemon=True, name="engine events").start()

    def wait_for(self, action: str, container: str, timeout: float = 20.0) -> float:
        """Return the moment of an event, and wait for it if it has not arrived. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: (action, container) in self.at, timeout):
                raise TimeoutError(f"no event {action} of {container} in {timeout:g} s")
            return self.at[action, container]

    def close(self) -> None:
        """End the stream."""
        self._connection.end()

    def _read(self, response: HTTPResponse) -> None:
        for line in iter(response.readline, b""):
            now = time.perf_counter()
            event = json.loads(line)
            with self._changed:
                self.at[event["Action"], event["Actor"]["ID"]] = now
                self._changed.notify_all()


class UnixConnection(HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)

    def end(self) -> None:
        """Shut the connection down, so that a thread that reads from it comes to the end."""
        if self.sock:
            self.sock.shutdown(socket.SHUT_RDWR)
