"""Settings to parts."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from controller.clock import Clock
from controller.config.settings import Settings
from controller.network import Network
from controller.reconcile.memo import Memo
from controller.reconcile.one_pass import Task
from controller.registry.factory import layout_for
from controller.registry.uri import RegistryUri
from controller.source.docker import Engine, EngineSettings, connect, url_of
from controller.source.local_address import LocalAddress
from model.desired import Deregister, desired
from model.fit import fitted


def ignore() -> None:
    """Who hears of failed requests when nobody counts them."""


def engine_for(settings: Settings, on_error: Callable[[], None] = ignore) -> Engine:
    """This host's engine, connected to when it is first asked."""
    where = EngineSettings(settings.docker_host, os.environ)
    stopped_too = settings.rules.deregister is Deregister.ON_SUCCESS
    return Engine(
        partial(connect, where),
        stopped_too=stopped_too,
        on_error=on_error,
        where=url_of(where),
        filters=settings.filters,
    )


def task_for(settings: Settings, uri: RegistryUri, clock: Clock) -> Task:
    """What is wanted of every pass over this registry."""
    return Task(
        rules=settings.rules,
        layout=layout_for(uri, settings.value_format),
        lifetime=settings.lifetime,
        guard=settings.guard,
        take_over=settings.take_over,
        guess_address=LocalAddress(uri.endpoints, Network()),
        seconds=settings.pass_timeout,
        clock=clock,
        desired=Memo(desired),
        fitted=Memo(fitted),
    )
