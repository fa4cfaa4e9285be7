"""Measure how many passes a second one core of etcd answers, which is where one etcd ends.

    .venv/bin/python -m benchmarks.fleet_end [--hosts 1000] [--seconds 20]

The prefix holds the keys of so many hosts with 50 services each, and keys of others are written all the time. What the
program asks etcd in a pass of an unchanged host is recorded, and then asked again and again over bare sockets, which
cost less than the program and let etcd do as much as it can. etcd runs on one core, and those who ask on another one.
It needs root and two cores. It ends by itself.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from benchmarks.figures import MEDIAN, percentile
from benchmarks.fleet import INTERVAL, NO_SWEEP, P99, PREFIX, SERVICES
from benchmarks.fleet_etcd import SCHEMES, CountedEtcd, fill, of_other_hosts, other_key, writer
from controller.effects.clock import Clock, Deadline
from controller.effects.http_client import HttpAnswer, HttpClient
from controller.effects.request_time import TimeLimits
from controller.registry.base import Sweeping
from controller.registry.credentials import Credentials
from controller.registry.etcd_v3.client import kept_connection
from controller.registry.factory import Transports, Use, layout_for, open_registry
from controller.registry.uri import parse_uri
from model.host_port import HostPort
from model.interest import Interest
from model.stored import FOREVER
from model.sweep import SweepRule

#: How many ask at a time. With fewer, etcd would wait for them.
ASKING = 8
#: Seconds between two writes of others, which a pass has to notice.
WRITE_EVERY = 0.01
#: The headers of a request without any.
NO_HEADERS: Mapping[str, str] = {}
#: Seconds that one request may take.
TIMEOUT = 10.0


class Recorder:
    """Keeps the last request to etcd, as bytes."""

    def __init__(self) -> None:
        self.request = b""

    def transport(self, endpoint: HostPort, context: Callable[[], ssl.SSLContext | None]) -> HttpClient:
        """Return a client whose requests are recorded."""
        return _Recorded(kept_connection(endpoint, context), self, str(endpoint))


@frozen
class _Recorded:
    client: HttpClient
    recorder: Recorder
    host: str

    def request(
        self, method: str, path: str, limits: TimeLimits, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> HttpAnswer:
        """See HttpClient."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.recorder.request = "\r\n".join([*lines, "", ""]).encode() + body
        return self.client.request(method, path, limits, body, headers)

    def lines(self, path: str, limits: TimeLimits, silence: float) -> Iterator[bytes]:
        """See HttpClient."""
        return self.client.lines(path, limits, silence)

    def close(self) -> None:
        """See HttpClient."""
        self.client.close()


def request_of_a_pass(host: int, endpoints: str) -> bytes:
    """Return what the program asks etcd in a pass of an unchanged host, while others write."""
    recorder = Recorder()
    uri = parse_uri(f"{SCHEMES[3]}://{endpoints}{PREFIX}")
    use = Use(sweeping=Sweeping(SweepRule(), lambda: NO_SWEEP))
    transports = Transports(etcd_v3=recorder.transport)
    registry = open_registry(uri, Credentials(), FOREVER, use=use, transports=transports)
    keys = frozenset(other_key(PREFIX, host, service) for service in range(SERVICES))
    owner = next(iter(keys)).rpartition("/")[2].partition(":")[0]
    interest = Interest(owner, layout_for(uri), wanted=keys)
    write = writer(endpoints, 3)
    registry.observe(interest, Deadline.after(TIMEOUT, Clock()))
    registry.look_up(interest, Deadline.after(TIMEOUT, Clock()))
    for value in range(3):  # A pass compares once it has seen that others write.
        write(other_key(PREFIX, host + 1, 0), f"10.200.0.1:{value + 1}")
        registry.observe(interest, Deadline.after(TIMEOUT, Clock()))
    assert recorder.request.count(b"mod_revision") >= SERVICES
    return recorder.request


def measure(hosts: int, seconds: float) -> str:
    """Return the figures in sentences."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wharfinger-fleet-")))
        etcd = CountedEtcd(folder / "etcd")
        stack.callback(etcd.close)
        fill(etcd.endpoints, of_other_hosts(PREFIX, hosts, SERVICES), 3)
        requests = [request_of_a_pass(number, etcd.endpoints) for number in range(ASKING)]
        own, *_, its = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {own})
        for thread in Path(f"/proc/{etcd.server.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {its})
        took: list[float] = []
        end = time.perf_counter() + seconds
        threads = [threading.Thread(target=_ask, args=(etcd.endpoints, each, took, end)) for each in requests]
        threads.append(threading.Thread(target=_write, args=(etcd.endpoints, hosts, end)))
        before = etcd.counters()
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        used = etcd.counters().since(before)
        cost = used.cpu / len(took)
        return (
            f"Among the keys of {hosts:,} hosts, etcd answered {len(took) / seconds:,.0f} passes a second on one core, "
            f"which it used for {100 * used.cpu / seconds:.0f} % of the time, after "
            f"{1000 * percentile(took, MEDIAN):.1f} / {1000 * percentile(took, P99):.1f} ms (p50 / p99, {ASKING} at a "
            f"time). A pass took {1000 * cost:.2f} ms of its CPU, so {1 / cost:,.0f} passes a second take all of a "
            f"core. With --interval {INTERVAL:g}, these are the passes of {INTERVAL / cost:,.0f} hosts, without their "
            "sweeps and changes."
        )


def _ask(endpoint: str, request: bytes, took: list[float], end: float) -> None:
    host, _, port = endpoint.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection, connection.makefile("rb") as answers:
        while (begun := time.perf_counter()) < end:
            connection.sendall(request)
            _read_answer(answers)
            took.append(time.perf_counter() - begun)


def _read_answer(answers: BinaryIO) -> None:
    assert b" 200 " in answers.readline()
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = answers.read(length)
    assert b'"succeeded":true' in body, "nothing has changed for the host"


def _write(endpoints: str, hosts: int, end: float) -> None:
    write = writer(endpoints, 3)
    while time.perf_counter() < end:
        write(other_key(PREFIX, random.randrange(ASKING, hosts), random.randrange(SERVICES)), "10.200.0.1:30000")
        time.sleep(WRITE_EVERY)  # the rate of the writes


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Measure how many passes a second one core of etcd answers.")
    parser.add_argument("--hosts", type=int, default=1000, help="the hosts whose keys are there")
    parser.add_argument("--seconds", type=float, default=20, help="seconds in which etcd is asked")
    asked = parser.parse_args()
    print(measure(asked.hosts, asked.seconds))


if __name__ == "__main__":
    main()
