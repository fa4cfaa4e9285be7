"""Owner records as a registry holds them."""

from __future__ import annotations

import pytest

from controller.registry.owner_records import has_record, record_in, records_of_others
from model.record import Claim, OwnerRecord, RecordKeys
from model.stored import Stored

RECORD_KEYS = RecordKeys("/services")
RECORD = OwnerRecord("ENGINE", {"/services/redis/redis-1": Claim.of("id-redis", ["10.0.0.1:6379"])})


@pytest.mark.parametrize(
    ("value", "record"), [(RECORD.encode(), RECORD), ("rubbish", OwnerRecord()), (None, OwnerRecord())], ids=str
)
def test_what_is_no_record_is_decoded_to_an_empty_one(value: str | None, record: OwnerRecord) -> None:
    """So is a key that is absent."""
    stored = None if value is None else Stored(RECORD_KEYS.record("core-01"), value, 1)
    assert record_in(stored) == record
    assert has_record(stored) is (record is RECORD)


def test_the_records_of_others_are_neither_the_own_one_nor_liveness_queries() -> None:
    """An owner may be called ``record`` or ``question``, too."""
    keys = [RECORD_KEYS.record(owner) for owner in ("core-01", "core-02", "core-011", "record", "question")]
    keys += [RECORD_KEYS.liveness_query(owner) for owner in ("core-01", "core-03", "record")]
    found = records_of_others((Stored(key, "", 1) for key in keys), RECORD_KEYS, "core-01")
    assert [each.key for each in found] == keys[1:5]
