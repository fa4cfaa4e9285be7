"""Owner records as a registry holds them. What one is, and where it is kept: ``model.record``."""

from __future__ import annotations

from collections.abc import Iterable

from model.record import OwnerRecord, RecordKeys
from model.stored import Stored


def record_in(stored: Stored | None) -> OwnerRecord:
    """Return the owner record in a stored value; an empty one where there is no key or its value is no record."""
    return (OwnerRecord.decode(stored.value) if stored else None) or OwnerRecord()


def has_record(stored: Stored | None) -> bool:
    """Return whether a stored value is an owner record."""
    return stored is not None and OwnerRecord.decode(stored.value) is not None


def records_of_others(stored: Iterable[Stored], record_keys: RecordKeys, owner: str) -> tuple[Stored, ...]:
    """Return, from the keys below ``record_keys.path``, the owner records of everybody but ``owner``. The other keys
    there are liveness queries, agent notes and drain orders."""
    own = record_keys.record(owner)
    return tuple(each for each in stored if each.key.endswith("/record") and each.key != own)
