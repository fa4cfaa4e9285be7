"""Run the faults of the chaos test for longer, and print how the agent survived them.

    .venv/bin/python -m benchmarks.soak [SECONDS [SEED [API]]]

It starts a real engine (as root), a real etcd with three members (each on a host of its own) and the real agent. It
causes faults for SECONDS (default: 240), in rounds of a minute. After each round it stops causing faults, waits until
it is quiet, and checks what is registered. SEED (default: random) sets which faults happen. API is the version of
etcd's API that the agent uses, 2 (default) or 3.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.support.chaos import Chaos
from tests.support.engine import Unavailable
from tests.support.images import build_test_images
from tests.support.lab import Lab
from tests.support.private_engine import private_engine

#: Seconds of faults in a round.
ROUND = 60.0


def main() -> int:
    """Run the benchmark. Returns the exit code, which is 1 if anything was wrong."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 240.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    api = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    engine = private_engine()
    if isinstance(engine, Unavailable):
        print(f"No Docker engine can be used: {engine.reason}")
        return 1
    with tempfile.TemporaryDirectory(prefix="wharfinger-soak-") as folder:
        lab = Lab(Path(folder))
        chaos = Chaos(engine, lab, Path(folder), seed, api)
        try:
            build_test_images(engine)
            lab.start()
            return run(chaos.open(), seconds)
        finally:
            chaos.close()
            lab.close()
            engine.close()


def run(chaos: Chaos, seconds: float) -> int:
    """Cause faults in rounds with quiet after each, and print the figures. Returns the exit code."""
    quiet: list[float] = []
    begin = time.monotonic()
    while (left := seconds - sum_of_faults(quiet)) > 0:
        chaos.go(min(ROUND, left))
        quiet.append(chaos.settle())
    chaos.count_passes()
    violations = chaos.violations()
    wrong = len(chaos.wrong())
    print(f"seed, and version of etcd's API               {chaos.seed}, {chaos.api}")
    print(f"seconds of faults, and in all                 {seconds:.0f}, {time.monotonic() - begin:.0f}")
    for name, count in sorted(chaos.done.items()):
        print(f"  {name:<46}{count}")
    print(f"things that happened                          {sum(chaos.done.values())}")
    print(f"of these, tampering that etcd did not take    {chaos.untaken}")
    print(f"passes that succeeded                         {chaos.passes['success']}")
    print(f"passes that failed                            {chaos.passes.total() - chaos.passes['success']}")
    print(f"changes that the watcher read                 {len(chaos.witness.changes)}")
    print(f"seconds until all was right, once quiet       {', '.join(f'{each:.1f}' for each in quiet)}")
    print(f"keys of others, or of steady containers, hurt {len(violations)}")
    print(f"wrong keys at the end                         {wrong}")
    print(*violations, sep="\n", end="")
    return 1 if violations or wrong else 0


def sum_of_faults(quiet: list[float]) -> float:
    """Return the seconds of faults in the rounds so far."""
    return ROUND * len(quiet)


if __name__ == "__main__":
    raise SystemExit(main())
