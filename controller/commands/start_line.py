"""The line that the agent logs about each registry when it starts: what it was told to do, and what it found out."""

from __future__ import annotations

from importlib.metadata import version

from controller import logs
from controller.commands.build import Effects, engine_for
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.registry.uri import masked
from controller.source.docker import EngineSettings
from controller.source.local_address import LocalAddress
from model.stored import Lifetime

log = logs.logger("wharfinger")

#: Stands for what a pass has to find out.
_UNKNOWN = "not known yet"


def log_start(settings: Settings, effects: Effects) -> None:
    """Log a line about each registry. This waits for an engine that does not answer for half a second, and for a name
    server that does not answer for a second for each endpoint."""
    owner = _owner(settings, effects)
    for each in settings.registries:
        log.info(
            "started",
            version=version("wharfinger"),
            registry=each.label,
            endpoints=[*map(str, each.uri.endpoints)],
            prefix=each.uri.prefix or "/",
            owner=owner,
            address=_address(settings, each, effects),
            engine=masked(EngineSettings(settings.docker_host, effects.environment).url),
            lifetime=_lifetime(settings.lifetime),
            interval=settings.interval,
            listen=str(settings.listen) if settings.listen else "none",
        )


def _owner(settings: Settings, effects: Effects) -> str:
    """Return the owner name: the given one, else the engine's name for its host."""
    if settings.rules.owner:
        return settings.rules.owner
    engine = engine_for(settings, effects, name_needed=False)
    name = engine.identity().name
    engine.close()
    return name or _UNKNOWN


def _address(settings: Settings, registry: RegistrySettings, effects: Effects) -> str:
    """Return the address that entries get if their containers say nothing else. A pass may find that it cannot be
    used, and says so."""
    rules = settings.rules.address
    if rules.internal:
        return "each container's own"
    facing = LocalAddress(registry.uri.endpoints, effects.names, effects.network)
    return rules.ip or facing() or _UNKNOWN


def _lifetime(lifetime: Lifetime) -> str:
    return f"{lifetime.ttl} s, renewed every {lifetime.refresh} s" if lifetime.ttl else "unlimited"
