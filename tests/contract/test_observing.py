"""What a registry observes for a pass, over every kind of store."""

from __future__ import annotations

import pytest

from controller.errors import RegistryUnavailable
from model.interest import Interest
from model.layout import PlainLayout
from model.plan import Action, Change, Reason
from model.record import RecordKeys
from model.report import Result
from model.stored import Lifetime
from tests.contract.clients import soon
from tests.contract.conftest import PREFIX, Store
from tests.support.builders import OWNER, change, create

pytestmark = pytest.mark.every_etcd

KEY = "/services/nginx/core-01:web:80"
FOREIGN = "/services/nginx/core-02:web:80"
RECORD = RecordKeys(PREFIX).record(OWNER)
INTEREST = Interest(OWNER, PlainLayout(PREFIX), wanted=frozenset({KEY}))


def test_while_nothing_changes_the_same_object_is_returned(store: Store) -> None:
    """So whoever decided by it need not decide again. A look-up of what was observed changes nothing either."""
    store.put(KEY, "x:1")
    registry = store.registry()
    first = registry.observe(INTEREST, soon())
    assert registry.look_up(INTEREST, soon()).actual is first.actual
    assert registry.observe(INTEREST, soon()).actual is first.actual
    assert registry.observe(INTEREST, soon(), hurried=True).actual is first.actual
    store.put("/elsewhere/x", "y")
    later = registry.observe(INTEREST, soon())
    assert later.actual is first.actual
    assert first.store_position
    assert later.store_position
    assert later.store_position.index > first.store_position.index


@pytest.mark.parametrize("ordinary", [False, True], ids=["hurried", "ordinary"])
def test_own_writes_are_observed(store: Store, ordinary: bool) -> None:
    """A hurried refresh shows what an ordinary one would read, with the versions that guard the next writes."""
    store.put(KEY, "x:1")
    registry = store.registry(Lifetime(100, 10))
    before = registry.observe(INTEREST, soon()).actual
    record = Change(Action.RECORD, RECORD, "mine", None, Reason.CLAIMS)
    changes = [record, create("/services/a"), change(Action.DELETE, before.stored[KEY])]
    assert {each.result for each in registry.apply_all(OWNER, changes, soon())} == {Result.APPLIED}
    again = registry.observe(INTEREST, soon(), hurried=not ordinary).actual
    assert {key: each.value for key, each in again.stored.items()} == store.keys()
    assert again.record
    assert again.record.value == "mine"
    assert 95 <= (again.stored["/services/a"].ttl or 0) <= 100
    update = change(Action.UPDATE, again.stored["/services/a"], "10.0.0.9:9")
    assert registry.apply(OWNER, update, soon()).result is Result.APPLIED


def test_a_hurried_refresh_asks_nothing(store: Store) -> None:
    """It works although the store answers no more, and shows what was observed last."""
    store.put(KEY, "x:1")
    registry = store.registry()
    first = registry.observe(INTEREST, soon())
    store.break_down()
    reading = registry.observe(INTEREST, soon(), hurried=True)
    assert (reading.actual is first.actual, reading.consistent) == (True, False)
    with pytest.raises(RegistryUnavailable):
        registry.observe(INTEREST, soon(2.0))


def test_after_a_lost_race_a_hurried_refresh_reads(store: Store) -> None:
    """The race shows that what was observed no longer holds."""
    store.put(KEY, "x:1")
    registry = store.registry()
    before = registry.observe(INTEREST, soon()).actual.stored[KEY]
    store.put(KEY, "x:2")
    assert registry.observe(INTEREST, soon(), hurried=True).actual.stored[KEY] == before
    assert registry.apply(OWNER, change(Action.DELETE, before), soon()).result is Result.CONFLICT
    assert registry.observe(INTEREST, soon(), hurried=True).actual.stored[KEY].value == "x:2"


def test_the_first_refresh_reads_although_it_is_hurried(store: Store) -> None:
    """There is nothing else that it could return."""
    store.put(KEY, "x:1")
    assert store.registry().observe(INTEREST, soon(), hurried=True).actual.stored[KEY].value == "x:1"


def test_keys_that_are_looked_at_again_are_as_they_are_now(store: Store) -> None:
    """Before a delete, a pass looks at the key again, and at the owner record."""
    store.put(KEY, "x:1")
    registry = store.registry()
    registry.observe(INTEREST, soon())
    store.put(KEY, "x:2")
    store.put(RECORD, "mine")
    reading = registry.look_up(INTEREST, soon(), frozenset({KEY}))
    assert reading.actual.stored[KEY].value == "x:2"
    assert reading.actual.record
    assert reading.consistent
    store.remove(KEY)
    assert KEY not in store.registry().observe(INTEREST, soon()).actual.stored


def test_the_liveness_query_and_its_answer_are_observed(store: Store) -> None:
    """A pass answers it once."""
    query = RecordKeys(PREFIX).liveness_query(OWNER)
    registry = store.registry()
    registry.observe(INTEREST, soon())
    store.put(query, "is your agent alive?")
    asked = registry.observe(INTEREST, soon()).actual.liveness_query
    assert asked
    assert registry.apply(OWNER, change(Action.DELETE, asked), soon()).result is Result.APPLIED
    assert registry.observe(INTEREST, soon(), hurried=True).actual.liveness_query is None


def test_a_drain_order_is_observed_when_it_is_written_changed_and_removed(store: Store) -> None:
    """A pass decides by it, so what was observed changes with it. Until then it stays the same object."""
    key = RecordKeys(PREFIX).drain_order(OWNER)
    store.put(KEY, "x:1")
    registry = store.registry()
    before = registry.observe(INTEREST, soon()).actual
    for value in ("one", "two"):
        store.put(key, value)
        actual = registry.observe(INTEREST, soon()).actual
        assert actual is not before
        assert actual.drain_order
        assert actual.drain_order.value == value
        assert registry.observe(INTEREST, soon()).actual is actual
        before = actual
    store.remove(key)
    assert registry.observe(INTEREST, soon()).actual.drain_order is None
