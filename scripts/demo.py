"""The demo: the ports of containers appear in etcd, and disappear when a container stops. `scripts/demo` starts it."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from attrs import frozen

from scripts.background import Hold, kept_pid, run_in_background, stop_kept
from scripts.scene import Scene, set_up
from scripts.servers import NAMES
from scripts.terminal import Terminal
from tests.support.waiting import WaitTimeout, wait_until

Samples = dict[str, float]


@frozen
class Number:
    """A number of the agent's metrics, and what it says."""

    #: The metric with its labels, as /metrics prints it, without the label of the registry.
    sample: str
    about: str


#: What the demo shows of the metrics.
NUMBERS = (
    Number("wharfinger_containers_seen", "Containers that the engine described."),
    Number("wharfinger_entries_desired", "Entries that this host should have: two for each server that runs."),
    Number("wharfinger_entries_in_sync", "How many of them etcd holds as they should be."),
    Number('wharfinger_operations_total{action="create",result="applied"}', "Keys created: two for each server."),
    Number(
        'wharfinger_operations_total{action="delete",result="applied"}', "Keys deleted: two, of the one that stopped."
    ),
    Number('wharfinger_passes_total{result="success"}', "Passes: one a second, and one after each event."),
    Number('wharfinger_hints_total{outcome="hurried-pass"}', "Events of the engine that made a pass at once."),
)


def main() -> int:
    """Play, keep or stop the demo. Returns the exit code."""
    options = _options()
    terminal = Terminal()
    kept = kept_pid()
    if options.stop:
        return _stop(terminal, kept)
    if kept:
        terminal.problem(f"A demo already runs in the background (pid {kept}). To end it, run: scripts/demo --stop")
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    if options.keep:
        return run_in_background(lambda hold: play(terminal, options.engine, hold))
    return play(terminal, options.engine)


def _options() -> argparse.Namespace:
    about = "Show wharfinger at work. Install what is missing first, and clean up at the end."
    parser = argparse.ArgumentParser(prog="scripts/demo", description=about)
    engines = ["auto", "real", "recorded"]
    parser.add_argument("--engine", choices=engines, default="auto", help="Which Docker engine to use (default: auto).")
    parser.add_argument("--keep", action="store_true", help="Leave everything running at the end.")
    parser.add_argument("--stop", action="store_true", help="End a demo that was started with --keep.")
    return parser.parse_args()


def _stop(terminal: Terminal, kept: int | None) -> int:
    if kept is None:
        terminal.line("No demo is running.")
        return 0
    try:
        stop_kept(kept)
    except PermissionError:
        terminal.problem(f"The demo (pid {kept}) belongs to another user. To end it, run: sudo scripts/demo --stop")
        return 1
    terminal.line(f"The demo (pid {kept}) has ended, with everything that it started.")
    return 0


def play(terminal: Terminal, engine: str, hold: Hold | None = None) -> int:
    """Play the whole demo, and clean up in any case; `hold`, if given, is called before that. Returns the exit code."""
    began = time.monotonic()
    terminal.title("wharfinger keeps a part of etcd in step with the containers of a Docker host.")
    with ExitStack() as stack:
        try:
            scene = set_up(terminal, engine, stack)
            _show(scene)
            if hold:
                _say_how_to_go_on(scene)
                hold()
        except (OSError, RuntimeError) as error:
            terminal.problem(f"The demo failed: {error}")
            return 1
        except KeyboardInterrupt:
            terminal.problem("Interrupted; cleaning up.")
            return 130
        finally:
            # A second Ctrl-C must not interrupt the clean-up that the first one began.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
    terminal.aside(f"\nCleaned up: nothing is left running. The demo took {time.monotonic() - began:.0f} s.")
    return 0


def _show(scene: Scene) -> None:
    terminal = scene.terminal
    terminal.step("Three web servers, two published ports each")
    scene.servers.start(terminal)

    terminal.step("What would wharfinger do?")
    terminal.settings(scene.settings)
    scene.wharfinger("reconcile", "--dry-run")

    terminal.step("Run wharfinger, with a pass every second")
    _start_agent(scene)
    scene.wharfinger("list")
    terminal.aside("The keys that are no entries are the owner record and the note of the agent.")
    before = _metrics_after_a_pass(scene)

    terminal.step("The servers answer at the addresses in etcd")
    scene.servers.visit(terminal, scene.keys())

    terminal.step("A container stops, and its keys are deleted")
    _stop_one(scene, NAMES[1])
    scene.etcdctl("ls", "--recursive", "--sort", scene.prefix)

    terminal.step("Why is it not there?")
    scene.wharfinger("explain", NAMES[1])
    terminal.aside("137 is 128 + 9: the image asks to be stopped by signal 9, KILL.")

    terminal.step("What the agent counted")
    terminal.aside(f"http://{scene.agent.listen}/metrics, before the container stopped and now:")
    for line in _shown(before, _metrics_after_a_pass(scene)):
        terminal.line(line)


def _start_agent(scene: Scene) -> None:
    scene.terminal.command("wharfinger &")
    began = time.monotonic()
    scene.agent.start().wait_ready()
    scene.terminal.aside(f"Its first pass ended {time.monotonic() - began:.1f} s after its start.")


def _stop_one(scene: Scene, name: str) -> None:
    going = len(scene.keys(name))
    began = time.monotonic()
    scene.servers.stop_one(scene.terminal, name)
    try:
        wait_until(lambda: not scene.keys(name), 10, f"the keys of {name} to be deleted")
    except WaitTimeout as error:
        raise RuntimeError(f"{error}; the log of wharfinger:\n{scene.agent.log()}") from None
    seconds = time.monotonic() - began
    scene.terminal.aside(f"Its {going} keys were gone {seconds:.1f} s after the command was given.")


def _metrics_after_a_pass(scene: Scene) -> Samples:
    """Wait for one more pass and return the metrics. The gauges show what a pass found, not what it did: only the next
    pass finds what the last one did."""

    def passes() -> float:
        return sum(value for name, value in scene.agent.metrics().items() if name.startswith("wharfinger_passes_total"))

    done = passes()
    wait_until(lambda: passes() > done, 10, "one more pass")
    return scene.agent.metrics()


def _shown(before: Samples, after: Samples) -> Iterator[str]:
    """Yield two lines for each of NUMBERS: the number before and now, and what it says."""
    was, now = _without_registry(before), _without_registry(after)
    for number in NUMBERS:
        if now.get(number.sample):
            yield f"{number.sample}  {was[number.sample]:g} -> {now[number.sample]:g}"
            yield f"    {number.about}"


def _without_registry(samples: Samples) -> Samples:
    """Return the samples without the label of the registry, as the demo has one registry."""
    return {re.sub(r'{registry="etcd"}|registry="etcd",', "", name): value for name, value in samples.items()}


def _say_how_to_go_on(scene: Scene) -> None:
    terminal = scene.terminal
    terminal.step("Everything keeps running. To look around, run")
    names = ("DOCKER_HOST", "ETCDCTL_API", "ETCDCTL_ENDPOINTS", *scene.settings)
    terminal.settings({name: scene.environment[name] for name in names})
    terminal.command(f"docker start {NAMES[1]}")
    terminal.command(f".venv/bin/wharfinger explain {NAMES[1]}")
    terminal.command(f".venv/bin/etcdctl ls --recursive {scene.prefix}")
    terminal.command(f"curl http://{scene.agent.listen}/readyz")
    terminal.aside("To end it, run")
    terminal.command("scripts/demo --stop")


if __name__ == "__main__":
    sys.exit(main())
