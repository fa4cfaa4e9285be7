"""What the agent logs when it starts: what it was told to do, what it found out, and what its flags mean together."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from attrs import evolve

from controller import __version__, logs
from controller.commands.build import Effects, endpoints_of, engine_for, engine_settings_for, local_address
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.errors import masked
from controller.source.local_address import LOOK_UP_TIMEOUT
from model.address import AddressBook
from model.host_port import HostPort
from model.rules import AddressRules
from model.snapshot import EngineIdentity
from model.stored import Lifetime

log = logs.logger("wharfinger")

#: Stands for what a pass has to find out.
_UNKNOWN = "not known yet"

#: Says that nothing names the engine.
_BY_SOCKET = "the usual sockets"


def log_start(settings: Settings, effects: Effects, identity: EngineIdentity) -> None:
    """Log a line about each registry, and what the operator should know of the flags. ``identity`` is what the engine
    says of itself. This waits for a name server that does not answer for a second for each endpoint."""
    owner = settings.rules.owner or identity.name or _UNKNOWN
    engine = engine_settings_for(settings, effects)
    for each in settings.registries:
        record, endpoints = each.uri.record(tls=each.credentials.tls), _endpoints(each, effects)
        log.info(
            "started",
            version=__version__,
            registry=each.label,
            endpoints=[*map(str, endpoints)] or _UNKNOWN,
            **({"record": record} if record else {}),
            prefix=each.uri.prefix or "/",
            owner=owner,
            address=_address(settings, each, effects),
            engine=masked(engine.url),
            engine_from=engine.named_by or _BY_SOCKET,
            engine_kind=identity.kind or _UNKNOWN,
            lifetime=_lifetime(settings.lifetime),
            interval=settings.interval,
            listen=str(settings.listen) if settings.listen else "none",
        )
        if settings.lifetime.ttl and _all_on_this_host(endpoints, settings.rules.address.ip, effects):
            log.warning(
                "every etcd endpoint is this host's own: with -ttl, the keys expire while it is stopped; give the "
                "endpoints of other members, too",
                registry=each.label,
                ttl=settings.lifetime.ttl,
            )
    if engine.named_by == "DOCKER_HOST" and effects.environment.get("DOCKER_CONTEXT"):
        log.warning("DOCKER_CONTEXT has no effect, because DOCKER_HOST has precedence")
    for name in settings.unneeded_flags:
        log.info("flag is not needed: every pass compares and repairs everything", flag=f"-{name}")
    if settings.unused_endpoints:
        log.warning(
            "endpoints in ETCD_ENDPOINTS are not used, as each registry URI names its own; write all into the URI",
            endpoints=[*map(str, settings.unused_endpoints)],
        )
    _log_effect_of_ip(settings.rules.address)


def _log_effect_of_ip(rules: AddressRules) -> None:
    """Log it if another flag leaves -ip little to count for."""
    if rules.internal and rules.ip:
        log.info("with -internal, -ip counts for containers with host networking alone", ip=rules.ip)
    elif rules.from_container and rules.ip:
        log.info("with -ip-from-container, -ip counts for containers with host networking alone", ip=rules.ip)


def identity_at_start(settings: Settings, effects: Effects) -> EngineIdentity:
    """Return what the engine says of itself. This waits for an engine that does not answer for half a second, and then
    returns an empty identity. With --hostname it returns one without asking, because the first pass asks, too."""
    if settings.rules.owner:
        return EngineIdentity("")
    engine = engine_for(settings, effects, name_needed=False)
    identity = engine.identity()
    engine.close()
    return identity


def _endpoints(registry: RegistrySettings, effects: Effects) -> Sequence[HostPort]:
    """Return the endpoints of a registry, none if they are not known yet. This waits for a name server that does not
    answer for a second."""
    try:
        return endpoints_of(registry, effects)()
    except OSError:
        return ()


def _address(settings: Settings, registry: RegistrySettings, effects: Effects) -> str:
    """Return the address that entries get if their containers say nothing else, or why there is none. A pass may find
    that the address is a container's, and says so."""
    rules = settings.rules.address
    if rules.take_own_address(published=True):
        return "each container's own"
    if rules.ip:
        return rules.ip
    guessed = local_address(registry, effects)()
    if not guessed:
        return _UNKNOWN
    problem = AddressBook.of(evolve(rules, guessed=guessed), {}, {}).host_address_problem
    return f"none: {problem}" if problem else guessed


def _lifetime(lifetime: Lifetime) -> str:
    return f"{lifetime.ttl} s, renewed every {lifetime.refresh} s" if lifetime.ttl else "unlimited"


def _all_on_this_host(endpoints: Sequence[HostPort], ip: str, effects: Effects) -> bool:
    """Return whether there are endpoints, and all of them are on this host, as far as their addresses show. ``ip`` is
    the address that this host registers; empty if it is not given."""
    return bool(endpoints) and all(each.host == ip or _is_on_this_host(each, effects) for each in endpoints)


def _is_on_this_host(endpoint: HostPort, effects: Effects) -> bool:
    """Return whether every address of an endpoint is one of this host's: those are reached from themselves."""
    try:
        return all(
            ip_address(address[0]).is_loopback or effects.network.source_address(family, address) == address[0]
            for family, address in effects.names.addresses(endpoint.host, endpoint.port, LOOK_UP_TIMEOUT)
        )
    except OSError:
        return False
