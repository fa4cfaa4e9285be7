"""How a registry is put together, and how changes end that were not made as they were meant."""

from __future__ import annotations

import pytest
from attrs import evolve

from controller.effects.clock import Deadline
from controller.registry.base import Found, PendingWriter, ReadWriteRegistry, overtaken, skipped
from model.plan import Action, Change
from model.record import RecordKeys
from model.report import Outcome, Result
from model.stored import Stored
from tests.support.builders import OWNER, change, create
from tests.support.fakes import FakeTime
from tests.support.memory_registry import MemoryRegistry

KEY = "/services/nginx/core-01:web:80"
BEFORE = Stored(KEY, "old", 7)


def soon() -> Deadline:
    """A deadline that is not what the test is about."""
    return Deadline.after(10, FakeTime().clock)


def test_a_registry_reads_through_its_reader_and_writes_through_its_writer() -> None:
    """Keys and records come from the one, and changes go to the other."""
    reader, writer = MemoryRegistry(), MemoryRegistry()
    reader.put(KEY, "read")
    reader.put(RecordKeys("/services").record("core-02"), "theirs")
    registry = ReadWriteRegistry(reader, writer)
    assert registry.read(OWNER, soon()) == reader.read(OWNER, soon())
    assert [each.value for each in registry.other_records(OWNER, soon())] == ["theirs"]
    assert registry.apply(OWNER, create("/services/a"), soon()).result is Result.APPLIED
    assert [each.result for each in registry.apply_all(OWNER, [create("/services/b")], soon())] == [Result.APPLIED]
    assert set(writer.keys()) == {"/services/a", "/services/b"}
    assert set(reader.keys()) == {KEY}


def test_a_pending_writer_leaves_every_change_pending() -> None:
    """Also when there is no time left: nothing would be made in it."""
    changes = [create("/services/a"), change(Action.DELETE, BEFORE)]
    over = Deadline.after(0, FakeTime().clock)
    assert list(PendingWriter().apply_all(OWNER, changes, over)) == [Outcome(each, Result.PENDING) for each in changes]


def test_a_skipped_change_says_that_time_ran_out() -> None:
    """It was not tried."""
    assert skipped(create(KEY)) == Outcome(create(KEY), Result.SKIPPED, "the pass ran out of time")


@pytest.mark.parametrize(
    ("made", "now", "result"),
    [
        (create(KEY, "new"), "new", Result.APPLIED),
        (create(KEY, "new"), "theirs", Result.CONFLICT),
        (create(KEY, "new"), None, Result.CONFLICT),
        (change(Action.UPDATE, BEFORE, "new"), "new", Result.APPLIED),
        (change(Action.UPDATE, BEFORE, "new"), "old", Result.CONFLICT),
        (change(Action.UPDATE, BEFORE, "new"), None, Result.CONFLICT),
        (change(Action.DELETE, BEFORE), None, Result.APPLIED),
        (change(Action.DELETE, BEFORE), "theirs", Result.CONFLICT),
        (change(Action.RENEW, BEFORE, "old"), "old", Result.CONFLICT),
        (change(Action.RENEW, BEFORE, "old"), None, Result.CONFLICT),
    ],
    ids=lambda value: value.action.value if isinstance(value, Change) else str(value),
)
def test_a_change_whose_key_changed_is_applied_only_if_the_key_is_as_it_should_be(
    made: Change, now: str | None, result: Result
) -> None:
    """The answer to an earlier try may have been lost. A renewal cannot be told by the value."""
    found = None if now is None else Found(now, version=9, created=8)
    outcome = overtaken(made, found)
    assert (outcome.result, outcome.version) == (result, 9 if found else 0)


@pytest.mark.parametrize(
    ("claimed", "value", "created", "result"),
    [
        pytest.param(False, "new", 5, Result.APPLIED, id="a default id tells the owner"),
        pytest.param(True, "new", 5, Result.CONFLICT, id="there before the claim"),
        pytest.param(True, "theirs", 5, Result.CONFLICT, id="there before the claim, with another value"),
        pytest.param(True, "new", 7, Result.APPLIED, id="an earlier try"),
        pytest.param(True, "theirs", 7, Result.CONFLICT, id="after the claim, with another value"),
    ],
)
def test_a_key_under_a_custom_id_that_is_older_than_its_claim_is_somebody_elses(
    claimed: bool, value: str, created: int, result: Result
) -> None:
    """The owner record, which has the claim, was written at version 6. This host creates no key under a custom id
    without a claim, so it did not create an older key."""
    made = evolve(create(KEY, "new"), claimed=claimed)
    assert overtaken(made, Found(value, version=9, created=created), 6).result is result
