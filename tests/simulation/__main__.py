"""Run the simulation: `python -m tests.simulation --seed N --hosts 3 --hours 2 --api v3 [--trace]`."""

from __future__ import annotations

import argparse
import random
import sys

from tests.simulation.run import Outcome, Plan, run, shrink

#: The values of --hints.
HINTS = {"mixed": None, "on": True, "off": False}


def main() -> int:
    """Run one seed, or several after each other; return 1 if something that must hold did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="which run; a fresh one by default")
    parser.add_argument("--runs", type=int, default=1, help="how many runs, with the seeds that follow")
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--hours", type=float, default=0.5, help="virtual hours of a run")
    parser.add_argument("--api", choices=["v2", "v3"], default="v3")
    parser.add_argument(
        "--hints", choices=[*HINTS], default="mixed", help="whether agents follow the events of their engines"
    )
    parser.add_argument("--neighbours", type=int, help="how many more hosts have owner records; by default, by seed")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for a smaller run that fails, too")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    failed = 0
    passes = 0
    faults: dict[str, int] = {}
    cpu = 0.0
    for number in range(options.runs):
        plan = Plan(
            seed + number,
            options.hosts,
            options.hours * 3600,
            int(options.api[1]),
            HINTS[options.hints],
            options.neighbours,
        )
        show = print if options.trace else lambda line: None
        outcome = run(
            plan, on_line=lambda line: print(line, file=sys.__stdout__, flush=True) if options.trace else None
        )
        passes += outcome.passes
        cpu += outcome.cpu
        for fault, count in outcome.faults.items():
            faults[fault] = faults.get(fault, 0) + count
        if outcome.violation:
            failed += 1
            report(outcome, shrunk=None if options.no_shrink else shrink(outcome, on_line=show))
    print(
        f"{passes} passes by {options.api} in {options.runs} runs from seed {seed}: {failed} failed; {cpu:.0f} s of CPU"
    )
    for fault, count in sorted(faults.items()):
        print(f"  {fault:22} {count}")
    return 1 if failed else 0


def report(outcome: Outcome, shrunk: Outcome | None) -> None:
    """Print a failed run, so that it can be repeated."""
    print(f"FAILED: {outcome.violation}\n  {outcome.command}")
    if shrunk:
        print(f"  Of {len(outcome.events)} events these suffice:")
        for line in shrunk.trace:
            print(f"    {line}")


if __name__ == "__main__":
    sys.exit(main())
