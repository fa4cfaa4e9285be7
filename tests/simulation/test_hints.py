"""What the engine's events bring, in virtual time: keys come and go sooner, and are the same as without events."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest

from tests.simulation.engine import EventAccess, SimulatedEngine
from tests.simulation.network import LineFate
from tests.simulation.quiet_host import QuietHost, quiet_host

APIS = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

#: Seconds within which one change is published: 0.05 of them if another one was just published.
AT_ONCE = 0.07

#: More than an interval and a pass.
INTERVAL = 1.1


@APIS
def test_a_container_is_registered_as_soon_as_it_has_started(api: int) -> None:
    """Without hints it takes until the next pass."""
    with quiet_host(api) as host:
        host.run("new")
        assert host.until_right() < AT_ONCE
        host.engine.restart("new")
        assert host.until_right() < AT_ONCE
    with quiet_host(api, hints=False) as host:
        host.run("new")
        assert AT_ONCE < host.until_right() < INTERVAL


@APIS
@pytest.mark.parametrize("lag", [0.0, 0.12, 1.6, 6.0])
@pytest.mark.parametrize("end", [SimulatedEngine.kill, SimulatedEngine.die], ids=["killed", "by-itself"])
def test_the_key_of_a_container_that_ends_goes_at_once_however_long_the_engine_takes_to_clear_up(
    api: int, end: Callable[[SimulatedEngine, str], None], lag: float
) -> None:
    """Until then the engine's list still shows the container, and an inspect does not answer. The key does not come
    back."""
    with quiet_host(api) as host:
        host.engine.list_lag(lag)
        end(host.engine, "web")
        assert host.until_right() < AT_ONCE
        host.after(30)
        assert host.changes["/services/web/core-1:web:80"] == 1


@APIS
def test_a_burst_is_published_in_few_passes_and_soon(api: int) -> None:
    """Sixty containers start, sixteen at a time, and end."""
    with quiet_host(api) as host:
        passes = host.fleet.passes
        for number in range(60):
            moment = host.scheduler.now + number // 16 * 0.3 + number % 16 * 0.01
            host.scheduler.call_at(moment, partial(host.run, f"burst-{number}"))
        host.after(60 // 16 * 0.3 + 0.16)
        assert host.until_right() < 0.5
        for number in range(60):
            moment = host.scheduler.now + number // 16 * 0.3 + number % 16 * 0.01
            host.scheduler.call_at(moment, partial(host.engine.remove, f"burst-{number}", force=True))
        host.after(60 // 16 * 0.3 + 0.16)
        assert host.until_right() < 0.5
        assert host.fleet.passes - passes < 60


@APIS
def test_a_container_in_a_crash_loop_is_published_once_a_second(api: int) -> None:
    """It ends by itself and is started again, three times a second."""
    with quiet_host(api) as host:
        for number in range(60):
            moment = host.scheduler.now + number / 3
            host.scheduler.call_at(moment, partial(host.engine.die, "web", 1, restarting=True))
            host.scheduler.call_at(moment + 0.1, partial(host.engine.start, "web"))
        host.after(20)
        assert host.changes["/services/web/core-1:web:80"] < 2 * 20 + 10
        host.after(3)
        assert host.keys == host.right


@APIS
def test_false_events_change_nothing(api: int) -> None:
    """They tell of a container that does not exist, of the end of an earlier run, and of the start of what does not
    run."""
    with quiet_host(api) as host:
        host.engine.create("idle", "registry.example/web:1", ports={"80/tcp": None})
        idle = host.engine.containers()[-1].id
        host.after(1)
        for each in host.engine.running():
            host.host.socket.inject(host.engine.false_event("die", each.id, at=(each.started or 0.0) - 1))
        host.host.socket.inject(host.engine.false_event("start", idle))
        for action in ("start", "die", "destroy"):
            host.host.socket.inject(host.engine.false_event(action, "0" * 64))
        host.after(20)
        assert (host.keys, dict(host.changes)) == (host.right, {})


@APIS
@pytest.mark.parametrize("seed", range(5))
def test_the_false_end_of_a_container_that_runs_is_put_right_at_once(api: int, seed: int) -> None:
    """The inspect says that it runs. If that answer takes longer than usual, the key is gone for a moment."""
    with quiet_host(api, seed=seed) as host:
        for each in host.engine.running():
            host.host.socket.inject(host.engine.false_event("die", each.id))
        host.after(2 * AT_ONCE)
        assert host.keys == host.right


@APIS
def test_events_are_taken_from_the_history_where_streams_are_refused(api: int) -> None:
    """A socket proxy lets only short answers through."""
    with quiet_host(api) as host:
        host.engine.let_events_through(EventAccess.HISTORY)
        host.host.socket.cut()
        host.after(30)
        host.run("new")
        assert host.until_right() < 0.4
        host.engine.kill("new")
        assert host.until_right() < 0.4


@APIS
@pytest.mark.parametrize("fault", ["cut", "hush", "refused", "lost", "restarted"])
def test_without_events_all_is_right_in_time(api: int, fault: str) -> None:
    """A lost stream costs latency alone: as much as without hints, if the agent knows of the loss, and otherwise as
    much as the engine's list comes late."""
    with quiet_host(api) as host:
        if fault == "cut":
            host.host.socket.cut()
        elif fault == "hush":
            host.host.socket.hush()
        elif fault == "refused":
            host.engine.let_events_through(EventAccess.NONE)
            host.host.socket.cut()
        elif fault == "lost":
            host.host.socket.line_chances = {LineFate.LOST: 1.0}
        else:
            host.engine.stop_engine(live_restore=True)
            host.after(2)
            host.engine.start_engine()
        knows = fault in {"cut", "refused"}
        host.run("new")
        assert host.until_right() < (INTERVAL if knows else 6.0)
        host.engine.kill("web")
        assert host.until_right() < (INTERVAL if knows else 6.0)


@APIS
def test_hints_make_no_difference_to_what_is_registered(api: int) -> None:
    """Two hosts with the same random life have the same keys in the end, with hints and without."""
    ends = []
    for hints in (True, False):
        with quiet_host(api, hints) as host:
            live(host, random.Random(api))
            host.after(20)
            ends.append(host.keys)
            assert host.keys == host.right
    assert ends[0] == ends[1]


def live(host: QuietHost, chance: random.Random) -> None:
    """Let containers come and go for two minutes."""
    engine = host.engine
    for number in range(100):
        running = sorted(each.name for each in engine.running())
        name = chance.choice(running)
        step = chance.choice(["run", "kill", "restart", "rename", "pause", "remove", "stop"])
        if step == "run" or len(running) < 3:
            host.run(f"c{number}")
        elif step == "rename":
            engine.rename(name, f"c{number}")
        elif step == "remove":
            engine.remove(name, force=True)
        elif step == "pause":
            engine.pause(name)
            engine.unpause(name)
        elif step == "restart":
            engine.restart(name)
        elif step == "stop":
            engine.stop(name)
        else:
            engine.kill(name)
        host.after(chance.choice([0.0, 0.02, 0.3, 3.0]))
