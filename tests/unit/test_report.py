"""Tests of model.report: the summary and the result of a pass."""

from __future__ import annotations

import pytest

from model.plan import Plan
from model.report import Outcome, PassResult, Result, summary, withdrawn_claims
from tests.support.reports import ONE_CHANGE_PER_ACTION, added, altered, removed, report_with_results


def test_the_summary_is_one_line_without_renewals_and_owner_record() -> None:
    """The summary leaves out changes that a reader of the prefix cannot see."""
    assert summary(report_with_results(*[Result.APPLIED] * 5).plan) == (
        "Plan: 1 to create, 1 to update, 1 to delete, 12 in sync, 0 refused."
    )


def test_the_summary_ends_with_the_deletes_that_are_held_back() -> None:
    """Deletes that are held back are mentioned only where there are some."""
    assert summary(Plan(held_back=(ONE_CHANGE_PER_ACTION[2],))) == (
        "Plan: 0 to create, 0 to update, 0 to delete, 0 in sync, 0 refused, 1 held back."
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
def test_a_pass_fails_if_a_change_failed_or_was_skipped(
    results: list[Result], result: PassResult, pending: int
) -> None:
    """A lost race is no failure: the next pass decides again. Pending are the visible changes that were not made."""
    ended = report_with_results(*results)
    assert (ended.result, ended.pending) == (result, pending)
    assert ended.succeeded is (result is PassResult.SUCCESS)
    assert ended.planned


@pytest.mark.parametrize(
    ("outcome", "withdrawn"),
    [
        pytest.param(Outcome(removed("k"), Result.APPLIED), True, id="deleted"),
        pytest.param(Outcome(removed("k"), Result.CONFLICT, version=9), False, id="changed before it could be deleted"),
        pytest.param(Outcome(removed("k"), Result.FAILED), False, id="perhaps deleted"),
        pytest.param(Outcome(added("k"), Result.APPLIED, version=9), False, id="created"),
        pytest.param(Outcome(added("k"), Result.CONFLICT, version=9), True, id="somebody else created it"),
        pytest.param(Outcome(added("k"), Result.CONFLICT), False, id="another key or a directory is in its way"),
        pytest.param(Outcome(added("k"), Result.FAILED), False, id="perhaps created"),
        pytest.param(Outcome(added("k"), Result.SKIPPED), False, id="no time to create it"),
        pytest.param(Outcome(altered("k", "x", "y"), Result.CONFLICT, version=9), False, id="changed meanwhile"),
    ],
)
def test_a_claim_is_withdrawn_once_its_key_is_deleted_or_turns_out_to_be_somebody_elses(
    outcome: Outcome, withdrawn: bool
) -> None:
    """A change whose answer was lost may have been made, or may still be."""
    assert withdrawn_claims([outcome], ()) == ({"k"} if withdrawn else set())


def test_an_earlier_claim_outlives_a_create_that_ends_in_a_conflict() -> None:
    """This host may have created the key in an earlier pass whose answer was lost. A delete withdraws it."""
    lost = Outcome(added("k"), Result.CONFLICT, version=9)
    assert withdrawn_claims([lost], {"k"}) == set()
    assert withdrawn_claims([Outcome(removed("k"), Result.APPLIED)], {"k"}) == {"k"}
