"""The report of a pass."""

from __future__ import annotations

import pytest
from attrs import evolve

from model.memory import Memory, memory_after
from model.ownership import Known
from model.plan import Action, Change, Plan, Reason
from model.report import Outcome, PassReport, PassResult, Result, result_of, summary
from model.stored import Stored, StorePosition
from tests.support.builders import create

STORED = Stored("/services/b", "x", 1)
CHANGES = (
    create("/services/a"),
    Change(Action.UPDATE, "/services/b", "y", STORED, Reason.CHANGED),
    Change(Action.DELETE, "/services/c", "", evolve(STORED, key="/services/c"), Reason.GONE),
    Change(Action.RENEW, "/services/d", "x", evolve(STORED, key="/services/d"), Reason.TTL_DUE),
    Change(Action.RECORD, "/_wharfinger/%2Fservices/core-01/record", "{}", None, Reason.CLAIMS),
)


def report(*results: Result) -> PassReport:
    """A pass that ended its changes so."""
    outcomes = tuple(Outcome(change, result) for change, result in zip(CHANGES, results, strict=True))
    return PassReport(result_of(outcomes), plan=Plan(CHANGES, in_sync=12), outcomes=outcomes)


def test_the_summary() -> None:
    """One line, renewals and the owner record left out."""
    assert summary(report(*[Result.APPLIED] * 5).plan) == (
        "Plan: 1 to create, 1 to update, 1 to delete, 12 in sync, 0 refused."
    )


@pytest.mark.parametrize(
    ("results", "result", "pending"),
    [
        ([Result.APPLIED] * 5, PassResult.SUCCESS, 0),
        ([Result.PENDING] * 5, PassResult.SUCCESS, 3),
        ([Result.CONFLICT, *[Result.APPLIED] * 4], PassResult.SUCCESS, 1),
        ([Result.APPLIED, Result.FAILED, *[Result.APPLIED] * 3], PassResult.OPERATION_ERROR, 1),
        ([*[Result.APPLIED] * 3, Result.SKIPPED, Result.APPLIED], PassResult.OPERATION_ERROR, 0),
        ([*[Result.APPLIED] * 4, Result.FAILED], PassResult.OPERATION_ERROR, 0),
    ],
)
def test_the_result_of(results: list[Result], result: PassResult, pending: int) -> None:
    """A lost race is the next pass's business; what failed or was skipped makes the pass fail."""
    ended = report(*results)
    assert (ended.result, ended.pending) == (result, pending)
    assert ended.succeeded is (result is PassResult.SUCCESS)
    assert ended.planned


@pytest.mark.parametrize(
    "result",
    [each for each in PassResult if each not in {PassResult.SUCCESS, PassResult.OPERATION_ERROR}],
    ids=lambda each: each.value,
)
def test_a_pass_that_saw_nothing_forgets_nothing(result: PassResult) -> None:
    """Unknown is not absent."""
    memory = Memory({"/services/a": Known("x", "id")}, {"/services/b": 2}, StorePosition("c1", 7))
    assert memory_after(PassReport(result), memory) == memory
    assert not PassReport(result).planned


def test_what_was_applied_is_known_afterwards() -> None:
    """And what is gone is forgotten."""
    known = {key: Known("x", "id") for key in ("/services/c", "/services/old")}
    after = memory_after(report(*[Result.APPLIED] * 5), Memory(known)).known
    assert {key: each.value for key, each in after.items()} == {
        "/services/a": "10.0.0.1:80",
        "/services/b": "y",
        "/services/d": "x",
    }


def test_a_delete_that_failed_is_still_ours() -> None:
    """Otherwise nobody would try again where a custom id does not tell."""
    known = {"/services/c": Known("x", "id")}
    assert "/services/c" in memory_after(report(*[Result.FAILED] * 5), Memory(known)).known


def test_what_the_guard_suspects_and_which_store_it_was_is_handed_on() -> None:
    """As this pass saw it, whatever the one before did."""
    now = PassReport(PassResult.SUCCESS, held_delete_counts={"/services/x": 2}, store_position=StorePosition("c1", 9))
    after = memory_after(now, Memory({}, {"/services/y": 1}, StorePosition("c1", 7)))
    assert after == Memory({}, {"/services/x": 2}, StorePosition("c1", 9), passes_since_consistent_read=1)


@pytest.mark.parametrize(("replaced", "kept"), [(False, {"/services/c"}), (True, set())], ids=["same", "replaced"])
def test_what_is_held_back_is_still_known_unless_the_store_was_replaced(replaced: bool, kept: set[str]) -> None:
    """The delete that comes at last is then said to be of something that went, not of an orphan."""
    delete = CHANGES[2]
    now = PassReport(PassResult.SUCCESS, plan=Plan(held_back=(delete,)), replaced=replaced)
    assert set(memory_after(now, Memory({delete.key: Known("x", "id"), "/services/z": Known("x", "id")})).known) == kept


def test_the_summary_counts_what_is_held_back() -> None:
    """At its end, and only where there is something."""
    assert summary(Plan(held_back=(CHANGES[2],))) == (
        "Plan: 0 to create, 0 to update, 0 to delete, 0 in sync, 0 refused, 1 held back."
    )
