"""Tests of model.report: the summary and the result of a pass."""

from __future__ import annotations

import pytest
from attrs import evolve

from model.plan import Plan
from model.report import Outcome, PassReport, PassResult, Result, result_of, summary
from model.stored import Stored
from model.take_over import LivenessWait
from tests.support.reports import ONE_CHANGE_PER_ACTION, report_with_results


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


def test_the_summary_counts_the_entries_that_are_held() -> None:
    """They are mentioned only where there are some."""
    assert summary(Plan(held=(Stored("/services/a", "x", 1),))) == (
        "Plan: 0 to create, 0 to update, 0 to delete, 0 in sync, 0 refused, 1 held."
    )


@pytest.mark.parametrize(
    ("result", "none_addressed", "expected", "backs_off"),
    [
        (Result.APPLIED, True, PassResult.NO_ADDRESS, False),
        (Result.FAILED, True, PassResult.OPERATION_ERROR, True),
        (Result.APPLIED, False, PassResult.SUCCESS, False),
    ],
)
def test_a_pass_that_could_give_no_port_an_address_is_no_success_and_leads_to_no_back_off(
    result: Result, none_addressed: bool, expected: PassResult, backs_off: bool
) -> None:
    """Nobody is spared by a later pass: neither the engine nor the registry is down. A change that failed counts
    more."""
    outcomes = (Outcome(ONE_CHANGE_PER_ACTION[2], result),)
    report = PassReport(result_of(outcomes, none_addressed=none_addressed))
    assert (report.result, report.backs_off, report.planned) == (expected, backs_off, True)


def test_a_pass_waits_only_while_it_is_not_known_whether_the_other_agent_is_alive() -> None:
    """A pass that failed for another reason does not wait, although the wait goes on."""
    wait = LivenessWait("ENGINE", 1.0)
    assert PassReport(PassResult.OWNER_CONFLICT, take_over=wait).waits
    assert not PassReport(PassResult.OWNER_CONFLICT, take_over=wait).backs_off
    assert not PassReport(PassResult.OWNER_CONFLICT, take_over=evolve(wait, answered=True)).waits
    assert not PassReport(PassResult.OWNER_CONFLICT).waits
    assert not PassReport(PassResult.ENGINE_ERROR, take_over=wait).waits


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
