"""Warn of keys that etcd's v3 API has under a prefix which is to be kept by its v2 API.

etcd has a store of its own for each API. registrator 7 meant the v2 API by ``etcd://``, as this program does, and newer
registrators mean the v3 API by it. Whoever moves from one to the other may read the wrong store, and nothing fails.
"""

from __future__ import annotations

from controller import logs
from controller.commands.build import Effects
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable, plain
from controller.registry.factory import first_key_by_v3
from controller.registry.schemes import Api
from model.record import ROOT

log = logs.logger("wharfinger")

#: Seconds that etcd may take to answer for one registry. If it does not, nothing is said.
PATIENCE = 3.0


def kept_by_v2_alone(settings: Settings) -> tuple[RegistrySettings, ...]:
    """Return the registries that are kept by the v2 API, but for those whose prefix is kept by the v3 API, too."""
    by_v3 = {each.uri.prefix for each in settings.registries if each.uri.api is Api.ETCD_V3}
    return tuple(each for each in settings.registries if each.uri.api is Api.ETCD_V2 and each.uri.prefix not in by_v3)


def warn_of_keys_by_v3(settings: Settings, effects: Effects) -> None:
    """Log a warning for each registry that is kept by the v2 API alone, if the v3 API has keys under its prefix."""
    for each in kept_by_v2_alone(settings):
        if key := _key_by_v3(each, effects):
            log.warning(
                "the v3 API has keys under this prefix, too, which are not kept; newer registrators mean the v3 API by "
                "etcd://, which is etcd3:// here",
                registry=each.label,
                key=plain(key),
            )


def _key_by_v3(each: RegistrySettings, effects: Effects) -> str:
    """Return a key that the v3 API has under a registry's prefix; empty if there is none, or if that cannot be seen."""
    deadline = Deadline.after(PATIENCE, effects.clock)
    try:
        key = first_key_by_v3(each.uri, each.credentials, deadline, effects.transports)
    except RegistryUnavailable:
        return ""
    return "" if key.startswith(f"{ROOT}/") else key
