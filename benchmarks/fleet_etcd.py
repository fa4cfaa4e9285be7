"""An etcd whose requests, bytes and CPU are counted."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from attrs import frozen

from benchmarks.usage import cpu_seconds, resident_mb
from model.record import OwnerRecord, RecordKeys
from tests.support.agent import parse_metrics
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3, encoded
from tests.support.network import NetworkNamespace

#: The scheme of a registry's URI, by the version of etcd's API.
SCHEMES = {2: "etcd", 3: "etcd3"}

#: The metrics that count requests: by v3 without streams, and by v2.
_REQUESTS = ("grpc_server_handled_total", "etcd_http_received_total")

#: The most puts in one transaction of etcd's.
_PUTS = 120

#: The connections over which v2 is filled.
_WRITERS = 8

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@frozen
class Counters:
    """What an etcd has done so far."""

    #: Seconds of CPU.
    cpu: float = 0.0
    requests: float = 0.0
    #: Bytes that clients sent and got, with all that TCP adds.
    received: float = 0.0
    sent: float = 0.0

    def since(self, before: Counters) -> Counters:
        """Return what was done since an earlier moment."""
        return Counters(
            self.cpu - before.cpu,
            self.requests - before.requests,
            self.received - before.received,
            self.sent - before.sent,
        )

    def plus(self, more: Counters) -> Counters:
        """Return what was done in both."""
        return Counters(
            self.cpu + more.cpu, self.requests + more.requests, self.received + more.received, self.sent + more.sent
        )


class CountedEtcd:
    """An etcd in a network namespace of its own, so that the bytes of its clients can be counted."""

    def __init__(self, folder: Path) -> None:
        """It runs when this returns."""
        folder.mkdir()
        self._network = NetworkNamespace(folder)
        self._network.open()
        self.server = EtcdServer(self._network.address, through=self._network.command).start()
        self.endpoints = self.server.endpoint

    def counters(self) -> Counters:
        """Return what it has done so far."""
        received, sent = (self._bytes(each) for each in ("tx", "rx"))
        return Counters(cpu_seconds(self.server.pid), requests(self.server), received, sent)

    def resident(self) -> float:
        """Return its memory in megabytes."""
        return resident_mb(self.server.pid)

    def close(self) -> None:
        """End it and remove its data."""
        self.server.close()
        self._network.close()

    def _bytes(self, way: str) -> int:
        """Return the bytes that the clients' end of the cable has sent (tx) or received (rx)."""
        return int(Path(f"/sys/class/net/wfh{self._network.number}/statistics/{way}_bytes").read_text())


def requests(server: EtcdServer) -> float:
    """Return how many requests of clients an etcd has answered."""
    with _opener.open(f"http://{server.endpoint}/metrics", timeout=10) as answer:
        samples = parse_metrics(answer.read().decode())
    return sum(value for name, value in samples.items() if name.startswith(_REQUESTS) and "bidi_stream" not in name)


def keys(endpoint: str, prefix: str, api: int) -> dict[str, str]:
    """Return the keys below a prefix with their values."""
    if api == 3:
        return EtcdV3(endpoint, timeout=60).keys(prefix)
    with _opener.open(f"http://{endpoint}/v2/keys{prefix}?recursive=true&quorum=true", timeout=60) as answer:
        nodes = [json.load(answer)["node"]]
    found = {}
    while nodes:
        node = nodes.pop()
        nodes += node.get("nodes", ())
        if "value" in node:
            found[node["key"]] = node["value"]
    return found


def fill(endpoint: str, pairs: Sequence[tuple[str, str]], api: int) -> None:
    """Write keys with their values."""
    parts = [pairs[start : start + _PUTS] for start in range(0, len(pairs), _PUTS)]
    if api == 3:
        client = EtcdV3(endpoint, timeout=30)
        for part in parts:
            puts = [{"requestPut": {"key": encoded(key), "value": encoded(value)}} for key, value in part]
            client.call("kv/txn", {"success": puts})
    else:
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(lambda part: _put_v2(endpoint, part), parts))


def _put_v2(endpoint: str, pairs: Sequence[tuple[str, str]]) -> None:
    host, _, port = endpoint.rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=30)) as connection:
        for key, value in pairs:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("PUT", f"/v2/keys{key}", urlencode({"value": value}), headers)
            connection.getresponse().read()


def of_other_hosts(prefix: str, hosts: int, services: int) -> list[tuple[str, str]]:
    """Return the keys, values and owner records of hosts that are not there, by their numbers from 0."""
    records = RecordKeys(prefix)
    record = OwnerRecord(engine="ENGINE:OTHER").encode()
    pairs = [(records.record(_host(number)), record) for number in range(hosts)]
    return pairs + [
        (other_key(prefix, number, service), f"10.200.0.1:{20000 + service}")
        for number in range(hosts)
        for service in range(services)
    ]


def other_key(prefix: str, host: int, service: int) -> str:
    """Return the key of a service on a host that is not there."""
    return f"{prefix}/app/{_host(host)}:c{service:04}:9000"


def _host(number: int) -> str:
    return f"other-{number:05}"


def writer(endpoint: str, api: int) -> Callable[[str, str], object]:
    """Return a function that writes one key."""
    server = EtcdV3(endpoint, timeout=10)
    return server.put if api == 3 else lambda key, value: _put_v2(endpoint, [(key, value)])
