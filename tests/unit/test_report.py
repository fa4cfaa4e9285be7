"""The report of a pass."""

from __future__ import annotations

import pytest
from attrs import evolve

from model.plan import Action, Change, Known, Plan, Reason, Stored
from model.report import Outcome, PassReport, PassResult, Result, summary, verdict
from tests.support.builders import create

STORED = Stored("/services/b", "x", 1)
CHANGES = (
    create("/services/a"),
    Change(Action.UPDATE, "/services/b", "y", STORED, Reason.CHANGED),
    Change(Action.DELETE, "/services/c", "", evolve(STORED, key="/services/c"), Reason.GONE),
    Change(Action.RENEW, "/services/d", "x", evolve(STORED, key="/services/d"), Reason.TTL_DUE),
)


def report(*results: Result) -> PassReport:
    """A pass that ended its changes so."""
    outcomes = tuple(Outcome(change, result) for change, result in zip(CHANGES, results, strict=True))
    return PassReport(verdict(outcomes), plan=Plan(CHANGES, in_sync=12), outcomes=outcomes)


def test_the_summary() -> None:
    """One line, renewals left out."""
    assert summary(report(*[Result.APPLIED] * 4).plan) == (
        "Plan: 1 to create, 1 to update, 1 to delete, 12 in sync, 0 refused."
    )


@pytest.mark.parametrize(
    ("results", "result", "pending"),
    [
        ([Result.APPLIED] * 4, PassResult.SUCCESS, 0),
        ([Result.PENDING] * 4, PassResult.SUCCESS, 3),
        ([Result.CONFLICT, Result.APPLIED, Result.APPLIED, Result.APPLIED], PassResult.SUCCESS, 1),
        ([Result.APPLIED, Result.FAILED, Result.APPLIED, Result.APPLIED], PassResult.OPERATION_ERROR, 1),
        ([Result.APPLIED, Result.APPLIED, Result.APPLIED, Result.SKIPPED], PassResult.OPERATION_ERROR, 0),
    ],
)
def test_the_verdict(results: list[Result], result: PassResult, pending: int) -> None:
    """A lost race is the next pass's business; what failed or was skipped makes the pass fail."""
    ended = report(*results)
    assert (ended.result, ended.pending) == (result, pending)
    assert ended.succeeded is (result is PassResult.SUCCESS)
    assert ended.planned


@pytest.mark.parametrize(
    "result",
    [PassResult.ENGINE_ERROR, PassResult.REGISTRY_ERROR, PassResult.INTERNAL_ERROR],
    ids=lambda each: each.value,
)
def test_a_pass_that_saw_nothing_forgets_nothing(result: PassResult) -> None:
    """Unknown is not absent."""
    known = {"/services/a": Known("x", "id")}
    assert PassReport(result).known_after(known) == known
    assert not PassReport(result).planned


def test_what_was_applied_is_known_afterwards() -> None:
    """And what is gone is forgotten."""
    known = {key: Known("x", "id") for key in ("/services/c", "/services/old")}
    after = report(*[Result.APPLIED] * 4).known_after(known)
    assert {key: each.value for key, each in after.items()} == {
        "/services/a": "10.0.0.1:80",
        "/services/b": "y",
        "/services/d": "x",
    }


def test_a_delete_that_failed_is_still_ours() -> None:
    """Otherwise nobody would try again where a custom id does not tell."""
    known = {"/services/c": Known("x", "id")}
    assert "/services/c" in report(*[Result.FAILED] * 4).known_after(known)
