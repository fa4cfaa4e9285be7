"""Short ways to make changes and reports of passes in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.container import ContainerRef, PortId
from model.plan import Action, Change, Plan, Reason
from model.record import RecordKeys
from model.refusal import Refusal, RefusalReason
from model.report import Outcome, PassReport, PassResult, Result, Stage, result_of
from model.setbacks import setbacks_after
from model.snapshot import UnknownContainer
from model.stored import Stored

#: The detail of each change, and the problem of each pass, that did not succeed.
DETAIL = "etcd says no"


def added(
    key: str = "/services/web/core-01:web:80", value: str = "10.0.0.1:8000", reason: Reason = Reason.NEW
) -> Change:
    """Make a create for container ``id-web``."""
    return Change(Action.CREATE, key, value, None, reason, "id-web")


def altered(key: str, before: str, value: str, reason: Reason = Reason.CHANGED) -> Change:
    """Make an update from the value ``before`` to ``value``, for container ``id-web``."""
    return Change(Action.UPDATE, key, value, Stored(key, before, 7), reason, "id-web")


def removed(key: str, before: str = "10.0.0.1:8000", reason: Reason = Reason.GONE) -> Change:
    """Make the delete of a key that holds the value ``before``. The change names the key's last part as its
    container."""
    return Change(Action.DELETE, key, "", Stored(key, before, 7), reason, container_name=key.rpartition("/")[2])


def renewed(key: str, value: str = "10.0.0.1:8000") -> Change:
    """Make a renewal of a key with 3 seconds left, for container ``id-web``."""
    return Change(Action.RENEW, key, value, Stored(key, value, 7, 3), Reason.TTL_DUE, "id-web")


def recorded(before: str | None = None) -> Change:
    """Make a write of the owner record. ``before`` is the record that is there; None: there is none."""
    key = RecordKeys("/services").record("core-01")
    stored = None if before is None else Stored(key, before, 7)
    return Change(Action.RECORD, key, '{"claims":{},"engine":"E"}', stored, Reason.CLAIMS)


def refused(
    name: str = "web", reason: RefusalReason = RefusalReason.BAD_NAME, detail: str = "SERVICE_NAME '..' has no use"
) -> Refusal:
    """Make a refusal of port 80 of the container with this name."""
    return Refusal(ContainerRef(f"id-{name}", name), PortId(80, "tcp"), reason, detail)


def unreadable(name: str = "web", problem: str = "no answer in time") -> UnknownContainer:
    """Make a container that the engine would not describe."""
    return UnknownContainer(ContainerRef(f"id-{name}", name), problem)


def planned(
    *changes: Change,
    ended: Result = Result.APPLIED,
    result: PassResult = PassResult.SUCCESS,
    refusals: tuple[Refusal, ...] = (),
    unknown: tuple[UnknownContainer, ...] = (),
    seconds: Mapping[Stage, float] | None = None,
    **counts: Any,
) -> PassReport:
    """Make the report of a pass that made a plan with these changes. Each change ended in ``ended``; ``counts`` are
    other fields of the plan."""
    detail = "" if ended in {Result.APPLIED, Result.PENDING} else DETAIL
    outcomes = tuple(Outcome(change, ended, detail) for change in changes)
    return PassReport(
        result,
        owner="core-01",
        problem="" if result is PassResult.SUCCESS else DETAIL,
        plan=Plan(changes=changes, refusals=refusals, **counts),
        outcomes=outcomes,
        setbacks=setbacks_after(outcomes, {}, 0.0),
        unknown=unknown,
        seconds=seconds or {},
    )


def failed(result: PassResult = PassResult.REGISTRY_ERROR, problem: str = "nobody answers") -> PassReport:
    """Make the report of a pass that failed before it made a plan."""
    return PassReport(result, problem=problem)


#: A create, an update, a delete, a renewal, and a write of the owner record.
ONE_CHANGE_PER_ACTION = (
    Change(Action.CREATE, "/services/a", "10.0.0.1:80", None, Reason.NEW),
    Change(Action.UPDATE, "/services/b", "y", Stored("/services/b", "x", 1), Reason.CHANGED),
    Change(Action.DELETE, "/services/c", "", Stored("/services/c", "x", 1), Reason.GONE),
    Change(Action.RENEW, "/services/d", "x", Stored("/services/d", "x", 1), Reason.TTL_DUE),
    Change(Action.RECORD, RecordKeys("/services").record("core-01"), "{}", None, Reason.CLAIMS),
)


def report_with_results(*results: Result) -> PassReport:
    """Make the report of a pass over ``ONE_CHANGE_PER_ACTION``, one result for each change."""
    outcomes = tuple(Outcome(change, result) for change, result in zip(ONE_CHANGE_PER_ACTION, results, strict=True))
    plan, setbacks = Plan(ONE_CHANGE_PER_ACTION, wanted=14, in_sync=12), setbacks_after(outcomes, {}, 0.0)
    return PassReport(result_of(plan, outcomes, setbacks), plan=plan, outcomes=outcomes, setbacks=setbacks)
