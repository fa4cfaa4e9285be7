"""Settings to parts."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from controller.clock import Clock
from controller.credentials import Credentials
from controller.engine import Engine, EngineSettings, connect, url_of
from controller.etcd2 import Endpoints, Etcd2Reader, Etcd2Registry
from controller.etcd3 import Etcd3Registry
from controller.etcd3_reader import Etcd3Reader
from controller.gateway import Gateway
from controller.last import Last
from controller.reconcile import Task
from controller.registry import DryRun, Registry
from controller.route import Route
from controller.settings import Settings
from controller.uri import RegistryUri
from model.desired import Deregister, desired
from model.fit import fitted
from model.layout import Layout, PlainLayout, ValueFormat
from model.skydns import SkyDnsLayout
from model.stored import Lifetime


def nobody() -> None:
    """Who hears of failed requests when nobody counts them."""


def registry_for(
    uri: RegistryUri, credentials: Credentials, lifetime: Lifetime, on_error: Callable[[], None] = nobody
) -> Registry:
    """A registry that can be written."""
    if uri.api == 3:
        return Etcd3Registry(Gateway(uri.endpoints, on_error, credentials), uri.prefix, lifetime)
    return Etcd2Registry(Endpoints(uri.endpoints, on_error, credentials), uri.prefix, lifetime)


def dry_registry_for(uri: RegistryUri, credentials: Credentials, lifetime: Lifetime) -> Registry:
    """A registry that cannot."""
    if uri.api == 3:
        return DryRun(Etcd3Reader(Gateway(uri.endpoints, nobody, credentials), uri.prefix, lifetime))
    return DryRun(Etcd2Reader(Endpoints(uri.endpoints, nobody, credentials), uri.prefix))


def engine_for(settings: Settings, on_error: Callable[[], None] = nobody) -> Engine:
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


def layout_for(uri: RegistryUri, value_format: ValueFormat = ValueFormat.HOSTPORT) -> Layout:
    """How entries are written."""
    return SkyDnsLayout(uri.prefix) if uri.skydns else PlainLayout.under(uri.prefix, value_format)


def task_for(settings: Settings, uri: RegistryUri, clock: Clock) -> Task:
    """What is wanted of every pass over this registry."""
    return Task(
        rules=settings.rules,
        layout=layout_for(uri, settings.value_format),
        lifetime=settings.lifetime,
        guard=settings.guard,
        take_over=settings.take_over,
        guess_address=Route(uri.endpoints).local_address,
        seconds=settings.pass_timeout,
        clock=clock,
        desired=Last(desired),
        fitted=Last(fitted),
    )
