"""Containers that are being stopped, in virtual time: their keys go with the signal, while they still run.

The signal is told by an event alone. Losing the event costs nothing but the lead: the keys go with the container then.
"""

from __future__ import annotations

from math import inf
from signal import SIGHUP, SIGTERM
from typing import Any

import pytest
from attrs import evolve

from tests.simulation.fleet import MEMBERS
from tests.simulation.network import LineFate
from tests.simulation.quiet_host import IMAGE, WEB, QuietHost, quiet_host
from tests.simulation.test_hints import AT_ONCE, INTERVAL

APIS = pytest.mark.parametrize("api", [2, 3], ids=["v2", "v3"])

#: Seconds for which the containers of a test drain, and more than the agent takes to see a change without its event.
GRACE, UNTOLD = 20.0, 6.0


def run(host: QuietHost, name: str = "slow", **options: Any) -> None:
    """Run a container that ends 5 seconds after its stop signal, and wait until its key is there."""
    host.engine.run(
        name, IMAGE, ports=WEB, **{"ends_after": 5.0, "env": {"SERVICE_STOP_GRACE": f"{GRACE:.0f}"}} | options
    )
    host.until_right()


def key(name: str = "slow") -> str:
    """Return the key of a container."""
    return f"/services/web/core-1:{name}:80"


def runs(host: QuietHost, name: str = "slow") -> bool:
    """Return whether a container runs."""
    return name in {each.name for each in host.engine.running()}


def until(host: QuietHost, *, there: bool, name: str = "slow", limit: float = 300.0) -> float:
    """Let time go by until the key of a container is there, or is not, and return how many seconds that took. Raises
    AssertionError after ``limit``."""
    began = host.scheduler.now
    while (key(name) in host.keys) is not there:
        assert host.scheduler.now - began < limit
        host.after(0.001)
    return host.scheduler.now - began


def start_agent_anew(host: QuietHost, away: float = 1.0, **flags: Any) -> None:
    """Kill the agent, and start it again after so many seconds, with some flags changed."""
    host.fleet.stop_agent(host.host)
    host.host.flags = evolve(host.host.flags, **flags)
    host.after(away)
    host.fleet.start_agent(host.host)


@APIS
@pytest.mark.parametrize("signal", ["", "SIGUSR1", "RTMIN+3", "winch"])
def test_the_key_goes_with_the_stop_signal_and_stays_away(api: int, signal: str) -> None:
    """The container answers for 5 seconds more. Its key is deleted once, and not written again."""
    with quiet_host(api) as host:
        run(host, stop_signal=signal)
        host.engine.stop("slow")
        assert until(host, there=False) < AT_ONCE
        assert runs(host)
        host.after(30)
        assert (host.keys, host.changes[key()]) == (host.right, 2)


@APIS
def test_a_container_that_ignores_its_stop_signal_drains_until_it_is_killed(api: int) -> None:
    """The engine sends KILL when the container's stop timeout is over."""
    with quiet_host(api) as host:
        run(host, ends_after=inf, stop_timeout=30)
        host.engine.stop("slow")
        assert until(host, there=False) < AT_ONCE
        host.after(GRACE - 1)
        assert runs(host)
        assert key() not in host.keys
        host.after(30)
        assert (runs(host), host.keys) == (False, host.right)


@APIS
def test_the_key_comes_back_when_the_grace_is_over_and_the_container_still_runs(api: int) -> None:
    """The grace counts from the last signal."""
    with quiet_host(api) as host:
        run(host)
        host.engine.kill("slow", SIGTERM)
        host.after(GRACE - 1)
        assert key() not in host.keys
        host.engine.kill("slow", SIGTERM)
        assert GRACE - AT_ONCE < until(host, there=True) < GRACE + AT_ONCE
        assert host.changes[key()] == 3


@APIS
def test_the_grace_counts_from_the_signal_although_etcd_does_not_answer_meanwhile(api: int) -> None:
    """The agent notes the signal when the pass is over that waits for etcd."""
    with quiet_host(api) as host:
        run(host)
        host.fleet.frozen_members.update(MEMBERS)
        host.after(INTERVAL)
        host.engine.kill("slow", SIGTERM)
        signalled_at = host.scheduler.now
        host.after(9)
        assert key() in host.keys
        host.fleet.frozen_members.clear()
        until(host, there=False, limit=UNTOLD)
        until(host, there=True)
        assert GRACE - AT_ONCE < host.scheduler.now - signalled_at < GRACE + INTERVAL


@APIS
def test_a_signal_that_does_not_stop_a_container_changes_nothing(api: int) -> None:
    """HUP makes many servers read their configuration again."""
    with quiet_host(api) as host:
        host.engine.kill("web", SIGHUP)
        host.after(UNTOLD)
        assert (host.keys, dict(host.changes)) == (host.right, {})


@APIS
def test_a_restart_brings_the_key_back_with_the_new_start(api: int) -> None:
    """The container takes 5 seconds to end. The signal to the earlier run does not make the new run drain."""
    with quiet_host(api) as host:
        run(host)
        host.engine.restart("slow")
        assert until(host, there=False) < AT_ONCE
        host.after(4.9)
        assert key() not in host.keys
        assert until(host, there=True) < 0.1 + AT_ONCE
        host.after(30)
        assert host.keys == host.right


@APIS
def test_a_signal_that_is_told_after_the_restart_changes_nothing(api: int) -> None:
    """The event of the signal to the earlier run comes late."""
    with quiet_host(api) as host:
        container = next(each for each in host.engine.running() if each.name == "web")
        before = host.scheduler.now
        host.after(1)
        host.engine.restart("web")
        host.until_right()
        changes = host.changes[key("web")]
        host.host.socket.inject(host.engine.false_event("kill", container.id, at=before, signal=SIGTERM))
        host.after(UNTOLD)
        assert (host.keys, host.changes[key("web")]) == (host.right, changes)


@APIS
def test_losing_the_event_of_the_signal_costs_the_lead_alone(api: int) -> None:
    """The key stays while the container runs, and goes with the event of its end."""
    with quiet_host(api) as host:
        run(host)
        host.host.socket.line_chances = {LineFate.LOST: 1.0}
        host.engine.stop("slow")
        host.host.socket.line_chances = {}
        host.after(4.9)
        assert key() in host.keys
        assert until(host, there=False) < 0.1 + AT_ONCE


@APIS
def test_losing_all_events_costs_no_more_than_without_draining(api: int) -> None:
    """The key goes when the list is read next after the end of the container. A restart that was not told brings the
    key back likewise, although the signal before it was told."""
    with quiet_host(api) as host:
        run(host)
        host.host.socket.line_chances = {LineFate.LOST: 1.0}
        host.engine.stop("slow")
        host.after(5)
        assert until(host, there=False) < UNTOLD
        host.host.socket.line_chances = {}
        host.engine.start("slow")
        host.until_right()
        host.engine.restart("slow")
        assert until(host, there=False) < AT_ONCE
        host.host.socket.line_chances = {LineFate.LOST: 1.0}
        host.after(5)
        assert until(host, there=True) < UNTOLD


@APIS
def test_a_restart_that_changes_nothing_in_the_list_is_noticed_although_its_events_are_lost(api: int) -> None:
    """What the inspect at the signal said agrees with the list after the restart: a container on the network of the
    host has no address and no ports of its own."""
    with quiet_host(api) as host:
        env = {"SERVICE_NAME": "web", "SERVICE_ID": "core-1:slow:80", "SERVICE_STOP_GRACE": "3600"}
        host.engine.run("slow", IMAGE, exposed=("80/tcp",), network="host", ends_after=2.0, env=env)
        until(host, there=True)
        host.after(10)
        host.engine.restart("slow")
        assert until(host, there=False) < AT_ONCE
        host.host.socket.line_chances = {LineFate.LOST: 1.0}
        host.after(2)
        assert until(host, there=True) < UNTOLD


@APIS
@pytest.mark.parametrize("cut_for", [0.5, 30.0])
def test_a_signal_that_was_sent_while_no_stream_was_open_is_looked_up(api: int, cut_for: float) -> None:
    """The engine remembers it."""
    with quiet_host(api) as host:
        run(host, ends_after=inf, env={"SERVICE_STOP_GRACE": "300"})
        host.host.socket.cut()
        host.host.socket.line_chances = {LineFate.CUT: 1.0}
        host.engine.kill("slow", SIGTERM)
        host.after(cut_for)
        host.host.socket.line_chances = {}
        host.after(UNTOLD)
        assert (runs(host), key() in host.keys) == (True, False)


@APIS
def test_an_agent_that_is_killed_during_the_drain_and_started_again_goes_on(api: int) -> None:
    """The key does not come back with the new agent. It comes back when the grace is over that began with the
    signal."""
    with quiet_host(api) as host:
        run(host)
        host.engine.kill("slow", SIGTERM)
        assert until(host, there=False) < AT_ONCE
        host.after(GRACE / 2)
        start_agent_anew(host)
        assert GRACE / 2 - 1 - INTERVAL < until(host, there=True) < GRACE / 2 - 1 + INTERVAL
        assert host.keys == host.right


@APIS
def test_an_agent_that_was_away_when_the_signal_was_sent_drains_the_container(api: int) -> None:
    """It is started while the container is ending."""
    with quiet_host(api) as host:
        run(host, ends_after=15.0)
        host.fleet.stop_agent(host.host)
        host.engine.stop("slow")
        host.after(5)
        host.fleet.start_agent(host.host)
        assert until(host, there=False, limit=INTERVAL) < INTERVAL
        assert runs(host)
        host.after(30)
        assert host.keys == host.right


@APIS
def test_an_agent_that_starts_when_the_engine_has_forgotten_the_signal_registers_the_container(api: int) -> None:
    """An engine that was restarted remembers no event. The key is there again until the container ends."""
    with quiet_host(api) as host:
        run(host, ends_after=15.0)
        host.engine.stop("slow")
        assert until(host, there=False) < AT_ONCE
        host.fleet.stop_agent(host.host)
        host.engine.stop_engine(live_restore=True)
        host.after(1)
        host.engine.start_engine()
        host.fleet.start_agent(host.host)
        assert until(host, there=True) < INTERVAL
        host.after(15 + INTERVAL)
        assert host.keys == host.right


@APIS
def test_the_keys_of_a_whole_host_go_with_the_signals_although_no_inspect_answers(api: int) -> None:
    """The guard does not hold them back. The engine told of the signals itself."""
    with quiet_host(api) as host:
        for number in range(5):
            run(host, f"slow-{number}")
        for each in host.engine.running():
            host.engine.hang_inspect(each.name)
            host.engine.kill(each.name, SIGTERM)
        host.after(2 * AT_ONCE)
        assert (len(host.engine.running()), host.keys) == (8, {})


@APIS
@pytest.mark.parametrize(
    "flags",
    [{"hints": False}, {"drain_on_stop": False}, {"deregister": "on-success"}],
    ids=["no-hints", "no-drain-on-stop", "on-success"],
)
def test_with_these_flags_the_key_stays_until_the_container_has_ended(api: int, flags: dict[str, Any]) -> None:
    """With -deregister on-success, nobody knows before its end how the container ends."""
    with quiet_host(api) as host:
        run(host)
        start_agent_anew(host, **flags)
        host.after(INTERVAL)
        host.engine.stop("slow")
        host.after(4.9)
        assert (key() in host.keys, host.changes[key()]) == (True, 1)
        assert until(host, there=False) < 0.1 + INTERVAL


@APIS
def test_a_container_may_ask_not_to_drain(api: int) -> None:
    """Its key stays until it has ended."""
    with quiet_host(api) as host:
        run(host, env={"SERVICE_DRAIN": "false"})
        host.engine.stop("slow")
        host.after(4.9)
        assert key() in host.keys
        assert until(host, there=False) < 0.1 + AT_ONCE
