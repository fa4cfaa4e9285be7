"""What is kept of a loop's passes for those who ask later."""

from __future__ import annotations

from attrs import evolve

from controller.observe.last_reports import MAX_CHANGES, EndedPass, LastReports, Seen
from model.report import PassReport, PassResult, Result
from tests.support.reports import added, altered, failed, planned, recorded, removed, renewed


def after(*reports: PassReport) -> Seen:
    """Return what is known after passes with these reports, which ended at 1, 2, 3 and so on."""
    last_reports = LastReports()
    for number, report in enumerate(reports, start=1):
        last_reports.begun(number - 0.5)
        last_reports.ended(report, float(number), 2.0)
    return last_reports.seen


def keys_of(seen: Seen) -> list[str]:
    """Return the keys of the changes that are known, the newest first."""
    return [each.outcome.change.key for each in seen.changes]


def test_before_the_first_pass_has_ended_nothing_is_known_but_when_it_began() -> None:
    """So the pages can say for how long it has been running."""
    last_reports = LastReports()
    assert last_reports.seen == Seen()
    last_reports.begun(7.0)
    assert last_reports.seen == Seen(running_since=7.0)


def test_a_pass_that_made_a_plan_is_both_the_last_one_and_the_last_with_a_plan() -> None:
    """No pass runs any more when it has ended."""
    report = planned()
    assert after(failed(), report) == Seen(EndedPass(report, 2.0), EndedPass(report, 2.0))


def test_a_failed_pass_does_not_replace_the_last_one_that_made_a_plan() -> None:
    """The plan is the newest that is known of the containers, and the failure says that it is old."""
    good, bad = planned(), failed(PassResult.REGISTRY_ERROR)
    assert after(good, bad) == Seen(EndedPass(bad, 2.0), EndedPass(good, 1.0))


def test_what_was_read_stays_as_it_was_while_the_next_pass_runs_and_ends() -> None:
    """A page is built from one value, in a thread of its own."""
    last_reports = LastReports()
    last_reports.ended(planned(added()), 1.0, 2.0)
    before = last_reports.seen
    last_reports.begun(2.0)
    last_reports.ended(failed(), 3.0, 2.0)
    assert before == after(planned(added()))


def test_the_changes_of_all_passes_are_kept_the_newest_first() -> None:
    """Each has the time when the pass ended that tried it."""
    seen = after(planned(added("/a"), added("/b")), planned(), planned(removed("/a"), altered("/b", "x", "y")))
    assert keys_of(seen) == ["/b", "/a", "/b", "/a"]
    assert [each.at for each in seen.changes] == [3.0, 3.0, 1.0, 1.0]


def test_only_so_many_changes_are_kept() -> None:
    """The oldest give way."""
    first = planned(*(added(f"/{number}") for number in range(MAX_CHANGES)))
    seen = after(first, planned(removed("/0")))
    assert len(seen.changes) == MAX_CHANGES
    assert keys_of(seen)[:2] == ["/0", f"/{MAX_CHANGES - 1}"]
    assert keys_of(seen)[-1] == "/1"


def test_changes_that_no_reader_of_the_prefix_sees_are_not_kept() -> None:
    """With -ttl, renewals would soon be all that is there."""
    assert after(planned(renewed("/a"), recorded())).changes == ()


def test_changes_that_were_not_tried_are_not_kept() -> None:
    """They wait, or the pass ran out of time; the plan has them."""
    for result in (Result.WAITING, Result.SKIPPED, Result.PENDING):
        assert after(planned(added(), ended=result)).changes == ()


def test_a_change_that_fails_again_and_again_is_kept_once() -> None:
    """One key that etcd denies does not push out everything else."""
    denied = planned(added("/denied"), ended=Result.REJECTED, result=PassResult.INCOMPLETE)
    seen = after(planned(added("/a")), denied, denied, denied)
    assert keys_of(seen) == ["/denied", "/a"]
    assert seen.changes[0].at == 4.0


def test_the_same_change_with_another_result_is_kept_too() -> None:
    """It failed, and was made later."""
    lost = planned(added("/a"), ended=Result.CONFLICT)
    assert [each.outcome.result for each in after(lost, planned(added("/a"))).changes] == [
        Result.APPLIED,
        Result.CONFLICT,
    ]


def test_a_change_that_is_made_twice_is_kept_twice() -> None:
    """Somebody removed the key in between, each time."""
    again = planned(added("/a"))
    assert keys_of(after(again, again)) == ["/a", "/a"]


def test_a_pass_that_broke_changes_nothing_about_what_was_planned() -> None:
    """It has no plan, and counts as the last pass all the same."""
    good = planned(added())
    broken = evolve(failed(PassResult.INTERNAL_ERROR), problem="ValueError: x")
    seen = after(good, broken)
    assert seen.planned == EndedPass(good, 1.0)
    assert seen.last == EndedPass(broken, 2.0)
