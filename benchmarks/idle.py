"""Measure the CPU for each pass and the memory on a host with many containers where nothing changes.

    .venv/bin/python -m benchmarks.idle [CONTAINERS]

It starts a real engine (as root) with CONTAINERS containers (default: 100), a real etcd and the real agent, lets the
agent run for half a minute at the default interval, and prints the agent's own counters. It reads them only twice,
because answering costs the agent CPU, too. Then it does the same for the other ways to use etcd: the v3 API, the v3 API
with a lease, and both APIs at once.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.engine import Unavailable
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3
from tests.support.finding import find_engine
from tests.support.host import Host
from tests.support.images import build_test_images

#: How long each way is measured.
SECONDS = 30
STAGES = ("registry-read", "docker", "plan", "apply")

#: Name of each way to use etcd -> the agent's flags and the schemes of its URIs.
WAYS = {
    "etcd v2": ((), ("etcd",)),
    "etcd v3": ((), ("etcd3",)),
    "etcd v3, -ttl 30": (("-ttl", "30", "-ttl-refresh", "10"), ("etcd3",)),
    "both": ((), ("etcd", "etcd3")),
}


def main() -> int:
    """Run the benchmark. Returns the exit code."""
    containers = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    engine = find_engine()
    if isinstance(engine, Unavailable):
        print(f"No Docker engine can be used: {engine.reason}")
        return 1
    etcd = EtcdServer().start()
    host = Host(engine, etcd, Path(tempfile.mkdtemp(prefix="wharfinger-benchmark-")))
    try:
        build_test_images(engine)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(host.start, [f"c{number:03}" for number in range(containers)]))
        print(f"containers                 {containers}")
        for way in WAYS:
            report(host, way)
    finally:
        host.close()
        etcd.close()
        engine.close()
    return 0


def report(host: Host, way: str) -> None:
    """Measure an agent that has nothing to do, and print the result."""
    flags, schemes = WAYS[way]
    uris = [f"{scheme}://{host.etcd.endpoint}{host.prefix}" for scheme in schemes]
    agent = host.run("-ip", host.engine.address, *flags, *uris).wait_ready(60)
    agent.wait_for_passes(2 * len(uris))
    before, written = agent.metrics(), _writes(host)
    time.sleep(SECONDS)  # reading metrics meanwhile would cost the agent CPU, which is measured
    after = agent.metrics()
    done = sum(after[name] - before[name] for name in after if _is_success(name))
    cpu = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    print(f"{way}, {done:.0f} passes")
    print(f"  CPU a pass               {1000 * cpu / done:.2f} ms")
    for stage in STAGES:
        names = [name for name in after if name.startswith("wharfinger_pass_duration_seconds_sum") and stage in name]
        print(f"    {stage:<22} {1000 * sum(after[name] - before[name] for name in names) / done:.2f} ms (wall)")
    print(f"  resident                 {after['process_resident_memory_bytes'] / 2**20:.1f} MiB")
    print(f"  writes to etcd           {_writes(host) - written}")
    agent.terminate()


def _is_success(name: str) -> bool:
    return name.startswith("wharfinger_passes_total") and 'result="success"' in name


def _writes(host: Host) -> int:
    """Return the sum of the indexes of etcd's v2 and v3 stores, which grows with each write."""
    return host.etcd.index() + EtcdV3(host.etcd.endpoint).index()


if __name__ == "__main__":
    raise SystemExit(main())
