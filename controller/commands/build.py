"""Build the parts of the program from its settings.

This is the only module that knows every part. Everything outside the program is reached through ``Effects``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from attrs import Factory, evolve, field, frozen

from controller import __version__, logs
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.effects.background import Background, Threads
from controller.effects.clock import Clock
from controller.effects.log_writer import LogWriter
from controller.effects.names import Names
from controller.effects.network import Network
from controller.errors import masked
from controller.observe.first_pass import FirstPass
from controller.observe.health import AllRegistries, Health
from controller.observe.metrics_feed import MetricsFeed
from controller.observe.pass_log import PassLog
from controller.observe.systemd import SystemdNotifier
from controller.reconcile.deciding import Deciding
from controller.reconcile.loop import Loop, Observer, Pace
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.factory import Transports, layout_for, open_registry
from controller.registry.one_place import OnePlaceCheck, checked
from controller.registry.uri import RegistryUri
from controller.source.docker import PATIENCE, Asking, Engine
from controller.source.engine_client import EngineClient
from controller.source.engine_connection import EngineSettings, connect
from controller.source.local_address import LocalAddress
from model.agent_note import AgentNote
from model.backoff import SEQUENCE
from model.memory import Memory
from model.report import PassReport
from model.rules import Deregister

log = logs.logger("wharfinger")


@frozen
class Effects:
    """What the program needs from outside: time, threads, the network, randomness, the engine and the environment.

    Each command gets one and hands its parts on. A simulation replaces them all. No other module reads a clock, sleeps,
    starts a thread, resolves a name, draws a random number or connects to the engine on its own.
    """

    #: Tells the time and sleeps.
    clock: Clock = field(factory=Clock)
    #: Runs loops, parallel tasks and the HTTP server beside the caller; by default each in a daemon thread.
    background: Background = field(factory=Threads)
    #: Resolves names, and finds the address of this host that faces another one.
    network: Network = field(factory=Network)
    #: Returns a random number from 0 to 1. It spreads the waits after failures, so that not all hosts return at once.
    jitter: Callable[[], float] = random.random
    #: Remembers the addresses of the hosts that are connected to.
    names: Names = Factory(lambda self: Names(self.network, self.background, self.clock), takes_self=True)
    #: Returns an id for this run of the agent, which no other run has.
    run_id: Callable[[], str] = lambda: f"{random.getrandbits(64):016x}"
    #: Opens a connection to the Docker engine.
    connect_engine: Callable[[EngineSettings], EngineClient] = Factory(
        lambda self: partial(connect, names=self.names, clock=self.clock), takes_self=True
    )
    #: Carry the requests to etcd.
    transports: Transports = Factory(lambda self: Transports(names=self.names), takes_self=True)
    #: The environment variables that other programs define: DOCKER_HOST and those that belong to it, NOTIFY_SOCKET.
    environment: Mapping[str, str] = field(factory=lambda: os.environ)


def start_log(log_format: str, level: str, effects: Effects, *, colour: bool) -> None:
    """Set up the log, which a writer in the background writes to standard error."""
    logs.configure(log_format, level, LogWriter(effects.background), colour=colour)


def warn_of_variables(*, empty: Sequence[str] = (), unknown: Mapping[str, str]) -> None:
    """Log a warning for each environment variable in ``empty``, which counts as not set, and in ``unknown``, which has
    no effect. The values of ``unknown`` are the variables that may have been meant. A variable's value is not logged,
    because it may be a secret."""
    for variable in empty:
        log.warning("environment variable is empty and counts as not set", variable=variable)
    for variable, meant in unknown.items():
        hint = {"did_you_mean": meant} if meant else {}
        log.warning("environment variable is not known and has no effect", variable=variable, **hint)


def engine_for(
    settings: Settings,
    effects: Effects,
    on_error: Callable[[], None] = lambda: None,
    patience: float = PATIENCE,
    *,
    name_needed: bool = True,
) -> Engine:
    """Return this host's engine. It connects at the first request, and calls ``on_error`` for each failed one. A pass
    waits ``patience`` seconds for an inspect. ``name_needed`` says whether nothing goes on without the engine's name,
    if --hostname does not give one."""
    engine_settings = EngineSettings(settings.docker_host, effects.environment, report_renewal=logs.report_renewal)
    return Engine(
        partial(effects.connect_engine, engine_settings),
        Asking(
            effects.background,
            effects.clock,
            patience,
            name_needed=name_needed and not settings.rules.owner,
            networks_needed=not settings.rules.address.internal,
        ),
        stopped_too=settings.rules.deregister is Deregister.ON_SUCCESS,
        on_error=on_error,
        where=masked(engine_settings.url),
        filters=settings.filters,
    )


def pass_settings(settings: Settings, uri: RegistryUri, effects: Effects) -> PassSettings:
    """Return what every pass over this registry has to do."""
    return PassSettings(
        rules=settings.rules,
        layout=layout_for(uri, settings.value_format, settings.record_ttl),
        lifetime=settings.lifetime,
        guard=settings.guard,
        take_over=settings.take_over,
        adopt=settings.adopt,
        local_address=LocalAddress(uri.endpoints, effects.names, effects.network),
        seconds=settings.pass_timeout,
        clock=effects.clock,
        deciding=Deciding.remembering(),
    )


def one_place_check(settings: Settings) -> OnePlaceCheck:
    """Return a check that no two of the registries have keys in common in one cluster."""
    return OnePlaceCheck({each.given: each.uri for each in settings.registries})


@frozen
class Agent:
    """The loops of one agent, and what observes their passes."""

    #: A loop for each registry, by the registry's label.
    loops: Mapping[str, Loop]
    #: What is observed for the metrics of all loops.
    metrics: MetricsFeed
    #: Whether all loops are alive, and whether their last passes succeeded.
    health: AllRegistries
    #: Tells systemd about the passes.
    notifier: SystemdNotifier
    #: Ends a wait for the first pass of each loop.
    first_passes: Sequence[FirstPass]


def build_agent(
    settings: Settings, effects: Effects, more_observers: Callable[[str], Sequence[Observer]] = lambda label: ()
) -> Agent:
    """Build a loop for each registry and the observers of its passes. Nothing runs yet, and no connection is open.

    ``more_observers`` returns further observers of the loop of the registry with this label. Raises Stop when a
    registry cannot be used as configured, for example because a TLS file is no certificate.
    """
    labels = [each.label for each in settings.registries]
    note = agent_note(settings, effects)
    metrics = MetricsFeed(*labels, wanted=settings.listen is not None)
    health = {label: Health(settings.interval, settings.pass_timeout, effects.clock) for label in labels}
    notifier = SystemdNotifier(effects.environment.get("NOTIFY_SOCKET", ""), *labels)
    first_passes = {label: FirstPass(effects.background.waker()) for label in labels}
    loops = {}
    check = one_place_check(settings)
    for each in settings.registries:
        observers: tuple[Observer, ...] = (
            metrics.of(each.label),
            health[each.label],
            PassLog(),
            notifier.of(each.label),
        )
        observers += (*more_observers(each.label), first_passes[each.label])
        waker = effects.background.waker()
        pace = Pace(settings.interval, effects.clock, effects.jitter, waker, settings.longest_wait)
        loops[each.label] = Loop(_pass_over(each, settings, note, effects, metrics, check), pace, observers)
    return Agent(loops, metrics, AllRegistries(health), notifier, [*first_passes.values()])


def agent_note(settings: Settings, effects: Effects) -> AgentNote:
    """Return what an agent with these settings notes about itself in every registry."""
    return AgentNote(
        version=__version__,
        interval=settings.interval,
        pass_timeout=settings.pass_timeout,
        max_backoff=SEQUENCE[-1],
        flags=settings.flags_that_shape_keys,
        run=effects.run_id(),
    )


def _pass_over(
    each: RegistrySettings,
    settings: Settings,
    note: AgentNote,
    effects: Effects,
    metrics: MetricsFeed,
    check: OnePlaceCheck,
) -> Callable[[Memory], PassReport]:
    """Return the pass over one registry. It has an engine client of its own, so that no loop waits for another."""
    engine = engine_for(settings, effects, metrics.engine_failed)
    registry = open_registry(
        each.uri,
        each.credentials,
        settings.lifetime,
        metrics.of(each.label).registry_failed,
        transports=effects.transports,
    )
    registry = checked(registry, each.given, check)
    of_pass = evolve(pass_settings(settings, each.uri, effects), note=note)
    return partial(reconcile, of_pass, engine, registry)
