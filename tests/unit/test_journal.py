"""What the log says of each pass."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from controller.observe.pass_log import PassLog
from model.plan import Change
from model.refusal import RefusalReason
from model.report import PassReport, PassResult, Result
from tests.support.reports import (
    DETAIL,
    added,
    altered,
    failed,
    planned,
    recorded,
    refused,
    removed,
    renewed,
    unreadable,
)

Line = dict[str, Any]

KEY = "/services/web/core-01:web:80"
QUIET = planned()


class Reading:
    """A journal, and what it says of each pass that it is told of."""

    def __init__(self) -> None:
        self._journal = PassLog()

    def of(self, report: PassReport, wait: float = 1.0) -> list[Line]:
        """The lines about this pass."""
        with capture_logs() as lines:
            self._journal.begun(0.0)
            self._journal.ended(report, 0.0, wait)
        return [dict(line) for line in lines]


@pytest.fixture
def reading() -> Reading:
    """The journal of an agent whose first pass has been told of."""
    reading = Reading()
    reading.of(QUIET)
    return reading


def test_the_first_success_is_said_once() -> None:
    """With whose entries they are and how many; a pass that brings nothing new says nothing."""
    reading = Reading()
    first = {"event": "first pass succeeded", "log_level": "info", "owner": "core-01", "entries": 3, "refused": 0}
    assert reading.of(planned(wanted=3)) == [first]
    assert reading.of(planned(wanted=3)) == []
    assert reading.of(planned(wanted=4)) == []


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (added(KEY, "10.0.0.1:80"), {"action": "create", "reason": "new", "value": "10.0.0.1:80"}),
        (
            altered(KEY, "10.0.0.1:80", "10.0.0.1:81"),
            {"action": "update", "reason": "changed", "value": "10.0.0.1:81", "before": "10.0.0.1:80"},
        ),
        (removed(KEY, "10.0.0.1:80"), {"action": "delete", "reason": "gone", "before": "10.0.0.1:80"}),
    ],
    ids=["create", "update", "delete"],
)
def test_a_change_is_said_with_its_reason(reading: Reading, change: Change, fields: Line) -> None:
    """Key, what it holds now and what it held before."""
    assert reading.of(planned(change)) == [
        {"event": "change applied", "log_level": "info", "key": KEY, **fields},
    ]


def test_a_renewal_is_for_debugging_only(reading: Reading) -> None:
    """It changes nothing that anybody could see, and comes again and again."""
    (line,) = reading.of(planned(renewed(KEY)))
    assert (line["event"], line["log_level"], line["action"]) == ("change applied", "debug", "renew")
    assert "before" not in line


def test_a_lost_race_is_no_failure(reading: Reading) -> None:
    """The next pass sorts it out."""
    (line,) = reading.of(planned(added(KEY), ended=Result.CONFLICT))
    assert (line["event"], line["log_level"]) == ("change overtaken, the next pass looks again", "info")
    assert (line["key"], line["detail"]) == (KEY, DETAIL)


@pytest.mark.parametrize("ended", [Result.FAILED, Result.SKIPPED], ids=lambda ended: ended.value)
def test_a_change_that_failed_is_a_warning(reading: Reading, ended: Result) -> None:
    """With what the registry said; then the pass itself is said to have failed."""
    change, whole = reading.of(planned(added(KEY), ended=ended, result=PassResult.OPERATION_ERROR))
    assert (change["event"], change["log_level"], change["result"]) == ("change failed", "warning", ended.value)
    assert (change["key"], change["detail"]) == (KEY, DETAIL)
    assert (whole["event"], whole["result"]) == ("pass failed", "operation-error")


def test_a_failed_pass_says_what_why_and_what_next(reading: Reading) -> None:
    """How often in a row, and when the next one comes: two lines are never the same."""
    first, second = (reading.of(failed(), wait)[0] for wait in (1.04, 2.0))
    assert first == {
        "event": "pass failed",
        "log_level": "error",
        "result": "registry-error",
        "problem": "nobody answers",
        "failures": 1,
        "next_in_seconds": 1.0,
    }
    assert second == {**first, "failures": 2, "next_in_seconds": 2.0}


def test_recovery_is_said_once_and_failures_are_counted_anew(reading: Reading) -> None:
    """What went wrong before is over."""
    reading.of(failed())
    reading.of(failed())
    (line,) = reading.of(planned(wanted=2, refusals=()))
    assert line == {
        "event": "passes succeed again",
        "log_level": "info",
        "owner": "core-01",
        "entries": 2,
        "refused": 0,
    }
    assert reading.of(QUIET) == []
    assert reading.of(failed())[0]["failures"] == 1


def test_a_refusal_is_said_once_with_its_reason(reading: Reading) -> None:
    """It stands in every pass, and is news in one."""
    report = planned(refusals=(refused(),))
    assert reading.of(report) == [
        {
            "event": "port refused",
            "log_level": "warning",
            "container": "web",
            "container_id": "id-web",
            "port": "80/tcp",
            "reason": "bad-name",
            "detail": "SERVICE_NAME '..' has no use",
        }
    ]
    assert reading.of(report) == []


def test_the_end_of_a_refusal_is_said_once(reading: Reading) -> None:
    """Whether it was mended or its container is gone."""
    reading.of(planned(refusals=(refused("a"), refused("b"))))
    (line,) = reading.of(planned(refusals=(refused("b"),)))
    assert (line["event"], line["log_level"], line["container"]) == ("port no longer refused", "info", "a")
    assert reading.of(planned(refusals=(refused("b"),))) == []


@pytest.mark.parametrize(
    "other",
    [refused(reason=RefusalReason.CONFLICT), refused(detail="another detail")],
    ids=["another reason", "another detail"],
)
def test_a_port_refused_for_another_reason_is_still_refused(reading: Reading, other: object) -> None:
    """The new reason is news; that the old one is over is not."""
    reading.of(planned(refusals=(refused(),)))
    (line,) = reading.of(planned(refusals=(other,)))  # type: ignore[arg-type] # pytest's parameters have no type
    assert (line["event"], line["detail"]) == ("port refused", getattr(other, "detail", None))


def test_an_unreadable_container_is_said_once(reading: Reading) -> None:
    """What the engine's client says of it may change with every try: only that it cannot be read is news."""
    (line,) = reading.of(planned(unknown=(unreadable(problem="at 0x7f01"),)))
    assert line == {
        "event": "container unreadable, its entries stay",
        "log_level": "warning",
        "container": "web",
        "problem": "at 0x7f01",
    }
    assert reading.of(planned(unknown=(unreadable(problem="at 0x7f02"),))) == []
    (line,) = reading.of(planned())
    assert (line["event"], line["container"]) == ("container readable again", "web")
    assert reading.of(planned()) == []


def test_a_pass_that_saw_nothing_ends_no_news(reading: Reading) -> None:
    """Unknown is not absent: what was refused before is not news when the engine is back."""
    seen = planned(refusals=(refused(),), unknown=(unreadable("db"),))
    reading.of(seen)
    assert [line["event"] for line in reading.of(failed())] == ["pass failed"]
    assert [line["event"] for line in reading.of(seen)] == ["passes succeed again"]


def test_news_comes_in_a_stable_order(reading: Reading) -> None:
    """Sorted by container, whatever order the report had."""
    names = ["c", "a", "b"]
    report = planned(refusals=tuple(map(refused, names)), unknown=tuple(map(unreadable, names)))
    assert [line["container"] for line in reading.of(report)] == ["a", "b", "c"] * 2
    assert [line["container"] for line in reading.of(QUIET)] == ["a", "b", "c"] * 2


def held_back(count: int) -> PassReport:
    """A pass whose guard held so many deletes back, of ten entries."""
    return planned(held_back=tuple(removed(f"/a/b/{number}") for number in range(count)), own=10)


def test_what_the_guard_holds_back_is_said_once(reading: Reading) -> None:
    """How many of how many; more or fewer of them are news, and that it is over."""
    line = {"event": "deletes held back until seen again", "log_level": "warning", "deletes": 6, "own": 10}
    assert reading.of(held_back(6)) == [line]
    assert reading.of(held_back(6)) == []
    assert reading.of(held_back(7)) == [{**line, "deletes": 7}]
    assert reading.of(QUIET) == [{"event": "no deletes held back any more", "log_level": "info"}]
    assert reading.of(QUIET) == []


def test_a_pass_that_saw_nothing_says_nothing_of_the_guard(reading: Reading) -> None:
    """Unknown is not over."""
    reading.of(held_back(6))
    assert [line["event"] for line in reading.of(failed())] == ["pass failed"]
    assert [line["event"] for line in reading.of(held_back(6))] == ["passes succeed again"]


def test_another_store_is_said(reading: Reading) -> None:
    """With whose entries are at stake."""
    (line,) = reading.of(evolve(planned(), replaced=True))
    assert (line["event"], line["log_level"], line["owner"]) == (
        "registry was replaced, wiped or restored; earlier passes are forgotten",
        "warning",
        "core-01",
    )
    assert reading.of(planned()) == []


def test_the_owner_record_is_a_change_like_others(reading: Reading) -> None:
    """With what it says, and what it said before."""
    (line,) = reading.of(planned(recorded("rubbish")))
    assert (line["event"], line["action"], line["reason"], line["before"]) == (
        "change applied",
        "record",
        "claims",
        "rubbish",
    )


def test_an_owner_conflict_says_what_cures_it(reading: Reading) -> None:
    """The pass's own words, as with any failure."""
    (line,) = reading.of(failed(PassResult.OWNER_CONFLICT, "use --hostname or --take-over"))
    assert (line["result"], line["problem"]) == ("owner-conflict", "use --hostname or --take-over")
