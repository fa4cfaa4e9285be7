"""A fake engine that serves Docker's API from recorded JSON, to run the real program where there is no engine.

`python -m tests.support.recorded_engine SOCKET FILE` serves FILE, which holds `containers_json` (the answer of `GET
/containers/json?all=1`) and `inspect` (id -> the answer of `GET /containers/ID/json`), as the parity cases do. It may
hold `networks` (id -> the answer of `GET /networks/ID`); without it, that question is forbidden. It may hold `version`
and `info`, the answers of `GET /version` and `GET /info`. The engine serves the requests that wharfinger makes, with
and without `/v1.xx` before the path, and lets containers be stopped and started.
"""

from __future__ import annotations

import copy
import json
import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

API_VERSION = "1.41"
_VERSION = {"Version": "recorded", "ApiVersion": API_VERSION, "MinAPIVersion": "1.12", "Os": "linux"}
UP = ("running", "paused", "restarting")
KILLED = 137

Json = dict[str, Any]


class RecordedEngine:
    """The state behind the API: the recorded containers, some of which may have been stopped since."""

    def __init__(
        self,
        containers_json: list[Json],
        inspect: dict[str, Json],
        name: str = "recorded",
        networks: dict[str, Json] | None = None,
        version: Json | None = None,
        info: Json | None = None,
    ) -> None:
        #: The answers about networks, by id; None where the question is forbidden.
        self.networks = networks
        #: While it is not set, a question about a network gets no answer.
        self.describes = threading.Event()
        self.describes.set()
        self.name = name
        self.engine_id = "RECORDED"
        #: What the engine says of its versions.
        self.version: Json = version or _VERSION
        #: What the engine says of itself beside its name, its id and the number of its containers.
        self.more_info: Json = info or {}
        self._recorded = {str(listed["Id"]): (listed, inspect[listed["Id"]]) for listed in containers_json}
        self._present = copy.deepcopy(self._recorded)
        self._lock = threading.Lock()

    def listed(self, everything: bool) -> list[Json]:
        """Return the answer of `GET /containers/json`: containers that are up, or with `everything` all of them."""
        with self._lock:
            listed = [copy.deepcopy(listed) for listed, _ in self._present.values()]
        return [container for container in listed if everything or container["State"] in UP]

    def inspected(self, name: str) -> Json | None:
        """Return the answer of `GET /containers/NAME/json`, by id, start of the id, or name; None if there is none."""
        with self._lock:
            found = self._find(name)
            return copy.deepcopy(self._present[found][1]) if found else None

    def described(self, network_id: str) -> Json | None:
        """Return the answer of `GET /networks/ID`; None if there is no such network."""
        self.describes.wait()
        return copy.deepcopy((self.networks or {}).get(network_id))

    def stop(self, name: str) -> bool:
        """Stop a container as `docker stop` stops one that ignores TERM. Return False if there is none."""
        with self._lock:
            if found := self._find(name):
                self._present[found] = _stopped(*self._present[found])
            return bool(found)

    def start(self, name: str) -> bool:
        """Put a container back into its recorded state. Return False if there is none."""
        with self._lock:
            if found := self._find(name):
                self._present[found] = copy.deepcopy(self._recorded[found])
            return bool(found)

    def _find(self, name: str) -> str | None:
        for container, (listed, _) in self._recorded.items():
            if f"/{name}" in (listed["Names"] or ()) or (name and container.startswith(name)):
                return container
        return None


def _stopped(listed: Json, inspect: Json) -> tuple[Json, Json]:
    """Return what list and inspect show of a container after it was killed: no ports and no addresses."""
    listed |= {"State": "exited", "Status": f"Exited ({KILLED}) Less than a second ago", "Ports": []}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    dead = {"Running": False, "Paused": False, "Status": "exited", "ExitCode": KILLED, "FinishedAt": now}
    inspect["State"] |= dead
    for network in (inspect["NetworkSettings"], *inspect["NetworkSettings"]["Networks"].values()):
        network |= {"IPAddress": "", "GlobalIPv6Address": ""}
    inspect["NetworkSettings"]["Ports"] = {}
    return listed, inspect


class _Handler(BaseHTTPRequestHandler):
    """Handles one connection, which stays open between requests, as with the real engine."""

    protocol_version = "HTTP/1.1"
    server: RecordedEngineServer

    def do_HEAD(self) -> None:
        """Answer `HEAD /_ping`, the docker command's first request."""
        self._answer(200, None)

    def do_GET(self) -> None:
        """Answer ping, version, info, list, and inspect of containers and networks."""
        path, query = self._asked()
        engine = self.server.engine
        simple = {
            "/_ping": "OK",
            "/version": engine.version,
            "/info": engine.more_info
            | {"Name": engine.name, "ID": engine.engine_id, "Containers": len(engine.listed(True))},
        }
        if path in simple:
            self._answer(200, simple[path])
        elif path == "/containers/json":
            self._answer(200, engine.listed(query.get("all", ["0"])[0] in ("1", "true", "True")))
        elif container := re.fullmatch(r"/containers/([^/]+)/json", path):
            self._answer_or_404(engine.inspected(container[1]), container[1])
        elif (network := re.fullmatch(r"/networks/([^/]+)", path)) and engine.networks is None:
            self._answer(403, "Forbidden")
        elif network:
            described = engine.described(network[1])
            self._answer(200 if described else 404, described or {"message": f"network {network[1]} not found"})
        else:
            self._answer(404, {"message": "page not found"})

    def do_POST(self) -> None:
        """Answer `/containers/NAME/stop` and `/containers/NAME/start`."""
        asked = re.fullmatch(r"/containers/([^/]+)/(stop|start)", self._asked()[0])
        if asked is None:
            self._answer(404, {"message": "page not found"})
            return
        act = self.server.engine.stop if asked[2] == "stop" else self.server.engine.start
        self._answer_or_404(act(asked[1]), asked[1])

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing about requests."""

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        """Return the path without the API version, and the query."""
        url = urlsplit(self.path)
        return re.sub(r"^/v1\.\d+(?=/)", "", url.path), parse_qs(url.query)

    def _answer_or_404(self, found: Json | bool | None, name: str) -> None:
        if not found:
            self._answer(404, {"message": f"No such container: {name}"})
        elif found is True:
            self._answer(204, None)
        else:
            self._answer(200, found)

    def _answer(self, status: int, body: object) -> None:
        data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("API-Version", self.server.engine.version["ApiVersion"])
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class RecordedEngineServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves a `RecordedEngine` at a unix socket. Closing it removes the socket's file."""

    daemon_threads = True

    def __init__(self, socket_path: Path, engine: RecordedEngine) -> None:
        self.engine = engine
        self.socket_path = socket_path
        super().__init__(str(socket_path), _Handler)

    def server_close(self) -> None:
        """Close the socket and remove its file."""
        super().server_close()
        self.socket_path.unlink(missing_ok=True)


@contextmanager
def serving(engine: RecordedEngine, socket_path: Path) -> Iterator[Path]:
    """Serve an engine at a unix socket, whose path is returned, until the context ends."""
    with RecordedEngineServer(socket_path, engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield socket_path
        finally:
            server.shutdown()
            thread.join()


def load(recording: Path) -> RecordedEngine:
    """Return the engine of a recording in a file."""
    return engine_of(json.loads(recording.read_text()))


def engine_of(recorded: Json) -> RecordedEngine:
    """Return the engine of a recording. Its `hostname`, if there is one, becomes the engine's name."""
    return RecordedEngine(
        recorded["containers_json"],
        recorded["inspect"],
        recorded.get("hostname", "recorded"),
        recorded.get("networks"),
        recorded.get("version"),
        recorded.get("info"),
    )


def main() -> None:
    """Serve until killed."""
    socket_path, recording = map(Path, sys.argv[1:3])
    with RecordedEngineServer(socket_path, load(recording)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
