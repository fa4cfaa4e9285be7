"""Tests of model.report: the summary and the result of a pass."""

from __future__ import annotations

import pytest
from attrs import evolve

from model.plan import Plan
from model.report import (
    Outcome,
    PassReport,
    PassResult,
    Result,
    Setback,
    problem_of,
    result_of,
    summary,
    withdrawn_claims,
)
from model.setbacks import setbacks_after
from model.stored import Stored
from model.take_over import LivenessWait
from tests.support.reports import (
    ONE_CHANGE_PER_ACTION,
    added,
    altered,
    planned,
    refused,
    removed,
    report_with_results,
    unreadable,
)


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


def test_the_state_after_a_pass_counts_what_was_written_and_not_what_was_planned() -> None:
    """Entries that were created or updated are in sync. A change that lost its race is not made yet."""
    assert report_with_results(*[Result.APPLIED] * 5).state == "14 of 14 entries in sync, 0 refused."
    lost = report_with_results(*[Result.CONFLICT] * 3, Result.APPLIED, Result.APPLIED)
    assert lost.state == "12 of 14 entries in sync, 0 refused, 3 changes not made yet."


def test_the_state_after_a_pass_names_what_is_not_registered() -> None:
    """Held keys that are written, to give them another lifetime, are no entries in sync."""
    held, back = Stored("/services/a", "x", 1), removed("/services/b")
    report = planned(
        altered("/services/a", "x", "x"),
        added(),
        refusals=(refused(), refused("db")),
        unknown=(unreadable(),),
        wanted=3,
        in_sync=2,
        held=(held,),
        held_back=(back,),
    )
    assert report.state == "3 of 3 entries in sync, 2 refused, 1 held, 1 held back, 1 containers unknown."
    assert report.not_registered == 3
    assert planned(in_sync=2).not_registered == 0


def test_the_summary_counts_the_entries_that_are_held() -> None:
    """The summary mentions held entries only if there are some."""
    assert summary(Plan(held=(Stored("/services/a", "x", 1),))) == (
        "Plan: 0 to create, 0 to update, 0 to delete, 0 in sync, 0 refused, 1 held."
    )


@pytest.mark.parametrize(
    ("result", "unaddressed", "expected"),
    [
        (Result.APPLIED, True, PassResult.NO_ADDRESS),
        (Result.FAILED, True, PassResult.OPERATION_ERROR),
        (Result.REJECTED, True, PassResult.NO_ADDRESS),
        (Result.APPLIED, False, PassResult.SUCCESS),
    ],
)
def test_a_pass_that_could_give_no_port_an_address_is_no_success_and_no_outage(
    result: Result, unaddressed: bool, expected: PassResult
) -> None:
    """Engine and registry answer, so there is nothing that a back-off would spare. If a change got no answer, the pass
    has the result for that instead."""
    outcomes = (Outcome(ONE_CHANGE_PER_ACTION[2], result),)
    setbacks = setbacks_after(outcomes, setbacks_after(outcomes, {}, 0.0), 0.0)
    report = PassReport(result_of(Plan(), outcomes, setbacks, unaddressed=unaddressed))
    assert (report.result, report.outage, report.planned) == (expected, False, True)


def test_a_pass_waits_only_while_it_is_not_known_whether_the_other_agent_is_alive() -> None:
    """A pass that failed for another reason does not count as waiting, although the wait goes on."""
    wait = LivenessWait("ENGINE", 1.0)
    assert PassReport(PassResult.OWNER_CONFLICT, take_over=wait).waits
    assert not PassReport(PassResult.OWNER_CONFLICT, take_over=wait).outage
    assert not PassReport(PassResult.OWNER_CONFLICT, take_over=evolve(wait, answered=True)).waits
    assert not PassReport(PassResult.OWNER_CONFLICT).waits
    assert not PassReport(PassResult.ENGINE_ERROR, take_over=wait).waits


@pytest.mark.parametrize(
    ("results", "result", "pending"),
    [
        ([Result.APPLIED] * 5, PassResult.SUCCESS, 0),
        ([Result.PENDING] * 5, PassResult.SUCCESS, 3),
        ([Result.CONFLICT, *[Result.APPLIED] * 4], PassResult.SUCCESS, 1),
        ([*[Result.WAITING] * 3, Result.APPLIED, Result.APPLIED], PassResult.SUCCESS, 3),
        ([Result.APPLIED, Result.FAILED, *[Result.APPLIED] * 3], PassResult.OPERATION_ERROR, 1),
        ([Result.APPLIED, Result.REJECTED, *[Result.APPLIED] * 3], PassResult.INCOMPLETE, 1),
        ([*[Result.APPLIED] * 4, Result.REJECTED], PassResult.INCOMPLETE, 0),
        ([*[Result.APPLIED] * 4, Result.FAILED], PassResult.OPERATION_ERROR, 0),
        ([*[Result.APPLIED] * 3, Result.SKIPPED, Result.APPLIED], PassResult.UNFINISHED, 0),
        ([Result.FAILED, *[Result.SKIPPED] * 4], PassResult.OPERATION_ERROR, 3),
    ],
)
def test_the_result_of_a_pass_follows_from_its_outcomes(
    results: list[Result], result: PassResult, pending: int
) -> None:
    """A lost race is no failure: the next pass decides again. Pending are the visible changes that were not made."""
    ended = report_with_results(*results)
    assert (ended.result, ended.pending) == (result, pending)
    assert ended.succeeded is (result is PassResult.SUCCESS)
    assert ended.planned


@pytest.mark.parametrize(
    ("wanted", "in_sync", "other", "result"),
    [
        (2, 1, Result.REJECTED, PassResult.INCOMPLETE),
        (2, 0, Result.APPLIED, PassResult.INCOMPLETE),
        (0, 0, Result.REJECTED, PassResult.INCOMPLETE),
        (2, 0, Result.REJECTED, PassResult.OPERATION_ERROR),
    ],
    ids=["one in sync", "one made", "none wanted", "nothing in step"],
)
def test_a_host_of_which_the_registry_takes_nothing_at_all_has_failed(
    wanted: int, in_sync: int, other: Result, result: PassResult
) -> None:
    """A host of which the registry only rejects a single key has not failed."""
    outcomes = (Outcome(added("/a/b"), Result.REJECTED, "no"), Outcome(added("/a/c"), other, "no"))
    setbacks = setbacks_after(outcomes, {}, 0.0)
    assert result_of(Plan(wanted=wanted, in_sync=in_sync), outcomes, setbacks) is result


@pytest.mark.parametrize(("tries", "result"), [(1, PassResult.SUCCESS), (2, PassResult.INCOMPLETE)])
def test_a_race_that_is_lost_again_is_no_success(tries: int, result: PassResult) -> None:
    """Something keeps the change from being made, so the report names the change."""
    outcomes, setbacks = (Outcome(added("/a/b"), Result.CONFLICT, "it changed"),), dict[str, Setback]()
    for _ in range(tries):
        setbacks = setbacks_after(outcomes, setbacks, 0.0)
    assert result_of(Plan(in_sync=1), outcomes, setbacks) is result
    assert problem_of(result, outcomes, setbacks) == ("cannot create /a/b: it changed" if tries > 1 else "")


@pytest.mark.parametrize(
    ("ended", "result"),
    [
        ([Result.APPLIED, Result.FAILED], PassResult.UNFINISHED),
        ([Result.FAILED, Result.FAILED], PassResult.OPERATION_ERROR),
        ([Result.APPLIED, Result.APPLIED], PassResult.SUCCESS),
        ([Result.APPLIED, Result.REJECTED], PassResult.INCOMPLETE),
    ],
    ids=str,
)
def test_an_answer_that_the_end_of_the_pass_cuts_off_is_no_failure(ended: list[Result], result: PassResult) -> None:
    """The next pass reads whether the last change was made. A pass that made no change at all has failed all the
    same."""
    outcomes = tuple(Outcome(added(f"/a/{number}"), each, "no") for number, each in enumerate(ended))
    late = result_of(Plan(in_sync=1), outcomes, setbacks_after(outcomes, {}, 0.0), late=True)
    assert late is result
    assert PassReport(late, outcomes=outcomes).outage is False


def test_the_problem_names_the_first_change_that_was_not_made_and_counts_the_others() -> None:
    """If the pass made progress and ran out of time, the problem says how far it came."""
    made, rejected, waits, late = (
        Outcome(added(f"/a/{result.value}"), result, f"it is {result.value}")
        for result in (Result.APPLIED, Result.REJECTED, Result.WAITING, Result.SKIPPED)
    )

    def problem(*outcomes: Outcome) -> str:
        setbacks = setbacks_after(outcomes, {}, 0.0)
        return problem_of(result_of(Plan(), outcomes, setbacks), outcomes, setbacks)

    assert problem(made) == ""
    assert problem(made, rejected, waits) == "cannot create /a/rejected: it is rejected (and 1 more)"
    assert problem(late, late) == "cannot create /a/skipped: it is skipped (and 1 more)"
    assert problem(made, rejected, late, late) == "the pass ran out of time after 1 of 4 changes"


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
    """If the answer to a change was lost, the change may have been made, or may still be made, so the claim stays."""
    assert withdrawn_claims([outcome], ()) == ({"k"} if withdrawn else set())


def test_an_earlier_claim_outlives_a_create_that_ends_in_a_conflict() -> None:
    """This host may have created the key in an earlier pass whose answer was lost. A delete of the key withdraws
    the claim."""
    lost = Outcome(added("k"), Result.CONFLICT, version=9)
    assert withdrawn_claims([lost], {"k"}) == set()
    assert withdrawn_claims([Outcome(removed("k"), Result.APPLIED)], {"k"}) == {"k"}
