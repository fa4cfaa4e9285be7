"""Look for a key under a prefix of etcd's v3 store, without a registry over it."""

from __future__ import annotations

from controller.effects.clock import Deadline
from controller.errors import RegistryUnavailable
from controller.registry.etcd_v3.client import EtcdV3Client, EtcdV3Error
from controller.registry.etcd_v3.documents import Page, keys_below


def first_key(client: EtcdV3Client, prefix: str, deadline: Deadline) -> str:
    """Return the first key under a prefix; empty if there is none. Raises RegistryUnavailable."""
    request = {**keys_below(prefix), "limit": "1", "keys_only": True}
    try:
        page = client.call("kv/range", request, lambda answer: Page.read_from(answer, 0), deadline)
    except EtcdV3Error as error:
        raise RegistryUnavailable(f"cannot read {prefix}: {error.detail}") from error
    return next((each.key for each in page.stored), "")
