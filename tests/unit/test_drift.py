"""Which repairs count as drift."""

from __future__ import annotations

import pytest
from attrs import evolve

from model.drift import Attendance
from model.plan import Action, Change, Reason
from model.report import PassReport, Result
from model.stored import Lifetime, StorePosition
from tests.support.pass_harness import Host, serving
from tests.support.reports import added, altered, failed, planned, removed

KEY = "/services/web/core-01:web:80"

#: The version of the keys that ``removed`` and ``altered`` make.
VERSION = 7

ORPHAN = removed(KEY, reason=Reason.ORPHAN)
MISSING = added(KEY, reason=Reason.MISSING)
OVERWRITTEN = altered(KEY, "a:1", "b:2", Reason.OVERWRITTEN)


def report(*changes: Change, index: int | None = None) -> PassReport:
    """Return the report of a pass that made these changes, when the store had come to this index."""
    return evolve(planned(*changes), store_position=None if index is None else StorePosition("c1", index))


def attendance(*, index: int | None = None, lifetime: Lifetime = Lifetime()) -> Attendance:
    """Return the attendance of an agent whose first pass began at 100 s, when the store had come to this index."""
    return Attendance(lifetime).after(report(index=index), 100.0)


@pytest.mark.parametrize("change", [ORPHAN, MISSING, OVERWRITTEN], ids=lambda change: change.reason.value)
def test_what_the_first_pass_repairs_is_no_drift(change: Change) -> None:
    """It happened while no agent ran. That is also true of a store that was replaced."""
    assert [*Attendance().drift_repaired(report(change), 100.0)] == []
    assert [*Attendance().after(failed(), 99.0).drift_repaired(report(change), 100.0)] == []
    assert [*attendance().drift_repaired(evolve(report(change), replaced=True), 101.0)] == []


@pytest.mark.parametrize("change", [ORPHAN, MISSING, OVERWRITTEN], ids=lambda change: change.reason.value)
def test_what_a_later_pass_repairs_is_drift(change: Change) -> None:
    """Where the registry cannot tell how far it had come, an orphan counts, too."""
    assert [*attendance().drift_repaired(report(change), 101.0)] == [change.reason]


def test_only_applied_repairs_count() -> None:
    """A change that failed repaired nothing, and one that follows the containers is no repair."""
    assert [*attendance().drift_repaired(planned(ORPHAN, MISSING, ended=Result.FAILED), 101.0)] == []
    assert [*attendance().drift_repaired(planned(added(KEY), removed(KEY)), 101.0)] == []


@pytest.mark.parametrize(("index", "drift"), [(VERSION - 1, [Reason.ORPHAN]), (VERSION, []), (VERSION + 1, [])])
def test_an_orphan_that_is_older_than_the_first_pass_is_no_drift(index: int, drift: list[Reason]) -> None:
    """A sweep finds it minutes later. It is left from a time in which no agent ran."""
    assert [*attendance(index=index).drift_repaired(report(ORPHAN), 500.0)] == drift
    assert [*attendance(index=index).drift_repaired(report(OVERWRITTEN), 500.0)] == [Reason.OVERWRITTEN]


def test_the_first_pass_over_a_new_store_counts_as_the_first() -> None:
    """A later pass does not."""
    replaced = evolve(report(index=VERSION), replaced=True)
    assert [*attendance(index=1).after(replaced, 101.0).drift_repaired(report(ORPHAN), 102.0)] == []
    assert [*attendance(index=1).after(report(index=VERSION), 101.0).drift_repaired(report(ORPHAN), 102.0)] != []


@pytest.mark.parametrize(("now", "drift"), [(119.9, [Reason.MISSING]), (120.0, []), (500.0, [])])
def test_a_key_that_may_have_expired_is_no_drift(now: float, drift: list[Reason]) -> None:
    """After a pass, each key has more than 20 of its 30 seconds left. The agent may have been away for longer."""
    watching = attendance(lifetime=Lifetime(ttl=30, refresh=10))
    assert [*watching.drift_repaired(report(MISSING), now)] == drift
    assert [*watching.drift_repaired(report(OVERWRITTEN), now)] == [Reason.OVERWRITTEN]
    assert [*watching.after(failed(), 110.0).drift_repaired(report(MISSING), now)] == drift


def test_what_an_agent_finds_when_it_is_started_again_is_no_drift() -> None:
    """A container went while no agent ran, and its key is an orphan. One that somebody adds later is drift."""
    host = Host(serving("web"), serving("db", number=8001))
    host.has_a_pass()
    host.restarts()
    host.runs(serving("db", number=8001))
    found, watching = host.has_a_pass(), Attendance()
    assert [each.reason for each in found.with_result(Result.APPLIED) if each.action is Action.DELETE] == [
        Reason.ORPHAN
    ]
    assert [*watching.drift_repaired(found, 1.0)] == []
    host.registry.put(KEY, "192.0.2.66:666")
    assert [*watching.after(found, 0.0).drift_repaired(host.has_a_pass(), 2.0)] == [Reason.ORPHAN]
