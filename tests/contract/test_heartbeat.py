"""What every registry must do with the heartbeat."""

from __future__ import annotations

import pytest

from controller.effects.clock import Clock, Deadline
from controller.errors import RegistryUnavailable
from controller.registry.base import PendingWriter, ReadWriteRegistry
from controller.registry.etcd_v3.lease import lease_id
from model.heartbeat import TEXT, Heartbeat
from model.record import ROOT, RecordKeys
from model.stored import Lifetime, Stored
from tests.contract.conftest import PREFIX, EtcdV2Store, EtcdV3Store, Store
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_v3 import EtcdV3

pytestmark = pytest.mark.every_etcd

OWNER = "core-01"
KEY = RecordKeys(PREFIX).heartbeat(OWNER)
BEAT = Heartbeat(20)


def soon() -> Deadline:
    """Return a deadline that no request of a test comes near."""
    return Deadline.after(10.0, Clock())


def beating(store: Store) -> Stored | None:
    """Return the heartbeat as what reads everything sees it."""
    return store.surveyor().survey(soon()).about_owners.get(KEY)


def test_a_heartbeat_is_written_and_expires(store: Store) -> None:
    """Also where entries do not expire. It is kept about its owner, and is no entry."""
    registry = store.registry()
    registry.show_alive(OWNER, BEAT, soon())
    found = registry.about_owner(OWNER, soon()).heartbeat
    assert found is not None
    assert found.value == TEXT
    assert found.ttl is not None
    assert registry.read(OWNER, soon()).heartbeat is not None
    assert registry.about_owner("core-02", soon()).heartbeat is None
    assert store.keys() == {}


@pytest.mark.parametrize("lifetime", [Lifetime(), Lifetime(60, 20)], ids=["entries stay", "entries expire alike"])
def test_a_renewal_by_v3_writes_nothing(good: EtcdServer, lifetime: Lifetime) -> None:
    """So it wakes no watcher. A heartbeat with the lifetime of the entries has a lease of its own."""
    v3, store = EtcdV3(good.endpoint), EtcdV3Store(good)
    store.registry(lifetime).show_alive(OWNER, BEAT, soon())
    before, leases = v3.index(), v3.leases()
    for _ in range(2):
        store.registry(lifetime).show_alive(OWNER, BEAT, soon())
    assert (v3.index(), v3.leases()) == (before, leases)
    assert [*leases] != [lease_id(PREFIX, OWNER, BEAT.lifetime)]


@pytest.mark.v2
def test_a_renewal_by_v2_wakes_no_watcher(good: EtcdServer) -> None:
    """etcd has no event for it."""
    store = EtcdV2Store(good)
    store.registry().show_alive(OWNER, BEAT, soon())
    since = good.index() + 1
    for _ in range(2):
        store.registry().show_alive(OWNER, BEAT, soon())
    assert good.watch(ROOT, timeout=0.5, since=since) is None
    good.put(KEY, "somebody else")
    assert good.watch(ROOT, timeout=5, since=since) is not None


def test_a_heartbeat_that_somebody_removed_is_written_again(store: Store) -> None:
    """Its lease is still there, by v3."""
    registry = store.registry()
    registry.show_alive(OWNER, BEAT, soon())
    store.remove(KEY)
    registry.show_alive(OWNER, BEAT, soon())
    assert beating(store) is not None


def test_a_heartbeat_takes_on_another_lifetime(store: Store) -> None:
    """As after the agent was started with another flag."""
    store.registry().show_alive(OWNER, BEAT, soon())
    store.registry().show_alive(OWNER, Heartbeat(100), soon())
    store.registry().show_alive(OWNER, Heartbeat(200), soon())
    found = store.registry().about_owner(OWNER, soon()).heartbeat
    assert found is not None
    assert found.ttl is not None


def test_a_registry_that_does_not_answer_raises_registry_unavailable(store: Store) -> None:
    """The pass tells of it."""
    registry = store.registry()
    store.break_down()
    with pytest.raises(RegistryUnavailable):
        registry.show_alive(OWNER, BEAT, soon())


def test_a_dry_run_shows_no_heartbeat(store: Store) -> None:
    """It writes nothing."""
    ReadWriteRegistry(store.registry(), PendingWriter()).show_alive(OWNER, BEAT, soon())
    assert beating(store) is None
