"""A bare loop in Python that registers containers: the least that a program in this language takes.

It does for each event what it must and nothing else: it reads the engine's events, inspects the container that one
names, and writes its key, all in one thread, each over a connection that is kept. It keeps no promise of wharfinger's:
it never looks again, it overwrites what it finds, and it ends at the first error. It takes the arguments of
registrator:

    .venv/bin/python -m benchmarks.floor -ip ADDRESS etcd://HOST:PORT/PREFIX
"""

from __future__ import annotations

import json
import os
import sys
from http.client import HTTPConnection
from urllib.parse import quote, urlencode, urlsplit

from benchmarks.engine_api import UnixConnection


class Floor:
    """Registers the ports of containers by etcd's v2 API."""

    def __init__(self, docker_host: str, address: str, uri: str) -> None:
        """``docker_host`` is ``unix://PATH``, and ``uri`` ``etcd://HOST:PORT/PREFIX``."""
        parts = urlsplit(uri)
        self._socket = docker_host.removeprefix("unix://")
        self._engine = UnixConnection(self._socket)
        self._etcd = HTTPConnection(parts.hostname or "", parts.port)
        self._address, self._prefix = address, parts.path
        self._keys: dict[str, list[str]] = {}

    def run(self) -> None:
        """Register what runs, and then follow the events."""
        events = UnixConnection(self._socket)
        filters = quote(json.dumps({"type": ["container"], "event": ["start", "die"]}))
        events.request("GET", f"/events?filters={filters}")
        response = events.getresponse()
        for line in json.loads(self._asked("/containers/json")):
            self._add(line["Id"])
        for text in iter(response.readline, b""):
            event = json.loads(text)
            if event["Action"] == "start":
                self._add(event["Actor"]["ID"])
            else:
                self._remove(event["Actor"]["ID"])

    def _add(self, container: str) -> None:
        document = json.loads(self._asked(f"/containers/{container}/json"))
        name, image = document["Name"].lstrip("/"), document["Config"]["Image"].rpartition("/")[2].partition(":")[0]
        for port, bindings in (document["NetworkSettings"]["Ports"] or {}).items():
            key = f"{self._prefix}/{image}/{os.uname().nodename}:{name}:{port.partition('/')[0]}"
            self._write("PUT", key, urlencode({"value": f"{self._address}:{bindings[0]['HostPort']}"}))
            self._keys.setdefault(container, []).append(key)

    def _remove(self, container: str) -> None:
        for key in self._keys.pop(container, ()):
            self._write("DELETE", key, None)

    def _asked(self, path: str) -> bytes:
        self._engine.request("GET", path)
        return self._engine.getresponse().read()

    def _write(self, method: str, key: str, body: str | None) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        self._etcd.request(method, f"/v2/keys{quote(key, safe='/:')}", body, headers)
        self._etcd.getresponse().read()


def main() -> None:
    """Run until killed."""
    Floor(os.environ["DOCKER_HOST"], sys.argv[sys.argv.index("-ip") + 1], sys.argv[-1]).run()


if __name__ == "__main__":
    main()
