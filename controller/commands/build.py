"""Settings to parts."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from controller.clock import Clock
from controller.config.settings import Settings
from controller.network import Network
from controller.reconcile.memo import Memo
from controller.reconcile.one_pass import PassSettings
from controller.registry.base import DryRun, Registry
from controller.registry.credentials import Credentials
from controller.registry.etcd_v2.registry import EtcdV2Client, EtcdV2Reader, EtcdV2Registry
from controller.registry.etcd_v3.client import EtcdV3Client
from controller.registry.etcd_v3.reader import EtcdV3Reader
from controller.registry.etcd_v3.registry import EtcdV3Registry
from controller.registry.uri import RegistryUri
from controller.source.docker import Engine, EngineSettings, connect, url_of
from controller.source.local_address import LocalAddress
from model.desired import desired
from model.layout import Layout, PlainLayout, ValueFormat
from model.rules import Deregister
from model.skydns import SkyDnsLayout
from model.stored import Lifetime


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


def layout_for(uri: RegistryUri, value_format: ValueFormat = ValueFormat.HOSTPORT) -> Layout:
    """How entries are written."""
    return SkyDnsLayout(uri.prefix) if uri.skydns else PlainLayout.under(uri.prefix, value_format)


def task_for(settings: Settings, uri: RegistryUri, clock: Clock) -> PassSettings:
    """What is wanted of every pass over this registry."""
    return PassSettings(
        rules=settings.rules,
        layout=layout_for(uri, settings.value_format),
        lifetime=settings.lifetime,
        guard=settings.guard,
        take_over=settings.take_over,
        local_address=LocalAddress(uri.endpoints, Network()),
        seconds=settings.pass_timeout,
        clock=clock,
        desired=Memo(desired),
    )
