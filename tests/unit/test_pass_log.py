"""The log lines about each pass."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from attrs import evolve

from controller.observe.pass_log import PassLog, log_hints
from controller.source.events import Origin
from model.drain_order import DrainedContainer, DrainOrder
from model.guard import HeldDelete
from model.plan import Action, Change
from model.record import InnerPrefix
from model.refusal import RefusalReason
from model.report import Outcome, PassReport, PassResult, Result, Stage
from model.snapshot import Presence
from model.take_over import LivenessWait
from tests.support.builders import entry
from tests.support.captured_logs import capture_logs
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

#: The lines about every pass.
EVERY_PASS = ("pass begins", "pass ended")

KEY = "/services/web/core-01:web:80"
IDLE = planned()


class CapturedPassLog:
    """A PassLog whose lines are captured."""

    def __init__(self) -> None:
        self._pass_log = PassLog()

    def lines(self, report: PassReport, wait: float = 1.0, begun: float = 0.0, ended: float = 0.0) -> list[Line]:
        """Return the lines that are logged about this pass, without the two that every pass has."""
        return [line for line in self.all_lines(report, wait, begun, ended) if line["event"] not in EVERY_PASS]

    def all_lines(self, report: PassReport, wait: float = 1.0, begun: float = 0.0, ended: float = 0.0) -> list[Line]:
        """Return all lines that are logged about this pass."""
        with capture_logs() as lines:
            self._pass_log.begun(begun)
            self._pass_log.ended(report, ended, wait)
        return [dict(line) for line in lines]


@pytest.fixture
def log() -> CapturedPassLog:
    """Return the log of an agent whose first pass has been logged."""
    log = CapturedPassLog()
    log.lines(IDLE)
    return log


def test_the_first_success_is_logged_once() -> None:
    """The line has the owner and the number of entries. A pass without news logs nothing."""
    log = CapturedPassLog()
    first = {"event": "first pass succeeded", "log_level": "info", "owner": "core-01", "entries": 3, "refused": 0}
    assert log.lines(planned(wanted=3)) == [first]
    assert log.lines(planned(wanted=3)) == []
    assert log.lines(planned(wanted=4)) == []


def test_the_first_success_names_the_kind_of_the_engine() -> None:
    """When the agent starts, the engine may not have told it yet."""
    (line,) = CapturedPassLog().lines(evolve(planned(wanted=3), engine_kind="podman"))
    assert line["engine_kind"] == "podman"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (
            added(KEY, "10.0.0.1:80"),
            {"action": "create", "reason": "new", "value": "10.0.0.1:80", "container_id": "id-web"},
        ),
        (
            altered(KEY, "10.0.0.1:80", "10.0.0.1:81"),
            {
                "action": "update",
                "reason": "changed",
                "value": "10.0.0.1:81",
                "before": "10.0.0.1:80",
                "container_id": "id-web",
            },
        ),
        (
            removed(KEY, "10.0.0.1:80"),
            {"action": "delete", "reason": "gone", "before": "10.0.0.1:80", "container": "core-01:web:80"},
        ),
    ],
    ids=["create", "update", "delete"],
)
def test_a_change_is_logged_with_its_reason(log: CapturedPassLog, change: Change, fields: Line) -> None:
    """The line has the key, its value and its value before."""
    assert log.lines(planned(change)) == [
        {"event": "change applied", "log_level": "info", "key": KEY, **fields},
    ]


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        (("", ""), {}),
        (("0123456789abcdef", ""), {"container_id": "0123456789ab"}),
        (("", "web"), {"container": "web"}),
        (("0123456789abcdef", "web"), {"container": "web", "container_id": "0123456789ab"}),
    ],
)
def test_a_change_is_logged_with_its_container(log: CapturedPassLog, named: tuple[str, str], fields: Line) -> None:
    """The line has the container's name and the beginning of its id, as far as they are known."""
    (line,) = log.lines(planned(evolve(added(KEY), container_id=named[0], container_name=named[1])))
    assert {name: text for name, text in line.items() if name.startswith("container")} == fields


def test_every_pass_has_two_lines_at_level_debug(log: CapturedPassLog) -> None:
    """They say that it begins, and what it read, planned and did. A pass that failed before it had a plan read nothing
    that it could tell."""
    seconds = {Stage.DOCKER: 0.00123, Stage.APPLY: 0.5}
    report = planned(added(KEY), renewed(f"{KEY}1"), wanted=3, in_sync=2, own=4, foreign=5, seconds=seconds)
    begin, _, _, end = log.all_lines(evolve(report, containers=7, consistent=True), 2.04)
    assert begin == {"event": "pass begins", "log_level": "debug"}
    assert end == {
        "event": "pass ended",
        "log_level": "debug",
        "result": "success",
        "seconds": {"docker": 0.0012, "apply": 0.5},
        "containers": 7,
        "keys": 9,
        "own_keys": 4,
        "entries": 3,
        "in_sync": 2,
        "refused": 0,
        "planned": 2,
        "applied": 2,
        "consistent_read": True,
        "next_in_seconds": 2.0,
    }
    *_, end = log.all_lines(failed())
    assert end.keys() & {"containers", "keys", "own_keys"} == set()


def test_a_renewal_is_logged_at_level_debug(log: CapturedPassLog) -> None:
    """It changes no value, and there are many of them."""
    (line,) = log.lines(planned(renewed(KEY)))
    assert (line["event"], line["log_level"], line["action"]) == ("change applied", "debug", "renew")
    assert "before" not in line


def test_a_lost_race_is_logged_at_level_info(log: CapturedPassLog) -> None:
    """The next pass decides again, so it is no problem."""
    (line,) = log.lines(planned(added(KEY), ended=Result.CONFLICT))
    assert (line["event"], line["log_level"]) == ("key changed after it was read, the next pass decides again", "info")
    assert (line["key"], line["detail"]) == (KEY, DETAIL)


@pytest.mark.parametrize("ended", [Result.FAILED, Result.REJECTED], ids=lambda ended: ended.value)
def test_a_change_that_failed_is_logged_as_a_warning(log: CapturedPassLog, ended: Result) -> None:
    """The line has the registry's detail. Another line says that the pass failed."""
    change, whole = log.lines(planned(added(KEY), ended=ended, result=PassResult.OPERATION_ERROR))
    assert (change["event"], change["log_level"], change["result"]) == ("change failed", "warning", ended.value)
    assert (change["key"], change["detail"]) == (KEY, DETAIL)
    assert (whole["event"], whole["result"]) == ("pass failed", "operation-error")


def tried(times: int, ended: Result = Result.REJECTED) -> PassReport:
    """Return the report of a pass that tried a change for the ``times``-th time in a row, and did not make it."""
    report = planned(added(KEY), ended=ended, result=PassResult.INCOMPLETE, wanted=3, in_sync=2)
    return evolve(report, setbacks={KEY: evolve(report.setbacks[KEY], tries=times)})


@pytest.mark.parametrize("ended", [Result.FAILED, Result.REJECTED, Result.CONFLICT], ids=lambda ended: ended.value)
def test_a_change_that_is_never_made_is_logged_once_and_then_every_sixty_tries(
    log: CapturedPassLog, ended: Result
) -> None:
    """Sixty tries take about an hour. A pass in which the change waits logs nothing."""
    told = [times for times in range(1, 123) if log.lines(tried(times, ended))]
    assert told == [1, 61, 121]
    waits = evolve(tried(122, ended), outcomes=(Outcome(added(KEY), Result.WAITING, DETAIL),))
    assert log.lines(waits) == []


def test_many_changes_that_are_not_made_have_ten_lines_and_a_number(log: CapturedPassLog) -> None:
    """A full etcd, for example, refuses hundreds of changes. Ten of them have a line each, and one more line has the
    number of the others."""
    changes = [added(f"/services/web/core-01:web-{number}:80") for number in range(300)]
    lines = log.lines(planned(*changes, ended=Result.REJECTED, result=PassResult.INCOMPLETE))
    assert [line["event"] for line in lines] == ["change failed"] * 10 + ["further changes failed"]
    assert lines[-1]["changes"] == 290
    assert len(log.lines(planned(*changes[:10], ended=Result.REJECTED, result=PassResult.INCOMPLETE))) == 10


def test_the_first_pass_that_succeeds_except_for_a_change_says_so() -> None:
    """The line has the number of changes that were not made, but only if there are some."""
    assert CapturedPassLog().lines(tried(2)) == [
        {
            "event": "first pass succeeded",
            "log_level": "info",
            "owner": "core-01",
            "entries": 3,
            "refused": 0,
            "not_made": 1,
        }
    ]


def test_a_pass_that_runs_out_of_time_has_one_line_for_all_that_it_left(log: CapturedPassLog) -> None:
    """A pass that makes progress has not failed. The changes that it made have a line each, as always."""
    keys = [f"/services/web/core-01:web-{number}:80" for number in range(600)]
    ended = [Result.APPLIED] * 2 + [Result.SKIPPED] * 598
    outcomes = tuple(Outcome(added(key), each) for key, each in zip(keys, ended, strict=True))
    lines = log.lines(evolve(planned(result=PassResult.UNFINISHED), outcomes=outcomes), 0.0)
    assert [line["event"] for line in lines[:2]] == ["change applied"] * 2
    assert lines[2:] == [
        {
            "event": "pass ran out of time, the next one goes on at once",
            "log_level": "warning",
            "made": 2,
            "left": 598,
        }
    ]
    assert log.lines(IDLE) == []


def test_passes_that_fail_at_the_normal_interval_are_logged_when_they_say_something_else(log: CapturedPassLog) -> None:
    """A change that gets no answer waits until it is tried again, and meanwhile each pass has the same problem."""
    silent = planned(added(KEY), ended=Result.FAILED, result=PassResult.OPERATION_ERROR)
    waits = evolve(silent, outcomes=(Outcome(added(KEY), Result.WAITING, DETAIL),))
    assert [line["event"] for line in log.lines(silent)] == ["change failed", "pass failed"]
    assert log.lines(waits) == []
    (line,) = log.lines(evolve(waits, problem="something else"))
    assert (line["problem"], line["failures"]) == ("something else", 3)
    assert [line["event"] for line in log.lines(IDLE)] == ["passes succeed again"]


def test_every_pass_that_could_do_nothing_is_logged_with_its_problem_and_the_wait(log: CapturedPassLog) -> None:
    """The line also has the number of failures in a row."""
    first, second = (log.lines(failed(), wait)[0] for wait in (1.04, 2.0))
    assert first == {
        "event": "pass failed",
        "log_level": "error",
        "result": "registry-error",
        "problem": "nobody answers",
        "failures": 1,
        "next_in_seconds": 1.0,
    }
    assert second == {**first, "failures": 2, "next_in_seconds": 2.0}


def test_the_first_success_after_failures_is_logged_and_restarts_their_count(log: CapturedPassLog) -> None:
    """The line says how long passes failed, from the begin of the first one that did. A clock that is set back makes
    that no time. The next success logs nothing, and the next failure is the first one in a row."""
    log.lines(failed(), begun=100.0, ended=105.0)
    log.lines(failed(), begun=106.0, ended=111.0)
    (line,) = log.lines(planned(wanted=2, refusals=()), begun=113.0, ended=113.25)
    assert line == {
        "event": "passes succeed again",
        "log_level": "info",
        "after_seconds": 13.2,
        "failures": 2,
        "owner": "core-01",
        "entries": 2,
        "refused": 0,
    }
    assert log.lines(IDLE) == []
    assert log.lines(failed(), begun=200.0, ended=200.5)[0]["failures"] == 1
    assert log.lines(IDLE, begun=50.0, ended=50.5)[0]["after_seconds"] == 0.0


def test_a_host_without_an_address_is_logged_when_it_begins_or_its_cause_changes(log: CapturedPassLog) -> None:
    """Such passes are as frequent as ever, so a line for each would fill the log. If the problem comes back after a
    success, it is logged again."""
    missing = planned(result=PassResult.NO_ADDRESS)
    (line,) = log.lines(missing)
    assert (line["event"], line["result"], line["problem"]) == ("pass failed", "no-address", DETAIL)
    assert log.lines(missing) == []
    assert [each["problem"] for each in log.lines(evolve(missing, problem="another"))] == ["another"]
    assert [each["event"] for each in log.lines(planned())] == ["passes succeed again"]
    assert len(log.lines(missing)) == 1


def test_a_refusal_is_logged_once_with_its_reason(log: CapturedPassLog) -> None:
    """Every pass reports it, and only the first one logs it."""
    report = planned(refusals=(refused(),))
    assert log.lines(report) == [
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
    assert log.lines(report) == []


def test_the_end_of_a_refusal_is_logged_once(log: CapturedPassLog) -> None:
    """The port is registered now, or its container is gone."""
    log.lines(planned(refusals=(refused("a"), refused("b"))))
    (line,) = log.lines(planned(refusals=(refused("b"),)))
    assert (line["event"], line["log_level"], line["container"]) == ("port no longer refused", "info", "a")
    assert log.lines(planned(refusals=(refused("b"),))) == []


@pytest.mark.parametrize(
    "other",
    [refused(reason=RefusalReason.CONFLICT), refused(detail="another detail")],
    ids=["another reason", "another detail"],
)
def test_a_refusal_with_another_reason_or_detail_is_logged_again(log: CapturedPassLog, other: object) -> None:
    """The end of the earlier refusal is not logged, because the port is still refused."""
    log.lines(planned(refusals=(refused(),)))
    (line,) = log.lines(planned(refusals=(other,)))  # type: ignore[arg-type] # pytest's parameters have no type
    assert (line["event"], line["detail"]) == ("port refused", getattr(other, "detail", None))


def test_an_unreadable_container_is_logged_once(log: CapturedPassLog) -> None:
    """Another problem of the same container is not logged, because the text may differ in every pass."""
    (line,) = log.lines(planned(unknown=(unreadable(problem="at 0x7f01"),)))
    assert line == {
        "event": "container unreadable, its entries are held",
        "log_level": "warning",
        "container": "web",
        "problem": "at 0x7f01",
    }
    assert log.lines(planned(unknown=(unreadable(problem="at 0x7f02"),))) == []
    (line,) = log.lines(planned())
    assert (line["event"], line["container"]) == ("container readable again", "web")
    assert log.lines(planned()) == []


def test_an_entry_with_a_loopback_address_is_warned_of_once(log: CapturedPassLog) -> None:
    """The line says how to cure it. Another address of the same port is told anew."""
    at = entry(address="127.0.0.1")
    (line,) = log.lines(evolve(IDLE, loopback=(at,)))
    assert line == {
        "event": "port is registered with a loopback address, which only this host can dial",
        "log_level": "warning",
        "container": "web",
        "port": "80/tcp",
        "address": "127.0.0.1",
        "cure": "publish the port on another address of this host",
    }
    assert log.lines(evolve(IDLE, loopback=(at,))) == []
    assert len(log.lines(evolve(IDLE, loopback=(at, entry(address="::1"))))) == 1


def test_a_refusal_or_unreadable_container_from_before_a_failed_pass_is_not_logged_again(log: CapturedPassLog) -> None:
    """A pass without a plan does not show that either of them has ended."""
    seen = planned(refusals=(refused(),), unknown=(unreadable("db"),))
    log.lines(seen)
    assert [line["event"] for line in log.lines(failed())] == ["pass failed"]
    assert [line["event"] for line in log.lines(seen)] == ["passes succeed again"]


def test_lines_are_sorted_by_container(log: CapturedPassLog) -> None:
    """The order of the report does not matter."""
    names = ["c", "a", "b"]
    report = planned(refusals=tuple(map(refused, names)), unknown=tuple(map(unreadable, names)))
    assert [line["container"] for line in log.lines(report)] == ["a", "b", "c"] * 2
    assert [line["container"] for line in log.lines(IDLE)] == ["a", "b", "c"] * 2


def held_back(count: int) -> PassReport:
    """Return the report of a pass whose guard held this many deletes back, on a host with ten entries. The container of
    one of these deletes still runs."""
    deletes = tuple(removed(f"/a/b/{number}") for number in range(count))
    held = {each.key: HeldDelete(Presence.ABSENT, 1, 0.0) for each in deletes}
    held[deletes[0].key] = HeldDelete(Presence.RUNNING, 1, 0.0)
    return evolve(planned(held_back=deletes, own=10), held_deletes=held)


def test_held_deletes_are_logged_when_their_number_changes(log: CapturedPassLog) -> None:
    """The line has the number of deletes, the number of the host's entries, and what the engine says of the containers.
    Another line says once that no deletes are held back any more."""
    line = {"event": "deletes held back until seen again", "log_level": "warning", "own": 10}
    assert log.lines(held_back(6)) == [{**line, "deletes": 6, "containers": "5 absent, 1 running"}]
    assert log.lines(held_back(6)) == []
    assert log.lines(held_back(7)) == [{**line, "deletes": 7, "containers": "6 absent, 1 running"}]
    assert log.lines(IDLE) == [{"event": "no deletes held back any more", "log_level": "info"}]
    assert log.lines(IDLE) == []


def test_held_deletes_from_before_a_failed_pass_are_not_logged_again(log: CapturedPassLog) -> None:
    """A pass without a plan does not show that they are no longer held back."""
    log.lines(held_back(6))
    assert [line["event"] for line in log.lines(failed())] == ["pass failed"]
    assert [line["event"] for line in log.lines(held_back(6))] == ["passes succeed again"]


def test_a_replaced_store_is_logged_as_a_warning(log: CapturedPassLog) -> None:
    """The line has the owner. The next pass logs nothing."""
    (line,) = log.lines(evolve(planned(), replaced=True))
    assert (line["event"], line["log_level"], line["owner"]) == (
        "registry was replaced, wiped or restored; earlier passes are forgotten",
        "warning",
        "core-01",
    )
    assert log.lines(planned()) == []


@pytest.mark.parametrize("ended", [Result.APPLIED, Result.CONFLICT, Result.REJECTED], ids=lambda ended: ended.value)
def test_owner_record_and_agent_note_are_shown_at_level_debug_alone(log: CapturedPassLog, ended: Result) -> None:
    """They are long, and grow with the host. Their writes have lines as other changes have, without the values."""
    for document in (recorded("rubbish"), evolve(recorded("rubbish"), action=Action.NOTE)):
        shown, line = log.lines(planned(document, ended=ended, result=PassResult.INCOMPLETE))[:2]
        assert shown == {
            "event": "document to write",
            "log_level": "debug",
            "key": document.key,
            "value": document.value,
            "before": "rubbish",
        }
        assert (line["action"], line["reason"], line["key"]) == (document.action.value, "claims", document.key)
        assert line.keys() & {"value", "before"} == set()


def test_an_owner_conflict_is_logged_with_the_flags_that_help(log: CapturedPassLog) -> None:
    """As with any failed pass, the problem is that of the report."""
    (line,) = log.lines(failed(PassResult.OWNER_CONFLICT, "use --hostname or --take-over"))
    assert (line["result"], line["problem"]) == ("owner-conflict", "use --hostname or --take-over")


def test_a_take_over_that_waits_is_logged_once() -> None:
    """Passes that wait are as frequent as ever, so only a new wait and the end of a wait are logged."""
    log = CapturedPassLog()
    wait = LivenessWait("OTHER", 1.0)

    def waiting(problem: str) -> PassReport:
        return evolve(failed(PassResult.OWNER_CONFLICT, problem), take_over=wait)

    reports = [waiting("until 1"), waiting("until 1"), waiting("until 2"), waiting("until 2"), planned()]
    assert [len(log.lines(report)) for report in reports] == [1, 0, 1, 0, 1]


def test_another_agent_with_other_flags_is_logged_when_it_appears_changes_and_is_gone(log: CapturedPassLog) -> None:
    """Passes in which the differences are the same log nothing."""
    reports = [
        evolve(planned(), disagreement="'ip' is 'a' here and 'b' there"),
        evolve(planned(), disagreement="'ip' is 'a' here and 'b' there"),
        evolve(planned(), disagreement="'ip' is 'a' here and 'c' there"),
        planned(),
        planned(),
    ]
    lines = [line for report in reports for line in log.lines(report)]
    assert [(line["event"], line["log_level"], line.get("differences")) for line in lines] == [
        ("another agent of this host was started with other flags", "warning", "'ip' is 'a' here and 'b' there"),
        ("another agent of this host was started with other flags", "warning", "'ip' is 'a' here and 'c' there"),
        ("no other agent of this host has other flags any more", "info", None),
    ]


def test_a_new_name_of_the_host_is_logged_when_it_comes_and_when_it_goes(log: CapturedPassLog) -> None:
    """The warning has both names. A pass that failed before it knew the name logs nothing about it."""
    renamed = evolve(IDLE, new_name="core-02")
    (line,) = log.lines(renamed)
    assert (line["log_level"], line["owner"], line["name"]) == ("warning", "core-01", "core-02")
    assert line["event"].startswith("the host has another name")
    assert log.lines(renamed) == []
    assert "name" not in str(log.lines(failed()))
    log.lines(renamed)
    assert [each["name"] for each in log.lines(evolve(IDLE, new_name="core-03"))] == ["core-03"]
    (back,) = log.lines(IDLE)
    assert back == {"event": "the host has its old name again", "log_level": "info", "owner": "core-01"}


def test_each_inner_prefix_is_logged_once_with_what_clears_an_abandoned_one(log: CapturedPassLog) -> None:
    """The line is not repeated after passes that did not ask for the inner prefixes."""
    one = InnerPrefix("/services/registrator", ("core-01", "core-02"))
    other = InnerPrefix("/services/team", tuple(f"core-{number:02}" for number in range(30)))
    (line,) = log.lines(evolve(IDLE, inner=(one,)))
    assert line == {
        "event": "a prefix within this one has agents of its own, its keys are left alone",
        "log_level": "warning",
        "inner_prefix": "/services/registrator",
        "owners": ["core-01", "core-02"],
        "if_abandoned": "wharfinger deregister --hostname OWNER URI, with the URI of /services/registrator",
    }
    assert log.lines(IDLE) == []
    (line,) = log.lines(evolve(IDLE, inner=(one, other)))
    assert (line["inner_prefix"], len(line["owners"])) == ("/services/team", 10)
    assert log.lines(evolve(IDLE, inner=(one, other))) == []


# Hints.


@pytest.mark.parametrize(
    ("origin", "level"), [(Origin.STREAM, "info"), (Origin.HISTORY, "warning"), (Origin.NOWHERE, "warning")]
)
def test_the_log_says_where_hints_come_from_and_why_not_from_a_stream(origin: Origin, level: str) -> None:
    """It says so when that changes."""
    with capture_logs() as lines:
        log_hints(origin, "" if origin is Origin.STREAM else "403 Client Error")
    (line,) = lines
    assert "events of the engine" in line["event"]
    assert (line["log_level"], line.get("problem")) == (level, None if origin is Origin.STREAM else "403 Client Error")


# The operator's drain.

#: 2026-01-02T03:04:05Z.
END = 1767323045.0

WEB = DrainedContainer("0123456789abcdef", "2026-01-01T00:00:00Z", "web")
NAMED = {"container": "web", "container_id": "0123456789ab"}


def draining(order: DrainOrder) -> PassReport:
    """Return the report of a pass in which this order is in force."""
    return evolve(IDLE, drain_order=order)


def test_a_drain_of_a_container_is_logged_when_it_begins_changes_and_ends(log: CapturedPassLog) -> None:
    """The line has the end of the drain, or what ends it."""
    begins = {"event": "the operator drains a container", "log_level": "info", **NAMED}
    named = DrainOrder({WEB.id: WEB})
    assert log.lines(draining(named)) == [{**begins, "until": "wharfinger undrain"}]
    assert log.lines(draining(named)) == []
    shorter = DrainOrder({WEB.id: evolve(WEB, until=END)})
    assert log.lines(draining(shorter)) == [{**begins, "until": "2026-01-02T03:04:05Z"}]
    assert log.lines(failed(PassResult.ENGINE_ERROR))[0]["event"] == "pass failed"
    ends = {"event": "the operator no longer drains a container", "log_level": "info", **NAMED}
    assert ends in log.lines(IDLE)
    assert log.lines(IDLE) == []


def test_a_drain_of_all_containers_is_logged_when_it_begins_changes_and_ends(log: CapturedPassLog) -> None:
    """As that of one container is."""
    begins = {"event": "the operator drains all containers of this host", "log_level": "info"}
    assert log.lines(draining(DrainOrder(all_until=inf))) == [{**begins, "until": "wharfinger undrain"}]
    assert log.lines(draining(DrainOrder(all_until=inf))) == []
    assert log.lines(draining(DrainOrder(all_until=END))) == [{**begins, "until": "2026-01-02T03:04:05Z"}]
    assert log.lines(IDLE) == [
        {"event": "the operator no longer drains all containers of this host", "log_level": "info"}
    ]


def test_an_unreadable_drain_order_is_logged_once(log: CapturedPassLog) -> None:
    """And once more after it was readable in between."""
    report = evolve(IDLE, unreadable_drain_order="/_wharfinger/%2Fservices/core-01/drain")
    line = {
        "event": "the drain order cannot be read and counts as none",
        "log_level": "warning",
        "key": "/_wharfinger/%2Fservices/core-01/drain",
        "cure": "wharfinger drain or undrain replaces it",
    }
    assert [log.lines(each) for each in (report, report, IDLE, report)] == [[line], [], [], [line]]


def test_a_heartbeat_that_cannot_be_renewed_is_logged_once_and_so_is_its_return(log: CapturedPassLog) -> None:
    """A pass that does not try to renew it says nothing about it."""
    refused = evolve(IDLE, heartbeat_at=1.0, heartbeat_problem="permission denied")
    told = {
        "event": "the heartbeat cannot be renewed, so this agent may look dead",
        "log_level": "warning",
        "problem": "permission denied",
    }
    assert [log.lines(each) for each in (refused, IDLE, refused)] == [[told], [], []]
    renewed = evolve(IDLE, heartbeat_at=2.0)
    assert [log.lines(each) for each in (renewed, renewed)] == [
        [{"event": "the heartbeat is renewed again", "log_level": "info"}],
        [],
    ]
