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
from controller.effects.background import Background, Threads, Waker
from controller.effects.clock import Clock
from controller.effects.discovery import Discovery
from controller.effects.log_writer import LogWriter
from controller.effects.names import Names
from controller.effects.network import Network
from controller.errors import masked
from controller.observe.agent_page import AgentDescription, AgentPage
from controller.observe.first_pass import FirstPass
from controller.observe.health import AllRegistries, Health
from controller.observe.key_delays import KeyDelays
from controller.observe.last_reports import LastReports
from controller.observe.metrics_feed import MetricsFeed, PassFeed
from controller.observe.pass_log import PassLog, log_hints
from controller.observe.systemd import SystemdNotifier
from controller.reconcile.deciding import Deciding
from controller.reconcile.loop import Loop, Observer, Pace, Pass
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import Registry, Sweeping
from controller.registry.factory import Transports, Use, layout_for, open_registry
from controller.registry.one_place import OnePlaceCheck, checked
from controller.source.counted_client import counted
from controller.source.docker import NO_HINTING, PATIENCE, Asking, Engine, Hinting
from controller.source.engine_client import EngineClient, Versions
from controller.source.engine_connection import EngineSettings, SocketChoice, connect
from controller.source.events import NO_HINTS, Events, Origin
from controller.source.local_address import LOOK_UP_TIMEOUT, LocalAddress
from model.agent_note import AgentNote
from model.backoff import SEQUENCE
from model.draining import StopRule
from model.hint import HintOutcome
from model.host_port import HostPort
from model.rules import Deregister, HealthRule
from model.sweep import SweepRule

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
    #: Returns a random number from 0 to 1. It spreads the waits after failures, and sweeps, so that not all hosts make
    #: their requests at once.
    jitter: Callable[[], float] = random.random
    #: Remembers the addresses of the hosts that are connected to.
    names: Names = Factory(lambda self: Names(self.network, self.background, self.clock), takes_self=True)
    #: Remembers the endpoints of etcd that are looked up in the DNS.
    discovery: Discovery = Factory(
        lambda self: Discovery(self.network, self.names, self.background, self.clock, self.jitter), takes_self=True
    )
    #: Returns an id for this run of the agent, which no other run has.
    run_id: Callable[[], str] = lambda: f"{random.getrandbits(64):016x}"
    #: Opens a connection to the Docker engine.
    connect_engine: Callable[[EngineSettings], EngineClient] = Factory(
        lambda self: partial(connect, names=self.names, clock=self.clock, versions=Versions(self.clock)),
        takes_self=True,
    )
    #: Carry the requests to etcd.
    transports: Transports = Factory(
        lambda self: Transports(names=self.names, discovery=self.discovery), takes_self=True
    )
    #: The socket of the engine, where nothing names the engine. It is chosen once.
    sockets: SocketChoice = field(factory=SocketChoice)
    #: The environment variables that other programs define: DOCKER_HOST, DOCKER_CONTEXT and those that belong to them,
    #: NOTIFY_SOCKET.
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


def engine_settings_for(settings: Settings, effects: Effects) -> EngineSettings:
    """Return where this host's engine is."""
    return EngineSettings(
        settings.docker_host,
        effects.environment,
        effects.sockets,
        context=settings.docker_context,
        report_renewal=logs.report_renewal,
    )


def engine_for(
    settings: Settings,
    effects: Effects,
    on_error: Callable[[], None] = lambda: None,
    patience: float = PATIENCE,
    *,
    name_needed: bool = True,
    hinting: Hinting = NO_HINTING,
) -> Engine:
    """Return this host's engine. It connects at the first request, and calls ``on_error`` for each failed one. A pass
    waits ``patience`` seconds for an inspect. ``name_needed`` says whether nothing goes on without the engine's name,
    if --hostname does not give one. ``hinting`` is how it learns of changes before it is asked."""
    engine_settings = engine_settings_for(settings, effects)
    return Engine(
        partial(effects.connect_engine, engine_settings),
        Asking(
            effects.background,
            effects.clock,
            patience,
            name_needed=name_needed and not settings.rules.owner,
            networks_needed=not settings.rules.address.internal,
            health_needed=settings.rules.health is not HealthRule.ANY,
            hinting=hinting,
            tags=settings.rules.tags,
        ),
        stopped_too=settings.rules.deregister is Deregister.ON_SUCCESS,
        on_error=on_error,
        where=lambda: masked(engine_settings.url),
        filters=settings.filters,
    )


def endpoints_of(registry: RegistrySettings, effects: Effects) -> Callable[[], Sequence[HostPort]]:
    """Return what tells the endpoints of a registry as they are now. It raises OSError while none is known."""
    record = registry.uri.record(tls=registry.credentials.tls)
    if record:
        return partial(effects.discovery.endpoints, record, LOOK_UP_TIMEOUT)
    return lambda: registry.uri.endpoints


def local_address(registry: RegistrySettings, effects: Effects) -> LocalAddress:
    """Return what finds the address of this host that faces a registry."""
    return LocalAddress(endpoints_of(registry, effects), effects.names, effects.network)


def pass_settings(settings: Settings, registry: RegistrySettings, effects: Effects) -> PassSettings:
    """Return what every pass over this registry has to do."""
    return PassSettings(
        rules=settings.rules,
        layout=layout_for(registry.uri, settings.value_format, settings.record_ttl),
        lifetime=settings.lifetime,
        guard=settings.guard,
        take_over=settings.take_over,
        adopt=settings.adopt,
        local_address=local_address(registry, effects),
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
    #: What the agent tells of itself to other commands.
    page: AgentPage
    #: What is known of the passes of each loop, by the registry's label.
    last_reports: Mapping[str, LastReports]
    #: Tells systemd about the passes.
    notifier: SystemdNotifier
    #: Ends a wait for the first pass of each loop.
    first_passes: Sequence[FirstPass]
    #: This host's engine, as each loop asks it.
    engines: Sequence[Engine]
    #: When the agent was built, in seconds since the epoch.
    started: float
    #: Follows the engine's events; None with --no-hints.
    events: Events | None = None


def build_agent(
    settings: Settings, effects: Effects, more_observers: Callable[[str], Sequence[Observer]] = lambda label: ()
) -> Agent:
    """Build a loop for each registry and the observers of its passes. Nothing runs yet, and no connection is open.

    ``more_observers`` returns further observers of the loop of the registry with this label. Raises Stop when a
    registry cannot be used as configured, for example because a TLS file is no certificate.
    """
    labels = [each.label for each in settings.registries]
    note = agent_note(settings, effects)
    metrics = MetricsFeed(
        *labels,
        engine=masked(engine_settings_for(settings, effects).url),
        endpoints={each.label: each.uri.urls for each in settings.registries},
        lifetime=settings.lifetime,
        wanted=settings.listen is not None,
    )
    effects = evolve(effects, connect_engine=counted(effects.connect_engine, metrics.engine_asked))
    health = {label: Health(settings.interval, settings.pass_timeout, effects.clock) for label in labels}
    engine_settings = engine_settings_for(settings, effects)
    page = AgentPage(agent_description(settings, effects), lambda: masked(engine_settings.url))
    notifier = SystemdNotifier(effects.environment.get("NOTIFY_SOCKET", ""), *labels)
    last_reports = {label: LastReports() for label in labels}
    first_passes = {label: FirstPass(effects.background.waker()) for label in labels}
    loops, engines = {}, list[Engine]()
    events = _events(settings, effects, metrics) if settings.hints else None
    check = one_place_check(settings)
    for each in settings.registries:
        observers: tuple[Observer, ...] = (
            metrics.of(each.label),
            _key_delays(events, metrics.of(each.label)),
            health[each.label],
            PassLog(),
            page,
            last_reports[each.label],
            notifier.of(each.label),
        )
        observers += (*more_observers(each.label), first_passes[each.label])
        waker = effects.background.waker()
        hinting = _hinting(events, waker, metrics, settings.stop_rule) if events else NO_HINTING
        engine = engine_for(settings, effects, metrics.engine_failed, hinting=hinting)
        engines.append(engine)
        pace = Pace(
            settings.interval,
            effects.clock,
            effects.jitter,
            waker,
            settings.longest_wait,
            engine.notice,
            partial(metrics.hinted, HintOutcome.HURRIED_PASS),
        )
        registry = _open_registry(each, settings, effects, metrics, check)
        of_pass = evolve(pass_settings(settings, each, effects), note=note, heartbeat=settings.heartbeat)
        loops[each.label] = Loop(_pass_over(registry, engine, of_pass), pace, observers)
    return Agent(
        loops,
        metrics,
        AllRegistries(health),
        page,
        last_reports,
        notifier,
        [*first_passes.values()],
        engines,
        effects.clock.wall(),
        events,
    )


def _events(settings: Settings, effects: Effects, metrics: MetricsFeed) -> Events:
    """Return what follows the engine's events for all registries."""
    return Events(
        partial(effects.connect_engine, engine_settings_for(settings, effects)),
        effects.background,
        effects.clock,
        effects.jitter,
        settings.interval,
        _ShownEvents(metrics),
    )


@frozen
class _ShownEvents:
    """Shows in the metrics and in the log what happens to the event stream."""

    metrics: MetricsFeed

    def changed(self, origin: Origin, why: str) -> None:
        """See EventsObserver."""
        self.metrics.hints_come_from(origin)
        log_hints(origin, why)

    def reopened(self) -> None:
        """See EventsObserver."""
        self.metrics.hinted(HintOutcome.REOPENED)


def _key_delays(events: Events | None, metrics: PassFeed) -> KeyDelays:
    """Return what measures how long the keys of one registry take. It subscribes to the events before the loop does, so
    that it knows of each end that a pass knows of."""
    return KeyDelays(events.subscribe(lambda: None) if events else NO_HINTS, metrics.key_followed)


def _hinting(events: Events, waker: Waker, metrics: MetricsFeed, stop_rule: StopRule) -> Hinting:
    """Return how the engine of one registry learns of changes. Each event wakes the loop of the registry."""
    return Hinting(events.subscribe(waker.set), waker.set, partial(metrics.hinted, HintOutcome.NO_CHANGE), stop_rule)


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


def agent_description(settings: Settings, effects: Effects) -> AgentDescription:
    """Return what an agent with these settings tells of itself when it starts."""
    engine, credentials = engine_settings_for(settings, effects), settings.registries[0].credentials
    files = {"ca": credentials.ca, "cert": credentials.cert, "key": credentials.key}
    files["password-file"] = credentials.password_file
    connection = {f"etcd-{name}": os.path.abspath(path) for name, path in files.items() if path}
    if credentials.user:
        connection["etcd-user"] = credentials.user
    return AgentDescription(
        registries=tuple(masked(each.given) for each in settings.registries),
        connection=connection,
        docker_host=masked(engine.url),
        docker_environment=engine.connection_variables,
        owner=settings.rules.owner,
    )


def _open_registry(
    each: RegistrySettings, settings: Settings, effects: Effects, metrics: MetricsFeed, check: OnePlaceCheck
) -> Registry:
    """Return a registry, whose failed requests are counted and which is checked to be a place of its own."""
    registry = open_registry(
        each.uri,
        each.credentials,
        settings.lifetime,
        metrics.of(each.label).asked,
        transports=effects.transports,
        use=Use(sweeping=Sweeping(SweepRule(settings.sweep_period), effects.jitter)),
    )
    return checked(registry, each.given, check)


def _pass_over(registry: Registry, engine: Engine, of_pass: PassSettings) -> Pass:
    """Return the pass over one registry. ``engine`` is for this registry alone, so that no loop waits for another."""
    return lambda memory, hurried: reconcile(of_pass, engine, registry, memory, hurried=hurried)
