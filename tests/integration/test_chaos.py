"""All faults at once and at random, in containers, agent, engine, etcd and keys, and what must hold throughout.

`WHARFINGER_CHAOS_SECONDS` is the duration for each version of etcd's API. `WHARFINGER_CHAOS_SEED` repeats a run's
choices. `benchmarks/soak.py` is the longer run.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.chaos import ACTIONS, Chaos
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.private_engine import PrivateEngine

SECONDS = float(os.environ.get("WHARFINGER_CHAOS_SECONDS", "45"))
SEED = int(os.environ.get("WHARFINGER_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))


def say(line: str) -> None:
    """Print a line into the test's output, which pytest shows if the test fails (and with `-s`)."""
    sys.stdout.write(f"{line}\n")


@pytest.fixture(params=[(2,), (3,), (3, "--no-hints")], ids=["v2", "v3", "v3 without hints"])
def chaos(breakable_engine: PrivateEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Chaos]:
    """The scene, with all parts working and an agent that uses one version of etcd's API, with these flags."""
    breakable_engine.mend()
    breakable_engine.remove_all()
    lab = Lab(tmp_path)
    api, *flags = request.param
    scene = Chaos(breakable_engine, lab, tmp_path, SEED, api, flags)
    try:
        lab.start()
        yield scene.open()
    finally:
        scene.close()
        lab.close()
        breakable_engine.remove_all()


def test_after_all_faults_the_registry_is_right_and_no_key_of_others_was_touched(chaos: Chaos) -> None:
    """Once the faults have ended, the registry is exactly right within `Chaos.bound()`. Meanwhile nothing happened to a
    key of others, nor to the key of a container that ran all along."""
    say(f"chaos: {SECONDS:g} s with WHARFINGER_CHAOS_SEED={SEED}")
    chaos.go(SECONDS)
    took = chaos.settle()
    chaos.count_passes()
    say(f"right after {took:.1f} s; {sum(chaos.done.values())} events: {dict(chaos.done)}; {dict(chaos.passes)}")
    assert chaos.violations() == [], f"WHARFINGER_CHAOS_SEED={SEED}"
    assert len(chaos.witness.changes) > 0
    assert set(chaos.done) == {action.name for action in ACTIONS}


@pytest.mark.parametrize("turn", range(3))
def test_changes_during_the_first_pass_are_not_missed(host: Host, turn: int) -> None:
    """Containers that start and die while the agent starts end up registered and removed, as the first pass is like any
    other. registrator missed 6 of 16 such starts, and kept a dead container's key every time."""
    before = [f"before{number}" for number in range(8)]
    host.start(*before)
    agent = host.agent()
    with ThreadPoolExecutor(8) as pool:
        ends = pool.map(lambda name: host.engine.docker("kill", name), before[:4])
        starts = pool.map(host.start, [f"meanwhile{number}" for number in range(8)])
        assert len([*ends, *starts]) == 12
    host.wait_for(host.expected())
    agent.wait_for_passes(2)
    assert host.keys() == host.expected()
    assert len(host.keys()) == 12
