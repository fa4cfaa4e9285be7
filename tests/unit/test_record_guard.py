"""The guard of creates under a custom id. Against a real etcd: contract/test_etcd_v3."""

from __future__ import annotations

from controller.registry.etcd_v3.documents import is_unchanged
from controller.registry.etcd_v3.record_guard import RecordGuard
from model.record import RecordKeys

RECORD_KEYS = RecordKeys("/services")


def test_a_record_that_was_never_read_or_written_is_no_condition() -> None:
    """Nothing is known about it."""
    guard = RecordGuard(RECORD_KEYS)
    assert (guard.condition("core-01"), guard.revision("core-01")) == (None, 0)


def test_the_condition_is_the_revision_that_was_noted_last() -> None:
    """Each owner has a record of its own; an absent one has revision 0."""
    guard = RecordGuard(RECORD_KEYS)
    guard.note("core-01", 5)
    guard.note("core-01", 7)
    guard.note("core-02", 0)
    assert guard.condition("core-01") == is_unchanged(RECORD_KEYS.record("core-01"), 7)
    assert (guard.revision("core-01"), guard.revision("core-02")) == (7, 0)
    assert guard.condition("core-02") == is_unchanged(RECORD_KEYS.record("core-02"), 0)
