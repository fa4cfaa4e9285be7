"""Refuse, when the program starts, two registry URIs that name the same keys of the same etcd cluster."""

from __future__ import annotations

from functools import partial

from controller.commands.build import Effects, one_place_check
from controller.commands.parallel import run_in_parallel
from controller.config.registry_settings import RegistrySettings
from controller.config.settings import Settings
from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable, WrongUsage
from controller.registry.factory import open_registry

#: Seconds that a registry may take to tell its cluster id. If it does not tell it in time, the agent checks it in each
#: pass over this registry.
PATIENCE = 3.0


def refuse_one_place_given_twice(settings: Settings, effects: Effects) -> None:
    """Raise WrongUsage if two registries are the same cluster and have keys in common.

    Only registries whose URIs allow that are asked for their cluster id. Raises Stop when one of them cannot be used as
    configured.
    """
    check = one_place_check(settings)
    suspects = [each for each in settings.registries if each.given in check.suspects]
    if not suspects:
        return
    clusters = run_in_parallel([partial(_cluster_of, each, settings, effects) for each in suspects], effects.background)
    found = [check.problem(each.given, cluster) for each, cluster in zip(suspects, clusters, strict=True)]
    if problems := list(filter(None, found)):
        raise WrongUsage(problems)


def _cluster_of(each: RegistrySettings, settings: Settings, effects: Effects) -> str:
    """Return the id of the cluster that answers for a registry; an empty string if none answers in time."""
    registry = open_registry(each.uri, each.credentials, settings.lifetime, transports=effects.transports)
    try:
        position = registry.read("", Deadline.after(PATIENCE, effects.clock)).store_position
    except RegistryUnavailable:
        return ""
    return position.cluster if position else ""
