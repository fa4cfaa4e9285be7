"""Short ways to make the reports of passes in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.container import ContainerRef, PortId
from model.plan import Action, Change, Plan, Reason
from model.record import RecordKeys
from model.refusal import Refusal, RefusalReason
from model.report import Outcome, PassReport, PassResult, Result, Stage
from model.snapshot import UnknownContainer
from model.stored import Stored

DETAIL = "etcd says no"


def added(
    key: str = "/services/web/core-01:web:80", value: str = "10.0.0.1:8000", reason: Reason = Reason.NEW
) -> Change:
    """A create for container ``id-web``."""
    return Change(Action.CREATE, key, value, None, reason, "id-web")


def altered(key: str, before: str, value: str, reason: Reason = Reason.CHANGED) -> Change:
    """An update."""
    return Change(Action.UPDATE, key, value, Stored(key, before, 7), reason, "id-web")


def removed(key: str, before: str = "10.0.0.1:8000", reason: Reason = Reason.GONE) -> Change:
    """A delete."""
    return Change(Action.DELETE, key, "", Stored(key, before, 7), reason)


def renewed(key: str, value: str = "10.0.0.1:8000") -> Change:
    """A renewal."""
    return Change(Action.RENEW, key, value, Stored(key, value, 7, 3), Reason.TTL_DUE, "id-web")


def recorded(before: str | None = None) -> Change:
    """A write of the owner record."""
    key = RecordKeys("/services").record("core-01")
    stored = None if before is None else Stored(key, before, 7)
    return Change(Action.RECORD, key, '{"claims":{},"engine":"E"}', stored, Reason.CLAIMS)


def refused(
    name: str = "web", reason: RefusalReason = RefusalReason.BAD_NAME, detail: str = "SERVICE_NAME '..' has no use"
) -> Refusal:
    """A refusal of port 80."""
    return Refusal(ContainerRef(f"id-{name}", name), PortId(80, "tcp"), reason, detail)


def unreadable(name: str = "web", problem: str = "no answer in time") -> UnknownContainer:
    """A container that the engine would not describe."""
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
    """The report of a pass that got as far as a plan, each of its changes having ended in ``ended``."""
    detail = "" if ended in {Result.APPLIED, Result.PENDING} else DETAIL
    return PassReport(
        result,
        owner="core-01",
        problem="" if result is PassResult.SUCCESS else DETAIL,
        plan=Plan(changes=changes, refusals=refusals, **counts),
        outcomes=tuple(Outcome(change, ended, detail) for change in changes),
        unknown=unknown,
        seconds=seconds or {},
    )


def failed(result: PassResult = PassResult.REGISTRY_ERROR, problem: str = "nobody answers") -> PassReport:
    """The report of a pass that saw nothing."""
    return PassReport(result, problem=problem)
