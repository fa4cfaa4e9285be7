"""What a host with many containers and nothing changing costs: CPU a pass, and memory.

    .venv/bin/python -m benchmarks.idle [CONTAINERS]

It starts a real engine (as root) with that many containers (100), a real etcd and the real agent, leaves it alone for
a minute of passes at the default interval, and prints what the agent's own counters say. They are asked for twice only,
as answering costs CPU, too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.engine import Unavailable
from tests.support.etcd_server import EtcdServer
from tests.support.finding import find_engine
from tests.support.host import Host
from tests.support.images import build_test_images

SECONDS = 60
SUCCESSES = 'wharfinger_passes_total{registry="etcd",result="success"}'
STAGES = ("registry-read", "docker", "plan", "apply")


def main() -> int:
    """Run the benchmark; returns the exit code."""
    containers = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    engine = find_engine()
    if isinstance(engine, Unavailable):
        print(f"No engine: {engine.reason}")
        return 1
    etcd = EtcdServer().start()
    host = Host(engine, etcd, Path(tempfile.mkdtemp(prefix="wharfinger-benchmark-")))
    try:
        build_test_images(engine)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(host.start, [f"c{number:03}" for number in range(containers)]))
        report(host, containers)
    finally:
        host.close()
        etcd.close()
        engine.close()
    return 0


def report(host: Host, containers: int) -> None:
    """Measure an agent that has nothing to do, and print it."""
    agent = host.agent(interval=1.0).wait_ready()
    host.wait_for(host.expected(), timeout=60)
    before, index_before = agent.metrics(), host.etcd.index()
    time.sleep(SECONDS)  # to look would cost the agent CPU, which is what is measured
    after = agent.metrics()
    done = after[SUCCESSES] - before[SUCCESSES]
    cpu = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    print(f"containers                 {containers}")
    print(f"passes                     {done:.0f}")
    print(f"CPU a pass                 {1000 * cpu / done:.2f} ms")
    for stage in STAGES:
        name = f'wharfinger_pass_duration_seconds_sum{{registry="etcd",stage="{stage}"}}'
        print(f"  {stage:<22}   {1000 * (after[name] - before[name]) / done:.2f} ms (wall)")
    print(f"resident                   {after['process_resident_memory_bytes'] / 2**20:.1f} MiB")
    print(f"writes to etcd             {host.etcd.index() - index_before}")


if __name__ == "__main__":
    raise SystemExit(main())
