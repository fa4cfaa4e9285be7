"""The agent: a loop for each registry, and what looks at them."""

from __future__ import annotations

import os
from functools import partial
from importlib.metadata import version

from controller import logs
from controller.clock import Clock
from controller.commands.build import engine_for, task_for
from controller.commands.service import run_until_signalled
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.observe.health import AllRegistries, Health
from controller.observe.http_server import router, serve
from controller.observe.metrics import Metrics
from controller.observe.pass_log import PassLog
from controller.observe.systemd import SystemdNotifier
from controller.reconcile.loop import Loop, Observer, Pace
from controller.reconcile.one_pass import reconcile
from controller.registry.factory import open_registry
from controller.signals import block_signals

log = logs.logger("wharfinger")


def run(settings: Settings) -> int:
    """Keep every registry in step until told to stop; returns the exit code. Raises Stop for what cannot be had."""
    labels = [each.label for each in settings.registries]
    metrics, clock = Metrics(*labels), Clock()
    health = {label: Health(settings.interval, settings.pass_timeout, clock) for label in labels}
    notifier = SystemdNotifier(os.environ.get("NOTIFY_SOCKET", ""), *labels)
    loops = {}
    for each in settings.registries:
        watching = (metrics.of(each.label), health[each.label], PassLog(), notifier.of(each.label))
        loops[each.label] = _loop(settings, each, metrics, watching)
    block_signals()
    if settings.listen:
        serve(router(AllRegistries(health), metrics.app()), settings.listen)
    _greet(settings)
    return run_until_signalled(loops, notifier.stopping)


def _loop(settings: Settings, each: RegistrySettings, metrics: Metrics, watching: tuple[Observer, ...]) -> Loop:
    """The loop of one registry. It shares nothing that it could wait for: its client of the engine is its own, too."""
    clock = Clock()
    engine = engine_for(settings, metrics.engine_failed)
    on_error = metrics.of(each.label).registry_failed
    registry = open_registry(each.uri, each.credentials, settings.lifetime, on_error)
    run_pass = partial(reconcile, task_for(settings, each.uri, clock), engine, registry)
    return Loop(run_pass, Pace(settings.interval, clock=clock), watching)


def _greet(settings: Settings) -> None:
    for each in settings.registries:
        log.info(
            "started",
            version=version("wharfinger"),
            registry=each.label,
            endpoints=[*map(str, each.uri.endpoints)],
            prefix=each.uri.prefix or "/",
            interval=settings.interval,
            listen=str(settings.listen) if settings.listen else "none",
        )
    for name in settings.needless:
        log.info("flag is needless here: every pass compares and repairs everything", flag=f"-{name}")
