"""What a registry holds after this program's own changes."""

from __future__ import annotations

import pytest

from model.own_writes import OwnWrites
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Outcome, Result
from model.stored import Actual, Stored

KEYS = RecordKeys("/services")
A, B = Stored("/services/a", "x:1", 3), Stored("/services/b", "x:2", 4, ttl=5)
RECORD = Stored(KEYS.record("core-01"), "old", 2)


def made(action: Action, key: str, value: str = "", *, version: int = 9, before: Stored | None = None) -> Outcome:
    """A change that was made."""
    return Outcome(Change(action, key, value, before, Reason.NEW), Result.APPLIED, version=version)


def after(*outcomes: Outcome, ttl: int = 0, observed: frozenset[str] | None = None) -> Actual:
    """What is there after these outcomes."""
    actual = Actual({each.key: each for each in (A, B)}, RECORD, observed=observed)
    return OwnWrites(KEYS, ttl).taken_into(actual, "core-01", outcomes)


def test_keys_are_created_updated_and_deleted() -> None:
    """They have the versions that the registry gave them."""
    stored = after(
        made(Action.CREATE, "/services/c", "x:3"), made(Action.UPDATE, A.key, "x:4"), made(Action.DELETE, B.key)
    ).stored
    assert stored == {"/services/c": Stored("/services/c", "x:3", 9), A.key: Stored(A.key, "x:4", 9)}


@pytest.mark.parametrize("result", [each for each in Result if each is not Result.APPLIED])
def test_changes_that_were_not_made_change_nothing(result: Result) -> None:
    """It is unknown what the key holds, or it holds what it held."""
    change = Change(Action.DELETE, A.key, "", A, Reason.GONE)
    assert after(Outcome(change, result)).stored == {A.key: A, B.key: B}


def test_a_lifetime_is_that_of_the_settings() -> None:
    """A renewal leaves value and version, unless it has a new version, as by v2."""
    stored = after(
        made(Action.CREATE, "/services/c", "x:3"),
        made(Action.RENEW, B.key, version=0),
        made(Action.RENEW, A.key, version=7),
        ttl=30,
    ).stored
    assert stored["/services/c"].ttl == 30
    assert stored[B.key] == Stored(B.key, "x:2", 4, ttl=30)
    assert stored[A.key] == Stored(A.key, "x:1", 7, ttl=30)


def test_a_renewal_of_a_key_that_was_not_observed_is_taken_from_the_change() -> None:
    """What the change was based on is what the key held."""
    before = Stored("/services/c", "x:3", 8, ttl=1)
    assert after(made(Action.RENEW, "/services/c", before=before, version=0), ttl=30).stored["/services/c"] == Stored(
        "/services/c", "x:3", 8, ttl=30
    )


def test_what_is_kept_about_the_owner_is_not_under_the_prefix() -> None:
    """Record, note and drain order do not expire, and a query goes when it is answered."""
    actual = after(
        made(Action.RECORD, RECORD.key, "new"),
        made(Action.NOTE, KEYS.agent_note("core-01"), "note"),
        made(Action.UPDATE, KEYS.drain_order("core-01"), "order"),
        made(Action.CREATE, KEYS.liveness_query("core-01"), "?"),
        made(Action.DELETE, KEYS.liveness_query("core-01")),
        ttl=30,
        observed=frozenset({A.key}),
    )
    assert actual.record == Stored(RECORD.key, "new", 9)
    assert actual.agent_note == Stored(KEYS.agent_note("core-01"), "note", 9)
    assert actual.drain_order
    assert actual.drain_order.value == "order"
    assert actual.liveness_query is None
    assert actual.stored.keys() == {A.key, B.key}
    assert actual.observed == frozenset({A.key})


def test_a_key_that_was_written_was_observed() -> None:
    """So was one that was deleted: it is known to be absent."""
    observed = after(made(Action.CREATE, "/services/c", "x"), made(Action.DELETE, A.key), observed=frozenset()).observed
    assert observed == frozenset({"/services/c", A.key})
    assert after(made(Action.CREATE, "/services/c", "x")).observed is None
