"""Build the parts of the program from its settings.

This is the only module that knows every part. Everything outside the program is reached through ``Effects``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from functools import partial

from attrs import field, frozen

from controller.background import Background, Threads
from controller.clock import Clock
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.network import Network
from controller.observe.health import AllRegistries, Health
from controller.observe.metrics import Metrics
from controller.observe.pass_log import PassLog
from controller.observe.systemd import SystemdNotifier
from controller.reconcile.loop import Loop, Pace
from controller.reconcile.memo import Memo
from controller.reconcile.one_pass import PassSettings, reconcile
from controller.registry.base import DryRun, Registry
from controller.registry.credentials import Credentials
from controller.registry.etcd_v2.registry import EtcdV2Client, EtcdV2Reader, EtcdV2Registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.reader import EtcdV3Reader
from controller.registry.etcd_v3.registry import EtcdV3Registry
from controller.registry.uri import RegistryUri
from controller.source.docker import Engine, EngineClient, EngineSettings, connect
from controller.source.local_address import LocalAddress
from model.desired import desired
from model.layout import Layout, PlainLayout, ValueFormat
from model.memory import Memory
from model.report import PassReport
from model.rules import Deregister
from model.skydns import SkyDnsLayout
from model.stored import Lifetime


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
    #: Resolves the names of registry endpoints, and finds the address of this host that faces them.
    network: Network = field(factory=Network)
    #: Returns a random number from 0 to 1. It spreads the waits after failures, so that not all hosts return at once.
    jitter: Callable[[], float] = random.random
    #: Opens a connection to the Docker engine.
    connect_engine: Callable[[EngineSettings], EngineClient] = connect
    #: The environment variables that other programs define: DOCKER_HOST and those that belong to it, NOTIFY_SOCKET.
    environment: Mapping[str, str] = field(factory=lambda: os.environ)


def ignore() -> None:
    """Who hears of failed requests when nobody counts them."""


def registry_for(
    uri: RegistryUri, credentials: Credentials, lifetime: Lifetime, on_error: Callable[[], None] = ignore
) -> Registry:
    """A registry that can be written."""
    if uri.api == 3:
        return EtcdV3Registry(EtcdV3Client(uri.endpoints, on_error, credentials), uri.prefix, lifetime)
    return EtcdV2Registry(EtcdV2Client(uri.endpoints, on_error, credentials), uri.prefix, lifetime)


def dry_registry_for(uri: RegistryUri, credentials: Credentials, lifetime: Lifetime) -> Registry:
    """A registry that cannot."""
    if uri.api == 3:
        return DryRun(EtcdV3Reader(EtcdV3Client(uri.endpoints, ignore, credentials), uri.prefix, lifetime))
    return DryRun(EtcdV2Reader(EtcdV2Client(uri.endpoints, ignore, credentials), uri.prefix))


def engine_for(settings: Settings, effects: Effects, on_error: Callable[[], None] = ignore) -> Engine:
    """Return this host's engine. It connects at the first request, and calls ``on_error`` for each failed one."""
    engine_settings = EngineSettings(settings.docker_host, effects.environment)
    return Engine(
        partial(effects.connect_engine, engine_settings),
        stopped_too=settings.rules.deregister is Deregister.ON_SUCCESS,
        on_error=on_error,
        where=engine_settings.url,
        filters=settings.filters,
    )


def layout_for(uri: RegistryUri, value_format: ValueFormat = ValueFormat.HOSTPORT) -> Layout:
    """How entries are written."""
    return SkyDnsLayout(uri.prefix) if uri.skydns else PlainLayout.under(uri.prefix, value_format)


def pass_settings(settings: Settings, uri: RegistryUri, effects: Effects) -> PassSettings:
    """Return what every pass over this registry has to do."""
    return PassSettings(
        rules=settings.rules,
        layout=layout_for(uri, settings.value_format),
        lifetime=settings.lifetime,
        guard=settings.guard,
        take_over=settings.take_over,
        local_address=LocalAddress(uri.endpoints, effects.network),
        seconds=settings.pass_timeout,
        clock=effects.clock,
        desired=Memo(desired),
    )


@frozen
class Agent:
    """The loops of one agent, and what observes their passes."""

    #: A loop for each registry, by the registry's label.
    loops: Mapping[str, Loop]
    #: The metrics of all loops.
    metrics: Metrics
    #: Whether all loops are alive, and whether their last passes succeeded.
    health: AllRegistries
    #: Tells systemd about the passes.
    notifier: SystemdNotifier


def build_agent(settings: Settings, effects: Effects) -> Agent:
    """Build a loop for each registry and the observers of its passes. Nothing runs yet, and no connection is open.

    Raises Stop when a registry cannot be used as configured, for example because a TLS file is no certificate.
    """
    labels = [each.label for each in settings.registries]
    metrics = Metrics(*labels)
    health = {label: Health(settings.interval, settings.pass_timeout, effects.clock) for label in labels}
    notifier = SystemdNotifier(effects.environment.get("NOTIFY_SOCKET", ""), *labels)
    loops = {}
    for each in settings.registries:
        observers = (metrics.of(each.label), health[each.label], PassLog(), notifier.of(each.label))
        pace = Pace(settings.interval, effects.clock, effects.jitter, effects.background.waker())
        loops[each.label] = Loop(_pass_over(each, settings, effects, metrics), pace, observers)
    return Agent(loops, metrics, AllRegistries(health), notifier)


def _pass_over(
    each: RegistrySettings, settings: Settings, effects: Effects, metrics: Metrics
) -> Callable[[Memory], PassReport]:
    """Return the pass over one registry. It has an engine client of its own, so that no loop waits for another."""
    engine = engine_for(settings, effects, metrics.engine_failed)
    registry = registry_for(each.uri, each.credentials, settings.lifetime, metrics.of(each.label).registry_failed)
    return partial(reconcile, pass_settings(settings, each.uri, effects), engine, registry)
