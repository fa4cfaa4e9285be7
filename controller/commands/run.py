"""The agent: ``wharfinger run``. The loops run in the background, and the main thread waits for signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from controller import logs
from controller.commands.build import Agent, Effects, build_agent
from controller.commands.exit_codes import ExitCode
from controller.commands.one_place import refuse_one_place_given_twice
from controller.commands.start_line import identity_at_start, log_start
from controller.config.settings import Settings
from controller.effects.clock import Deadline
from controller.effects.network import listen
from controller.errors import Stop, one_line
from controller.reconcile.loop import Loop
from controller.registry.schemes import Api
from controller.signals import SIGNALS, block_signals
from controller.source.docker import NO_IDENTITY
from model.host_port import HostPort
from model.snapshot import EngineIdentity
from model.stored import FOREVER, Lifetime

log = logs.logger("wharfinger")

#: Seconds that the passes which run when the stop signal comes may go on, all of them together. A pass can be cut off
#: anywhere: the first pass of the next agent finds what it left.
GRACE = 0.8

#: The most seconds that whatever else begins waits for the end of the first passes.
HEAD_START = 1.0


def run(settings: Settings, effects: Effects) -> ExitCode:
    """Keep every registry in step until SIGTERM or SIGINT, and return the exit code.

    Raises Stop when the HTTP server cannot listen or a registry cannot be used as configured, and WrongUsage when two
    registries turn out to be one place.
    """
    refuse_one_place_given_twice(settings, effects)
    # The agent is built, which loads libraries, while the engine works on its answer.
    told: list[EngineIdentity] = []
    asking = effects.background.start(lambda: told.append(identity_at_start(settings, effects)), name="identity")
    agent = build_agent(settings, effects)
    logs.report_lost_lines(agent.metrics.log_lines_lost)
    block_signals()
    servers = {}
    if settings.listen:
        servers["http"] = partial(_serve_http, _listen(settings.listen), agent, settings, effects)
    asking.join()
    identity = next(iter(told), NO_IDENTITY)
    for engine in agent.engines:
        engine.note_identity(identity)
    log_start(settings, effects, identity)
    if agent.events:
        agent.events.start()
    if any(each.uri.api is Api.ETCD_V2 for each in settings.registries):
        effects.background.start(partial(_look_for_keys_by_v3, agent, settings, effects), name="keys by v3")
    return run_until_signalled(agent.loops, effects, agent.notifier.stopping, servers, settings.lifetime)


def _listen(address: HostPort) -> Sequence[Any]:
    """Return sockets that listen at the address. Clients wait there until the HTTP server answers them.

    Raises Stop when the program cannot listen there, for example because the port is in use.
    """
    try:
        return listen(*address)
    except (OSError, UnicodeError) as error:
        raise Stop(f"cannot listen on {address}: {one_line(error)}; choose another address with --listen") from error


def _serve_http(sockets: Sequence[Any], agent: Agent, settings: Settings, effects: Effects) -> None:
    """Serve health, metrics and the pages about the agent for ever. The libraries for that are loaded when the first
    passes have ended, because loading them delays what runs beside it, or after HEAD_START, because a pass may hang."""
    _let_first_passes_end(agent, effects)
    from controller.commands.pages import api_pages  # noqa: PLC0415 - only the HTTP server needs them
    from controller.observe.http_server import http_server, router  # noqa: PLC0415 - it loads waitress
    from controller.observe.web_token import WebToken  # noqa: PLC0415 - only the HTTP server needs it

    app = router(
        agent.health,
        agent.metrics.metrics().app(),
        agent.page.text,
        api_pages(agent, settings, effects).find,
        WebToken(settings.web_token_file),
    )
    http_server(app, sockets, effects.clock)()


def _look_for_keys_by_v3(agent: Agent, settings: Settings, effects: Effects) -> None:
    """Warn of keys that the v3 API has under a prefix that is kept by the v2 API, once the first passes have ended."""
    _let_first_passes_end(agent, effects)
    from controller.commands.other_store import warn_of_keys_by_v3  # noqa: PLC0415 - no pass waits for it

    warn_of_keys_by_v3(settings, effects)


def _let_first_passes_end(agent: Agent, effects: Effects) -> None:
    """Wait until the first passes have ended, for at most HEAD_START seconds."""
    deadline = Deadline.after(HEAD_START, effects.clock)
    for each in agent.first_passes:
        each.wait_for_end(deadline.left)


def run_until_signalled(
    loops: Mapping[str, Loop],
    effects: Effects,
    on_stop: Callable[[], None] = lambda: None,
    servers: Mapping[str, Callable[[], object]] = MappingProxyType({}),
    lifetime: Lifetime = FOREVER,
) -> ExitCode:
    """Run the loops, given by their registries' labels, until SIGTERM or SIGINT, and return the exit code.

    SIGHUP makes every loop run a pass at once. ``on_stop`` is called when a stop signal has come, before the loops are
    stopped. The signals are blocked and waited for, so that they interrupt nothing, and so that they also reach a
    program that runs as process 1. ``servers`` run beside the loops, by their names, and are cut off at the end.
    ``lifetime`` is that of the keys, for the log.
    """
    block_signals()
    broken: list[str] = []
    for name, serve in servers.items():
        effects.background.start(partial(_run_to_the_end, name, partial(_serve, serve), broken), name=name)
    tasks = [
        effects.background.start(
            partial(_run_to_the_end, label, partial(_run_loop, label, loop, name_in_log=len(loops) > 1), broken),
            name=f"loop {label}",
        )
        for label, loop in loops.items()
    ]
    while (received := signal.sigwait(SIGNALS)) == signal.SIGHUP:
        log.info("starting a pass at once", signal="SIGHUP")
        for loop in loops.values():
            loop.wake()
    _log_stop(signal.Signals(received).name, lifetime)
    on_stop()
    for loop in loops.values():
        loop.stop()
    deadline = Deadline.after(GRACE, effects.clock)
    for task in tasks:
        task.join(deadline.left)
    return ExitCode.FAILED if broken else ExitCode.IN_SYNC


def _log_stop(received: str, lifetime: Lifetime) -> None:
    """Log the stop signal that was received, and what becomes of the entries."""
    if lifetime.ttl:
        message = "stopping, the entries expire if no agent renews them"
        log.info(message, signal=received, seconds_after_last_renewal=lifetime.ttl)
    else:
        log.info("stopping, the entries stay", signal=received)


def _run_loop(label: str, loop: Loop, *, name_in_log: bool) -> None:
    """Run the loop until it is stopped. ``name_in_log`` puts the registry's label on each line of its log."""
    if name_in_log:
        logs.add_to_each_line(registry=label)
    loop.run()


def _serve(serve: Callable[[], object]) -> None:
    """Run the server. Raises RuntimeError if it returns, because a server runs until the program ends."""
    serve()
    raise RuntimeError("the server has ended by itself")


def _run_to_the_end(name: str, work: Callable[[], object], broken: list[str]) -> None:
    """Do the work of a loop or of a server until the program stops.

    No error of a pass ends a loop, and none of a client ends a server. If anything else does, the name is added to
    ``broken`` and the whole program is ended: it must not go on without one of its parts, and whatever started it can
    start it again.
    """
    try:
        work()
    except BaseException:
        broken.append(name)
        os.kill(os.getpid(), signal.SIGTERM)
        raise
